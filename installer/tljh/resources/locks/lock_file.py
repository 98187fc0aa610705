"""``conda-lock.yml``: the user environment's packages for one or several platforms, each with its hash.

Source of the format: conda-lock's version 1 (``conda_lock.lockfile.v1.models`` of conda-lock 4), which micromamba
and pixi read too. What it cannot say of a package is derived as rattler derives it; where that would not be right,
``metadata.custom_metadata`` has it, under ``tljh``, as JSON.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlsplit

from tljh.engine.machine import redact
from tljh.engine.parsers import canonical_name
from tljh.errors import TljhError
from tljh.resources.environments.pip_files import PipPackage
from tljh.resources.locks.entries import ARCHIVE, file_name, package_of
from tljh.resources.locks.lock import CondaPackage

FILE = "conda-lock.yml"
VERSION = "1"
OURS = "tljh"
"""The key of what the format itself has no place for."""
SHOWN = 8  # faults of one file

_HASH = re.compile(r"[0-9a-fA-F]{64}")


@dataclass(frozen=True)
class PlatformLock:
    """A lock's part for one platform.

    Attributes:
        python: The Python that it was made for (``3.11``), of an environment of PyPI's packages; empty where the
            lock has a Python itself, or does not say.
        brings: conda package → canonical name → version of the Python distributions that it brings, where they
            are not called as it is.
    """

    conda: tuple[CondaPackage, ...] = ()
    pip: tuple[PipPackage, ...] = ()
    python: str = ""
    brings: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    @property
    def provider(self) -> str:
        """What it is built with: ``conda`` or ``pypi``."""
        return "conda" if self.conda else "pypi"

    @property
    def lines(self) -> list[str]:
        """pip's part as lines of a requirements file, with hashes."""
        return [package.line for package in self.pip]

    @property
    def python_version(self) -> str:
        """The Python that pip's part is for: ``3.11``; empty where nobody says."""
        found = next((package.version for package in self.conda if package.name == "python"), "")
        return ".".join(found.split(".")[:2]) or self.python


@dataclass(frozen=True)
class LockFile:
    """What a ``conda-lock.yml`` says.

    Attributes:
        channels: As it names them.
        platforms: Platform → its part.
    """

    channels: tuple[str, ...]
    platforms: Mapping[str, PlatformLock]

    def part(self, platform: str, place: str) -> PlatformLock:
        """The part for a platform.

        Args:
            place: Where the lock comes from, for the error.

        Raises:
            TljhError: the lock is for other platforms.
        """
        if platform not in self.platforms:
            has = " and ".join(sorted(self.platforms)) or "no platform at all"
            raise TljhError(
                f"this lock is for {has}; this machine is {platform}",
                whose=place,
                todo=f"where it was made, run: tljh lock --platform {platform}; nothing was changed",
            )
        return self.platforms[platform]


def digest_of(text: str) -> str:
    """What a lock's text is known by."""
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


# ---- reading


@dataclass(frozen=True)
class _Entry:
    """A mapping of the file: its keys and values, all texts as they are written, and their lines."""

    line: int
    values: Mapping[str, Any]
    lines: Mapping[str, int]

    def get(self, name: str) -> Any:
        return self.values.get(name)

    def text(self, name: str) -> str:
        value = self.get(name)
        return value if isinstance(value, str) else ""

    def at(self, name: str) -> int:
        return self.lines.get(name, self.line)

    def hash(self, kind: str) -> str:
        hashes = self.get("hash")
        return hashes.text(kind).lower() if isinstance(hashes, _Entry) else ""


def parse(text: str, place: str) -> LockFile:
    """What the text of a ``conda-lock.yml`` says.

    Only the category ``main`` counts.

    Args:
        place: The file's path or URL, for messages.

    Raises:
        TljhError: it is not YAML, has another version, or cannot be trusted. The message has all that is wrong,
            each with its line.
    """
    top = _load(text, place)
    if top.text("version") != VERSION or not isinstance(top.get("package"), list):
        found = f"version {top.text('version')}" if top.get("version") else "no version"
        raise TljhError(
            f"this is not a lock that can be read: it has {found} at line {top.at('version')}; expected "
            "version 1 of conda-lock's format, with a list of packages",
            whose=place,
            todo="write it with tljh lock, or with conda-lock lock",
        )
    entries = [item for item in top.get("package") if isinstance(item, _Entry)]
    entries = [entry for entry in entries if entry.text("category") in ("", "main")]
    more, faults = _custom(top)
    faults += [(entry.line, fault) for entry in entries for fault in _faults(entry)]
    faults += _doubles(entries)
    if len(entries) == 0:
        faults.append((top.at("package"), "there is no package in it"))
    if faults:
        raise _broken(faults, place)
    metadata = top.get("metadata")
    listed = metadata.get("channels") if isinstance(metadata, _Entry) else None
    channels = [item.text("url") if isinstance(item, _Entry) else str(item) for item in listed or ()]
    platforms = dict.fromkeys(entry.text("platform") for entry in entries)
    return LockFile(tuple(channels), {name: _part(name, entries, more.get(name, {})) for name in platforms})


def _load(text: str, place: str) -> _Entry:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    try:
        node = YAML(typ="safe", pure=True).compose(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{place} line {mark.line + 1}, column {mark.column + 1}" if mark else place
        what = str(error.problem or error.context).split("\n")[0]
        raise TljhError(f"broken YAML: {what}", whose=where, todo="get the file anew, or write it anew") from error
    except YAMLError as error:
        what = str(error).splitlines()[0]
        raise TljhError(f"broken YAML: {what}", whose=place, todo="get the file anew, or write it anew") from error
    value = _plain(node)
    if not isinstance(value, _Entry):
        raise TljhError(
            f"this is not a lock: it holds {'nothing' if node is None else 'no keys'}",
            whose=place,
            todo="write it with tljh lock, or with conda-lock lock",
        )
    return value


def _plain(node: Any) -> Any:
    from ruamel.yaml.nodes import MappingNode, SequenceNode

    if isinstance(node, MappingNode):
        values = {str(key.value): _plain(value) for key, value in node.value}
        lines = {str(key.value): key.start_mark.line + 1 for key, _ in node.value}
        return _Entry(node.start_mark.line + 1, values, lines)
    if isinstance(node, SequenceNode):
        return [_plain(item) for item in node.value]
    return None if node is None or node.tag == "tag:yaml.org,2002:null" else node.value


def _custom(top: _Entry) -> tuple[Mapping[str, Any], list[tuple[int, str]]]:
    """What we have put into the file ourselves, by platform; and what is wrong with that."""
    metadata = top.get("metadata")
    custom = metadata.get("custom_metadata") if isinstance(metadata, _Entry) else None
    if not isinstance(custom, _Entry) or not custom.text(OURS):
        return {}, []
    try:
        said = json.loads(custom.text(OURS))
    except ValueError as error:
        return {}, [(custom.at(OURS), f"{OURS} is not JSON: {error}")]
    good = isinstance(said, dict) and all(isinstance(value, dict) for value in said.values())
    return (said, []) if good else ({}, [(custom.at(OURS), f"{OURS} is not what tljh lock writes")])


def _faults(entry: _Entry) -> Iterator[str]:
    """What is wrong with a package's entry."""
    missing = [key for key in ("name", "version", "manager", "platform", "url") if not entry.text(key)]
    name = entry.text("name") or "a package"
    if missing:
        yield f"{name} has no {' and no '.join(missing)}"
        return
    manager, url = entry.text("manager"), entry.text("url")
    if manager not in ("conda", "pip"):
        yield f"{name} has the manager {manager}; there are conda and pip"
        return
    from_repository = manager == "pip" and _pip(entry).from_repository
    if not entry.hash("sha256"):
        yield f"{name} has no sha256; a lock without it can be tampered with unseen"
    elif not from_repository and not _HASH.fullmatch(entry.hash("sha256")):
        yield f"{name} has a sha256 that is none: {entry.hash('sha256')}"
    if not from_repository and urlsplit(url).scheme not in ("https", "http", "file"):
        yield f"{name} has the url {redact(url)}; expected https, http or file"
    elif manager == "conda":
        found = ARCHIVE.fullmatch(file_name(url))
        if not found:
            yield f"{name} has the url {redact(url)}, which is not that of a conda package"
        elif (found["name"], found["version"]) != (name, entry.text("version")):
            yield f"{name} {entry.text('version')} has the url of another package: {file_name(url)}"


def _doubles(entries: Sequence[_Entry]) -> Iterator[tuple[int, str]]:
    seen: dict[tuple[str, str, str], str] = {}
    for entry in entries:
        key = (entry.text("platform"), entry.text("manager"), entry.text("name").lower())
        if seen.setdefault(key, entry.text("url")) != entry.text("url"):
            yield entry.line, f"{entry.text('name')} is in the lock twice"


def _broken(faults: Sequence[tuple[int, str]], place: str) -> TljhError:
    lines = [f"{place} line {line}: {fault}" for line, fault in sorted(faults)]
    more = [f"… and {len(lines) - SHOWN} more"] if len(lines) > SHOWN else []
    return TljhError(
        "\n".join([*lines[:SHOWN], *more]),
        todo="get the file anew from where it was made, or write it anew with tljh lock; nothing was changed",
    )


def _part(platform: str, entries: Iterable[_Entry], more: Mapping[str, Any]) -> PlatformLock:
    mine = [entry for entry in entries if entry.text("platform") == platform]
    known, sizes = more.get("packages", {}), more.get("sizes", {})
    names = {entry.text("name"): entry for entry in mine if entry.text("manager") == "conda"}
    conda = {name: package_of(_said(entry), known.get(name, {}), sizes.get(name)) for name, entry in names.items()}
    pip = {canonical_name(entry.text("name")): _pip(entry) for entry in mine if entry.text("manager") == "pip"}
    return PlatformLock(
        tuple(conda[name] for name in sorted(conda)),
        tuple(pip[name] for name in sorted(pip)),
        str(more.get("python", "")),
        more.get("brings", {}),
    )


def _said(entry: _Entry) -> dict[str, Any]:
    depends = entry.get("dependencies")
    values = depends.values if isinstance(depends, _Entry) else {}
    return {
        **{name: entry.text(name) for name in ("name", "version", "url")},
        "dependencies": {name: value or "" for name, value in values.items()},
        "hash": {kind: entry.hash(kind) for kind in ("md5", "sha256")},
    }


def _pip(entry: _Entry) -> PipPackage:
    source = entry.get("source")
    direct = source.text("url") if isinstance(source, _Entry) else ""
    name, url = canonical_name(entry.text("name")), direct or entry.text("url")
    package = PipPackage(name, entry.text("version"), url, entry.hash("sha256"), direct=bool(direct))
    # conda-lock has the commit once more where the hash belongs
    return replace(package, sha256="") if package.from_repository else package
