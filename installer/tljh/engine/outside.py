"""What programs say of a fault that is none of theirs: the network, a registry, the disk, the clock. In our words.

uv, apt and rattler each say it in their own way, deep in a chain of causes. What is here finds it in that.
"""

from __future__ import annotations

import errno
import os
import re
import sqlite3
import time
from collections.abc import Iterable
from pathlib import Path

from tljh.errors import TljhError

ROOM_TO_START = 5_000_000  # bytes that a service may write before it serves
FILES_TO_START = 20

# what a program says, lower case · what it means, {place} is who was asked · what to do
_FAULTS = (
    (
        r"no space left|disk quota exceeded|quota exceeded|don't have enough free space|database or disk is full",
        "there is no room left on the disk",
        "make room",
    ),
    (
        r"read-only file system|readonly database",
        "the disk cannot be written: it is mounted read-only",
        "find out why (dmesg tells whether the disk has faults) and make it writable",
    ),
    (
        r"not valid yet|notvalidyet|not yet valid|certificate expired|certificate has expired"
        r"|certificate: expired|release file .* is expired",
        "what {place} sends is not valid at this time; the clock of this machine says {now}",
        "see whether the clock is right (timedatectl)",
    ),
    (
        r"dns error|failed to lookup address|name resolution|name or service not known"
        r"|failed to resolve|could not resolve|temporary failure resolving|no address associated",
        "{place} cannot be reached: names cannot be looked up (DNS)",
        "check the network, /etc/resolv.conf and {settings}",
    ),
    (
        r"\b(401|403|407)\b.{0,20}(unauthorized|forbidden|proxy authentication)",
        "{place} does not let this machine in",
        "check the name and password for it (in its address, in netrc or in the proxy's address)",
    ),
    (
        r"\b(429|5\d\d)\b.{0,25}(too many|internal server|bad gateway|unavailable|gateway time-?out)"
        r"|http status server error",
        "{place} cannot be used: it answers with a fault of its own",
        "wait a while, or use another one ({settings})",
    ),
    (
        r"hash\s?sum mismatch|hash\s?mismatch|file has unexpected size",
        "a downloaded package is not the one that the lock or the index speaks of",
        "find out who changed it; an index that is being updated may be right again in a while",
    ),
    (
        r"failed to extract|bad crc|invalid package format|failed to read from zip|corrupt|truncated"
        r"|not a zip|unexpected end of file|end of file before|error decoding response body|body error"
        r"|clearsigned file isn't valid|invalid gzip|incompleteread|connection broken",
        "what {place} sends is damaged or broken off",
        "wait a while; if it stays so, something between here and there changes it (a proxy, a mirror)",
    ),
    (
        r"error sending request|tcp connect|timed out|connection (was )?(refused|reset|failed|aborted)"
        r"|could not connect|cannot initiate the connection|unable to connect|network is unreachable"
        r"|failed to fetch|failed to download|failed to establish|no route to host|connection closed",
        "{place} cannot be reached",
        "check the network and {settings}",
    ),
)


def fault(text: str, place: str, settings: str) -> tuple[str, str] | None:
    """What is wrong outside, and what to do, if ``text`` speaks of that.

    Args:
        text: What a program said.
        place: Who was asked for something: "the package index".
        settings: Where it is said how that is reached.
    """
    said = text.lower()
    for pattern, what, todo in _FAULTS:
        if re.search(pattern, said):
            now = time.strftime("%Y-%m-%d %H:%M")
            return what.format(place=place, now=now), todo.format(settings=settings)
    return None


def unwritable(error: Exception) -> TljhError | None:
    """What to tell of a file system that cannot be written to; ``None`` of any other error."""
    is_file = isinstance(error, OSError)
    found = fault(str(error), "", "") if is_file or isinstance(error, sqlite3.OperationalError) else None
    if not found or (isinstance(error, OSError) and error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EROFS)):
        return None
    place = f": {error.filename}" if isinstance(error, OSError) and error.filename else ""
    return TljhError(f"{found[0]}{place}", todo=f"{found[1]}, then run the same command again")


def check_room(path: Path, doing: str) -> None:
    """Refuse what would end a service that runs and could not start it again.

    Args:
        path: On the disk that it writes to.
        doing: Such as "to restart jupyterhub".

    Raises:
        TljhError: there is no room.
    """
    found = os.statvfs(next(folder for folder in (path, *path.parents) if folder.exists()))
    if found.f_bavail * found.f_frsize < ROOM_TO_START or (found.f_files and found.f_favail < FILES_TO_START):
        raise TljhError(
            f"there is no room left on the disk of {path} {doing}; what runs now goes on",
            todo="make room, then run the same command again",
        )


def check_writable(folders: Iterable[Path]) -> None:
    """Refuse to begin what would have to stop halfway.

    Raises:
        TljhError: one of these folders is on a file system that is mounted read-only.
    """
    for folder in folders:
        if folder.exists() and os.statvfs(folder).f_flag & os.ST_RDONLY:
            raise TljhError(
                f"{folder} cannot be written: its file system is mounted read-only; nothing was changed",
                todo="find out why (dmesg tells whether the disk has faults), make it writable, "
                "then run the same command again",
            )
