"""Makes a backup: all that this machine has and another one could not get anywhere else.

A tar archive (POSIX.1-2001 "pax") within what ``resources.sealed`` makes. Its members, in this order:

- ``manifest.json``: what it is of, and how much room it needs
- ``accounts.json``, ``passwords.json``: people's accounts; FirstUseAuthenticator's passwords, whose database not
  every Python can read
- ``locks.json``: what each environment holds, to the file
- ``store.sqlite``, ``jupyterhub.sqlite``: copies that are whole, whatever went on meanwhile
- ``config/…``, ``state/…``: files of the folders of the same name
- ``homes/NAME/…``
- ``end.json``: how many members come before it; a backup that does not have it is cut off
"""

from __future__ import annotations

import contextlib
import json
import platform
import re
import sqlite3
import sys
import tarfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, BinaryIO

from tljh.engine import sqlite
from tljh.engine.schema import SCHEMA_VERSION
from tljh.errors import TljhError, UsageError
from tljh.hub import database as hub_database
from tljh.hub import passwords
from tljh.hub.accounts import system_name
from tljh.paths import Paths
from tljh.resources.archives import sealed
from tljh.resources.archives.tree_archive import Packer, size_of
from tljh.resources.environments.environment import by_hand
from tljh.resources.locks.lock import BY_HAND, Lock, record_of
from tljh.stages.backups.moved_accounts import People, here
from tljh.stages.context import Context
from tljh.stages.contributed import plugin_deeds
from tljh.stages.locks import lock_writing, solving

FORMAT = 1
PROJECT = "the-littlest-jupyterhub"

# of the state: what is copied in another way, made anew by each install, or of this machine alone
_LEFT_OUT = re.compile(
    r"tljh\.sqlite.*|tljh\.lock|jupyterhub\.sqlite.*|passwords\.dbm.*|backups|\.?bundle.*|.*\.log|supervisord\..*"
    r"|rules|traefik\.toml|restored.*\.json|plugins-disabled|plugin-services\.json|.*\.pid|\..*\.new"
)


@dataclass(frozen=True)
class Manifest:
    """What a backup says of itself.

    Attributes:
        program: This project's version.
        schema: Of the state database.
        host: The machine's name.
        when: When it was made, in seconds since 1970.
        system: ``ID`` and ``VERSION_ID`` of /etc/os-release: ``debian 12``.
        machine: The processor, as ``uname -m`` says it.
        python: Of the hub environment: ``3.11``.
        prefix: Where the hub is installed.
        state: Bytes of all but homes.
        environments: Bytes that the environments take on the disk.
        homes: Account → bytes of its home.
        database: Whether the hub's database is in it.
    """

    program: str
    schema: int
    host: str
    when: float
    system: str
    machine: str
    python: str
    prefix: str
    state: int
    environments: int
    homes: Mapping[str, int]
    database: bool

    def as_text(self) -> str:
        """As it stands in a backup."""
        return json.dumps({"format": FORMAT, **asdict(self)}, indent=1) + "\n"


@dataclass(frozen=True)
class Made:
    """What a backup came to.

    Attributes:
        left_out: Sentences on what could not be taken along.
    """

    manifest: Manifest
    people: int
    size: int
    left_out: tuple[str, ...]


def create(context: Context, target: Path, *, passphrase: str | None, homes: bool) -> Made:
    """Make a backup of this machine.

    Args:
        context: Under the lock, so that no install is at work meanwhile; nothing has to be looked at.
        target: Where the backup is to be; it appears there in one step.
        passphrase: ``None``: it is not encrypted.

    Raises:
        TljhError: there is no hub here, or something can't be read.
        OSError: the file can't be written.
    """
    if context.machine.status(context.paths.hub) is None:
        raise TljhError("there is no hub on this machine: there is nothing to make a backup of")
    with context.reporter.stage("state"):
        parts = _Parts(context)
        people = here(parts.names)
    _refuse_inside(target, people, context)
    with context.reporter.stage("sizes", idle=not homes):
        manifest = _manifest(context, parts, people if homes else None)
    total = manifest.state + sum(manifest.homes.values())
    done = 0

    def told(number: int) -> None:
        nonlocal done
        done += number
        context.reporter.progress("writing", min(done, total), total, size=True)

    with context.reporter.stage("backup"), sealed.writing(target, passphrase) as file:
        packer = _write(file, parts, people, manifest, told)
    return Made(manifest, len(people.accounts), target.stat().st_size, tuple(packer.left_out))


def _refuse_inside(target: Path, people: People, context: Context) -> None:
    """A backup can't hold itself."""
    real = target.parent.resolve() / target.name
    if real.is_relative_to(context.paths.backups.resolve()):
        return  # no backup holds those
    folders = [context.paths.config, context.paths.state, *(Path(row.home) for row in people.accounts)]
    inside = next((folder for folder in folders if real.is_relative_to(folder.resolve())), None)
    if inside:
        raise UsageError(f"{target} would be in {inside}, which may be in the backup", todo="name another folder")


class _Parts:
    """What is in the backup before people's homes."""

    def __init__(self, context: Context) -> None:
        paths, scratch = context.paths, context.scratch
        self.paths = paths
        self.locks = locks(context)
        self.store = _copied(paths.store, scratch / "store.sqlite")
        there = paths.hub_database.exists()
        self.database = _copied(paths.hub_database, scratch / "jupyterhub.sqlite") if there else None
        self.passwords = passwords.every_hash(paths.state / "passwords.dbm")
        self.names = {*map(system_name, _hub_users(self.database)), *context.store.accounts()}
        self.elsewhere = _elsewhere(paths, self.database)

    def files(self) -> list[Path]:
        """Where what it holds comes from, but for what is made while it is written."""
        found = [path for path in self.paths.config.rglob("*") if path.is_file() and not path.is_symlink()]
        for top in self.paths.state.iterdir():
            if not _LEFT_OUT.fullmatch(top.name):
                found += [path for path in (top, *top.rglob("*")) if path.is_file() and not path.is_symlink()]
        return [*found, self.store, *([self.database] if self.database else [])]


def locks(context: Context) -> dict[str, Any]:
    """The record of each environment as it is, with what an admin has installed by hand as wishes of his."""
    wanted = lock_writing.as_it_is(context)
    found = {"hub": json.loads(record_of(wanted.hub, {}))}
    for name, (link, lock) in wanted.environments.items():
        found[name] = json.loads(record_of(_with_hands(context, link, lock), {}))
    return found


def _with_hands(context: Context, link: Path, lock: Lock) -> Lock:
    fact = context.facts.environment(link)
    brought = plugin_deeds.brought(context.store) if link == context.paths.user else set()
    hands = {name: pin for name, pin in by_hand(fact).items() if name not in brought} if fact else {}
    rows = [row for row in lock.requested if row.origin != BY_HAND]
    return replace(lock, requested=(*rows, *solving.kept(context, fact, hands)))


def _copied(database: Path, target: Path) -> Path:
    """A copy of an SQLite database that may be in use."""
    try:
        sqlite.copy(database, target)
    except sqlite3.DatabaseError as error:
        raise TljhError(
            f"{database} cannot be read: {error}", todo="see tljh doctor; no backup was made"
        ) from error
    return target


def _hub_users(database: Path | None) -> list[str]:
    if database is None:
        return []
    with contextlib.closing(sqlite3.connect(database)) as connection:
        return [row[0] for row in connection.execute("select name from users order by name")]


def _elsewhere(paths: Paths, database: Path | None) -> list[str]:
    """What the admin must make a backup of himself, as sentences."""
    place = hub_database.noted(paths)
    if place and place != f"{hub_database.SQLITE}{paths.hub_database}":
        return [f"the hub's database ({place}), which is elsewhere: make a copy of it there"]
    return [] if database else ["the hub's database: there is none yet"]


def _manifest(context: Context, parts: _Parts, with_homes: People | None) -> Manifest:
    rows = with_homes.accounts if with_homes else ()
    release = platform.freedesktop_os_release()
    return Manifest(
        program=version(PROJECT),
        schema=SCHEMA_VERSION,
        host=platform.node(),
        when=time.time(),
        system=f"{release.get('ID', '')} {release.get('VERSION_ID', '')}".strip(),
        machine=platform.machine(),
        python=f"{sys.version_info[0]}.{sys.version_info[1]}",
        prefix=str(context.paths.prefix),
        state=sum(path.stat().st_size for path in parts.files()),
        environments=sum(size_of(link.resolve()) for link in _links(context, parts)),
        homes={row.name: size_of(Path(row.home).resolve()) for row in rows if Path(row.home).is_dir()},
        database=parts.database is not None,
    )


def _links(context: Context, parts: _Parts) -> list[Path]:
    paths = context.paths
    return [{"hub": paths.hub, "user": paths.user}.get(name, paths.envs / name) for name in parts.locks]


def _write(file: BinaryIO, parts: _Parts, people: People, manifest: Manifest, told: Any) -> Packer:
    with tarfile.open(fileobj=file, mode="w|", format=tarfile.PAX_FORMAT, encoding="utf-8") as archive:
        packer = Packer(archive, told, left_out=parts.elsewhere)
        packer.text("manifest.json", manifest.as_text().encode())
        hashes = {name: value.decode("ascii", "replace") for name, value in parts.passwords.items()}
        for name, said in (
            ("accounts", people.as_json()),
            ("passwords", hashes),
            ("locks", parts.locks),
        ):
            packer.text(f"{name}.json", json.dumps(said, indent=1).encode())
        packer.file("store.sqlite", parts.store)
        if parts.database:
            packer.file("jupyterhub.sqlite", parts.database)
        # whatever is mounted there (in a container, for example): a restore takes away what is not in the backup
        packer.folder("config", parts.paths.config, lambda inside: inside == "config.yaml.lock", mounts=True)
        packer.folder("state", parts.paths.state, lambda inside: bool(_LEFT_OUT.fullmatch(inside)), mounts=True)
        for row in people.accounts:
            if row.name in manifest.homes:
                packer.folder(f"homes/{row.name}", Path(row.home).resolve())
        packer.text("end.json", json.dumps({"members": packer.count}).encode())
    return packer
