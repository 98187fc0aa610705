"""One installer at a time: the install lock.

The lock is an ``flock`` on a file of its own, whose descriptor every child inherits: it holds until the last
program that a killed run started has ended. The text in the file is for messages only.
"""

from __future__ import annotations

import fcntl
import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tljh.errors import TljhError

FD_VARIABLE = "TLJH_LOCK_FD"
WAIT_FOR_CHILDREN = 600.0  # seconds


@dataclass(frozen=True)
class Holder:
    """Who says that it holds the lock."""

    pid: int
    command: str
    started: str

    @property
    def alive(self) -> bool:
        """Whether that process still runs."""
        return Path(f"/proc/{self.pid}").exists()


def acquire(path: Path, *, say: Callable[[str], None] = lambda text: None) -> int:
    """Take the lock, or take over the descriptor that bootstrap handed us.

    Args:
        say: Told when there is something to wait for.

    Returns:
        The descriptor; keep it open, and let children inherit it.

    Raises:
        TljhError: another installer is at work, or what a killed one left does not end.
    """
    handed = os.environ.get(FD_VARIABLE)
    if handed and _is(int(handed), path):
        os.set_inheritable(int(handed), True)
        return int(handed)
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    os.set_inheritable(descriptor, True)
    deadline = time.monotonic() + WAIT_FOR_CHILDREN
    while not _try(descriptor):
        _refuse_or_wait(path, deadline, say)
    text = {"pid": os.getpid(), "command": " ".join(sys.argv), "started": time.strftime("%H:%M:%S")}
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, json.dumps(text).encode(), 0)
    os.environ[FD_VARIABLE] = str(descriptor)
    return descriptor


def release(descriptor: int) -> None:
    """Give the lock back."""
    os.environ.pop(FD_VARIABLE, None)
    os.close(descriptor)


def _is(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except OSError:
        return False


def _try(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def holder(path: Path) -> Holder | None:
    """What the lock file says of who holds it."""
    try:
        said = json.loads(path.read_text())
        return Holder(int(said["pid"]), str(said["command"]), str(said["started"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _refuse_or_wait(path: Path, deadline: float, say: Callable[[str], None]) -> None:
    who = holder(path)
    if who and who.alive:
        raise TljhError(
            f"another installer is at work: pid {who.pid}, since {who.started}: {who.command}",
            todo="wait until it has ended, then run the same command again",
        )
    said = f"what an earlier run (pid {who.pid}: {who.command}) started" if who else "what an earlier run started"
    if time.monotonic() > deadline:
        raise TljhError(f"{said} still holds {path}", todo=f"see who: fuser -v {path}")
    say(f"waiting for {said} to end")
    time.sleep(2.0)
