"""One installer at a time: the install lock.

The lock is an ``flock`` on a file of its own, whose descriptor every child inherits: it holds until the last
program that a killed run started has ended. The text in the file is for messages only.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tljh.errors import TljhError

FD_VARIABLE = "TLJH_LOCK_FD"
WAIT_FOR_CHILDREN = 600.0  # seconds
_PAUSE = 0.3  # seconds between two tries


@dataclass(frozen=True)
class Holder:
    """Who says that it took the lock last."""

    pid: int
    command: str
    started: str


@dataclass(frozen=True)
class Process:
    """A process that has the lock's file open, so that it may hold the lock."""

    pid: int
    name: str

    def __str__(self) -> str:
        return f"{self.name} (pid {self.pid})"


def is_held(path: Path) -> bool:
    """Whether some installer holds the lock at this moment, this process's own one included."""
    try:
        descriptor = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


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
    try:
        _wait(descriptor, path, say)
    except BaseException:
        os.close(descriptor)
        raise
    text = {"pid": os.getpid(), "command": " ".join(sys.argv), "started": time.strftime("%H:%M:%S")}
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, json.dumps(text).encode(), 0)
    os.environ[FD_VARIABLE] = str(descriptor)
    return descriptor


def release(descriptor: int) -> None:
    """Give the lock back."""
    os.environ.pop(FD_VARIABLE, None)
    os.close(descriptor)


def holder(path: Path) -> Holder | None:
    """What the lock file says of who took it last."""
    try:
        said = json.loads(path.read_text())
        return Holder(int(said["pid"]), str(said["command"]), str(said["started"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def processes_with(path: Path, proc: Path = Path("/proc")) -> list[Process]:
    """The other processes that have a file open, by number; only root sees everybody's."""
    wanted = path.stat()
    found = []
    for folder in proc.glob("[0-9]*"):
        if int(folder.name) == os.getpid():
            continue
        with contextlib.suppress(OSError):  # it may end while we look
            if any(_is_same(file, wanted) for file in (folder / "fd").iterdir()):
                found.append(Process(int(folder.name), (folder / "comm").read_text().strip()))
    return sorted(found, key=lambda process: process.pid)


def _is_same(file: Path, wanted: os.stat_result) -> bool:
    try:
        return os.path.samestat(file.stat(), wanted)
    except OSError:  # closed meanwhile, or leads to what is gone
        return False


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


def _wait(descriptor: int, path: Path, say: Callable[[str], None]) -> None:
    """Until the lock is ours; what is waited for is said when it changes."""
    deadline = time.monotonic() + WAIT_FOR_CHILDREN
    told = ""
    while not _try(descriptor):
        who, holding = holder(path), processes_with(path)
        if who and who.pid in [process.pid for process in holding]:
            raise TljhError(
                f"another installer is at work: pid {who.pid}, since {who.started}: {who.command}",
                todo="wait until it has ended, then run the same command again",
            )
        what = _left_by(who, holding)
        if time.monotonic() > deadline:
            raise TljhError(
                f"{what} still holds {path} after {WAIT_FOR_CHILDREN / 60:.0f} minutes",
                todo="see what it does, end it if it does nothing (kill PID), then run the same command again",
            )
        if what != told:
            say(f"waiting for {what} to end")
            told = what
        time.sleep(_PAUSE)


def _left_by(who: Holder | None, holding: Sequence[Process]) -> str:
    """What a run that is gone has started and still runs, in words."""
    names = ", ".join(map(str, holding)) or "something"
    return f"{names}, which an earlier run" + (f" (pid {who.pid}: {who.command})" if who else "") + " started,"
