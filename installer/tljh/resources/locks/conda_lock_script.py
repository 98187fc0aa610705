"""Writes ``conda-lock.yml`` by conda-lock's own writer: run by the interpreter of conda-lock's environment.

One JSON object on standard input, as ``conda_lock_environment.document`` makes it; the file's text on standard
output. Imports nothing of this project, which is not in that environment.
"""

from __future__ import annotations

import importlib
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

HEADER = """\
# Written by "tljh lock" with conda-lock's writer. A lock names every package and its hash: don't edit it.
#
# On another server:  tljh install --lock conda-lock.yml
# As a conda user:    conda-lock install -n NAME conda-lock.yml
#                     micromamba create -n NAME -f conda-lock.yml
"""


def main() -> None:
    """Write what standard input describes."""
    sys.stdout.write(written(json.load(sys.stdin)))


def written(said: dict[str, Any]) -> str:
    """The text of the file."""
    lockfile = importlib.import_module("conda_lock.lockfile")
    models = importlib.import_module("conda_lock.lockfile.v2prelim.models")
    # a text becomes a channel as it does in conda-lock's own sources: names and URLs, credentials as variables
    metadata = models.LockMeta(
        content_hash=said["content_hash"],
        channels=said["channels"],
        platforms=said["platforms"],
        sources=said["sources"],
        custom_metadata=said["custom"],
    )
    packages = [models.LockedDependency(**entry, categories={"main"}) for entry in said["packages"]]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "conda-lock.yml"
        content = models.Lockfile(package=packages, metadata=metadata)
        lockfile.write_conda_lock_file(content, path, None, include_help_text=False)
        return HEADER + path.read_text()


if __name__ == "__main__":
    main()
