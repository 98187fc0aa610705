"""Whether the files of an environment are still as its packages brought them. Looks only; ``repair`` mends.

Byte code is not compared with anything: Python compiles anew what does not fit its source. Only what it would
stumble over is told (``unloadable``).
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tljh.engine.machine import Machine
from tljh.engine.parsers import canonical_name
from tljh.errors import CommandFailed
from tljh.resources.environments.installed_files import Expected, Records, manager_of, read_records
from tljh.resources.locks.lock import BY_HAND, CONDA, RECORD, Lock

What = Literal["missing", "changed", "mode", "record"]

AT_ONCE = 200  # files that one thread takes
BLOCK = 1 << 20  # bytes
SCRIPT = 1 << 16  # bytes; no program that an installer writes is longer

# what an environment holds that no package brought: tools for shells, and our own
_OURS = re.compile(
    r"pyvenv\.cfg|\.lock|\.gitignore|CACHEDIR\.TAG|lib64|tljh-environment\.json|conda-meta/.*"
    r"|bin/(python[\d.]*|(de)?activate.*|pydoc\.bat)|lib/python[^/]+/site-packages/_(tljh_user_site|virtualenv)\..*"
)
_LOADER = """
import importlib.util, marshal, sys
for name in sys.stdin.read().splitlines():
    with open(name, "rb") as file:
        data = file.read()
    if data[:4] == importlib.util.MAGIC_NUMBER and len(data) >= 16:
        try:
            marshal.loads(memoryview(data)[16:])
        except (EOFError, ValueError, TypeError):
            print(name)
"""


@dataclass(frozen=True)
class Fault:
    """Something in an environment that is not as its packages brought it.

    Attributes:
        path: Relative to the environment; empty of a package that has left nothing at all.
        package: As in ``Lock.pins``; empty of what belongs to no package.
        manager: ``conda`` or ``pip``; empty of what belongs to no package.
        what: ``missing``; ``changed``; ``mode``: not everybody can read (or run) it, or everybody can change it;
            ``record``: the package's record of its own files can't be read.
    """

    path: str
    package: str
    manager: str
    what: What


@dataclass(frozen=True)
class Report:
    """What a look at an environment came to.

    Attributes:
        files: How many were looked at.
        packages: How many brought them.
        replaced: conda packages that pip has put something else in the place of.
        unknown: Files that no package brought, relative to the environment.
    """

    files: int
    packages: int
    faults: Sequence[Fault]
    replaced: Sequence[str] = ()
    unknown: Sequence[str] = ()


def verify(path: Path) -> list[Fault]:
    """What is wrong in the environment at ``path``."""
    return list(examine(path).faults)


def examine(path: Path, progress: Callable[[int, int], None] = lambda done, total: None) -> Report:
    """Compare an environment's files with what its packages say of them.

    Args:
        path: The environment; a link is followed.
        progress: Told how many files have been looked at, of how many.

    Raises:
        PermissionError: something can't be read by us.
    """
    root = Path(os.path.realpath(path))
    records = read_records(root)
    faults = [Fault(name, package, manager_of(package), "record") for name, package in records.unreadable.items()]
    faults += [*_lost(root, records), *_skeleton(root), *_folders(root, records.expected)]
    paths = sorted(records.expected)
    parts = [paths[start : start + AT_ONCE] for start in range(0, len(paths), AT_ONCE)]
    done = 0
    # hashing gives up the interpreter's lock
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as threads:
        found = threads.map(lambda part: _check(root, part, records.expected), parts)
        for part, some in zip(parts, found, strict=True):
            faults += some
            done += len(part)
            progress(done, len(paths))
    unknown, more = _others(root, records.expected)
    known = {fault.path for fault in faults}
    faults += [fault for fault in more if fault.path not in known]
    ordered = tuple(sorted(faults, key=lambda fault: (fault.package, fault.path)))
    return Report(len(paths), len(records.packages), ordered, tuple(records.replaced), tuple(unknown))


def _check(root: Path, paths: Sequence[str], expected: Mapping[str, Sequence[Expected]]) -> list[Fault]:
    found: list[Fault] = []
    for path in paths:
        what = _fault_of(f"{root}/{path}", expected[path])
        if what:
            last = expected[path][-1]
            found.append(Fault(path, last.package, last.manager, what))
    return found


def _fault_of(path: str, rows: Sequence[Expected]) -> What | None:
    try:
        status = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None if all(row.kind == "byte code" for row in rows) else "missing"
    digests: dict[str, str] = {}
    try:
        if not any(_fits(path, status, row, digests) for row in rows):
            return "changed"
    except PermissionError:
        raise
    except OSError:
        return "changed"  # it leads nowhere, or the disk can't give it back
    if not stat.S_ISREG(status.st_mode):
        return None
    wanted = 0o005 if rows[-1].runs or _is_program(path, status) else 0o004
    return None if status.st_mode & wanted == wanted and not status.st_mode & 0o002 else "mode"


def _fits(path: str, status: os.stat_result, row: Expected, digests: dict[str, str]) -> bool:
    """Whether what is at ``path`` is what one package says; ``digests`` keeps what has been computed."""
    if stat.S_ISDIR(status.st_mode) or row.kind == "directory":
        return stat.S_ISDIR(status.st_mode) and row.kind == "directory"
    if row.kind == "link":
        return stat.S_ISLNK(status.st_mode) and _leads_there(path, row)
    if not row.digests or row.kind == "byte code":
        return True
    algorithm, wanted = row.digests[0]
    if algorithm not in digests:
        digests[algorithm] = digest_of(path, algorithm)
    return digests[algorithm] == wanted or _moved(path, status.st_size, algorithm, wanted)


def _leads_there(path: str, row: Expected) -> bool:
    """Whether a link is the one that a package brought.

    Where only the hash of what it leads to is known: a file that the environment's path was written into has
    another one by now, so anything that is there must do.
    """
    text = hashlib.sha256(os.fsencode(os.readlink(path))).hexdigest()
    return ("sha256", text) in row.digests or (not row.strict and Path(path).exists())


def digest_of(path: str | Path, algorithm: str = "sha256") -> str:
    """The hash of a file's content, hexadecimal; a large file is read in blocks."""
    handle = os.open(path, os.O_RDONLY)
    try:
        digest = hashlib.new(algorithm)
        while block := os.read(handle, BLOCK):
            digest.update(block)
        return digest.hexdigest()
    finally:
        os.close(handle)


def _is_program(path: str, status: os.stat_result) -> bool:
    """Whether a file that nobody can run is a program of the machine's own kind (ELF), below ``bin``."""
    if status.st_mode & 0o001 or "/bin/" not in path:
        return False
    with Path(path).open("rb") as file:
        return file.read(4) == b"\x7fELF"


def _moved(path: str, size: int, algorithm: str, wanted: str) -> bool:
    """Whether a program only starts with another interpreter than when it was installed.

    pip writes the environment's path into programs; in the next environment, begun as a copy, it is corrected.
    """
    found = re.match(r"(.*-)(\d+)/bin/[^/]+$", path)
    if not found or size > SCRIPT:
        return False
    first, newline, rest = Path(path).read_bytes().partition(b"\n")
    now = f"{found[1]}{found[2]}/bin/".encode()
    if not first.startswith(b"#!") or now not in first:
        return False
    earlier = (f"{found[1]}{number}/bin/".encode() for number in range(int(found[2]) - 1, 0, -1))
    contents = (first.replace(now, old) + newline + rest for old in earlier)
    return any(hashlib.new(algorithm, content).hexdigest() == wanted for content in contents)


# ---- what no package's record speaks of


def _folders(root: Path, paths: Iterable[str]) -> Iterator[Fault]:
    """Folders that not everybody can look into, or that everybody can change."""
    folders = {""}
    for path in paths:
        folder = path.rpartition("/")[0]
        while folder not in folders:
            folders.add(folder)
            folder = folder.rpartition("/")[0]
    for folder in sorted(folders):
        if _wrong_folder(f"{root}/{folder}"):
            yield Fault(folder or ".", "", "", "mode")


def _wrong_folder(path: str) -> bool:
    try:
        mode = os.lstat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return False  # what is in it is missing
    return stat.S_ISDIR(mode) and (mode & 0o005 != 0o005 or bool(mode & 0o002))


def _byte_code(root: Path, folder: str, names: Iterable[str]) -> Iterator[Fault]:
    """Byte code that some can't read, who wait for it to be compiled then; or that everybody can change."""
    if _wrong_folder(folder):
        yield Fault(os.path.relpath(folder, root), "", "", "mode")
    for name in names:
        try:
            mode = os.lstat(f"{folder}/{name}").st_mode
        except FileNotFoundError:
            continue  # Python has put another one in its place meanwhile
        if stat.S_ISREG(mode) and (not mode & 0o004 or mode & 0o002):
            yield Fault(os.path.relpath(f"{folder}/{name}", root), "", "", "mode")


def _lost(root: Path, records: Records) -> Iterator[Fault]:
    """What the environment's own record speaks of, and nothing else does any more."""
    try:
        said = json.loads((root / RECORD).read_text())
        lock = Lock.of_record(said)
        locked = [canonical_name(name) for name in said["packages"]]
    except (ValueError, KeyError, TypeError, FileNotFoundError, IsADirectoryError):
        yield Fault(RECORD, "", "", "record")
        return
    if lock is None:
        return
    told = {*records.packages, *records.unreadable.values()}
    for name in (*locked, *(f"{CONDA}{package.name}" for package in lock.conda)):
        # what an admin installed and has removed again is not missed
        if name not in told and lock.origins.get(name) != BY_HAND:
            yield Fault("", name, manager_of(name), "missing")


def _skeleton(root: Path) -> Iterator[Fault]:
    """What makes a virtual environment of a folder; in a conda environment packages bring it."""
    if any(root.glob("conda-meta/*.json")):
        return
    settings = root / "pyvenv.cfg"
    if not settings.exists():
        yield Fault("pyvenv.cfg", "", "", "missing")
    elif not re.search(rb"^home *=", settings.read_bytes(), re.M):
        yield Fault("pyvenv.cfg", "", "", "changed")
    if not (root / "bin" / "python").exists():
        yield Fault("bin/python", "", "", "missing")


def _others(root: Path, expected: Mapping[str, object]) -> tuple[list[str], list[Fault]]:
    """Files that no package brought and that are not ours; and what is wrong with byte code."""
    start = len(str(root)) + 1
    unknown: list[str] = []
    faults: list[Fault] = []
    for folder, folders, names in os.walk(root):
        if folder.endswith("/__pycache__"):
            faults += _byte_code(root, folder, names)
            continue
        inside = f"{folder[start:]}/".lstrip("/")
        links = [name for name in folders if Path(folder, name).is_symlink()]
        found = (inside + name for name in (*names, *links))
        unknown += [path for path in found if path not in expected and not _OURS.fullmatch(path)]
    return sorted(unknown), faults


def unloadable(machine: Machine, path: Path) -> list[Fault]:
    """Byte code that an import would stumble over, because it was cut off behind a head that fits.

    The environment's own interpreter looks: each version has a format of its own (PEP 552).
    """
    root = Path(os.path.realpath(machine.at(path)))
    names = [str(file) for file in sorted(root.glob("lib/python3*/**/__pycache__/*.pyc"))]
    if not names or not (root / "bin" / "python").exists():
        return []
    python = str(root / "bin" / "python")
    try:
        said = machine.run([python, "-I", "-S", "-c", _LOADER], input="\n".join(names), timeout=120.0).stdout
    except CommandFailed:
        return []  # the interpreter itself is damaged, which its files tell
    return [Fault(str(Path(name).relative_to(root)), "", "", "changed") for name in said.splitlines()]
