"""A program that was started: its streams, its terminal, its end. ``machine.py`` starts it."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import pty
import re
import selectors
import signal
import subprocess
import sys
import termios
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

# control sequences of a terminal (ECMA-48)
_DRAWING = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@dataclass(frozen=True)
class Completed:
    """What a process left: its exit status and both streams, decoded."""

    returncode: int
    stdout: str
    stderr: str

    @property
    def output(self) -> str:
        return self.stdout + self.stderr


def ending(status: int) -> str:
    """How a program ended that should have answered, for a sentence that begins with who it was."""
    return f"ended the process (signal {-status})" if status < 0 else f"ended the process (status {status})"


def pseudo_terminal() -> tuple[int, int]:
    """Our side and the program's side of a new terminal with the size of ours."""
    ours, its = pty.openpty()
    with contextlib.suppress(OSError):  # we are not on a terminal ourselves
        size = fcntl.ioctl(sys.stderr.fileno(), termios.TIOCGWINSZ, bytes(8))
        fcntl.ioctl(its, termios.TIOCSWINSZ, size)
    return ours, its


def shown_on_terminal(ours: int, selected: Callable[[bytes], bytes]) -> Iterator[str]:
    """What a program draws on the terminal that we gave it: shown as it comes, yielded as plain lines."""
    kept = b""
    try:
        while data := os.read(ours, 65536):
            os.write(sys.stderr.fileno(), selected(data))
            kept += data
    except OSError as error:
        if error.errno != errno.EIO:  # the program has closed its side
            raise
    finally:
        os.close(ours)
    text = _DRAWING.sub("", kept.decode(errors="replace"))
    yield from (f"{line}\n" for line in re.split(r"[\r\n]+", text) if line.strip())


def communicate(
    process: subprocess.Popen[str],
    input: str | None,
    timeout: float,
    errors: Iterable[str],
    on_line: Callable[[str], None] | None,
) -> tuple[Completed, bool]:
    """Both streams to their end, lines of the second told as they come; whether it ended in time."""
    parts: dict[str, list[str]] = {"out": [], "err": []}

    def drain(name: str, stream: Iterable[str]) -> None:
        for line in stream:
            parts[name].append(line)
            if on_line and name == "err":
                on_line(line.rstrip("\n"))

    streams = {"out": process.stdout or (), "err": errors}
    readers = [threading.Thread(target=drain, args=pair, daemon=True) for pair in streams.items()]
    for reader in readers:
        reader.start()
    try:
        if input is not None and process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                process.stdin.write(input)
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()
        _wait(process, timeout)
        in_time = True
    except subprocess.TimeoutExpired:
        in_time = False
        kill_group(process)
    except BaseException:
        kill_group(process)
        raise
    for reader in readers:
        reader.join(5.0)
    return Completed(process.wait(), "".join(parts["out"]), "".join(parts["err"])), in_time


def _wait(process: subprocess.Popen[str], timeout: float) -> None:
    """Wait until a program has ended; ``Popen.wait`` with a timeout looks every 50 ms, and an install runs many.

    Raises:
        subprocess.TimeoutExpired: it did not end in time.
    """
    try:
        descriptor = os.pidfd_open(process.pid)  # pidfd_open(2): Linux 5.3
    except OSError:
        process.wait(timeout)
        return
    try:
        with selectors.PollSelector() as ended:
            ended.register(descriptor, selectors.EVENT_READ)
            if not ended.select(timeout):
                raise subprocess.TimeoutExpired(process.args, timeout)
    finally:
        os.close(descriptor)
    process.wait()


def kill_group(process: subprocess.Popen[str]) -> None:
    """End a program and all that it started: first asked to, then forced."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(3.0)
            return
