"""Whether a lock has what is asked for: names and versions, in conda's words and in pip's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from tljh.engine.parsers import canonical_name
from tljh.resources.conda.environment import CondaBuilder, alternatives
from tljh.resources.locks.lock import CONDA, Lock, Requested
from tljh.resources.locks.lock_file import PlatformLock

HUB_AND_SERVERS = "jupyterhub"
"""A server of another version than the hub's works, as long as the first number is the same."""


def unmet(builder: CondaBuilder, part: PlatformLock, asked: Sequence[Requested], python: str) -> list[str]:
    """What is asked for and not in a lock, a sentence each; and what the lock asks of a machine that this is not.

    Args:
        builder: Asks rattler.
        asked: Specs, requirements and channels; only what names a package is looked at.
        python: The version of the Python that pip's part is for: ``3.11``.

    Raises:
        TljhError: a spec is none.
    """
    conda = {package.name: package.version for package in part.conda}
    pip = {package.name: package.version for package in part.pip}
    specs = {row: [row.requirement] for row in asked if row.manager == "conda"}
    either = {row: alternatives(row) for row in asked if row.manager == "either"}
    met, machine = _by_rattler(builder, part, {**specs, **either})
    there = {**{canonical_name(name): version for name, version in conda.items()}, **_brought(part), **pip}
    urls = {package.name: package.url for package in part.pip if package.direct}
    faults: list[str] = []
    for row in asked:
        if row.manager in ("channel", "if there") or row in met or (row.manager != "conda" and not row.name):
            continue
        name = row.name.removeprefix(CONDA)
        version = conda.get(name) if row.manager == "conda" else there.get(name)
        if row.manager != "conda" and _satisfied(row, version, urls.get(name, ""), python):
            continue
        has = f"the lock has {name} {version}" if version else "the lock does not have it"
        faults.append(f"{row.origin} asks for {row.requirement}; {has}")
    return faults + machine


def _by_rattler(
    builder: CondaBuilder, part: PlatformLock, specs: Mapping[Requested, Sequence[str]]
) -> tuple[set[Requested], list[str]]:
    """The wishes that conda's part meets; what its packages ask of the machine and this one has not."""
    if not part.conda:
        return set(), []
    said = {
        "packages": [asdict(package) for package in part.conda],
        "specs": list(dict.fromkeys(spec for row in specs.values() for spec in row)),
    }
    answer = builder.ask("check", said, list(specs))
    unmet = set(answer["unmet"])
    met = {row for row, listed in specs.items() if any(spec not in unmet for spec in listed)}
    return met, _asked_of_the_machine(answer["machine"])


def _asked_of_the_machine(rows: Iterable[Sequence[str]]) -> list[str]:
    """One sentence for all packages that ask for the same."""
    names: dict[tuple[str, str], list[str]] = {}
    for name, spec, has in rows:
        names.setdefault((spec, has), []).append(name)
    found = []
    for (spec, has), listed in names.items():
        who = f"{listed[0]} asks" if len(listed) == 1 else f"{listed[0]} and {len(listed) - 1} more ask"
        found.append(f"{who} for {spec}; this machine has {has or 'none'}")
    return found


def same_files(lock: Lock, other: Lock) -> bool:
    """Whether two locks mean the same files wherever both have a package in the same version.

    What has no hash in one of them is taken to be the same.
    """
    mine = {package.name: package.sha256 for package in lock.conda}
    pins = lock.pins
    alike = [package for package in other.conda if pins.get(f"{CONDA}{package.name}") == package.pin]
    if any(package.sha256 and mine[package.name] not in ("", package.sha256) for package in alike):
        return False
    hashes = _hashes(lock)
    pip = [(hashes.get(name, set()), found) for name, found in _hashes(other).items()]
    return all(not one or not two or one & two for one, two in pip)


def _hashes(lock: Lock) -> dict[str, set[str]]:
    """``name==version`` → its hashes."""
    pairs = (line.partition(" --hash=") for line in lock.lines if " --hash=" in line)
    return {requirement: set(hashes.split(" --hash=")) for requirement, _, hashes in pairs}


def _brought(part: PlatformLock) -> dict[str, str]:
    """Distributions that conda packages bring under another name."""
    return {name: version for brought in part.brings.values() for name, version in brought.items()}


def _satisfied(row: Requested, version: str | None, url: str, python: str) -> bool:
    """Whether a distribution of this version, or from this URL, is what a requirement of pip's asks for."""
    from packaging.requirements import InvalidRequirement, Requirement

    try:
        wanted = Requirement(row.requirement)
    except InvalidRequirement:
        return True  # a form of pip's that has no name; it was no obstacle where the lock was made
    if wanted.marker and not wanted.marker.evaluate(_environment(python)):
        return True
    if version is None:
        return False
    if wanted.url:
        return not url or _place(wanted.url) == _place(url)
    if row.origin == "core" and row.name == HUB_AND_SERVERS:
        asked = next((one.version for one in wanted.specifier), version)
        return asked.split(".")[0] == version.split(".")[0]
    return wanted.specifier.contains(version, prereleases=True)


def _place(url: str) -> str:
    """A URL without the branch, tag or commit, and without a hash."""
    url = url.split("#")[0]
    return url.rpartition("@")[0] if url.startswith("git+") and "@" in url.rpartition("/")[2] else url


def _environment(python: str) -> dict[str, Any]:
    """What markers are compared with."""
    return {"python_version": python, "python_full_version": f"{python}.0"} if python else {}
