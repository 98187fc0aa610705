"""Reads a backup, which ``stages.backup`` made or somebody who means harm: all is checked before it is used."""

from __future__ import annotations

import contextlib
import json
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

from tljh.engine.schema import is_readable
from tljh.errors import TljhError
from tljh.resources.archives import sealed
from tljh.resources.archives.tree_archive import Unpacker, checked
from tljh.resources.locks.lock import Lock
from tljh.stages.backups.backup import FORMAT, Manifest
from tljh.stages.backups.moved_accounts import People

STORE, DATABASE = "store.sqlite", "jupyterhub.sqlite"
FOLDERS = ("config", "state")
_TEXTS = ("accounts.json", "passwords.json", "locks.json")
_LARGEST = 64_000_000  # bytes of one text
_Member = tuple[PurePosixPath, tarfile.TarInfo, IO[bytes] | None]
_OTHER_FILE = "name a file that `tljh backup` made; nothing was changed"


@dataclass(frozen=True)
class Contents:
    """All of a backup but homes.

    Attributes:
        folder: Where its files were unpacked to.
        passwords: FirstUseAuthenticator's: user → hash.
        locks: Environment → what it holds.
    """

    folder: Path
    manifest: Manifest
    people: People
    passwords: dict[str, bytes]
    locks: dict[str, Any]


@dataclass(frozen=True)
class BackupFile:
    """A backup on disk.

    Attributes:
        key: What opens it; ``None`` where it isn't sealed.
    """

    path: Path
    key: Any = None

    def manifest(self) -> Manifest:
        """What it says of itself.

        Raises:
            TljhError: it is no backup, is damaged, or of a newer version of this program.
        """
        with self._members() as members:
            return self._manifest(*next(members))

    def unpack(self, folder: Path, told: Callable[[int], None]) -> Contents:
        """Read all of it, homes too; everything but homes is put into ``folder``, which is empty and ours alone.

        Raises:
            TljhError: as for ``manifest``; or it holds what no backup of ours holds.
        """
        texts: dict[str, Any] = {}
        count, ended = 0, False
        with self._members() as members, Unpacker(folder, lambda uid, gid: (uid, gid)) as unpacker:
            manifest = self._manifest(*next(members))
            for count, (path, member, content) in enumerate(members, start=1):
                top = path.parts[0]
                if ended:
                    raise self._damaged("something follows its end")
                if str(path) == "end.json":
                    ended = self._json(member, content).get("members") == count
                elif str(path) in _TEXTS:
                    texts[top] = self._json(member, content)
                elif top in FOLDERS or str(path) in (STORE, DATABASE):
                    _put(unpacker, path, member, content)
                elif top != "homes" or len(path.parts) < 2:
                    raise self._damaged(f"it holds {member.name!r}")
                told(member.size)
        if not ended or set(_TEXTS) - set(texts) or not (folder / STORE).is_file():
            raise self._damaged("it is not complete")
        return self._contents(folder, manifest, texts)

    def homes(self) -> Iterator[tuple[str, PurePosixPath, tarfile.TarInfo, IO[bytes] | None]]:
        """What homes hold: account, path in the home (``.`` is the home itself), member, content."""
        with self._members() as members:
            for path, member, content in members:
                if path.parts[0] == "homes":
                    yield path.parts[1], PurePosixPath(*path.parts[2:]), member, content

    # ---- how it is read

    @contextlib.contextmanager
    def _members(self) -> Iterator[Iterator[_Member]]:
        with sealed.reading(self.path, self.key) as plain:
            try:
                with tarfile.open(fileobj=plain, mode="r|", encoding="utf-8") as archive:
                    yield (_read(archive, member) for member in archive)
            except (tarfile.TarError, StopIteration, ValueError, OverflowError, RuntimeError) as error:
                raise self._damaged(str(error) or "it is empty") from error

    def _manifest(self, path: PurePosixPath, member: tarfile.TarInfo, content: IO[bytes] | None) -> Manifest:
        if str(path) != "manifest.json":
            raise TljhError(f"{self.path} is no backup: it does not say what it is of", todo=_OTHER_FILE)
        said = self._json(member, content)
        found = said.pop("format", 0)
        program = said.get("program", "?")
        if not isinstance(found, int) or found > FORMAT or not is_readable(int(said.get("schema", 0))):
            raise TljhError(
                f"{self.path} was made by another version of this program ({program}), which writes what this one "
                "can't read",
                todo="run the bootstrap script of that version, then the same command again; nothing was changed",
            )
        try:
            return Manifest(**{name: said[name] for name in Manifest.__dataclass_fields__})
        except KeyError as error:
            raise self._damaged(f"its manifest has no {error}") from error

    def _json(self, member: tarfile.TarInfo, content: IO[bytes] | None) -> Any:
        if content is None or member.size > _LARGEST:
            raise self._damaged(f"{member.name!r} is not a text")
        try:
            said = json.loads(content.read())
        except (ValueError, RecursionError) as error:
            raise self._damaged(f"{member.name} cannot be read: {error}") from error
        if not isinstance(said, dict):
            raise self._damaged(f"{member.name} is not what it should be")
        return said

    def _contents(self, folder: Path, manifest: Manifest, texts: dict[str, Any]) -> Contents:
        hashes = texts["passwords.json"]
        locks = texts["locks.json"]
        try:
            found = {name: hashed.encode("ascii") for name, hashed in hashes.items()}
            if not all(Lock.of_record(said) for said in locks.values()) or not {"hub", "user"} <= set(locks):
                raise KeyError("an environment")
        except (AttributeError, UnicodeError, KeyError, TypeError) as error:
            raise self._damaged(f"it lacks {error}") from error
        return Contents(folder, manifest, People.of_json(texts["accounts.json"]), found, locks)

    def _damaged(self, why: str) -> TljhError:
        return TljhError(
            f"{self.path} is damaged or cut off: {why}", todo="take another copy; nothing was changed"
        )


def _read(archive: tarfile.TarFile, member: tarfile.TarInfo) -> _Member:
    return checked(member), member, archive.extractfile(member) if member.isreg() else None


def _put(unpacker: Unpacker, path: PurePosixPath, member: tarfile.TarInfo, content: IO[bytes] | None) -> None:
    if member.islnk():
        unpacker.link(path, PurePosixPath(member.linkname), member)
    else:
        unpacker.put(path, member, content)
