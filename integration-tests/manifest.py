"""Whether two environments are the same tree: path, mode and sha256, with the environment's own path replaced.

Runs inside a machine: its argument is the environment's real path. What differs on every machine is left out:
``LEFT_OUT`` says what, and why.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import sys
from pathlib import Path

LEFT_OUT = {
    "tljh-environment.json": "our record: says in its own words what was asked for",
    "conda-meta/history": "what admins did, with times",
}
# keys of a record in conda-meta; all others are compared
LEFT_OUT_OF_RECORDS = {
    "extracted_package_dir": "the cache of this machine",
    "package_tarball_full_path": "the cache of this machine",
    "link": "the cache of this machine",
    "requested_spec": "who asked: a lock doesn't say",
    "requested_specs": "who asked: a lock doesn't say",
    "channel": "a name or a URL",
    "timestamp": "only in an index",
    "indexed_timestamp": "only in an index",
    "license": "only in an index",
    "license_family": "only in an index",
    "arch": "only in an index",
    "platform": "only in an index",
    "track_features": "only in an index",
    "constrains": "only in an index",
    "size": "only in an index",
}
# keys of a file in such a record
LEFT_OUT_OF_PATHS = {
    "sha256_in_prefix": "of a text with the environment's path in it; the file itself is compared",
    "size_in_bytes": "likewise",
}


def read(path: str) -> bytes:
    with open(path, "rb") as file:  # noqa: PTH123
        return file.read()


def digest(path: str, prefix: str) -> str:
    content = read(path)
    if path.endswith(".pyc"):
        folder, _, name = path.rpartition("/__pycache__/")
        source = f"{folder}/{name.partition('.')[0]}.py"
        if folder and Path(source).exists() and prefix.encode() in read(source):
            return "byte code of a text with the environment's path in it: has the text's hash and length"
    if path.endswith(".dist-info/RECORD"):
        # a program's first line has the environment's path; the program itself is compared
        rows = [row.split(b",")[0] if row.startswith(b"../../../bin/") else row for row in content.splitlines()]
        content = b"\n".join(rows)
    if "/conda-meta/" in path and path.endswith(".json"):
        said = {key: value for key, value in json.loads(content).items() if key not in LEFT_OUT_OF_RECORDS}
        for entry in said.get("paths_data", {}).get("paths", ()):
            for key in LEFT_OUT_OF_PATHS:
                entry.pop(key, None)
            if entry["path_type"] == "unix_python_entry_point":
                entry.pop("sha256")  # of a text with the environment's path in it, too
        content = json.dumps(said, sort_keys=True).encode()
    return hashlib.sha256(content.replace(prefix.encode(), b"PREFIX")).hexdigest()


def main() -> None:
    prefix = sys.argv[1].rstrip("/")
    found: dict[str, list[str]] = {}
    for folder, folders, files in os.walk(prefix):
        for name in folders + files:
            path = f"{folder}/{name}"
            short = path[len(prefix) + 1 :]
            status = os.lstat(path)
            if short in LEFT_OUT:
                continue
            entry = [stat.filemode(status.st_mode)]
            if stat.S_ISLNK(status.st_mode):
                entry.append(os.readlink(path).replace(prefix, "PREFIX"))
            elif stat.S_ISREG(status.st_mode):
                entry.append(digest(path, prefix))
            found[short] = entry
    print(json.dumps(found))


main()
