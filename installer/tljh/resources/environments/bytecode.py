"""Byte code for a whole environment; the work is done by ``bytecode_worker`` in the environment's own interpreter.

It is checked by the hash of its source (PEP 552) and not by the source's time: two environments with the same
packages are then the same files, and what one of them has can be taken over into the next.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tljh.engine.machine import Machine
from tljh.errors import CommandFailed, TljhError

WORKER = Path(__file__).with_name("bytecode_worker.py")

# The interpreter sees none of our environment variables and, by -S, nothing that packages run when Python starts.
# The seed decides the order in sets of constants, which Python 3.10 writes as they come.
_ALONE = ("env", "-i", "PYTHONHASHSEED=0", "PYTHONSAFEPATH=1")


def complete(machine: Machine, python: Path, path: Path, reuse: Sequence[Path], check: Callable[[], None]) -> None:
    """Byte-compile an environment, verify it, and have it on the disk: its record must not outlive it.

    Args:
        check: Verifies it.
        python, path, reuse: As for ``compile_environment``.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="sync") as beside:
        begun = beside.submit(machine.sync, path)  # most of it gets there while the processors are busy
        compile_environment(machine, python, path, reuse=reuse)
        begun.result()
    check()
    machine.sync(path)


def compile_environment(
    machine: Machine,
    python: Path,
    path: Path,
    *,
    reuse: Sequence[Path] = (),
    on_progress: Callable[[int, int], None] | None = None,
) -> None:
    """Give every Python file of an environment its byte code; the standard library's too where that is in it.

    What is valid stays. Files that are not for this Python (templates, another version's syntax) are passed over.

    Args:
        python: The environment's interpreter; it does the work, with a process for each processor.
        path: The environment.
        reuse: Environments whose byte code is copied where the source is the same. Nobody may be able to write in
            them who could not write in this one: byte code is not compared with its source, only their hashes are.
        on_progress: Told, every few hundred, how many files are done, and of how many.

    Raises:
        TljhError: the interpreter does not run, or the byte code cannot be written.
    """

    def heard(line: str) -> None:
        found = re.fullmatch(r"(\d+) (\d+)", line)
        if found and on_progress:
            on_progress(int(found[1]), int(found[2]))

    places = [machine.at(place) for place in (path, *reuse)]
    try:
        machine.run([*_ALONE, machine.at(python), "-S", WORKER, *places], timeout=3600.0, on_line=heard)
    except CommandFailed as error:
        raise _explained(error, path) from error


def _explained(error: CommandFailed, path: Path) -> TljhError:
    """Why it failed: the last line of what Python says is the exception."""
    if re.search(r"no space left|disk quota exceeded", error.output, re.IGNORECASE):
        return TljhError(
            f"there is no room left on the disk for the byte code of {path}",
            todo="make room, then run the same command again",
        )
    said = [line for line in error.output.splitlines() if line.strip() and not re.fullmatch(r"\d+ \d+", line)]
    reason = said[-1].strip() if said else "it did not end in time"
    todo = "mend what it complains of, then run the same command again"
    return TljhError(f"{path} could not be byte-compiled: {reason}", todo=todo)
