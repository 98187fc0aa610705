"""Pure parsers of what the machine says of itself; each names the format's source. Nothing is read here."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class DebPackage:
    """One installed package as dpkg knows it."""

    name: str
    version: str
    depends: str = ""


@dataclass(frozen=True)
class Packages:
    """What dpkg has installed, by name and by ``name:architecture``, and the virtual names that it provides."""

    installed: Mapping[str, DebPackage]
    provided: frozenset[str]
    by_architecture: Mapping[str, DebPackage]

    def version(self, name: str) -> str | None:
        """The version of an installed package, ``"provided"`` of a virtual one, ``None`` of neither.

        Args:
            name: With or without an architecture, as in ``libc6:i386``.
        """
        found = self.installed.get(name) or self.by_architecture.get(name)
        if found:
            return found.version
        return "provided" if name in self.provided else None


def parse_dpkg_status(text: str) -> Packages:
    """``/var/lib/dpkg/status``: deb822 paragraphs (dpkg's status format, deb-status in dpkg(1))."""
    installed: dict[str, DebPackage] = {}
    by_architecture: dict[str, DebPackage] = {}
    provided: set[str] = set()
    for paragraph in text.split("\n\n"):
        fields = dict(
            re.findall(r"^(Package|Status|Architecture|Version|Depends|Provides): *(.*)$", paragraph, re.M)
        )
        if not fields.get("Status", "").endswith(" installed"):
            continue
        name = fields["Package"]
        package = DebPackage(name, fields.get("Version", ""), fields.get("Depends", ""))
        installed.setdefault(name, package)
        by_architecture[f"{name}:{fields.get('Architecture', 'all')}"] = package
        provided.update(item.split()[0] for item in fields.get("Provides", "").split(",") if item.strip())
    return Packages(installed, frozenset(provided), by_architecture)


@dataclass(frozen=True)
class Account:
    """One line of ``/etc/passwd``."""

    name: str
    uid: int
    gid: int
    home: str


def parse_passwd(text: str) -> dict[str, Account]:
    """``/etc/passwd``, passwd(5)."""
    rows = [line.split(":") for line in text.splitlines() if line.count(":") == 6]
    rows = [row for row in rows if row[2].isdigit() and row[3].isdigit()]  # not "+::::::" of nsswitch.conf(5)
    return {row[0]: Account(row[0], int(row[2]), int(row[3]), row[5]) for row in rows}


def parse_group(text: str) -> dict[str, frozenset[str]]:
    """``/etc/group``, group(5): the names of each group's members."""
    rows = (line.split(":") for line in text.splitlines() if line.count(":") == 3)
    return {row[0]: frozenset(name for name in row[3].split(",") if name) for row in rows}


def parse_group_numbers(text: str) -> dict[int, str]:
    """``/etc/group``, group(5): the name of each number."""
    rows = (line.split(":") for line in text.splitlines() if line.count(":") == 3)
    return {int(row[2]): row[0] for row in rows if row[2].isdigit()}


def parse_systemctl_show(text: str) -> list[dict[str, str]]:
    """``systemctl show UNIT…``: ``Key=value`` lines, an empty line between units."""
    blocks = [block for block in text.split("\n\n") if block.strip()]
    return [dict(line.partition("=")[::2] for line in block.splitlines() if "=" in line) for block in blocks]


def parse_proc_net_tcp(text: str) -> dict[int, int]:
    """``/proc/net/tcp`` and ``tcp6`` (proc(5)): listening port → inode of its socket."""
    rows = (line.split() for line in text.splitlines()[1:])
    listening = (row for row in rows if len(row) > 9 and row[3] == "0A")
    return {int(row[1].rpartition(":")[2], 16): int(row[9]) for row in listening}


def parse_distribution_folder(name: str) -> tuple[str, str] | None:
    """The canonical name and version in the name of a ``*.dist-info`` folder.

    Source: the "Recording installed projects" and "Names and normalization" specifications of PyPA.
    """
    stem, dot, ending = name.rpartition(".")
    if ending != "dist-info" or not dot:
        return None
    project, dash, version = stem.rpartition("-")
    # what a killed pip leaves behind begins with "~"
    return (canonical_name(project), version) if dash and project[0].isalnum() else None


def parse_conda_file_name(stem: str) -> tuple[str, str] | None:
    """The name and ``version=build`` in ``name-version-build``, what conda calls archives and records (CEP 26)."""
    name, dash, build = stem.rpartition("-")
    name, second, version = name.rpartition("-")
    return (name, f"{version}={build}") if dash and second else None


def parse_direct_url(text: str) -> str:
    """``direct_url.json`` (PyPA's "Recording the Direct URL Origin") as the URL of a requirement."""
    said = json.loads(text)
    version = said.get("vcs_info")
    return f"{version['vcs']}+{said['url']}@{version['commit_id']}" if version else str(said["url"])


def canonical_name(project: str) -> str:
    """A distribution's name as the index normalises it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", project).lower()
