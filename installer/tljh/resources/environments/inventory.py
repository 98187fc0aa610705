"""What environments there are and what they hold, with who asked for it. Looks only."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tljh.engine.facts import EnvironmentFact, Facts
from tljh.engine.machine import redact
from tljh.engine.parsers import canonical_name
from tljh.engine.passwd import user_name
from tljh.paths import Paths
from tljh.resources.conda.environment import CONDA_NAMES
from tljh.resources.conda.settings import public
from tljh.resources.environments.environment import by_hand, number_of, pins_of
from tljh.resources.environments.installed_files import distributions
from tljh.resources.locks.lock import BY_HAND, CONDA, Lock

CORE = ("hub", "user")
INDEX = "package index"


@dataclass(frozen=True)
class Package:
    """One package of an environment.

    Attributes:
        name: Without what tells conda's from pip's.
        build: conda's build string; empty of a distribution.
        manager: ``conda`` or ``pip``.
        source: The channel's URL, the URL that it came from, or ``package index``; without credentials.
        origins: Who asked for it by name: ``core``, ``config.yaml``, a file, a flag, a plugin, ``by hand``.
        required_by: The packages here that ask for it.
        replaced: It is conda's, and pip has put something else in its place, which has a row of its own.
    """

    name: str
    version: str
    build: str
    manager: str
    source: str
    origins: Sequence[str] = ()
    required_by: Sequence[str] = ()
    replaced: bool = False


@dataclass(frozen=True)
class Built:
    """One environment on disk.

    Attributes:
        provider: ``conda`` or ``pypi``; empty when it is not complete or not ours.
        python: The version of Python, empty when nothing says.
        size: In bytes, on disk; files that it shares with a cache or another environment count here too.
        processes: How many run from it.
        users: The accounts that they run as.
    """

    path: Path
    complete: bool
    provider: str
    python: str
    packages: int
    size: int
    processes: int
    users: Sequence[str] = ()


@dataclass(frozen=True)
class Named:
    """An environment as people know it: by a name and a link.

    Attributes:
        current: Where the link leads; ``None`` when that is gone.
        older: Earlier ones that are still there, the newest first.
    """

    name: str
    link: Path
    current: Built | None
    older: Sequence[Built] = field(default_factory=tuple)


def links(paths: Paths, facts: Facts) -> dict[str, Path]:
    """Name → link of each environment that is installed: the hub's, the users', and those of config.yaml."""
    envs = facts.real_path(paths.envs)
    found: dict[str, Path] = {}
    for folder in (paths.prefix, paths.envs):
        for entry in sorted(facts.machine.at(folder).glob("*")):
            target = Path(os.path.realpath(entry))
            if entry.is_symlink() and target.parent == envs and kind_of(target) == entry.name:
                found.setdefault(entry.name, folder / entry.name)
    ordered = sorted(found, key=lambda name: (CORE.index(name) if name in CORE else len(CORE), name))
    return {name: found[name] for name in ordered}


def kind_of(path: Path) -> str:
    """The name of the environment that a folder is a generation of: ``user`` of ``user-3``."""
    return path.name.rpartition("-")[0] if number_of(path) else ""


def environments(paths: Paths, facts: Facts) -> list[Named]:
    """Every environment, with what is on disk of it."""
    processes = _processes()
    found = []
    for name, link in links(paths, facts).items():
        current = facts.real_path(link)
        kept = [path for path in facts.machine.at(paths.envs).glob(f"{name}-*") if kind_of(path) == name]
        older = sorted((path for path in kept if path.name != current.name), key=number_of, reverse=True)
        there = _built(facts, current, processes) if current.is_dir() else None
        found.append(Named(name, link, there, tuple(_built(facts, path, processes) for path in older)))
    return found


def _built(facts: Facts, path: Path, processes: Sequence[tuple[str, bytes]]) -> Built:
    fact = facts.environment(path)
    lock = Lock.of_record(fact.record) if fact else None
    users = [user for user, line in processes if os.fsencode(f"{path}/") in line]
    return Built(
        path,
        complete=lock is not None,
        provider=lock.provider if lock else "",
        python=python_of(facts, path),
        packages=len(pins_of(fact)) if fact else 0,
        size=size_of(path),
        processes=len(users),
        users=tuple(sorted(set(users))),
    )


def _processes() -> list[tuple[str, bytes]]:
    """Every process's user and command line; an interpreter names its environment there, its ``exe`` does not."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        if path.parent.name == str(os.getpid()):
            continue  # ourselves
        try:
            found.append((user_name(path.stat().st_uid), path.read_bytes()))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def python_of(facts: Facts, path: Path) -> str:
    """The version of an environment's Python: conda's package, or what ``pyvenv.cfg`` says (PEP 405)."""
    fact = facts.environment(path)
    if fact and "python" in fact.conda:
        return fact.conda["python"].partition("=")[0]
    found = re.search(r"^version(?:_info)? *= *(\d[\d.]*\d)", facts.text(path / "pyvenv.cfg"), re.M)
    return found[1] if found else ""


def size_of(path: Path) -> int:
    """Bytes on disk; a file with several names counts once."""
    seen: set[int] = set()
    size = 0
    for folder, folders, names in os.walk(path):
        for name in (*folders, *names):
            status = os.lstat(f"{folder}/{name}")
            if status.st_ino not in seen:
                seen.add(status.st_ino)
                size += status.st_blocks * 512  # stat(2)
    return size


# ---- what one holds


def packages(facts: Facts, path: Path, plugins: Collection[str] = ()) -> list[Package]:
    """What the environment at ``path`` holds, by name.

    Args:
        plugins: Names of the plugins' distributions, which origins are told from.
    """
    fact = facts.environment(path)
    lock = Lock.of_record(fact.record) if fact else None
    if fact is None:
        return []
    mine = by_hand(fact)
    origins = _origins(lock, fact.conda, plugins)
    python = python_of(facts, path)
    requires = {**_requires_of_conda(facts, fact, lock), **_requires_of_pip(fact, lock, python)}
    needed: dict[str, set[str]] = defaultdict(set)
    for name, others in requires.items():
        for other in others & (fact.packages.keys() | {f"{CONDA}{there}" for there in fact.conda}):
            needed[other].add(name.removeprefix(CONDA))
    found = []
    for key, pin in pins_of(fact).items():
        who = [BY_HAND] if key in mine else []
        who += [origin for origin in origins.get(key, ()) if origin not in who]
        name = key.removeprefix(CONDA)
        version, _, build = pin.partition("=") if key != name else (fact.packages[key], "", "")
        row = Package(
            name,
            version,
            build,
            manager="pip" if key == name else "conda",
            source=_source(facts, fact, lock, key),
            origins=tuple(who),
            required_by=tuple(sorted(needed[key] - {name})),
            replaced=key != name and canonical_name(name) in fact.packages,
        )
        found.append(row)
    return sorted(found, key=lambda package: (package.name, package.manager))


def _origins(lock: Lock | None, conda: Iterable[str], plugins: Collection[str]) -> dict[str, list[str]]:
    """Key → everybody who asked for it by name, in order.

    Args:
        conda: Names of the conda packages that are there; they may stand for a requirement of ours.
    """
    known = {canonical_name(name) for name in plugins}
    there = {canonical_name(name): name for name in conda}
    found: dict[str, list[str]] = defaultdict(list)
    for row in lock.requested if lock else ():
        who = f"plugin {row.origin}" if canonical_name(row.origin) in known else row.origin
        keys = [row.name] if row.name else []
        if row.manager == "either":
            names = (*CONDA_NAMES.get(row.name, ()), row.name)
            keys += [f"{CONDA}{there[name]}" for name in names if name in there]
        for key in dict.fromkeys(keys):
            if who not in found[key]:
                found[key].append(who)
    return found


def _source(facts: Facts, fact: EnvironmentFact, lock: Lock | None, key: str) -> str:
    if not key.startswith(CONDA):
        return redact(fact.urls[key]) if key in fact.urls else INDEX
    name = key.removeprefix(CONDA)
    locked = {package.name: package for package in lock.conda} if lock else {}
    if name in locked and locked[name].pin == fact.conda[name]:
        return public(locked[name].channel)
    return public(str(_conda_record(facts, fact, name).get("channel") or "").rstrip("/"))


def _conda_record(facts: Facts, fact: EnvironmentFact, name: str) -> Mapping[str, object]:
    try:
        return facts.conda_record(fact.path, name)
    except ValueError:
        return {}  # damaged; `verify` tells it


# ---- who needs whom


def _requires_of_conda(facts: Facts, fact: EnvironmentFact, lock: Lock | None) -> dict[str, set[str]]:
    """Key → keys of what it asks for, of conda packages."""
    locked = {package.name: package for package in lock.conda} if lock else {}
    found = {}
    for name, pin in fact.conda.items():
        if name in locked and locked[name].pin == pin:
            depends: Iterable[object] = locked[name].depends
        else:
            said = _conda_record(facts, fact, name).get("depends")
            depends = said if isinstance(said, list) else ()
        found[f"{CONDA}{name}"] = {
            f"{CONDA}{str(spec).split()[0].lower()}" for spec in depends if str(spec).strip()
        }
    return found


def _requires_of_pip(fact: EnvironmentFact, lock: Lock | None, python: str) -> dict[str, set[str]]:
    """Key → keys of what it asks for, of distributions; also of what conda has of the same name.

    Args:
        python: The version of the environment's interpreter, which markers ask for (PEP 508).
    """
    here = {"python_version": ".".join(python.split(".")[:2]), "python_full_version": python} if python else {}
    folders = distributions(fact.path)
    lines = {name: _requirement_lines(folders[name]) for name in fact.packages if name in folders}
    asked = [row.requirement for row in lock.requested if row.manager in ("pip", "either")] if lock else []
    extras = _extras([line for some in lines.values() for line in some] + asked)
    conda = {canonical_name(name): name for name in fact.conda}
    found = {}
    for name, some in lines.items():
        names = {other for line in some if (other := _applies(line, extras.get(name, {""}), here))}
        found[name] = {other if other in fact.packages else f"{CONDA}{conda.get(other, other)}" for other in names}
    return found


def _requirement_lines(folder: Path) -> list[str]:
    """``Requires-Dist`` in METADATA (PyPA's "Core metadata"), whose headers end at the first empty line."""
    try:
        head = (folder / "METADATA").read_text(errors="replace").partition("\n\n")[0]
    except FileNotFoundError:
        return []
    return re.findall(r"^Requires-Dist: *(.+)$", head, re.M)


def _extras(lines: Iterable[str]) -> dict[str, set[str]]:
    """Name → the extras that anybody asks for, and the empty one that stands for none."""
    from packaging.requirements import InvalidRequirement, Requirement

    found: dict[str, set[str]] = defaultdict(lambda: {""})
    for line in lines:
        if "[" not in line.partition(";")[0]:
            continue
        try:
            asked = Requirement(line)
        except InvalidRequirement:
            continue
        found[canonical_name(asked.name)] |= asked.extras
    return found


def _applies(line: str, extras: Iterable[str], here: Mapping[str, str]) -> str:
    """The canonical name that a requirement is about, where it applies here; otherwise empty."""
    from packaging.requirements import InvalidRequirement, Requirement

    try:
        asked = Requirement(line)
    except InvalidRequirement:
        return ""
    if asked.marker and not any(asked.marker.evaluate({**here, "extra": extra}) for extra in extras):
        return ""
    return canonical_name(asked.name)
