"""What the machine is now: read at most once until something changes, parsed by ``tljh.engine.parsers``."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from tljh.engine import parsers
from tljh.engine.machine import FileStatus, Machine

T = TypeVar("T")

BY_OTHERS_THAN_CONDA = ("pip", "uv")
"""What INSTALLER says of a distribution that did not come with a conda package."""


@dataclass(frozen=True)
class FileFact:
    """A path and, when it is a file, the sha256 of its content in hexadecimal digits."""

    status: FileStatus
    digest: str = ""


@dataclass(frozen=True)
class EnvironmentFact:
    """A Python environment as it is on disk.

    Attributes:
        path: Its real path.
        record: What it was built from (``tljh-environment.json``); empty when it is not ours or not complete.
        packages: Canonical name → version of each distribution in it that did not come with a conda package.
        by_pip: Those of them that pip, not we, installed.
        urls: Where those came from that came from elsewhere than an index, as a requirement names it.
        conda: Name → ``version=build`` of each conda package in it.
    """

    path: Path
    record: dict[str, Any]
    packages: dict[str, str]
    by_pip: frozenset[str]
    has_python: bool
    urls: Mapping[str, str] = field(default_factory=dict)
    conda: Mapping[str, str] = field(default_factory=dict)


class Facts:
    """Lazily read facts; ``refresh`` forgets them after a change."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self._known: dict[object, Any] = {}
        self._moving: dict[Path, Path] = {}

    def refresh(self) -> None:
        """Forget everything: the machine has been changed."""
        self._known.clear()
        self._moving.clear()

    def _once(self, key: object, read: Callable[[], T]) -> T:
        if key not in self._known:
            self._known[key] = read()
        value: T = self._known[key]
        return value

    def text(self, path: Path) -> str:
        """The text of a small file; empty where there is none."""
        return self._once(("text", path), lambda: (self.machine.read(path) or b"").decode(errors="replace"))

    def file(self, path: Path) -> FileFact | None:
        """What is at ``path``, with the digest of its content."""

        def read() -> FileFact | None:
            status = self.machine.status(path)
            if status is None:
                return None
            if status.kind != "file":
                return FileFact(status)
            return FileFact(status, self.machine.digest(path))

        return self._once(("file", path), read)

    def output(self, *command: str) -> str:
        """What a program that only looks prints, whatever its exit status."""
        return self._once(command, lambda: self.machine.run(command, check=False, timeout=30.0).stdout)

    def real_path(self, path: Path) -> Path:
        """``path`` with every link followed."""
        return Path(os.path.realpath(self.machine.at(self._moving.get(path, path))))

    def assume(self, path: Path, fact: EnvironmentFact, now: Path) -> None:
        """Until something changes: the environment at ``path`` is one that is yet to be moved to its place.

        Args:
            fact: As it will be.
            now: Where it still is.
        """
        self._known[("environment", path)] = self._known[("environment", fact.path)] = fact
        self._moving[fact.path] = now

    @property
    def moving(self) -> Mapping[Path, Path]:
        """Places of environments that are yet to be moved there → where these still are."""
        return self._moving

    @property
    def deb_packages(self) -> parsers.Packages:
        """What dpkg has installed."""
        return self._once("dpkg", lambda: parsers.parse_dpkg_status(self.text(Path("/var/lib/dpkg/status"))))

    @property
    def accounts(self) -> dict[str, parsers.Account]:
        """The accounts in ``/etc/passwd``."""
        return self._once("passwd", lambda: parsers.parse_passwd(self.text(Path("/etc/passwd"))))

    @property
    def groups(self) -> dict[str, frozenset[str]]:
        """The groups in ``/etc/group`` with their members."""
        return self._once("group", lambda: parsers.parse_group(self.text(Path("/etc/group"))))

    def group_number(self, gid: int) -> str | None:
        """The name of the group with this number."""
        return parsers.parse_group_numbers(self.text(Path("/etc/group"))).get(gid)

    @property
    def listening(self) -> dict[int, int]:
        """Ports that somebody listens on → inode of the socket."""

        def read() -> dict[int, int]:
            names = ("/proc/net/tcp", "/proc/net/tcp6")
            found: dict[int, int] = {}
            for name in names:
                found.update(parsers.parse_proc_net_tcp(self.text(Path(name))))
            return found

        return self._once("listening", read)

    def environment(self, path: Path) -> EnvironmentFact | None:
        """The Python environment at ``path`` (a link is followed); ``None`` where there is none."""
        return self._once(("environment", path), lambda: _read_environment(self.real_path(path)))

    def conda_record(self, path: Path, name: str) -> dict[str, Any]:
        """What ``conda-meta`` says of a package in the environment at ``path`` (CEP 34); empty of none."""

        def read() -> dict[str, Any]:
            for entry in sorted(self.real_path(path).glob(f"conda-meta/{name}-*.json")):
                pair = parsers.parse_conda_file_name(entry.stem)
                if pair and pair[0] == name and entry.stat().st_size:
                    said: dict[str, Any] = json.loads(entry.read_text())
                    return said
            return {}

        return self._once(("conda record", path, name), read)


def _read_environment(path: Path) -> EnvironmentFact | None:
    if not path.is_dir():
        return None
    conda = _conda_packages(path)
    packages: dict[str, str] = {}
    by_pip: set[str] = set()
    urls: dict[str, str] = {}
    for entry in _distribution_folders(path):
        found = parsers.parse_distribution_folder(entry.name)
        # a folder that lost its METADATA is what is left of an uninstalled distribution
        if found is None or not (entry / "METADATA").exists():
            continue
        installer = _text(entry / "INSTALLER").strip()
        if conda and installer not in BY_OTHERS_THAN_CONDA:
            continue  # conda-build writes "conda", some recipes leave the file out
        packages[found[0]] = found[1]
        if installer == "pip":
            by_pip.add(found[0])
        origin = entry / "direct_url.json"
        if origin.exists():
            urls[found[0]] = parsers.parse_direct_url(origin.read_text())
    try:
        record = json.loads((path / "tljh-environment.json").read_text())
    except (FileNotFoundError, ValueError):
        record = {}
    return EnvironmentFact(path, record, packages, frozenset(by_pip), _has_python(path), urls, conda)


def _has_python(path: Path) -> bool:
    """Whether its interpreter is there, and is of the version whose packages are: the system's may be upgraded."""
    real = Path(os.path.realpath(path / "bin" / "python"))
    if not re.fullmatch(r"python3\.\d+", real.name):
        return real.exists()
    return real.exists() and (path / "lib" / real.name).is_dir()


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except FileNotFoundError:
        return ""


def _conda_packages(path: Path) -> dict[str, str]:
    """What conda-meta speaks of; a record that a killed installer left empty does not count."""
    records = (entry for entry in path.glob("conda-meta/*.json") if entry.stat().st_size)
    return dict(pair for entry in records if (pair := parsers.parse_conda_file_name(entry.stem)))


def _distribution_folders(path: Path) -> list[Path]:
    return sorted(path.glob("lib/python3*/site-packages/*.dist-info"))
