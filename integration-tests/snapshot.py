"""A machine's whole file system, written down: to be compared with what it was before, or with another machine's.

Run inside a machine by its own ``python3``, with the standard library only::

    python3 snapshot.py [PATH …] [--skip PATH …] > before.json

prints JSON: path → ``[kind, mode, owner, size, content]``. The content is the sha256 of a file, the target of a
link; a folder has neither size nor content. Times are not written down.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import stat
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

Snapshot = Mapping[str, Sequence[Any]]

NOT_OF_THE_DISK = ("/proc", "/sys", "/dev", "/run", "/tmp")
"""What is gone when the machine is off, and nobody installs into."""

LIVING = (
    "/var/tmp",
    # what a machine that runs writes by itself
    "/var/log/journal",
    "/var/log/wtmp",
    "/var/log/btmp",
    "/var/log/lastlog",
    "/var/log/wtmp.db",
    "/var/lib/lastlog",
    "/var/lib/systemd/random-seed",
    "/var/lib/systemd/timers",
    "/var/lib/systemd/timesync",
    "/var/lib/private",
    "/root/.cache",
    "/root/.bash_history",
)
"""What changes on every machine that runs, whatever is done to it."""

# What apt keeps for itself when a package comes and goes: docs/admin/uninstall.md lists the same.
APT_KEEPS = (
    "/var/lib/apt/lists",
    "/var/cache/apt",
    "/var/log/apt",
    "/var/log/dpkg.log",
    "/var/lib/dpkg/status-old",
    "/var/cache/ldconfig/aux-cache",
    "/etc/ld.so.cache",
)
# Copies that useradd, groupadd and their like make of each file before they change it.
ACCOUNTS_KEEP = tuple(f"/etc/{name}-" for name in ("passwd", "group", "shadow", "gshadow", "subuid", "subgid"))

_KINDS = ((stat.S_ISREG, "file"), (stat.S_ISDIR, "directory"), (stat.S_ISLNK, "link"))
_BLOCK = 1 << 20


def take(
    roots: Sequence[str] = ("/",), skip: Collection[str] = (*NOT_OF_THE_DISK, *LIVING)
) -> dict[str, list[Any]]:
    """Everything below ``roots``, themselves included. Other file systems that are mounted there are passed over.

    Args:
        skip: Paths that are left out, with all below them.
    """
    found = dict(_walk(roots, frozenset(skip)))
    files = [path for path, row in found.items() if row[0] == "file"]
    with ThreadPoolExecutor(os.cpu_count() or 1) as side_by_side:
        for path, digest in zip(files, side_by_side.map(_digest, files), strict=True):
            found[path][4] = digest
    return found


def _walk(roots: Sequence[str], skip: frozenset[str]) -> Iterator[tuple[str, list[Any]]]:
    waiting = [(path, None) for path in roots]
    while waiting:
        path, device = waiting.pop()
        if path in skip:
            continue
        try:
            found = os.lstat(path)
            if stat.S_ISDIR(found.st_mode):
                if device is not None and found.st_dev != device:
                    continue
                waiting += [(entry.path, found.st_dev) for entry in os.scandir(path)]
            yield path, _row(path, found)
        except FileNotFoundError:
            continue


def _row(path: str, found: os.stat_result) -> list[Any]:
    kind = next((name for test, name in _KINDS if test(found.st_mode)), "other")
    mode = "" if kind == "link" else f"{stat.S_IMODE(found.st_mode):04o}"
    size = found.st_size if kind == "file" else 0
    return [kind, mode, f"{found.st_uid}:{found.st_gid}", size, os.readlink(path) if kind == "link" else ""]


def _digest(path: str) -> str:
    total = hashlib.sha256()
    try:
        with Path(path).open("rb") as file:
            while block := file.read(_BLOCK):
                total.update(block)
    except OSError as error:
        return type(error).__name__
    return total.hexdigest()


# ---- comparing


def differences(before: Snapshot, after: Snapshot) -> dict[str, str]:
    """Path → ``new``, ``gone``, or ``changed: …`` with what of it, by path."""
    found = dict.fromkeys(after.keys() - before.keys(), "new")
    found.update(dict.fromkeys(before.keys() - after.keys(), "gone"))
    names = ("kind", "mode", "owner", "size", "content")
    for path in before.keys() & after.keys():
        pairs = zip(names, before[path], after[path], strict=True)
        what = [f"{name} {old} → {new}" for name, old, new in pairs if old != new]
        if what:
            found[path] = f"changed: {', '.join(what)}"
    return dict(sorted(found.items()))


def without(found: Mapping[str, str], prefixes: Collection[str]) -> dict[str, str]:
    """What of ``found`` is neither one of ``prefixes`` nor below one."""
    return {path: what for path, what in found.items() if not is_below(path, prefixes)}


def is_below(path: str, prefixes: Collection[str]) -> bool:
    """Whether ``path`` is one of ``prefixes`` or below one."""
    here = Path(path)
    return any(path == prefix or Path(prefix) in here.parents for prefix in prefixes)


def main() -> None:
    """Print the snapshot that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("roots", nargs="*", default=["/"])
    parser.add_argument("--skip", action="append", default=[], help="a path to leave out, beside the usual ones")
    said = parser.parse_args()
    json.dump(take(said.roots, (*NOT_OF_THE_DISK, *LIVING, *said.skip)), sys.stdout, sort_keys=True)


if __name__ == "__main__":
    main()
