"""What the packages of an environment say of the files that they brought. Nothing is compared here.

conda packages have a record in ``conda-meta`` (CEP 34), distributions that pip or uv installed have a ``RECORD``
(PyPA's "Recording installed projects"; PEP 376 and 627).
"""

from __future__ import annotations

import base64
import csv
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

from tljh.engine.facts import BY_OTHERS_THAN_CONDA
from tljh.engine.parsers import parse_conda_file_name, parse_distribution_folder
from tljh.resources.locks.lock import CONDA

Kind = Literal["file", "link", "directory", "byte code", "there"]

HASHES = ("sha256", "sha384", "sha512")
"""The algorithms that installers use; one that we don't know is no hash."""

_METADATA = re.compile(r"lib/python[^/]+/site-packages/([^/]+\.dist-info)/METADATA")


class Expected(NamedTuple):
    """What one package says of one path.

    Attributes:
        package: As in ``Lock.pins``.
        kind: ``there``: only that something is there. ``byte code``: of that, not even so much.
        digests: Of the content as ``(algorithm, hexadecimal)``; of a link, of what it leads to or of its own text.
        strict: Of a link: its text is known, so nothing else will do.
        runs: It is a program, which everybody must be able to run.
    """

    package: str
    kind: Kind
    digests: tuple[tuple[str, str], ...] = ()
    strict: bool = False
    runs: bool = False

    @property
    def manager(self) -> str:
        """``conda`` or ``pip``."""
        return manager_of(self.package)


def manager_of(package: str) -> str:
    """Who put a package there, by its key: ``conda``, ``pip``, or empty of none."""
    return "" if not package else "conda" if package.startswith(CONDA) else "pip"


@dataclass
class Records:
    """All that the packages of an environment say of its files.

    Attributes:
        expected: Path, relative to the environment → what each package that brought it says; of several the last
            one that came wins.
        packages: Those whose record could be read.
        unreadable: Path of a record that can't be read → the package that it is of.
        replaced: conda packages that pip has put something else in the place of. What is there now, pip's own
            record says.
    """

    expected: dict[str, list[Expected]] = field(default_factory=dict)
    packages: set[str] = field(default_factory=set)
    unreadable: dict[str, str] = field(default_factory=dict)
    replaced: list[str] = field(default_factory=list)

    def add(self, package: str, rows: Mapping[str, Expected]) -> None:
        """Note what a package says."""
        self.packages.add(package)
        for path, row in rows.items():
            self.expected.setdefault(path, []).append(row)


def read_records(root: Path) -> Records:
    """Everything that the packages in the environment at ``root`` say.

    Raises:
        PermissionError: a record can't be read by us.
    """
    records = Records()
    conda: dict[str, dict[str, Expected]] = {}
    for entry in sorted(root.glob("conda-meta/*.json")):
        pair = parse_conda_file_name(entry.stem)
        package = f"{CONDA}{pair[0] if pair else entry.stem}"
        try:
            conda[package] = parse_prefix_record(entry.read_text(), package)
        except (ValueError, IsADirectoryError):
            records.unreadable[f"conda-meta/{entry.name}"] = package
    pip = distributions(root)
    for package, rows in conda.items():
        if pip.keys() & set(_names_in(rows)):
            records.replaced.append(package)
            records.packages.add(package)
        else:
            records.add(package, rows)
    for package, entry in pip.items():
        site = str(entry.parent.relative_to(root))
        try:
            records.add(package, parse_record((entry / "RECORD").read_text(), package, site))
        except (ValueError, FileNotFoundError, IsADirectoryError):
            records.unreadable[f"{site}/{entry.name}/RECORD"] = package
    return records


# ---- conda


def parse_prefix_record(text: str, package: str) -> dict[str, Expected]:
    """A record of ``conda-meta`` (CEP 34): path → what should be there.

    Raises:
        ValueError: it is none.
    """
    said = json.loads(text)
    try:
        rows = (said.get("paths_data") or {}).get("paths")
        if rows is None:  # of a conda before 4.4
            rows = [{"_path": name} for name in said["files"]]
        return {str(row["_path"]): _of_path(row, package) for row in rows}
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"not a record of a package: {error!r}") from error


def _of_path(row: Mapping[str, Any], package: str) -> Expected:
    path, kind = str(row["_path"]), row.get("path_type", "there")
    if kind == "directory":
        return Expected(package, "directory")
    if _is_byte_code(path):
        return Expected(package, "byte code")
    original, here = row.get("sha256"), row.get("sha256_in_prefix")
    if kind == "softlink":
        # of a link conda's hashes are of what it leads to; rattler's, in the prefix, is of the link's own text
        known = tuple(("sha256", digest) for digest in (here, original) if digest)
        return Expected(package, "link", known, strict=bool(here and here != original))
    if row.get("prefix_placeholder"):
        original = None  # the environment's path was written into the file
    digest = here or original
    runs = kind == "unix_python_entry_point"
    if not digest:
        return Expected(package, "there", runs=runs)
    return Expected(package, "file", (("sha256", digest),), runs=runs)


def _names_in(rows: Iterable[str]) -> Iterator[str]:
    """Canonical names of the distributions that a conda package brought."""
    for path in rows:
        found = _METADATA.fullmatch(path)
        pair = parse_distribution_folder(found[1]) if found else None
        if pair:
            yield pair[0]


# ---- pip and uv


def distributions(root: Path) -> dict[str, Path]:
    """Canonical name → folder of each distribution that did not come with a conda package."""
    conda = any(root.glob("conda-meta/*.json"))
    found: dict[str, Path] = {}
    for entry in sorted(root.glob("lib/python3*/site-packages/*.dist-info")):
        pair = parse_distribution_folder(entry.name)
        # a folder without both is what is left of an uninstalled distribution
        if pair is None or not ((entry / "METADATA").exists() or (entry / "RECORD").exists()):
            continue
        if not conda or installer_of(entry) in BY_OTHERS_THAN_CONDA:
            found[pair[0]] = entry
    return found


def installer_of(entry: Path) -> str:
    """What a distribution's folder says of who installed it; empty when it doesn't."""
    try:
        return (entry / "INSTALLER").read_text().strip()
    except (FileNotFoundError, NotADirectoryError, UnicodeDecodeError):
        return ""


def parse_record(text: str, package: str, site: str) -> dict[str, Expected]:
    """A ``RECORD``: path, relative to the environment → what should be there.

    Args:
        site: Its site-packages, relative to the environment.

    Raises:
        ValueError: it is none, or it was cut off.
    """
    if not text.endswith("\n") or "\0" in text:
        raise ValueError("it was cut off")
    rows: dict[str, Expected] = {}
    try:
        listed = list(csv.reader(text.splitlines(), strict=True))
    except csv.Error as error:
        raise ValueError(str(error)) from error
    for row in listed:
        if not row:
            continue
        if len(row) != 3:
            raise ValueError(f"{row} is not a path, a hash and a size")
        path = os.path.normpath(f"{site}/{row[0]}")
        if row[0].startswith("/") or path.startswith("../"):
            continue  # no part of the environment
        digest = _digest(row[1])
        kind: Kind = "byte code" if _is_byte_code(path) else "file" if digest else "there"
        rows[path] = Expected(package, kind, (digest,) if digest else (), runs=path.startswith("bin/"))
    return rows


def _digest(text: str) -> tuple[str, str] | None:
    """``sha256=`` and the hash in URL-safe base64 without padding, as algorithm and hexadecimal."""
    algorithm, _, value = text.partition("=")
    if algorithm not in HASHES:
        return None
    return algorithm, base64.urlsafe_b64decode(value + "=" * (-len(value) % 4)).hex()


def _is_byte_code(path: str) -> bool:
    return path.endswith(".pyc") and "__pycache__/" in path
