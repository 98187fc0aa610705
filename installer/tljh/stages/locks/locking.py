"""A lock that this machine follows: ``tljh install --lock`` takes one, and later runs keep to it.

The machine's copy is in ``<prefix>/state/lock``; as long as that is there, the machine follows it.
``tljh lock --upgrade`` renews it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from tljh.engine.build import Stage
from tljh.engine.facts import EnvironmentFact
from tljh.engine.resource import Resource
from tljh.errors import TljhError
from tljh.paths import Paths
from tljh.resources.conda.environment import package_of_record
from tljh.resources.conda.settings import public
from tljh.resources.environments.environment import by_hand, choose_target, next_number
from tljh.resources.locks import hub_lock, lock_file
from tljh.resources.locks.followed import FollowedLock
from tljh.resources.locks.held import FLAG, Held, file_of, is_url
from tljh.resources.locks.hub_lock import HubLock
from tljh.resources.locks.lock import CONDA, LOCK_FILE, Lock, Requested
from tljh.resources.locks.lock_file import SHOWN, PlatformLock
from tljh.stages.backups import restored
from tljh.stages.context import Context
from tljh.stages.going_back import earlier
from tljh.stages.locks import provider, solving
from tljh.stages.locks.renewing import concerns, moves, renewed


def folder_of(paths: Paths) -> Path:
    """Where the machine's own copy is; without it the machine follows no lock."""
    return paths.state / "lock"


def look(context: Context) -> None:
    """Find out which lock this run follows. Fills ``held``.

    Raises:
        TljhError: it can't be had, is broken, or is for another platform; nothing was changed.
    """
    place = context.options.lock
    folder = folder_of(context.paths)
    if context.earlier:
        if context.earlier.files_of_lock:
            then: dict[str, str | None] = {**context.earlier.files_of_lock}
            context.held = Held(context.machine, str(folder / lock_file.FILE), then)
        return
    if place:
        inside = not is_url(place) and context.machine.at(Path(place)).is_dir()
        context.held = Held(context.machine, str(Path(place) / lock_file.FILE) if inside else place)
    elif context.machine.status(folder):
        context.held = Held(context.machine, str(folder / lock_file.FILE))
    else:
        return
    held = context.held
    if held.text(lock_file.FILE) is None:
        raise TljhError(
            f"there is no lock at {held.shown('user')}",
            whose=FLAG if place else None,
            todo="name a conda-lock.yml, its https URL, or the folder that it is in"
            if place
            else "name one (tljh install --lock FILE), or follow none any more: tljh lock --release",
        )
    if place:
        _refuse_another_python(context, held.part("user"), held.shown("user"))


def texts(context: Context) -> dict[str, str]:
    """The files of the machine's copy: name → text; nothing where it follows no lock."""
    machine, folder = context.machine, folder_of(context.paths)
    found = {path.name: machine.read(folder / path.name) for path in sorted(machine.at(folder).glob("*"))}
    return {name: content.decode(errors="replace") for name, content in found.items() if content is not None}


def followed(context: Context) -> Held | None:
    """The lock that this run keeps to; ``None`` also while it is being renewed."""
    return context.held if context.options.upgrade is None else None


def of_hub(context: Context) -> HubLock | None:
    """What the hub environment is to hold; ``None`` where no lock says."""
    held = followed(context)
    return held.hub if held else None


def preferred(context: Context, pins: Mapping[str, str]) -> dict[str, str]:
    """The versions that the hub environment's resolve prefers: the lock's, else those that are installed.

    Args:
        pins: What is installed.
    """
    mine = context.held.hub if context.held else None
    known = {**pins, **restored.hub_pins(context), **(mine.pins if mine else {})}
    return {name: pin for name, pin in known.items() if not moves(context, "hub", name)}


def choose_provider(context: Context, channels: Sequence[Requested]) -> str:
    """``conda`` or ``pypi``: as the lock has it, else as ``provider`` chooses.

    Raises:
        TljhError: config.yaml asks for another one than the lock was made for.
    """
    lock = context.earlier.lock_of("user") if context.earlier else None
    if lock:
        provider.know(context, channels)
        context.provider_why = "as it was"
        return lock.provider
    of_backup = restored.provider(context)
    if of_backup:
        provider.know(context, channels)
        context.provider_why = "as in the backup"
        return of_backup
    held = followed(context)
    if held is None:
        return provider.choose(context, channels)
    context.conda.channels.update({public(row.requirement): row.requirement for row in channels})
    fact = context.facts.environment(context.paths.user)
    lock = Lock.of_record(fact.record) if fact else None
    known = lock is not None and _built_from(lock, held.digest("user"))
    found = lock.provider if lock and known else held.part("user").provider
    wanted = context.config["user_environment"]["provider"]
    if wanted not in ("auto", found):
        holds = "conda packages" if found == "conda" else "no conda packages, only PyPI's"
        raise TljhError(
            f"config.yaml has user_environment.provider: {wanted}, and the lock has {holds}",
            whose=held.shown("user"),
            todo="tljh-config unset user_environment.provider, or take another lock; nothing was changed",
        )
    context.provider_why = f"as the lock {held.shown('user')} has it"
    return found


def _built_from(lock: Lock, digest: str) -> bool:
    return bool(digest) and lock.sources.get(LOCK_FILE, {}).get("digest") == digest


# ---- what an environment comes to


def settle(context: Context, link: Path, asked: Sequence[Requested], provider: str) -> tuple[Lock, Path]:
    """What an environment is to hold, and where it is or will be. Where there is a lock, nothing is solved.

    Args:
        link: The environment's link; it need not be there yet.
        provider: ``conda`` or ``pypi``.

    Raises:
        TljhError: the lock does not have what is asked for; it says what and who asks. Or there is no lock, and no
            solution.
    """
    was = earlier.settle(context, link) if context.earlier else None
    if was:
        return was
    of_backup = restored.settle(context, link, asked, provider)
    if of_backup:
        return of_backup
    if concerns(context, link.name):
        lock = renewed(context, link, asked, provider)
        return lock, choose_target(context.facts, link, context.paths.envs, lock.pins)
    held = context.held
    digest = held.digest(link.name) if held else ""
    if held is None or not digest:
        return solving.settle(context, link, asked, provider)
    fact = context.facts.environment(link)
    known = Lock.of_record(fact.record) if fact else None
    every = by_hand(fact) if fact and known else {}
    hands = {name: pin for name, pin in every.items() if _bare(name) not in context.options.drop}
    given_up = {_bare(name) for name in every if name not in hands}
    same = known is not None and _built_from(known, digest) and known.asks_for_the_same(asked) and not given_up
    if fact and known and same and not solving.needs_hands(fact, known, hands):
        lock = solving.as_the_admin_left_it(context, known, hands, fact)
    else:
        place, part = held.shown(link.name), held.part(link.name)
        _refuse_another_python(context, part, place)
        _refuse_what_is_missing(context, part, asked, place)
        lock = replace(_locked(context, part, asked, fact, hands, place), sources={LOCK_FILE: {"digest": digest}})
    return lock, _target(context, link, lock, given_up)


def _target(context: Context, link: Path, lock: Lock, given_up: Collection[str]) -> Path:
    """Where an environment with these packages is or will be; other files of the same versions don't count."""
    from tljh.resources.locks.check import same_files

    envs = context.paths.envs
    target = choose_target(context.facts, link, envs, lock.pins, given_up)
    fact = context.facts.environment(target)
    there = Lock.of_record(fact.record) if fact else None
    if there is None or same_files(lock, there):
        return target
    return envs / f"{link.name}-{next_number(context.facts, link.name, envs)}"


def _refuse_another_python(context: Context, part: PlatformLock, place: str) -> None:
    """An environment of PyPI's packages is made of the system's Python."""
    if not part.python:
        return
    there = system_version(context)
    if there != part.python:
        raise TljhError(
            f"this lock is for Python {part.python}; this machine's {context.builder.python} is {there}",
            whose=place,
            todo="make a lock on a machine with this Python; nothing was changed",
        )


def system_version(context: Context) -> str:
    """Of the Python that environments of PyPI's packages are made of: ``3.11``."""
    said = context.facts.output(str(context.builder.python), "--version").rpartition(" ")[2].strip()
    return ".".join(said.split(".")[:2])


def _refuse_what_is_missing(context: Context, part: PlatformLock, asked: Sequence[Requested], place: str) -> None:
    from tljh.resources.locks.check import unmet

    faults = unmet(context.conda, part, asked, part.python_version)
    more = f"\n  … and {len(faults) - SHOWN} more" if len(faults) > SHOWN else ""
    if faults:
        raise TljhError(
            "the lock is not for what is asked for:" + "".join(f"\n  {fault}" for fault in faults[:SHOWN]) + more,
            whose=place,
            todo="write one that has it (tljh lock --upgrade PACKAGE), take another lock, or change what asks for "
            "it. Nothing was changed",
        )


def _locked(
    context: Context,
    part: PlatformLock,
    asked: Sequence[Requested],
    fact: EnvironmentFact | None,
    hands: Mapping[str, str],
    place: str,
) -> Lock:
    """The lock's packages, and the admin's own beside them.

    Raises:
        TljhError: he has another version of something that the lock has too.
    """
    options = [row.requirement for row in asked if row.requirement.startswith("-")]
    lock = Lock(tuple(asked), (*options, *part.lines), conda=part.conda)
    pins = lock.pins
    foreign = {name for name in hands if name.startswith(CONDA) and not part.conda}
    apart = {name: pin for name, pin in hands.items() if pins.get(name, pin) != pin or name in foreign}
    if apart:
        has = {name: _short(pins[name]) if name in pins else "no conda packages" for name in apart}
        said = [f"{_bare(name)} {_short(pin)} (the lock has {has[name]})" for name, pin in apart.items()]
        raise TljhError(
            f"installed by hand and not as the lock has it: {', '.join(said)}",
            whose=place,
            todo=f"give up what was installed by hand: --drop {_bare(next(iter(apart)))}; nothing was changed",
        )
    own = {name: pin for name, pin in hands.items() if name not in pins}
    rows = solving.kept(context, fact, own)
    lines = [row.requirement for row in rows if row.manager == "pip"]
    conda = {package.name: package for package in part.conda}
    if fact:
        for name in (name.removeprefix(CONDA) for name in own if name.startswith(CONDA)):
            conda[name] = package_of_record(context.facts.conda_record(fact.path, name))
    packages = tuple(conda[name] for name in sorted(conda))
    return Lock((*asked, *rows), (*lock.lines, *lines), conda=packages)


def _bare(name: str) -> str:
    return name.removeprefix(CONDA)


def _short(pin: str) -> str:
    return pin.removeprefix("==").partition("=")[0]


# ---- what is kept of it


class Locking(Stage[Context]):
    """The machine's copy of the lock that it follows, once the environments are as it says."""

    name = "lock"
    priority = 56

    def resources(self, context: Context) -> Iterable[Resource]:
        if context.earlier:
            files = context.earlier.files_of_lock
            if files or context.machine.status(folder_of(context.paths)):
                yield FollowedLock("lock", folder=folder_of(context.paths), files=files)
            return
        held = followed(context)
        if held is None:
            return
        environments = ["user", *(environment.name for environment in context.environments)]
        names = [*(file_of(name) for name in environments), hub_lock.FILE]
        yield FollowedLock(
            "lock",
            folder=folder_of(context.paths),
            files={name: text for name in names if (text := held.text(name)) is not None},
            origins=dict.fromkeys(names, FLAG),
        )
