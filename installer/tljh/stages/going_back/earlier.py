"""What a generation had, for a run that goes back to it: its environments are taken as they were, none is solved.

What an admin has installed by hand since is carried over, as into every new environment, unless he says otherwise.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tljh.errors import TljhError
from tljh.resources.conda.environment import package_of_record
from tljh.resources.environments.environment import by_hand, choose_target, is_intact, pins_of
from tljh.resources.locks.lock import BY_HAND, CONDA, Lock
from tljh.stages.context import Context
from tljh.stages.locks import solving


@dataclass(frozen=True)
class Earlier:
    """The generation that a run goes back to.

    Attributes:
        number: As it was named.
        of: The generation that it stands for: itself, or the one that an earlier rollback went back to.
        record: What it left.
        newest: Whether it is the newest: then what goes is what a run that failed has left.
        remembered: Whether the store's memory is still that of this generation.
        applied: config.yaml as it was last put into effect.
        brought: What plugins' hooks brought into the user environment, then or since: no admin put it there.
        exact: Whether packages that were installed by hand since are given up.
        built: What is to be built again and how much must be downloaded, a sentence for each environment.
    """

    number: int
    of: int
    record: Mapping[str, Any]
    newest: bool = False
    remembered: bool = False
    applied: str = ""
    brought: frozenset[str] = frozenset()
    exact: bool = False
    built: dict[str, str] = field(default_factory=dict)

    def lock_of(self, environment: str) -> Lock | None:
        """What an environment held; ``None`` where there was none of this name."""
        return Lock.of_record(self.record.get("locks", {}).get(environment, {}))

    @property
    def files_of_lock(self) -> Mapping[str, str]:
        """The lock that the machine followed: name → text; nothing where it followed none."""
        found: Mapping[str, str] = self.record.get("followed", {})
        return found


def settle(context: Context, link: Path) -> tuple[Lock, Path] | None:
    """What an environment held and is to hold again, and where it is or will be; ``None`` where it wasn't there.

    Raises:
        TljhError: what was installed by hand since can't be carried over.
    """
    earlier: Earlier = context.required("earlier")
    lock = earlier.lock_of(link.name)
    if lock is None:
        return None
    fact = context.facts.environment(link)
    every = by_hand(fact) if fact and fact.record and link != context.paths.hub else {}
    mine = {name: pin for name, pin in every.items() if name not in earlier.brought}
    without = set(every)
    if earlier.exact:
        then = context.facts.environment(context.paths.envs / earlier.record["environments"][link.name])
        without |= set(by_hand(then)) if then and then.record else set()
    elif mine:
        lock = _with_hands(context, lock, link, mine)
    without -= set(lock.pins)
    target = choose_target(context.facts, link, context.paths.envs, lock.pins, _bare(without))
    _note(context, lock, link, target)
    return lock, target


def _with_hands(context: Context, lock: Lock, link: Path, hands: Mapping[str, str]) -> Lock:
    """A lock with what the admin has installed by hand in it, in his versions."""
    fact = context.facts.environment(link)
    conda = [name.removeprefix(CONDA) for name in hands if name.startswith(CONDA)]
    if conda and lock.provider != "conda":
        raise TljhError(
            f"{link} was made of PyPI's packages then, and {_are(sorted(conda))} installed by hand with conda",
            todo="give up what was installed by hand: the same command with --exact; nothing was changed",
        )
    rows = solving.kept(context, fact, hands)
    kept = [row for row in lock.requested if row.origin != BY_HAND or row.name not in hands]
    new = {row.name: row.requirement for row in rows if row.name not in lock.pins}
    lines = [solving.line_of(line, hands) for line in lock.lines]
    lines += [text for name, text in new.items() if not name.startswith(CONDA)]
    packages = {package.name: package for package in lock.conda}
    for name in conda:
        if fact and (name not in packages or packages[name].pin != fact.conda[name]):
            packages[name] = package_of_record(context.facts.conda_record(fact.path, name))
    together = tuple(packages[name] for name in sorted(packages))
    return replace(lock, requested=(*kept, *rows), lines=tuple(lines), conda=together)


def _are(names: list[str]) -> str:
    return f"{', '.join(names)} {'is' if len(names) == 1 else 'are'}"


def _bare(names: Iterable[str]) -> set[str]:
    return {name.removeprefix(CONDA) for name in names}


def _note(context: Context, lock: Lock, link: Path, target: Path) -> None:
    """Say how much is to be downloaded where an environment isn't there any more."""
    earlier: Earlier = context.required("earlier")
    earlier.built.pop(link.name, None)
    if is_intact(context.facts.environment(target), lock.pins):
        return
    count = len(missing(context, lock, link))
    what = "nothing has to be downloaded" if not count else f"{count} package{'s' * (count > 1)} may be downloaded"
    earlier.built[link.name] = f"the environment {link.name} is built again, as {target.name}: {what}"


def missing(context: Context, lock: Lock, link: Path) -> list[str]:
    """The packages of a lock that are neither in the environment that serves nor in a cache."""
    fact = context.facts.environment(link)
    there = pins_of(fact) if fact else {}
    cached = {entry.name for entry in context.machine.at(context.conda.cache / "pkgs").glob("*-*-*")}
    files = {f"{CONDA}{package.name}": package.file_name for package in lock.conda}
    return [
        name
        for name, pin in lock.pins.items()
        if there.get(name) != pin
        and not pin.startswith("@ file:")
        and files.get(name, "").removesuffix(".conda").removesuffix(".tar.bz2") not in cached
    ]
