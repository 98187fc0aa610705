"""Two paths that change places in one step, so that at no moment one of them is missing."""

from __future__ import annotations

import ctypes
import errno
import os
from pathlib import Path

from tljh.engine.files import fresh_prefix, sync_directory

_HERE = -100  # AT_FDCWD (fcntl.h)
_EXCHANGE = 2  # RENAME_EXCHANGE (linux/fs.h)
_NOT_KNOWN = (errno.ENOSYS, errno.EINVAL)  # to this kernel, or to this kind of file system


def exchange(one: Path, other: Path) -> None:
    """Let two paths of one file system change places (renameat2(2)).

    Where the file system can't, there is a moment in which ``one`` is missing.

    Raises:
        OSError: one of them is a mount point, or they are on different disks.
    """
    library = ctypes.CDLL(None, use_errno=True)
    if library.renameat2(_HERE, os.fsencode(one), _HERE, os.fsencode(other), _EXCHANGE):
        number = ctypes.get_errno()
        if number not in _NOT_KNOWN:
            raise OSError(number, os.strerror(number), str(one))
        aside = other.with_name(f"{fresh_prefix()}{other.name}")
        os.rename(other, aside)
        os.rename(one, other)
        os.rename(aside, one)
    for folder in {one.parent, other.parent}:
        sync_directory(folder)
