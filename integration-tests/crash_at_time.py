"""Runs inside a machine: a command that is killed after so many seconds, alone or with all that it has started.

Arguments: the seconds, ``all``, ``alone`` or ``power`` (then somebody outside cuts it), and the command.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path


def below(pid: int) -> list[int]:
    """Every process that this one has started, and what these have."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if int((folder / "stat").read_text().rpartition(")")[2].split()[1]) == pid:
                found += [int(folder.name), *below(int(folder.name))]
    return found


def command_line(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")[:100]
    return ""


def main() -> int:
    seconds, how, words = float(sys.argv[1]), sys.argv[2], sys.argv[3:]
    process = subprocess.Popen(words, start_new_session=True)
    with contextlib.suppress(subprocess.TimeoutExpired):
        return process.wait(seconds)
    pids = [process.pid, *below(process.pid)]
    said = " | ".join(map(command_line, pids[1:3]))
    Path("/run/crash-said").write_text(f"after {seconds:.2f} s: {said}")
    if how == "power":
        Path("/run/crash-now").touch()
        time.sleep(600)
    for pid in pids if how == "all" else pids[:1]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.wait()
    return 137


sys.exit(main())
