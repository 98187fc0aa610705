"""Packages whose files and records are on disk, as conda, pip and uv leave them."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tljh.resources.locks.lock import RECORD, CondaPackage, Lock, Requested

SITE = "lib/python3.11/site-packages"


def sha256(content: str | bytes) -> str:
    return hashlib.sha256(content.encode() if isinstance(content, str) else content).hexdigest()


def put(root: Path, path: str, content: str | bytes) -> Path:
    """A file that everybody can read, and run when it is below ``bin``."""
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    file.chmod(0o755 if path.startswith("bin/") else 0o644)
    return file


def add_distribution(
    root: Path,
    name: str,
    version: str = "1.0",
    *,
    files: Mapping[str, str] | None = None,
    installer: str = "uv",
    requires: Sequence[str] = (),
    listed: Sequence[str] = (),
) -> Path:
    """A distribution with its RECORD; returns its folder.

    Args:
        files: Path, relative to the environment → content.
        listed: Rows that RECORD has besides.
    """
    folder = f"{SITE}/{name.replace('-', '_')}-{version}.dist-info"
    head = f"Name: {name}\nVersion: {version}\n" + "".join(f"Requires-Dist: {line}\n" for line in requires)
    written = {
        **(files if files is not None else {f"{SITE}/{name}.py": f"# {name} {version}\n"}),
        f"{folder}/METADATA": f"Metadata-Version: 2.1\n{head}\nRequires-Dist: no\n",
        f"{folder}/INSTALLER": f"{installer}\n" if installer == "pip" else installer,
    }
    rows = []
    for path, content in written.items():
        put(root, path, content)
        shown = path.removeprefix(f"{SITE}/") if path.startswith(SITE) else f"../../../{path}"
        digest = base64.urlsafe_b64encode(bytes.fromhex(sha256(content))).rstrip(b"=").decode()
        rows.append(f"{shown},sha256={digest},{len(content)}\n")
    rows += [f"{row}\n" for row in listed]
    put(root, f"{folder}/RECORD", "".join([*rows, f"{folder.removeprefix(SITE + '/')}/RECORD,,\n"]))
    return root / folder


def add_conda_package(
    root: Path,
    name: str,
    pin: str = "1.0=h0",
    *,
    files: Mapping[str, str] | None = None,
    paths: Sequence[Mapping[str, Any]] = (),
    depends: Sequence[str] = (),
    channel: str = "https://conda.example.org/science",
) -> CondaPackage:
    """A conda package with its record in ``conda-meta``.

    Args:
        files: Path, relative to the environment → content.
        paths: Rows of ``paths_data`` besides; the files are not made.
    """
    version, _, build = pin.partition("=")
    rows = [*paths]
    for path, content in (files if files is not None else {f"lib/{name}.txt": f"{name} {pin}"}).items():
        put(root, path, content)
        rows.append(
            {"_path": path, "path_type": "hardlink", "sha256": sha256(content), "size_in_bytes": len(content)}
        )
    url = f"{channel}/linux-64/{name}-{version}-{build}.conda"
    package = CondaPackage(name, version, build, 0, "linux-64", url, "0" * 64, depends=tuple(depends))
    said = {**asdict(package), "channel": f"{channel}/", "paths_data": {"paths_version": 1, "paths": rows}}
    put(root, f"conda-meta/{name}-{version}-{build}.json", json.dumps(said, default=list))
    return package


def make_virtual(root: Path) -> Path:
    """What makes a virtual environment of a folder."""
    put(root, "pyvenv.cfg", "home = /usr/bin\nversion_info = 3.11.2\nrelocatable = true\n")
    put(root, "bin/python", "#!/bin/sh\n")
    return root


def add_record(
    root: Path,
    *requested: Requested,
    pip: Mapping[str, str] | None = None,
    conda: Sequence[CondaPackage] = (),
) -> Lock:
    """The environment's own record: it was built from these."""
    lines = tuple(f"{name}=={version}" for name, version in (pip or {}).items())
    record = {
        "format": 1,
        "requirements": [asdict(row) for row in requested],
        "lock": lines,
        "packages": dict(pip or {}),
        "sources": {},
        "conda": [asdict(package) for package in conda],
    }
    put(root, RECORD, json.dumps(record))
    return Lock(requested, lines, {}, tuple(conda))
