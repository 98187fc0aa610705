"""What files need to outlive a kill and a power failure: names for what is half written, and syncing."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import stat
from collections.abc import Iterable
from functools import partial
from pathlib import Path

FRESH = ".tljh-new-"
"""How the name of a file begins that is not complete yet. Programs that read whole folders leave it out."""
_TOGETHER = 4  # folders that are removed at a time; more were no faster
_MANY = 64
_FRESH = re.compile(rf"{re.escape(FRESH)}(\d+)-")
_SCRATCH = re.compile(r"tljh-(\d+)-")


def fresh_prefix() -> str:
    """The beginning of the name of something that this process is making, beside what it will replace."""
    return f"{FRESH}{os.getpid()}-"


def scratch_prefix() -> str:
    """The beginning of the name of a temporary folder of this process."""
    return f"tljh-{os.getpid()}-"


def sync_directory(path: Path) -> None:
    """Have the names in a folder on the disk, where its file system can be told to (fsync(2): EINVAL)."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
    finally:
        os.close(handle)


def put_in_place(fresh: Path, target: Path) -> None:
    """Rename a file that is complete to what it is to be, so that it is there after a power failure as well."""
    handle = os.open(fresh, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
    os.replace(fresh, target)
    sync_directory(target.parent)


def remove_for_good(path: Path) -> None:
    """Remove a file so that it does not come back with a power failure; nothing happens where there is none."""
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
        sync_directory(path.parent)


def remove_tree(path: Path, *, ignore_errors: bool = False) -> None:
    """Remove a folder with all that is in it, some of its folders at a time: most of it is waiting for the disk.

    Only for what nobody but root can write in: others could put a link in the way meanwhile.

    Raises:
        OSError: something can't be removed, and errors count.
    """
    from concurrent.futures import ThreadPoolExecutor  # slow to import, and seldom needed

    with ThreadPoolExecutor(_TOGETHER) as pool:
        list(pool.map(partial(shutil.rmtree, ignore_errors=ignore_errors), _folders_in(path)))
    shutil.rmtree(path, ignore_errors=ignore_errors)


def _folders_in(path: Path) -> list[str]:
    """The first level below it that has many folders; none where no level has, or where it can't be seen."""
    level = [str(path)]
    try:
        while 0 < len(level) < _MANY:
            level = [entry.path for at in level for entry in os.scandir(at) if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return []  # removing it says why
    return level


def remove_unfinished(folders: Iterable[Path]) -> list[Path]:
    """Remove what processes that are gone were making in these folders when they were killed.

    Returns:
        What was removed.
    """
    found = [path for folder in folders for path in _named(folder, _FRESH)]
    for path in found:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    return found


def remove_scratch(folder: Path) -> list[Path]:
    """Remove the temporary folders and files of installers that were killed; returns them.

    Everybody may write in ``folder``: only what is root's own is touched, and no link is followed.
    """
    found = [path for path in _named(folder, _SCRATCH) if path.lstat().st_uid == os.geteuid()]
    for path in found:
        if stat.S_ISDIR(path.lstat().st_mode):
            shutil.rmtree(path, ignore_errors=True)
        elif stat.S_ISREG(path.lstat().st_mode):
            path.unlink(missing_ok=True)
    return found


def _named(folder: Path, pattern: re.Pattern[str]) -> list[Path]:
    """What is in a folder under the name of a process that is gone."""
    found = []
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        for path in folder.iterdir():
            match = pattern.match(path.name)
            if match and not Path(f"/proc/{match[1]}").exists():
                found.append(path)
    return found
