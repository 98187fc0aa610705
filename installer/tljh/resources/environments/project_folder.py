"""The folder of a Python project that is given by its path: what of it counts, and a copy that can be built."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

_SKIPPED = re.compile(r"\..*|__pycache__|.*\.egg-info")
_SKIPPED_ON_TOP = ("build", "dist")
_HISTORY = ".git"  # does not count, but a build may take the version from it


def digest_of(path: Path) -> str:
    """The content of a file or of a project's folder, but for what building leaves in it."""
    total = hashlib.sha256()
    if path.is_file():
        return f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"
    for folder, names, files in os.walk(path):
        skipped = set(_left_by_builds(path, folder, names))
        names[:] = sorted(name for name in names if name not in skipped)
        for name in sorted(files):
            file = Path(folder) / name
            total.update(f"{file.relative_to(path)}\0".encode())
            # an editor's lock file is a link to nowhere
            content = file.read_bytes() if file.is_file() else b""
            total.update(hashlib.sha256(content).digest())
    return f"sha256:{total.hexdigest()}"


def copy(path: Path, target: Path) -> None:
    """Copy a project's folder to where it can be built: a build writes into its folder, which isn't ours.

    What an earlier build has left would get into the next one, and is not copied. Links stay links where they
    lead to something in the copy, too.
    """

    def skipped(folder: str, names: list[str]) -> set[str]:
        folders = (name for name in names if Path(folder, name).is_dir())
        return {*_left_by_builds(path, folder, folders)} - {_HISTORY}

    shutil.copytree(path, target, symlinks=True, ignore=skipped)
    for link in [found for found in target.rglob("*") if found.is_symlink() and not found.exists()]:
        real = (path / link.relative_to(target)).resolve()
        if real.exists():
            link.unlink()
            (shutil.copytree if real.is_dir() else shutil.copy)(real, link)


def _left_by_builds(project: Path, folder: str, names: Iterable[str]) -> Iterator[str]:
    on_top = _SKIPPED_ON_TOP if Path(folder) == project else ()
    yield from (name for name in names if name in on_top or _SKIPPED.fullmatch(name))
