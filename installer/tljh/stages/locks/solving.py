"""What an environment for users comes to: solved when something else is asked for, the admin's own work kept."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from tljh.engine.facts import EnvironmentFact
from tljh.errors import TljhError
from tljh.paths import Paths
from tljh.resources.conda.environment import package_of_record, specs_of_history, specs_of_record
from tljh.resources.environments.environment import by_hand, choose_target, is_intact, next_number
from tljh.resources.locks.lock import BY_HAND, CONDA, CondaPackage, Lock, Requested
from tljh.stages.context import Context
from tljh.stages.contributed import plugin_deeds
from tljh.stages.taking_over import adoption


def settle(context: Context, link: Path, asked: Sequence[Requested], provider: str) -> tuple[Lock, Path]:
    """What an environment is to hold, and where it is or will be.

    A resolve is only made when something else is asked for than what the environment was built from. What an
    admin installed by hand stays where it is, and is carried into a new environment.

    Args:
        link: The environment's link; it need not be there yet.
        provider: ``conda`` or ``pypi``.

    Raises:
        TljhError: there is no solution.
    """
    _refuse_what_is_not_ours(context, link)
    fact = context.facts.environment(link)
    lock = Lock.of_record(fact.record) if fact else None
    every = by_hand(fact) if fact and lock else {}
    given_up = {name.removeprefix(CONDA) for name in every} & set(context.options.drop)
    by_hooks = plugin_deeds.brought(context.store) if link == context.paths.user else set()
    brought = {name: pin for name, pin in every.items() if name in by_hooks}
    mine = {name: pin for name, pin in every.items() if name not in by_hooks}
    hands = {name: pin for name, pin in mine.items() if name.removeprefix(CONDA) not in given_up}
    same = bool(fact and lock and lock.provider == provider and lock.asks_for_the_same(asked))
    if fact and lock and same and not given_up and not needs_hands(fact, lock, hands):
        lock = as_the_admin_left_it(context, lock, hands, fact)
    else:
        rows = [*asked, *kept(context, fact, hands)]
        try:
            lock = _resolved(context, link, rows, provider, lock, {**hands, **brought})
        except TljhError as error:
            lock = adoption.as_it_is(context, link, lock, asked, error)
    for begun in context.conda.begun:
        if begun.name.rpartition("-")[0] == link.name:
            return lock, context.paths.envs / begun.name
    without = given_up | (set(brought) - set(lock.pins))
    return lock, choose_target(context.facts, link, context.paths.envs, lock.pins, without)


def _refuse_what_is_not_ours(context: Context, link: Path) -> None:
    """An environment's place may hold nothing, a link, or an environment that another installer has made.

    Raises:
        TljhError: something else is there; nobody knows whether it is still needed.
    """
    found = context.facts.file(link)
    if found is None or found.status.kind == "link":
        return
    there = context.facts.environment(link)
    if found.status.kind == "directory" and (there is None or there.has_python or not _entries(context, link)):
        return
    what = f"a folder with {', '.join(_entries(context, link)[:5])} in it" if there else f"a {found.status.kind}"
    raise TljhError(
        f"{link} is {what}, which no installer of environments has made", todo="move it elsewhere, then try again"
    )


def _entries(context: Context, folder: Path) -> list[str]:
    return sorted(entry.name for entry in context.machine.at(folder).iterdir())


def _resolved(
    context: Context,
    link: Path,
    rows: Sequence[Requested],
    provider: str,
    lock: Lock | None,
    hands: Mapping[str, str],
) -> Lock:
    prefer = {**lock.pins, **hands} if lock else {}
    prefer = {name: pin for name, pin in prefer.items() if not name.startswith(CONDA)}
    try:
        if provider == "pypi":
            return context.builder.resolve(rows, prefer)
        place = next_place(context, link)
        installed = _installed(context, link, lock, hands)
        return context.conda.resolve(rows, prefer, installed=installed, place=place)
    except TljhError as error:
        mine = [row.requirement for row in rows if row.origin == BY_HAND]
        if not mine or not any(name.split()[0].lower() in str(error).lower() for name in mine):
            raise
        raise TljhError(
            f"{error.what}\n  installed by hand and carried over: {', '.join(mine)}",
            todo="change what asks for something else, or give up what was installed by hand: --drop PACKAGE",
        ) from error


def next_place(context: Context, link: Path) -> Path:
    """Where conda's part may be linked: the next environment, or while planning one that is thrown away."""
    envs = plan_folder(context.paths) if context.planning else context.paths.envs
    return envs / f"{link.name}-{next_number(context.facts, link.name, context.paths.envs)}"


def plan_folder(paths: Paths) -> Path:
    """Where a plan may link an environment: beside the cache that it is linked from."""
    return paths.cache / f"plan-{os.getpid()}"


def needs_hands(fact: EnvironmentFact, lock: Lock, hands: Mapping[str, str]) -> bool:
    """Whether it must be built anew, because something of ours is damaged, with what the admin put into it."""
    ours = {name: pin for name, pin in lock.pins.items() if name not in hands}
    return bool(hands) and not is_intact(fact, ours)


def kept(context: Context, fact: EnvironmentFact | None, hands: Mapping[str, str]) -> list[Requested]:
    """The admin's own packages as wishes; of conda's only those that he named, the rest follows from them."""
    rows = [
        Requested(f"{name}{_spaced(pin)}", BY_HAND) for name, pin in hands.items() if not name.startswith(CONDA)
    ]
    named = [name.removeprefix(CONDA) for name in hands if name.startswith(CONDA)]
    if not fact or not named:
        return rows
    asked = specs_of_history(context.facts.text(context.facts.real_path(fact.path) / "conda-meta" / "history"))
    for name in named:
        record = context.facts.conda_record(fact.path, name)
        if specs_of_record(record) or name in asked:
            rows.append(Requested(f"{name} =={fact.conda[name].partition('=')[0]}", BY_HAND, "conda"))
    return rows


def _installed(context: Context, link: Path, lock: Lock | None, hands: Mapping[str, str]) -> list[CondaPackage]:
    """conda's packages as they are there now: from the lock, and the admin's own from their records."""
    fact = context.facts.environment(link)
    if not fact or not lock:
        return []
    mine = {package.name: package for package in lock.conda if package.name in fact.conda}
    for name in (name.removeprefix(CONDA) for name in hands if name.startswith(CONDA)):
        mine[name] = package_of_record(context.facts.conda_record(fact.path, name))
    return [mine[name] for name in sorted(mine)]


def _spaced(pin: str) -> str:
    return f" {pin}" if pin.startswith("@") else pin


def as_the_admin_left_it(context: Context, lock: Lock, hands: Mapping[str, str], fact: EnvironmentFact) -> Lock:
    """The lock with the admin's versions in place of ours, without what he installed once and removed again."""
    there = {*fact.packages, *(f"{CONDA}{name}" for name in fact.conda)}
    gone = {row.name for row in lock.requested if row.origin == BY_HAND} - there
    conda = {package.name: package for package in lock.conda if f"{CONDA}{package.name}" not in gone}
    for name in (name.removeprefix(CONDA) for name in hands if name.startswith(CONDA)):
        if conda.get(name) is None or conda[name].pin != fact.conda[name]:
            conda[name] = package_of_record(context.facts.conda_record(fact.path, name))
    lines = [line_of(line, hands) for line in lock.lines if _name(line) not in gone]
    packages = tuple(conda[name] for name in sorted(conda)) if lock.conda else ()
    return replace(lock, lines=tuple(lines), conda=packages)


def _name(line: str) -> str:
    return "" if line.startswith("-") else Requested(line, "").name


def line_of(line: str, hands: Mapping[str, str]) -> str:
    """A line of the lock, with the admin's version in place of ours."""
    name = _name(line)
    return f"{name}{_spaced(hands[name])}" if name in hands else line


def dropped(context: Context, facts: Iterable[EnvironmentFact | None]) -> None:
    """See that what ``--drop`` names was installed by hand somewhere.

    Raises:
        TljhError: it was not.
    """
    mine = {name.removeprefix(CONDA) for fact in facts if fact for name in by_hand(fact)}
    unknown = [name for name in context.options.drop if name not in mine]
    if unknown:
        there = f"by hand there is: {', '.join(sorted(mine))}" if mine else "nothing was installed by hand"
        raise TljhError(f"--drop {unknown[0]}: nobody installed that by hand", todo=there)
