"""What an environment is asked to hold, and what a resolve made of it.

The record that lies in every environment of ours (``tljh-environment.json``) is written last: an environment
without one is not complete.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal
from urllib.parse import unquote, urlsplit

from tljh.engine.parsers import canonical_name

RECORD = "tljh-environment.json"
BY_HAND = "by hand"
CONDA = "conda:"
"""What the keys of conda packages begin with: the same name at PyPI is often another project."""

LOCK_FILE = "lock"
"""Where ``Lock.sources`` says which lock file it is of: its ``digest``."""

Manager = Literal["pip", "conda", "channel", "either", "if there"]

_NAME = re.compile(r"\s*([A-Za-z0-9][\w.-]*)\s*(?=[\[(<>=!~;@]|$)")
# a folder that is imported from where it is, as pip is told so, with the project's name
_EDITABLE = re.compile(r"-e (?P<url>file:[^#]+)#egg=(?P<name>[\w.-]+)")
# [channel::]name and whatever says which; conda's MatchSpec
_CONDA_NAME = re.compile(r"(?:.*::)?\s*([A-Za-z0-9_][\w.-]*)")


@dataclass(frozen=True)
class Requested:
    """One thing that an environment is asked to hold, and who asks.

    Attributes:
        requirement: A line of a requirements file, a conda spec, or a conda channel (without credentials).
        manager: Which of the three it is: ``pip``, ``conda`` or ``channel``. ``either`` is a requirement of ours
            that conda satisfies where a channel has it; ``if there`` a conda spec that is left out where none has.
    """

    requirement: str
    origin: str
    manager: Manager = "pip"

    @property
    def name(self) -> str:
        """The key of what it asks for, as in ``Lock.pins``; empty for an option, a bare URL or a channel."""
        if self.manager in ("conda", "if there"):
            found = _CONDA_NAME.match(self.requirement)
            return f"{CONDA}{found[1].lower()}" if found else ""
        if self.manager == "channel":
            return ""
        editable = _EDITABLE.fullmatch(self.requirement)
        found = _NAME.match(editable["name"] if editable else self.requirement)
        return canonical_name(found[1]) if found else ""


@dataclass(frozen=True)
class CondaPackage:
    """One package of a conda channel, as the channel's index speaks of it (repodata, CEP 15 and 36).

    Attributes:
        url: Of the archive, without credentials.
        sha256: Of the archive, hexadecimal; so is ``md5``, which conda-lock's files ask for.
        subdir: ``linux-64``, ``linux-aarch64`` or ``noarch``.
        noarch: ``python`` or ``generic``; ``None`` of a package for one platform.
        size: Of the archive, in bytes; ``None`` where nobody says.
    """

    name: str
    version: str
    build: str
    build_number: int
    subdir: str
    url: str
    sha256: str
    md5: str = ""
    size: int | None = None
    noarch: str | None = None
    depends: tuple[str, ...] = ()
    constrains: tuple[str, ...] = ()
    python_site_packages_path: str | None = None

    @property
    def file_name(self) -> str:
        return unquote(urlsplit(self.url).path.rpartition("/")[2])

    @property
    def channel(self) -> str:
        """The URL that the package was found below."""
        return self.url.rsplit("/", 2)[0]

    @property
    def pin(self) -> str:
        """``VERSION=BUILD``, as the name of its file has it."""
        return f"{self.version}={self.build}"

    @classmethod
    def of(cls, said: Mapping[str, Any]) -> CondaPackage:
        """The package that a JSON object describes; what we don't need is left out."""
        known = {name: said[name] for name in cls.__dataclass_fields__ if name in said}
        known.update({name: tuple(known.get(name) or ()) for name in ("depends", "constrains")})
        return cls(**known)


@dataclass(frozen=True)
class Lock:
    """What a resolve gave.

    Attributes:
        requested: What was asked for, in order.
        lines: pip's part. Options first, then one line a distribution: ``name==version`` or ``name @ url``,
            with ``--hash=…`` where the hashes are known.
        sources: Spec → where a local source was built to (``digest``, ``wheel``, ``requirement``).
        conda: conda's part, by name; empty where all packages come from PyPI.
    """

    requested: tuple[Requested, ...]
    lines: tuple[str, ...]
    sources: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    conda: tuple[CondaPackage, ...] = ()

    @property
    def pins(self) -> dict[str, str]:
        """Canonical name → ``==version`` or ``@ url``; ``conda:name`` → ``version=build``."""
        mine = dict(pin for line in self.lines if (pin := _pin(line)))
        return {**{f"{CONDA}{package.name}": package.pin for package in self.conda}, **mine}

    @property
    def origins(self) -> dict[str, str]:
        """Name → who asked for it, of what was asked for by name."""
        mine = {row.name: row.origin for row in self.requested if row.name}
        either = {f"{CONDA}{row.name}": row.origin for row in self.requested if row.manager == "either"}
        return {**either, **mine}

    @property
    def provider(self) -> str:
        """What it is built with: ``conda`` or ``pypi``."""
        return "conda" if self.conda else "pypi"

    @property
    def wishes(self) -> str:
        """In short what was asked for, and of which lock file: the same for the same."""
        rows = _wishes(self.requested)
        text = json.dumps([rows, self.sources.get(LOCK_FILE, {}).get("digest", "")])
        return f"{len(rows)} ({hashlib.sha256(text.encode()).hexdigest()[:8]})"

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> Lock | None:
        """The lock that an environment's record holds; ``None`` where there is none."""
        if not record:
            return None
        requested = tuple(Requested(**row) for row in record["requirements"])
        lines = record.get("lock") or [f"{name}=={version}" for name, version in record["packages"].items()]
        conda = tuple(CondaPackage.of(said) for said in record.get("conda", ()))
        return cls(requested, tuple(lines), record.get("sources", {}), conda)

    def asks_for_the_same(self, requested: Sequence[Requested]) -> bool:
        """Whether a resolve of ``requested`` would be this one again; by-hand packages don't count."""
        return _wishes(self.requested) == _wishes(requested)


def _wishes(rows: Iterable[Requested]) -> list[tuple[str, str]]:
    return [(row.manager, row.requirement) for row in rows if row.origin != BY_HAND]


def _pin(line: str) -> tuple[str, str] | None:
    line = line.split(" --hash=")[0].split(" ;")[0].strip()
    editable = _EDITABLE.fullmatch(line)
    if editable:
        return canonical_name(editable["name"]), f"@ {editable['url']}"
    name, at, url = line.partition(" @ ")
    if at:
        return canonical_name(name.split("[")[0]), f"@ {url}"
    name, equals, version = line.partition("==")
    return (canonical_name(name.split("[")[0]), f"=={version}") if equals and not line.startswith("-") else None


def record_of(lock: Lock, packages: Mapping[str, str]) -> str:
    """The text of an environment's record: what it was asked for, the lock, and what came of it.

    Args:
        packages: Canonical name → version of what pip's part has become.
    """
    record = {
        "format": 1,
        "requirements": [asdict(row) for row in lock.requested],
        "lock": lock.lines,
        "packages": dict(packages),
        "sources": lock.sources,
        **({"conda": [asdict(package) for package in lock.conda]} if lock.conda else {}),
    }
    return json.dumps(record, indent=1)
