"""Which wheels of PyPI go into the test channel, and how they get here.

uv solves, as a ``pylock.toml`` (https://packaging.python.org/en/latest/specifications/pylock-toml/). The wheels
are downloaded into a folder that is kept, and their sha256 is checked each time. What becomes of them is in
``conda_from_wheel``.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import requests
import tomllib
from channel_python import GLIBC_MINOR, MINOR
from conda_package import MACHINE
from packaging.tags import compatible_tags, cpython_tags
from packaging.utils import parse_wheel_filename
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

TIMEOUT = 60  # seconds without an answer


def fetch(requirements: Sequence[str], alone: Iterable[str], folder: Path) -> list[Path]:
    """The wheels of these requirements and all that they need, and of those ``alone``, each by itself.

    Args:
        alone: Requirements whose own requirements don't count, so that there may be several versions of a package.
        folder: Where the wheels are kept for the next time.

    Raises:
        subprocess.CalledProcessError: uv found no solution; its own words are on standard error.
        requests.RequestException: a wheel could not be had.
        ValueError: a package has no wheel for this machine, or one is not what the index told.
    """
    folder.mkdir(parents=True, exist_ok=True)
    ranks = _ranks()
    retry = Retry(3, backoff_factor=0.5, status_forcelist=(500, 502, 503, 504))
    retries = HTTPAdapter(pool_maxsize=8, max_retries=retry)
    with requests.Session() as session, ThreadPoolExecutor(8) as pool:
        session.mount("https://", retries)
        session.mount("http://", retries)
        single = [pool.submit(_solve, [line], "--no-deps") for line in alone]
        locked = _solve(requirements) if requirements else []
        for solved in single:
            locked += solved.result()
        return sorted(set(pool.map(lambda package: _download(package, ranks, session, folder), locked)))


def _solve(requirements: Sequence[str], *options: str) -> list[dict[str, Any]]:
    """The packages of a ``pylock.toml`` for these requirements."""
    beside = Path(sys.executable).with_name("uv")
    uv = str(beside) if beside.exists() else shutil.which("uv") or "uv"
    with tempfile.TemporaryDirectory(prefix="channel-solve-") as place:
        wanted, locked = Path(place, "wanted.in"), Path(place, "pylock.toml")
        wanted.write_text("".join(f"{line}\n" for line in requirements))
        target = ["--python-version", MINOR, "--python-platform", f"{MACHINE}-manylinux_2_{GLIBC_MINOR}"]
        how = ["--quiet", "--only-binary", ":all:", "--no-header", "--no-annotate", *target, *options]
        # in a folder of its own: no uv.toml or pyproject.toml of the caller's counts
        subprocess.run([uv, "pip", "compile", *how, wanted, "-o", locked], cwd=place, check=True)
        return list(tomllib.loads(locked.read_text())["packages"])


def _ranks() -> Mapping[str, int]:
    """The tags of wheels that the channel's Python takes, the lower the better."""
    older = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}
    platforms = []
    for minor in range(GLIBC_MINOR, 4, -1):
        platforms.append(f"manylinux_2_{minor}_{MACHINE}")
        if minor in older:
            platforms.append(f"{older[minor]}_{MACHINE}")
    version = tuple(map(int, MINOR.split(".")))
    platforms.append(f"linux_{MACHINE}")
    tags = [*cpython_tags(version, platforms=platforms)]
    tags += compatible_tags(version, f"cp{MINOR.replace('.', '')}", platforms)
    return {str(tag): rank for rank, tag in enumerate(tags)}


def _download(
    package: Mapping[str, Any], ranks: Mapping[str, int], session: requests.Session, folder: Path
) -> Path:
    choices = []
    for wheel in package.get("wheels", []):
        name = unquote(wheel.get("name") or wheel["url"].rpartition("/")[2])
        fitting = [ranks[str(tag)] for tag in parse_wheel_filename(name)[3] if str(tag) in ranks]
        if fitting:
            choices.append((min(fitting), name, wheel["url"], wheel["hashes"]["sha256"]))
    if not choices:
        raise ValueError(f"{package['name']} {package.get('version')} has no wheel for this machine")
    _, name, url, sha256 = min(choices)
    path = folder / name
    if path.exists() and hashlib.sha256(path.read_bytes()).hexdigest() == sha256:
        return path
    answer = session.get(url, timeout=TIMEOUT)
    answer.raise_for_status()
    if hashlib.sha256(answer.content).hexdigest() != sha256:
        raise ValueError(f"{name} is not the file that the index told: its sha256 differs")
    partial = folder / f".{name}.{os.getpid()}"
    partial.write_bytes(answer.content)
    partial.replace(path)
    return path
