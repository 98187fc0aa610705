"""Runs inside a machine: every path below some folders, with all that an installer could have changed.

``Machine.snapshot`` hands this file to the machine's Python. Its argument is a JSON list: the folders,
beginnings of paths to leave out, and whether to read contents (sha256) rather than modification times.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import sys
from collections.abc import Iterator


def entry_of(path: str, content: bool) -> list[object]:
    """Mode, owner, and a link's target, or a file's size with its digest or its modification time."""
    status = os.lstat(path)
    entry: list[object] = [stat.filemode(status.st_mode), f"{status.st_uid}:{status.st_gid}"]
    if stat.S_ISLNK(status.st_mode):
        entry.append(os.readlink(path))
    elif stat.S_ISREG(status.st_mode):
        if content:
            with open(path, "rb") as file:  # noqa: PTH123
                entry += [status.st_size, hashlib.sha256(file.read()).hexdigest()]
        else:
            entry += [status.st_size, status.st_mtime_ns]
    return entry


def paths_below(root: str, skip: list[str]) -> Iterator[str]:
    if os.path.lexists(root):
        yield root
    for folder, folders, files in os.walk(root):
        folders[:] = [name for name in folders if not f"{folder}/{name}".startswith(tuple(skip))]
        yield from (f"{folder}/{name}" for name in folders + files)


def main() -> None:
    roots, skip, content = json.loads(sys.argv[1])
    found: dict[str, list[object]] = {}
    for root in roots:
        for path in paths_below(root, skip):
            try:
                if not path.startswith(tuple(skip)):
                    found[path] = entry_of(path, content)
            except FileNotFoundError:  # a living system: it went while we looked
                continue
    print(json.dumps(found))


main()
