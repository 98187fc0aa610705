"""Byte-compiles an environment: run by that environment's own interpreter, which need not have anything of ours.

    env -i PYTHONHASHSEED=0 PYTHONSAFEPATH=1 PYTHON -S bytecode_worker.py ENVIRONMENT [OTHER…]

Only Python's standard library is used, of any version from 3.8. What is written are checked-hash ``.pyc`` files
(PEP 552): 4 bytes magic number, 4 bytes flags, 8 bytes hash of the source, the marshalled code. They hold no time
and no place: code knows its file by the path relative to the environment, and the import system puts the real
path in its stead. So the same source gives the same byte code on every machine, and one that another
environment has can be copied. (A linked one would belong to both: who may write in one could change the other.)

Progress is one line on stderr for every 200 files: how many are done, of how many. The last line on stdout is a
JSON object: how many were ``kept``, ``reused``, ``compiled`` and ``refused`` (files that are not for this Python).
"""

# Paths are plain strings: thousands of files are waited for.
# ruff: noqa: PTH103, PTH120, PTH123
from __future__ import annotations

import ctypes
import functools
import importlib.util
import json
import marshal
import multiprocessing
import os
import signal
import sys
import warnings
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor

HASHED, CHECKED = 1, 2  # flags of PEP 552
HEADER = 16  # bytes
AT_ONCE = 20  # files that a process takes at a time
PR_SET_PDEATHSIG = 1  # prctl(2), <linux/prctl.h>
STEP = 200  # files from one line of progress to the next


def library() -> str:
    """Where this interpreter's version keeps its library and packages, relative to the environment."""
    threads = "t" if "t" in getattr(sys, "abiflags", "") else ""
    return "lib/python{}.{}{}".format(*sys.version_info[:2], threads)


def sources(root: str) -> list[str]:
    """The environment's Python files, relative to it; the largest first, so that none is begun at the very end."""
    found = []
    for path, names, files in os.walk(f"{root}/{library()}"):
        if "__pycache__" in names:
            names.remove("__pycache__")
        for name in files:
            if name.endswith(".py"):
                size = os.lstat(f"{path}/{name}").st_size
                found.append((-size, f"{path[len(root) + 1 :]}/{name}"))
    return [source for _, source in sorted(found)]


def make(root: str, others: Sequence[str], source: str) -> str:
    """Give one source its byte code: the one that it has, another environment's, or a new one.

    Args:
        source: Relative to the environment; so it is written into the byte code.

    Returns:
        Which of them: ``kept``, ``reused``, ``compiled``; ``refused`` where it cannot be compiled.
    """
    try:
        with open(f"{root}/{source}", "rb", buffering=0) as file:
            status, text = os.fstat(file.fileno()), file.read()
    except OSError:  # a link to nowhere
        return "refused"
    target, digest = place_of(source), importlib.util.source_hash(text)
    there = read(f"{root}/{target}", HEADER)
    if is_valid(there, digest, int(status.st_mtime), len(text)) and not is_stray(f"{root}/{target}", there):
        return "kept"
    wanted = header(digest)
    for other in others:
        code = read(f"{other}/{target}")
        if code.startswith(wanted):
            write(f"{root}/{target}", code, status.st_mode)
            return "reused"
    try:
        compiled = compile(text, source, "exec", dont_inherit=True, optimize=-1)
    except (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError):
        return "refused"
    write(f"{root}/{target}", wanted + marshal.dumps(compiled), status.st_mode)
    return "compiled"


def place_of(source: str) -> str:
    """Where a source's byte code belongs (PEP 3147)."""
    folder, _, name = source.rpartition("/")
    return f"{folder}/__pycache__/{name[:-3]}.{sys.implementation.cache_tag}.pyc"


def header(digest: bytes) -> bytes:
    """The beginning of a checked-hash ``.pyc`` file."""
    return importlib.util.MAGIC_NUMBER + (HASHED | CHECKED).to_bytes(4, "little") + digest


def is_valid(found: bytes, digest: bytes, changed: int, size: int) -> bool:
    """Whether the import system would take byte code with this header; packages may bring some of any kind.

    Args:
        digest: Of the source, as ``importlib.util.source_hash`` has it.
        changed: When the source was, in seconds since 1970.
        size: Of the source, in bytes.
    """
    if len(found) < HEADER or found[:4] != importlib.util.MAGIC_NUMBER:
        return False
    flags = int.from_bytes(found[4:8], "little")
    if flags & HASHED:
        return not flags & CHECKED or found[8:] == digest
    low = 0xFFFFFFFF
    return found[8:] == (changed & low).to_bytes(4, "little") + (size & low).to_bytes(4, "little")


def is_stray(path: str, found: bytes) -> bool:
    """Whether an interpreter left this byte code when it happened to import the source.

    Such is checked by time, so it differs from machine to machine. A package's own is linked into the cache.
    """
    return not int.from_bytes(found[4:8], "little") & HASHED and os.lstat(path).st_nlink == 1


def read(path: str, size: int = -1) -> bytes:
    """A file's content or its first bytes; empty where there is none."""
    try:
        with open(path, "rb", buffering=0) as file:
            return file.read(size)
    except OSError:
        return b""


def write(path: str, content: bytes, mode: int) -> None:
    """Put a file there in one step, as readable as its source is: a half-written one would fail at import."""
    temporary = f"{path}.{os.getpid()}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
    permissions = mode & 0o666 | 0o200
    try:
        handle = os.open(temporary, flags, permissions)
    except FileNotFoundError:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        handle = os.open(temporary, flags, permissions)
    try:
        with open(handle, "wb", buffering=0) as file:
            file.write(content)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def main(arguments: Sequence[str]) -> None:
    """Compile everything, with a process for each processor."""
    root, *others = arguments
    warnings.simplefilter("ignore")  # of invalid escapes in other people's strings
    jobs = sources(root)
    done: Counter[str] = Counter()
    workers = len(os.sched_getaffinity(0))
    # where one of its processes is killed, it says so; a multiprocessing.Pool would wait forever
    with ProcessPoolExecutor(workers, multiprocessing.get_context("fork"), end_with_parent) as pool:
        made = pool.map(functools.partial(make, root, others), jobs, chunksize=AT_ONCE)
        for number, what in enumerate(made, 1):
            done[what] += 1
            if number % STEP == 0 or number == len(jobs):
                print(number, len(jobs), file=sys.stderr, flush=True)
    print(json.dumps(done))


def end_with_parent() -> None:
    """Let this process be killed when the one that started it is; otherwise it would wait for work forever."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    main(sys.argv[1:])
