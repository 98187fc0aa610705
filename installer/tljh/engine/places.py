"""Where root may write by a path: on the way there, no link is followed that somebody else could have put there.

Root follows root's own links, such as ``/opt/tljh`` on another disk. In a folder that others can write to, a link
is refused; and since each folder is held open, none can be swapped for a link afterwards.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from tljh.errors import TljhError

PEOPLE = 1000  # groups with a lower number are the system's own, and who is in them is trusted
_MOST_LINKS = 40  # as Linux has it
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Redirected(TljhError):
    """A link that others can change is on the way to a place where root is to write.

    Args:
        path: Where was to be written.
        link: The link's path.
    """

    def __init__(self, path: Path, link: str) -> None:
        super().__init__(
            f"{path} is not touched: {link} is a link that others than root can change",
            todo="see who made it (ls -ld), and put a folder in its place",
        )


@contextlib.contextmanager
def held(path: Path) -> Iterator[Path]:
    """``path`` by another name, in a folder that is held open: what is done to it is done there and nowhere else.

    Raises:
        Redirected: a link of somebody else's is on the way.
        OSError: a folder on the way is not there.
    """
    with opened(path.parent) as folder:
        here = Path(f"/proc/self/fd/{folder}")
        try:
            yield here / path.name
        except OSError as error:
            for name in ("filename", "filename2"):  # as whoever reads the message knows it
                if str(getattr(error, name) or "").startswith(f"{here}/"):
                    setattr(error, name, str(path))
            raise


@contextlib.contextmanager
def opened(path: Path, *, make: bool = False) -> Iterator[int]:
    """A folder's descriptor.

    Args:
        make: Make what is not there yet.

    Raises:
        Redirected: a link of somebody else's is on the way.
        OSError: it is not there.
    """
    way = _Way(path)
    try:
        way.go(make)
        yield way.here
    finally:
        way.close()


class _Way:
    """From the root folder down to ``path``."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._left = list(reversed(path.parts[1:]))
        self._handles = [os.open("/", _FOLDER)]
        self._links = 0

    @property
    def here(self) -> int:
        return self._handles[-1]

    def close(self) -> None:
        for handle in self._handles:
            os.close(handle)

    def go(self, make: bool) -> None:
        while self._left:
            name = self._left.pop()
            if name == "..":
                if len(self._handles) > 1:
                    os.close(self._handles.pop())
                continue
            try:
                found = os.stat(name, dir_fd=self.here, follow_symlinks=False)
                if stat.S_ISLNK(found.st_mode):
                    self._follow(name, found)
                    continue
            except FileNotFoundError as error:
                if not make:
                    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(self._path)) from error
                with contextlib.suppress(FileExistsError):
                    os.mkdir(name, dir_fd=self.here)
            try:
                self._handles.append(os.open(name, _FOLDER, dir_fd=self.here))
            except OSError as error:
                if error.errno == errno.ELOOP:  # it has become a link since
                    raise Redirected(self._path, name) from error
                raise OSError(error.errno, error.strerror, str(self._path)) from error

    def _follow(self, name: str, found: os.stat_result) -> None:
        folder = os.fstat(self.here)
        mine = found.st_uid in (0, os.geteuid()) and bool(folder.st_mode & stat.S_ISVTX)
        if not (_is_roots(folder) or mine):
            raise Redirected(self._path, f"{os.readlink(f'/proc/self/fd/{self.here}')}/{name}")
        self._links += 1
        if self._links > _MOST_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(self._path))
        target = PurePosixPath(os.readlink(name, dir_fd=self.here))
        parts = target.parts
        if target.is_absolute():
            for handle in self._handles[1:]:
                os.close(handle)
            del self._handles[1:]
            parts = parts[1:]
        self._left += reversed(parts)


def _is_roots(folder: os.stat_result) -> bool:
    """Whether nobody but root can change what is in a folder."""
    by_group = folder.st_mode & stat.S_IWGRP and folder.st_gid >= PEOPLE
    return folder.st_uid in (0, os.geteuid()) and not by_group and not folder.st_mode & stat.S_IWOTH
