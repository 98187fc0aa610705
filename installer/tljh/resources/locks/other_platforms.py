"""What an environment would hold on a machine of another kind: solved here, never built here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict

from tljh.engine.parsers import canonical_name
from tljh.resources.conda.environment import CondaBuilder, alternatives
from tljh.resources.environments.pip_files import Target, locate
from tljh.resources.locks.lock import CondaPackage, Requested
from tljh.resources.locks.lock_file import PlatformLock

# what conda-lock supposes of such machines (its default-virtual-packages.yaml), but for graphics cards
_ALL = ("__unix=0", "__linux=5.10", "__glibc=2.28")
VIRTUAL = {
    "linux-64": (*_ALL, "__archspec=1=x86_64"),
    "linux-aarch64": (*_ALL, "__archspec=1=aarch64"),
}
"""The platforms that a lock may be written for, and what their machines are supposed to have (CEP 30)."""


def elsewhere(
    conda: CondaBuilder,
    requested: Sequence[Requested],
    platform: str,
    here: PlatformLock,
    brings: Mapping[str, Mapping[str, str]],
) -> PlatformLock:
    """What an environment would hold on another platform; versions as here, where that can be.

    Args:
        requested: Specs, requirements and channels, in order.
        here: What it holds on this machine.
        brings: conda package → canonical name → version of all distributions that it brings here.

    Raises:
        TljhError: there is no solution for that platform; it names who asked for what.
    """
    versions = {package.name: package.version for package in here.pip}
    if here.provider == "pypi":
        target = Target(conda.pip.python, here.python, platform)
        return PlatformLock((), tuple(locate(conda.pip, requested, target, prefer=versions)), here.python)
    packages, left = _solved(conda, requested, platform, here.conda)
    found = {package.name: package.version for package in packages}
    mine = {name: _as_there(dists, here, name, found[name]) for name, dists in brings.items() if name in found}
    there = {name: version for dists in mine.values() for name, version in dists.items()}
    part = PlatformLock(tuple(packages), brings=renamed(mine))
    if not left:
        return part
    target = Target(conda.pip.python, part.python_version, platform)
    pip = locate(conda.pip, left, target, prefer=versions, there=there)
    return PlatformLock(part.conda, tuple(pip), brings=part.brings)


def _solved(
    conda: CondaBuilder, requested: Sequence[Requested], platform: str, here: Sequence[CondaPackage]
) -> tuple[list[CondaPackage], list[Requested]]:
    """conda's part, and what is left for pip's."""
    either = [row for row in requested if row.manager == "either"]
    named = [conda.as_named(row.requirement) for row in requested if row.manager == "channel"]
    alike = [f"{package.name} =={package.version}" for package in here]
    said = {
        "channels": conda.settings().channel_urls(named),
        "specs": [row.requirement for row in requested if row.manager == "conda"],
        "preferred": [alternatives(row) for row in either],
        "optional": [*(row.requirement for row in requested if row.manager == "if there"), *alike],
        "locked": [asdict(package) for package in here if package.subdir == "noarch"],
        "cache": str(conda.cache / "repodata"),
        "platform": platform,
        "virtual": list(VIRTUAL[platform]),
    }
    answer = conda.ask("solve", said, requested)
    taken = dict(zip(either, answer["taken"], strict=True))
    left = [row for row in requested if row.manager == "pip" or (row.manager == "either" and not taken[row])]
    return [CondaPackage.of(package) for package in answer["packages"]], left


def _as_there(dists: Mapping[str, str], here: PlatformLock, name: str, version: str) -> dict[str, str]:
    """The distributions of a conda package, where it has another version there: that is theirs too."""
    mine = next((package.version for package in here.conda if package.name == name), version)
    return {dist: version if found == mine else found for dist, found in dists.items()}


def renamed(brings: Mapping[str, Mapping[str, str]]) -> dict[str, dict[str, str]]:
    """Those of the conda packages whose distributions are not called as they are."""
    return {name: dict(dists) for name, dists in brings.items() if set(dists) - {canonical_name(name)}}
