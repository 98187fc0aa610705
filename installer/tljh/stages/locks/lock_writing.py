"""What ``tljh lock`` writes: the environments as they are, or as they would be after a renewal."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tljh.engine import lock as install_lock
from tljh.engine.parsers import canonical_name, parse_distribution_folder
from tljh.errors import TljhError
from tljh.fetch import without_credentials
from tljh.resources.conda.environment import package_of_record, subdir
from tljh.resources.conda.settings import public
from tljh.resources.environments import inventory
from tljh.resources.environments.environment import by_hand
from tljh.resources.environments.pip_files import PipPackage, Target, locate, with_hashes
from tljh.resources.locks import hub_lock
from tljh.resources.locks.conda_lock_environment import CondaLock, Locked, document
from tljh.resources.locks.held import Held, file_of
from tljh.resources.locks.lock import CONDA, CondaPackage, Lock, Requested
from tljh.resources.locks.lock_file import PlatformLock
from tljh.resources.locks.other_platforms import elsewhere, renamed
from tljh.stages import wishes
from tljh.stages.context import Context
from tljh.stages.locks import locking, solving
from tljh.stages.locks.renewing import base_of

_METADATA = re.compile(r"lib/python[^/]+/site-packages/([^/]+\.dist-info)/METADATA")


@dataclass(frozen=True)
class Move:
    """A package that a renewed lock has in another version."""

    environment: str
    name: str
    manager: str
    before: str | None
    after: str | None


@dataclass(frozen=True)
class Wanted:
    """What locks are written of.

    Attributes:
        hub: The hub environment's packages.
        environments: ``user`` and those beside it: name → its link and its packages.
        moves: What a renewal changed.
    """

    hub: Lock
    environments: Mapping[str, tuple[Path, Lock]]
    moves: Sequence[Move] = ()


@dataclass(frozen=True)
class Written:
    """What came of it.

    Attributes:
        texts: File name → text.
        counts: File name → platform → manager → how many packages.
    """

    texts: Mapping[str, str]
    counts: Mapping[str, Mapping[str, Mapping[str, int]]]


# ---- what there is, and what there would be


def as_it_is(context: Context) -> Wanted:
    """The environments as they are on this machine, with what the admin installed by hand.

    Raises:
        TljhError: there is none yet.
    """
    links = {name: link for name, link in inventory.links(context.paths, context.facts).items() if name != "hub"}
    return Wanted(
        _recorded(context, context.paths.hub, "hub"),
        {
            name: (link, _recorded(context, link, name))
            for name, link in {"user": context.paths.user, **links}.items()
        },
    )


def _recorded(context: Context, link: Path, name: str) -> Lock:
    fact = context.facts.environment(link)
    lock = Lock.of_record(fact.record) if fact else None
    if fact is None or lock is None:
        raise TljhError(f"there is no {name} environment to write a lock of", todo="tljh install")
    if name == "hub":
        return lock
    hands = by_hand(fact)
    left = solving.as_the_admin_left_it(context, lock, hands, fact)
    there = left.pins
    own = [row for row in solving.kept(context, fact, hands) if row.manager == "pip" and row.name not in there]
    return replace(left, lines=(*left.lines, *(row.requirement for row in own)))


def renewal(context: Context) -> Wanted:
    """What ``tljh install`` would come to, if what ``options.upgrade`` names moved. Nothing is changed.

    Raises:
        TljhError: no environment has a package that is named, or there is no solution.
    """
    from tljh.stages import run

    run.look(context)
    links = {"user": context.paths.user, **{row.name: row.link for row in context.environments}}
    locks = {"user": context.required("user_lock"), **{row.name: row.lock for row in context.environments}}
    hub: Lock = context.required("hub_lock")
    before = {"hub": _hub_before(context), **{name: base_of(context, link) for name, link in links.items()}}
    every = [lock for lock in (hub, *locks.values(), *before.values()) if lock]
    known = {canonical_name(name.removeprefix(CONDA)) for lock in every for name in lock.pins}
    named = [name for name in context.options.upgrade or () if name not in before]
    unknown = [name for name in named if canonical_name(name) not in known]
    if unknown:
        raise TljhError(
            f"no environment has a package {unknown[0]}", todo="tljh env packages shows what they hold"
        )
    moves = [move for name, lock in {"hub": hub, **locks}.items() for move in _moves(name, before.get(name), lock)]
    return Wanted(hub, {name: (links[name], lock) for name, lock in locks.items()}, moves)


def _hub_before(context: Context) -> Lock:
    """The hub's packages by the lock that is followed; what that does not have, as it is."""
    fact = context.facts.environment(context.paths.hub)
    lock = Lock.of_record(fact.record) if fact else None
    held = context.held.hub if context.held else None
    return Lock((), (*(lock.lines if lock else ()), *(held.lines.values() if held else ())))


def _moves(environment: str, before: Lock | None, after: Lock) -> Iterable[Move]:
    old, new = before.pins if before else {}, after.pins
    for name in sorted({*old, *new}):
        if old.get(name) != new.get(name):
            manager = "conda" if name.startswith(CONDA) else "pip"
            yield Move(
                environment, name.removeprefix(CONDA), manager, _shown(old.get(name)), _shown(new.get(name))
            )


def _shown(pin: str | None) -> str | None:
    return without_credentials(pin.removeprefix("==").removeprefix("@ ")) if pin else None


# ---- the files' texts


def texts_of(context: Context, wanted: Wanted, platforms: Sequence[str]) -> Written:
    """The texts of all files.

    Args:
        platforms: Beside this machine's own.

    Raises:
        TljhError: an index or channel cannot be reached, there is no solution for another platform, or conda-lock
            cannot be had.
    """
    tool = CondaLock(context.builder, context.paths.tools / "conda-lock")
    if platforms:
        _tell_channels(context)
    texts, counts = {}, {}
    for name, (link, lock) in wanted.environments.items():
        parts = _parts(context, name, link, lock, platforms)
        file = file_of(name)
        channels = [_channel(row.requirement) for row in lock.requested if row.manager == "channel"]
        said = document(parts, channels if lock.conda else [], [context.paths.config_file.name])
        texts[file] = tool.text_of(said)
        counts[file] = {
            platform: {"conda": len(locked.part.conda), "pip": len(locked.part.pip)}
            for platform, locked in parts.items()
        }
    lines, local = _hub_lines(context, wanted.hub)
    texts[hub_lock.FILE] = hub_lock.text_of(lines, local)
    counts[hub_lock.FILE] = {subdir(): {"pip": len(lines)}}
    return Written(texts, counts)


def _tell_channels(context: Context) -> None:
    """config.yaml may name channels with credentials, which no record has."""
    from tljh.stages import config

    if not context.config:
        config.look_first(context)
    rows = wishes.channels(context, context.config["user_environment"])
    context.conda.channels.update({public(row.requirement): row.requirement for row in rows})


def _channel(named: str) -> str:
    return Path(named).as_uri() if named.startswith("/") else named


def _parts(context: Context, name: str, link: Path, lock: Lock, platforms: Sequence[str]) -> dict[str, Locked]:
    """What an environment holds on each platform."""
    held = locking.followed(context)
    known = held.file(name) if held and held.digest(name) else None
    brings = _brings(context, link, lock.conda)
    here = _here(context, lock, known.platforms.get(subdir()) if known else None, brings)
    parts = {subdir(): Locked(here, lock.requested)}
    for platform in platforms:
        if platform in parts:
            continue
        # a lock that is followed and not renewed has it already
        part = known.platforms.get(platform) if known else None
        part = part or elsewhere(context.conda, lock.requested, platform, here, brings)
        parts[platform] = Locked(part, lock.requested)
    return parts


def platforms_of(held: Held | None) -> list[str]:
    """The platforms that the lock of this machine is for."""
    return sorted(held.file("user").platforms) if held else []


def _here(
    context: Context, lock: Lock, known: PlatformLock | None, brings: Mapping[str, Mapping[str, str]]
) -> PlatformLock:
    """What an environment holds on this machine, with the files of pip's part."""
    python = "" if lock.conda else locking.system_version(context)
    part = PlatformLock(lock.conda, python=python, brings=renamed(brings))
    options = [Requested(line, "") for line in lock.lines if line.startswith("-")]
    lines = [line for line in lock.lines if not line.startswith("-")]
    pip = [package for line in lines if (package := _known(line, known))]
    asked = {row.name: row.origin for row in lock.requested}
    missing = [
        Requested(line, asked.get(Requested(line, "").name, "")) for line in lines if not _known(line, known)
    ]
    if missing:
        target = Target(context.builder.python, part.python_version)
        pip += locate(context.builder, [*options, *missing], target, exact=True)
    return replace(part, pip=tuple(sorted(pip, key=_name)))


def _known(line: str, part: PlatformLock | None) -> PipPackage | None:
    """The file of a line of pip's part, where a lock that is followed says it already."""
    requirement, _, hashes = line.partition(" --hash=")
    for package in part.pip if part else ():
        if package.line.partition(" --hash=")[0] == requirement and (not hashes or package.sha256 in hashes):
            return package
    return None


def _name(package: PipPackage) -> str:
    return package.name


def _brings(context: Context, link: Path, packages: Sequence[CondaPackage]) -> dict[str, dict[str, str]]:
    """conda package → canonical name → version of the distributions that it brings, as far as they are linked."""
    begun = next((path for path in context.conda.begun if path.name.rpartition("-")[0] == link.name), None)
    path = begun or link
    found: dict[str, dict[str, str]] = {}
    for package in packages:
        record = context.facts.conda_record(path, package.name) or context.facts.conda_record(link, package.name)
        names = [match[1] for file in record.get("files", ()) if (match := _METADATA.fullmatch(file))]
        pairs = [pair for name in names if (pair := parse_distribution_folder(name))]
        old = package_of_record(record).version if record else ""
        if pairs:
            found[package.name] = {name: package.version if version == old else version for name, version in pairs}
    return found


def _hub_lines(context: Context, lock: Lock) -> tuple[list[str], dict[str, str]]:
    """The hub's packages with hashes; and the names and versions of what only this machine has."""
    fact = context.facts.environment(context.paths.hub)
    versions = fact.packages if fact else {}
    local: dict[str, str] = {}
    lines: list[str] = []
    for line in lock.lines:
        name = "" if line.startswith("-") else Requested(line, "").name
        if name in hub_lock.OURS or " @ file:" in line:
            local[name] = versions.get(name, "")
        elif name:
            lines.append(line)
    bare = [line for line in lines if " --hash=" not in line and " @ git+" not in line]
    options = [line for line in lock.lines if line.startswith("-")]
    added = with_hashes(context.builder, [*options, *bare]) if bare else []
    return sorted([*(line for line in lines if line not in bare), *added]), local


# ---- where they go


def write(context: Context, written: Written, folder: Path) -> list[Path]:
    """Write the files into a folder, which is made."""
    if not folder.is_dir():
        context.machine.make_directory(folder)
    for name, text in written.texts.items():
        context.machine.write_file(folder / name, text.encode())
    return [folder / name for name in written.texts]


def keep(context: Context, written: Written) -> None:
    """Make these the locks that this machine follows."""
    folder = locking.folder_of(context.paths)
    held = install_lock.acquire(context.paths.lock, say=context.reporter.say)
    try:
        context.machine.make_directory(folder)
        for name, text in written.texts.items():
            context.machine.write_file(folder / name, text.encode())
        for path in sorted(folder.glob("*")):
            if path.name not in written.texts:
                context.machine.remove(path)
    finally:
        install_lock.release(held)


def release(context: Context) -> bool:
    """Follow no lock any more; whether there was one."""
    folder = locking.folder_of(context.paths)
    if context.machine.status(folder) is None:
        return False
    held = install_lock.acquire(context.paths.lock, say=context.reporter.say)
    try:
        context.machine.remove(folder)
    finally:
        install_lock.release(held)
    return True
