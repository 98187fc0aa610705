"""Before apt: who else is at work with the system's packages, and what somebody left half done.

apt itself waits for one of its four locks only, and never says for whom. A dpkg that was interrupted (the power,
a closed terminal) has to be brought to its end before apt does anything.
"""

from __future__ import annotations

import fcntl
import os
import re
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tljh.engine.machine import Machine
from tljh.errors import CommandFailed, TljhError

PATIENCE_VARIABLE = "TLJH_APT_PATIENCE"
"""Names the seconds to wait for another program that works with the system's packages."""
PATIENCE = 600.0  # seconds; what a fresh machine does by itself may take minutes
LOCKS = (
    Path("/var/lib/dpkg/lock-frontend"),
    Path("/var/lib/dpkg/lock"),
    Path("/var/lib/apt/lists/lock"),
    Path("/var/cache/apt/archives/lock"),
)
INTERRUPTED = Path("/var/lib/dpkg/updates")
"""dpkg's notes on what it is doing; a file with a number for a name is of one that did not come to its end."""
_FLOCK = "hhqqi4x"  # struct flock of <fcntl.h> on 64-bit Linux: type, whence, start, length, pid
_FAILED = re.compile(r"Errors were encountered while processing:\n((?: +\S+\n?)+)")


@dataclass(frozen=True)
class Holder:
    """A process that holds one of apt's locks."""

    pid: int
    command: str
    lock: Path

    def __str__(self) -> str:
        return f"{self.command or 'a program'} (pid {self.pid})"


def holder(machine: Machine) -> Holder | None:
    """Who works with the system's packages now."""
    for path in LOCKS:
        pid = _locked_by(machine.at(path))
        if pid:
            words = (machine.read(Path(f"/proc/{pid}/cmdline")) or b"").split(b"\0")
            return Holder(pid, b" ".join(words).decode(errors="replace").strip()[:100], path)
    return None


def _locked_by(path: Path) -> int:
    """The process that holds a lock of fcntl(2) on a file; 0 where nobody does."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return 0
    try:
        asked = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        kind, _, _, _, pid = struct.unpack(_FLOCK, fcntl.fcntl(descriptor, fcntl.F_GETLK, asked))
    finally:
        os.close(descriptor)
    return 0 if kind == fcntl.F_UNLCK else int(pid)


def patience() -> float:
    """Seconds to wait for others."""
    try:
        return float(os.environ.get(PATIENCE_VARIABLE) or PATIENCE)
    except ValueError:
        return PATIENCE


def wait_for_others(machine: Machine, say: Callable[[str], None], deadline: float) -> None:
    """Wait until nobody else works with the system's packages.

    Args:
        say: Told whom we wait for.
        deadline: Until then, by the monotonic clock.

    Raises:
        TljhError: somebody still does; it is named.
    """
    told: int | None = None
    while other := holder(machine):
        if time.monotonic() > deadline:
            raise TljhError(
                f"{other} works with the system's packages and has not ended: it holds {other.lock}",
                todo=f"wait until it has ended, or end it (ps -fp {other.pid}), then run the same command again",
            )
        if told != other.pid:
            say(f"waiting for {other}, which works with the system's packages")
            told = other.pid
        time.sleep(0.5)


def finish_interrupted(machine: Machine, say: Callable[[str], None], dpkg: Callable[..., None]) -> None:
    """Bring to its end what an interrupted dpkg left half done.

    Args:
        dpkg: Runs dpkg with these words; nobody is asked anything.

    Raises:
        TljhError: a package's own script fails; it is named.
    """
    folder = machine.at(INTERRUPTED)
    notes = folder.is_dir() and any(file.name.isdigit() for file in folder.iterdir())
    status = machine.read(Path("/var/lib/dpkg/status")) or b""
    half = half_removed(machine) if notes or re.search(rb"^Status: \S+ ok half-", status, re.M) else []
    if not (notes or half):
        return
    say("dpkg was interrupted earlier: finishing that first (dpkg --configure -a)")
    try:
        if (
            half
        ):  # which "--configure" leaves as it is; what depends on it was to be removed too, or is mended by apt
            dpkg("--force-depends", "--remove", *half)
        dpkg("--configure", "-a")
    except CommandFailed as error:
        names = failed_packages(error.output)
        what = f"dpkg was interrupted, and what it left cannot be finished: {names or 'see below'}\n{error}"
        todo = f"mend or remove {names or 'what it names'} (dpkg --configure -a), then run the same command again"
        raise TljhError(what, todo=todo) from error


def half_removed(machine: Machine) -> list[str]:
    """The packages whose removal was begun and not ended: the states that dpkg(1) has for it, and not wanted."""
    fields = "${db:Status-Want} ${db:Status-Eflag} ${db:Status-Status} ${binary:Package}\n"
    shown = machine.run(["dpkg-query", "-W", f"-f={fields}"], check=False).stdout  # reads dpkg's notes as well
    return re.findall(r"^(?:deinstall|purge) ok half-(?:installed|configured) (\S+)$", shown, re.M)


def failed_packages(output: str) -> str:
    """The packages that dpkg says it could not do, as one text."""
    found = _FAILED.search(output)
    return ", ".join(dict.fromkeys(found[1].split())) if found else ""
