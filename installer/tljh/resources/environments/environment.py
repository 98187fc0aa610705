"""An environment behind a link: built beside the one that serves, verified, then switched to.

How it is solved and built is the provider's business (``python_environment``, ``conda.environment``).
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol

from tljh.engine.facts import EnvironmentFact, Facts
from tljh.engine.files import remove_for_good, remove_tree
from tljh.engine.machine import Machine
from tljh.engine.resource import Diff, Resource, State, Undo
from tljh.resources.locks.lock import BY_HAND, CONDA, RECORD, Lock, record_of

log = logging.getLogger("tljh.environment")

PATH = "(path)"
"""The key that says where the link points; no distribution can have this name."""
WISHES = "(wishes)"
"""The key that says what it was asked to hold: a wish that is met already is recorded, or it is solved again."""


class Builder(Protocol):
    """A provider of environments.

    Attributes:
        begun: Environments that a resolve began already; ``build`` goes on with them.
    """

    begun: set[Path]

    def build(
        self,
        lock: Lock,
        path: Path,
        *,
        base: Path | None,
        finish: Callable[[], None],
        check: Callable[[], None],
    ) -> None:
        """Make the environment at ``path``; its record is written last, after ``check``.

        Args:
            base: The environment that serves now, to begin with or to take from.
            finish: Called when all is installed, before it is byte-compiled: may add files.
            check: Called at the end: verifies it.
        """


def pins_of(fact: EnvironmentFact) -> dict[str, str]:
    """What is installed, as pins: the lock's own where the version is still the one that it gave."""
    lock = Lock.of_record(fact.record)
    locked = lock.pins if lock else {}
    recorded = fact.record.get("packages", {})

    def pin(name: str, version: str) -> str:
        if name in locked and recorded.get(name) == version:
            return locked[name]
        return f"@ {fact.urls[name]}" if name in fact.urls else f"=={version}"

    conda = {f"{CONDA}{name}": pin for name, pin in fact.conda.items()}
    return {**conda, **{name: pin(name, version) for name, version in fact.packages.items()}}


def by_hand(fact: EnvironmentFact) -> dict[str, str]:
    """What an admin installed himself: name → pin.

    Either we never put it there, or pip has put another version in its place, or conda another package.
    """
    lock = Lock.of_record(fact.record)
    if lock is None:
        return {}
    recorded = fact.record.get("packages", {})
    locked = {package.name: package.pin for package in lock.conda}
    pins = pins_of(fact)
    kept = {row.name for row in lock.requested if row.origin == BY_HAND}
    by_conda = {f"{CONDA}{name}": pin for name, pin in fact.conda.items()}
    mine = {name for name, pin in by_conda.items() if name in kept or locked.get(name.removeprefix(CONDA)) != pin}
    by_pip = {
        name
        for name, version in fact.packages.items()
        if name not in recorded or name in kept or (recorded[name] != version and name in fact.by_pip)
    }
    return {name: pin for name, pin in pins.items() if name in mine or name in by_pip}


def is_intact(fact: EnvironmentFact | None, pins: Mapping[str, str]) -> bool:
    """Whether an environment is complete and holds at least what ``pins`` says."""
    if fact is None or not fact.record or not fact.has_python:
        return False
    there = pins_of(fact)
    return all(there.get(name) == pin for name, pin in pins.items())


@dataclass
class Environment(Resource):
    """The environment that ``link`` points to.

    Attributes:
        link: Such as ``/opt/tljh/user``.
        lock: What it is to hold.
        target: Where it is or will be: ``/opt/tljh/envs/user-3``.
        builder: Makes it.
        finish: Called with the path of a new one when all is installed: adds what is special to its kind.
        verify: Command lines, relative to the environment, that must all end well before it is switched to.
        like: The link of another environment, to begin with where ``link`` leads to none yet.
    """

    link: Path
    lock: Lock
    target: Path
    builder: Builder
    finish: Callable[[Machine, Path], None]
    verify: Sequence[tuple[str, ...]]
    like: Path | None = None

    undo: ClassVar[Undo] = Undo.EXACT
    owns: ClassVar[bool] = False  # what is ours in it, its own record says

    def desired(self) -> State:
        return {PATH: str(self.target), WISHES: self.lock.wishes, **self.lock.pins}

    def observe(self, facts: Facts) -> State:
        found = facts.environment(self.link)
        if found is None or not found.record or not found.has_python:
            return {}
        lock = Lock.of_record(found.record)
        # the prefix may be a link to another disk: the same place has two names then
        path = self.target if found.path == facts.real_path(self.target) else found.path
        return {PATH: str(path), WISHES: lock.wishes if lock else "", **pins_of(found)}

    def ours(self, facts: Facts, recorded: set[str]) -> set[str]:
        found = facts.environment(self.link)
        mine = Lock.of_record(found.record) if found else None
        return set(mine.pins) if mine else set()

    def effect(self, diff: Diff) -> str:
        return "" if diff.before.get(PATH) == str(self.target) else f"switches {self.link} to {self.target.name}"

    def change(self, diff: Diff, machine: Machine) -> None:
        there = Facts(machine).environment(self.target)
        if there is None or not is_intact(there, self.lock.pins):
            self._build(machine)
        elif WISHES in diff.put:
            text = record_of(self.lock, there.record["packages"])
            machine.write_file(self.target / RECORD, text.encode())
        status = machine.status(self.link)
        if status and status.kind == "directory":
            machine.move(self.link, self.link.with_name(f"{self.link.name}.before-tljh"))
        machine.make_link(self.link, os.path.relpath(self.target, self.link.parent))

    def _base(self, machine: Machine) -> Path | None:
        """The environment that serves, if it is one to begin with: complete, and of the same provider."""
        facts = [Facts(machine).environment(link) for link in (self.link, self.like) if link]
        fit = [fact for fact in facts if fact and fact.has_python and self._is_alike(fact)]
        return fit[0].path if fit else None

    def _is_alike(self, fact: EnvironmentFact) -> bool:
        lock = Lock.of_record(fact.record)
        return lock is not None and lock.provider == self.lock.provider

    def _build(self, machine: Machine) -> None:
        if self.target.exists() and self.target not in self.builder.begun:
            discard(machine, self.target)
        try:
            self.builder.build(
                self.lock,
                self.target,
                base=self._base(machine),
                finish=lambda: self.finish(machine, self.target),
                check=lambda: self._verify(machine),
            )
        except BaseException:
            # a failed build leaves no trace, and the old environment serving
            discard(machine, self.target)
            raise

    def _verify(self, machine: Machine) -> None:
        """See whether it works; only then is it called complete."""
        commands = [[self.target / words[0], *words[1:]] for words in self.verify]
        with ThreadPoolExecutor() as side_by_side:
            list(side_by_side.map(lambda command: machine.run(command, timeout=120.0), commands))


def choose_target(
    facts: Facts, link: Path, envs: Path, pins: Mapping[str, str], without: Collection[str] = ()
) -> Path:
    """Where an environment with these packages is, or is to be built.

    The one that serves, if it holds them; else the newest complete one that does; else the next number.

    Args:
        without: Names of packages that it must not hold.
    """
    current = facts.environment(link)
    if current and current.path.parent == facts.real_path(envs) and _holds(current, pins, without):
        return envs / current.path.name
    for _, path in reversed(_numbered(facts, link.name, envs)):
        if _holds(facts.environment(path), pins, without):
            return envs / path.name
    return envs / f"{link.name}-{next_number(facts, link.name, envs)}"


def next_number(facts: Facts, kind: str, envs: Path) -> int:
    """The build counter of the next environment of a kind."""
    return max((number for number, _ in _numbered(facts, kind, envs)), default=0) + 1


def _numbered(facts: Facts, kind: str, envs: Path) -> list[tuple[int, Path]]:
    there = [path for path in facts.machine.at(envs).glob(f"{kind}-*") if not path.is_symlink()]
    found = (path for path in {*there, *facts.moving} if path.name.rpartition("-")[0] == kind)
    return sorted((number_of(path), path) for path in found if number_of(path))


def _holds(fact: EnvironmentFact | None, pins: Mapping[str, str], without: Collection[str]) -> bool:
    """Whether it holds these packages and, of what we put there, no others."""
    lock = Lock.of_record(fact.record) if fact else None
    if fact is None or lock is None or not is_intact(fact, pins):
        return False
    there = set(pins_of(fact))
    # what an admin once installed and has removed again is in the lock, but not there any more
    return (
        not (set(lock.pins) - set(pins)) & there
        and not ({f"{CONDA}{name}" for name in without} | set(without)) & there
    )


def number_of(path: Path) -> int:
    """The build counter in an environment's name."""
    found = re.search(r"-(\d+)$", path.name)
    return int(found[1]) if found else 0


def discard(machine: Machine, path: Path) -> None:
    """Remove an environment; from the first moment on it is not complete any more, also after a power failure."""
    remove_for_good(machine.at(path) / RECORD)
    remove_tree(machine.at(path), ignore_errors=True)


def unused(facts: Facts, envs: Path, kept: set[str]) -> list[Path]:
    """Environments that nothing names and nothing runs from.

    Args:
        kept: Names such as ``hub-3`` that a link or a kept generation speaks of.
    """
    numbered = (path for path in facts.machine.at(envs).glob("*-*") if number_of(path) and not path.is_symlink())
    found = sorted(path for path in numbered if path.name not in kept)
    running = _command_lines() if found else ""
    return [path for path in found if f"{path}/" not in running and f"{facts.real_path(path)}/" not in running]


def _command_lines() -> str:
    """Every process's command line; an interpreter names its environment there, its ``exe`` does not."""
    parts = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            parts.append(path.read_bytes())
        except (FileNotFoundError, ProcessLookupError):
            continue
    return b"\n".join(parts).decode(errors="replace")
