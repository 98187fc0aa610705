"""Folders into a tar archive and out of it again, as root, where people may write who mean harm.

No link is ever followed, neither where files are read nor where they are written: every folder on the way is
opened in the one above it. So nobody can make us read or write elsewhere by swapping a folder for a link, and no
archive can by what it holds.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import tarfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, Any, BinaryIO

from tljh.errors import TljhError

DEPTH = 200  # folders in folders
XATTR = "SCHILY.xattr."
"""What GNU tar calls an extended attribute in a pax header."""

_BLOCK = 1 << 20  # bytes
_SECTOR = 512  # bytes; what st_blocks counts
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
# what an owner sets himself; capabilities and labels are another machine's business
_KEPT_XATTRS = ("user.", "system.posix_acl_access", "system.posix_acl_default")
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


class Hostile(TljhError):
    """An archive holds what no archive of ours does."""


# ---- into an archive


@dataclass
class Packer:
    """Writes folders into an archive.

    Attributes:
        archive: Open for writing.
        told: Called with the bytes that were written since it was last called.
        left_out: Sentences on what can't be in an archive.
        count: Members written.
    """

    archive: tarfile.TarFile
    told: Callable[[int], None] = lambda number: None
    left_out: list[str] = field(default_factory=list)
    count: int = 0

    def text(self, name: str, content: bytes) -> None:
        """A file of ours."""
        import io

        member = tarfile.TarInfo(name)
        member.size, member.mode = len(content), 0o600
        self._add(member, io.BytesIO(content))

    def file(self, name: str, path: Path) -> None:
        """A file of ours that may be large."""
        member = tarfile.TarInfo(name)
        with path.open("rb") as source:
            member.size, member.mode = os.fstat(source.fileno()).st_size, 0o600
            self._add(member, source)

    def folder(
        self, name: str, path: Path, skip: Callable[[str], bool] = lambda inside: False, *, mounts: bool = False
    ) -> None:
        """A folder and what is in it; sockets, pipes, devices and other file systems are left out.

        Args:
            name: What it is called in the archive.
            skip: Asked with the path of each thing in the folder; ``True`` leaves it out.
            mounts: Other file systems that are mounted in there come along.
        """
        linked: dict[tuple[int, int], str] = {}
        top = os.open(path, _FOLDER)
        self._put_folder(name, top)
        waiting = [(name, top, 0)]
        disk = None if mounts else os.fstat(top).st_dev
        while waiting:
            place, here, depth = waiting.pop()
            try:
                for entry in sorted(entry.name for entry in os.scandir(here)):
                    inside = f"{place}/{entry}"
                    if skip(inside[len(name) + 1 :]):
                        continue
                    below = self._entry(inside, entry, here, disk, linked)
                    if below is None:
                        continue
                    if depth >= DEPTH:
                        os.close(below)
                        self.left_out.append(f"{inside}: folders are nested too deeply")
                    else:
                        waiting.append((inside, below, depth + 1))
            finally:
                os.close(here)

    def _entry(
        self, name: str, entry: str, parent: int, disk: int | None, linked: dict[tuple[int, int], str]
    ) -> int | None:
        """Write one thing; of a folder, the descriptor."""
        try:
            found = os.stat(entry, dir_fd=parent, follow_symlinks=False)
            if stat.S_ISLNK(found.st_mode):
                self._put_link(name, found, os.readlink(entry, dir_fd=parent))
            elif stat.S_ISDIR(found.st_mode) and is_another_disk(found, disk):
                self.left_out.append(f"{name}: another file system")
            elif stat.S_ISDIR(found.st_mode):
                handle = os.open(entry, _FOLDER, dir_fd=parent)
                self._put_folder(name, handle)
                return handle
            elif stat.S_ISREG(found.st_mode):
                self._put_file(name, os.open(entry, _FILE, dir_fd=parent), linked)
            else:
                self.left_out.append(f"{name}: neither a file nor a folder nor a link")
        except OSError as error:  # it has gone, or has become something else meanwhile
            if error.errno in (*_NO_ROOM, errno.EPIPE):
                raise
            self.left_out.append(f"{name}: {error.strerror}")
        return None

    def _put_folder(self, name: str, handle: int) -> None:
        member = _member(name, os.fstat(handle), tarfile.DIRTYPE)
        member.pax_headers = _attributes(handle)
        self._add(member)

    def _put_link(self, name: str, found: os.stat_result, target: str) -> None:
        member = _member(name, found, tarfile.SYMTYPE)
        member.linkname = target
        self._add(member)

    def _put_file(self, name: str, handle: int, linked: dict[tuple[int, int], str]) -> None:
        with os.fdopen(handle, "rb") as source:
            found = os.fstat(handle)
            if not stat.S_ISREG(found.st_mode):
                self.left_out.append(f"{name}: neither a file nor a folder nor a link")
                return
            first = linked.setdefault((found.st_dev, found.st_ino), name) if found.st_nlink > 1 else name
            if first != name:
                member = _member(name, found, tarfile.LNKTYPE)
                member.linkname = first
                self._add(member)
                return
            member = _member(name, found, tarfile.REGTYPE)
            member.size = found.st_size
            member.pax_headers = _attributes(handle)
            self._add(member, _Exactly(source, found.st_size))

    def _add(self, member: tarfile.TarInfo, content: Any = None) -> None:
        self.archive.addfile(member, content)
        self.count += 1
        self.told(member.size)


class _Exactly:
    """A file that may become shorter while it is read: what is missing then is zeros."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file, self._left = file, size

    def read(self, size: int) -> bytes:
        wanted = min(size, self._left)
        found = self._file.read(wanted)
        self._left -= wanted
        return found + bytes(wanted - len(found))


def _member(name: str, found: os.stat_result, kind: bytes) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.mode = kind, stat.S_IMODE(found.st_mode)
    member.uid, member.gid, member.mtime = found.st_uid, found.st_gid, int(found.st_mtime)
    return member


def _attributes(handle: int) -> dict[str, str]:
    found = {}
    with contextlib.suppress(OSError):
        for name in os.listxattr(handle):
            if name.startswith(_KEPT_XATTRS):
                value = os.getxattr(handle, name)
                found[f"{XATTR}{name}"] = value.decode("utf-8", "surrogateescape")
    return found


def is_another_disk(folder: os.stat_result, disk: int | None) -> bool:
    """Whether a folder is of another file system than ``disk``; ``None``: that does not matter.

    Only folders can be asked: on an overlay a file has the number of the layer that it lies in.
    """
    return disk is not None and folder.st_dev != disk


def size_of(folder: Path) -> int:
    """Bytes that a folder takes on its disk; other file systems that are mounted in there don't count."""
    total, seen, disk = 0, set(), None
    for _, folders, files, here in os.fwalk(folder):
        own = os.fstat(here)
        disk = own.st_dev if disk is None else disk
        if is_another_disk(own, disk):
            folders.clear()
            continue
        total += own.st_blocks * _SECTOR
        for name in files:
            with contextlib.suppress(OSError):  # it has gone meanwhile
                found = os.stat(name, dir_fd=here, follow_symlinks=False)
                if found.st_nlink == 1 or (found.st_dev, found.st_ino) not in seen:
                    total += found.st_blocks * _SECTOR
                    seen.add((found.st_dev, found.st_ino))
    return total


# ---- out of an archive


def checked(member: tarfile.TarInfo) -> PurePosixPath:
    """The path of a member, which stays below the folder that it is unpacked to.

    Raises:
        Hostile: it does not, or the member is what no folder of ours holds.
    """
    path = PurePosixPath(member.name)
    inside = member.name and not path.is_absolute() and ".." not in path.parts and "\0" not in member.name
    if not inside or not path.parts:
        raise _hostile(member, "it would be put elsewhere")
    if not (member.isreg() or member.isdir() or member.issym() or member.islnk()):
        raise _hostile(member, "it is neither a file nor a folder nor a link")
    if member.islnk():
        target = PurePosixPath(member.linkname)
        if target.is_absolute() or ".." in target.parts or target.parts[:1] != path.parts[:1]:
            raise _hostile(member, "it is a link to elsewhere")
    if member.issym() and (not member.linkname or "\0" in member.linkname):
        raise _hostile(member, "it is a link to nowhere")
    return path


def _hostile(member: tarfile.TarInfo, why: str) -> Hostile:
    return Hostile(
        f"the file holds {member.name!r}: {why}", todo="it was not made by `tljh backup`; nothing was changed"
    )


@dataclass
class Unpacker:
    """Puts members of an archive below one folder, which nobody but root may write to meanwhile.

    Attributes:
        root: The folder; it is there.
        owner: The numbers that a member's uid and gid become.
    """

    root: Path
    owner: Callable[[int, int], tuple[int, int]]
    _times: dict[PurePosixPath, int] = field(default_factory=dict)

    def __enter__(self) -> Unpacker:
        self._top = os.open(self.root, _FOLDER)
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._top)

    def put(self, path: PurePosixPath, member: tarfile.TarInfo, content: IO[bytes] | None) -> None:
        """Put one member at ``path`` below the folder.

        Args:
            path: As ``checked`` gave it, or an end of that; ``.`` is the folder itself.

        Raises:
            Hostile: something else than a folder is in its way.
        """
        with self._folder(path.parent, member) as parent:
            name = path.name or "."
            try:
                if member.isdir():
                    self._put_folder(path, name, parent, member)
                elif member.issym():
                    os.symlink(member.linkname, name, dir_fd=parent)
                    os.chown(name, *self.owner(member.uid, member.gid), dir_fd=parent, follow_symlinks=False)
                elif content is not None:
                    self._put_file(name, parent, member, content)
            except FileExistsError as error:
                raise _hostile(member, "it is there twice") from error

    def link(self, path: PurePosixPath, target: PurePosixPath, member: tarfile.TarInfo) -> None:
        """One more name for a file that was put there before."""
        with self._folder(path.parent, member) as parent, self._folder(target.parent, member) as other:
            try:
                os.link(target.name, path.name, src_dir_fd=other, dst_dir_fd=parent, follow_symlinks=False)
            except OSError as error:
                raise _hostile(member, f"it is a link to {target}, which is not there") from error

    def finish(self) -> None:
        """Give the folders the times that they had."""
        for path, time in sorted(self._times.items(), reverse=True):
            with contextlib.suppress(OSError), self._folder(path, tarfile.TarInfo(str(path))) as handle:
                os.utime(handle, (time, time))

    @contextlib.contextmanager
    def _folder(self, path: PurePosixPath, member: tarfile.TarInfo) -> Iterator[int]:
        handle = os.dup(self._top)
        try:
            for part in path.parts:
                try:
                    below = os.open(part, _FOLDER, dir_fd=handle)
                except OSError as error:
                    raise _hostile(member, f"{path} is no folder") from error
                os.close(handle)
                handle = below
            yield handle
        finally:
            os.close(handle)

    def _put_folder(self, path: PurePosixPath, name: str, parent: int, member: tarfile.TarInfo) -> None:
        if path.name:
            os.mkdir(name, 0o700, dir_fd=parent)
        handle = os.open(name, _FOLDER, dir_fd=parent)
        try:
            self._describe(handle, member, member.mode & 0o3777)
        finally:
            os.close(handle)
        self._times[path] = int(member.mtime)

    def _put_file(self, name: str, parent: int, member: tarfile.TarInfo, content: IO[bytes]) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with os.fdopen(os.open(name, flags, 0o600, dir_fd=parent), "wb") as file:
            while block := content.read(_BLOCK):
                # what was never written takes no room
                if block.count(0) == len(block):
                    file.seek(len(block), os.SEEK_CUR)
                else:
                    file.write(block)
            file.truncate()
            # nobody gets a program that runs as its owner: in another machine's archive that may be root
            self._describe(file.fileno(), member, member.mode & 0o777)
            os.utime(file.fileno(), (member.mtime, member.mtime))

    def _describe(self, handle: int, member: tarfile.TarInfo, mode: int) -> None:
        os.fchown(handle, *self.owner(member.uid, member.gid))
        os.fchmod(handle, mode)
        _set_attributes(handle, member.pax_headers)


def _set_attributes(handle: int, headers: Mapping[str, str]) -> None:
    for key, value in headers.items():
        name = key.removeprefix(XATTR)
        if not key.startswith(XATTR) or not name.startswith(_KEPT_XATTRS):
            continue
        try:
            os.setxattr(handle, name, value.encode("utf-8", "surrogateescape"))
        except OSError as error:
            if error.errno in _NO_ROOM:
                raise
