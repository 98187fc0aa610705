"""An entry of ``conda-lock.yml``: what it says of a package, and what has to be said of it elsewhere.

Source of the format: conda-lock's version 1 (``conda_lock.lockfile.v1.models`` of conda-lock 4).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any
from urllib.parse import unquote, urlsplit

from tljh.errors import TljhError
from tljh.resources.environments.pip_files import PipPackage
from tljh.resources.locks.lock import CondaPackage

ARCHIVE = re.compile(r"(?P<name>.+)-(?P<version>[^-]+)-(?P<build>[^-]+)(?:\.conda|\.tar\.bz2)")
"""The name of a conda package's file (CEP 26)."""

# py311h1234567_2, h1234567_0_cpython, h1234567_5_cp313t, 3_cp311
_NUMBER = re.compile(r"_(\d+)(?:_cp\w+)?$|^(\d+)_")
_FREE_THREADED = re.compile(r"cp\d+t(?:_|$)")
_MORE = (
    "build_number",
    "noarch",
    "depends",
    "constrains",
    "python_site_packages_path",
)


def file_name(url: str) -> str:
    """What the file at a URL is called."""
    return unquote(urlsplit(url).path.rpartition("/")[2])


def package_of(said: Mapping[str, Any], more: Mapping[str, Any], size: int | None = None) -> CondaPackage:
    """The package that an entry speaks of.

    Args:
        said: The entry, as conda-lock writes it.
        more: What is known beside it; it wins over what is derived.
        size: Of the archive, in bytes.
    """
    found = ARCHIVE.fullmatch(file_name(said["url"]))
    build = found["build"] if found else ""
    subdir = unquote(urlsplit(said["url"]).path.split("/")[-2])
    number = _NUMBER.search(build)
    needs = said["dependencies"]
    derived = {
        "build": build,
        "build_number": int(number[1] or number[2]) if number else 0,
        "subdir": subdir,
        # as rattler's reader of this format has it
        "noarch": ("python" if "python" in needs else "generic") if subdir == "noarch" else None,
        "depends": [f"{name} {spec}".strip() for name, spec in needs.items()],
        "python_site_packages_path": _site_packages(said, build),
    }
    return CondaPackage.of(
        {
            **{name: said[name] for name in ("name", "version", "url")},
            **said["hash"],
            **derived,
            **{name: value for name, value in more.items() if name in _MORE},
            "size": size,
        }
    )


def _site_packages(said: Mapping[str, Any], build: str) -> str | None:
    """Where a free-threaded Python has its packages; all others have them where everybody looks (CEP 17)."""
    if said["name"] != "python" or not _FREE_THREADED.search(build):
        return None
    return f"lib/python{'.'.join(said['version'].split('.')[:2])}t/site-packages"


def entry_of(package: CondaPackage, platform: str) -> dict[str, Any]:
    """The entry of a conda package, as conda-lock's models take it.

    Raises:
        TljhError: its channel gives no hash that the format demands.
    """
    for kind in ("md5", "sha256"):
        if not getattr(package, kind):
            raise TljhError(
                f"the channel gives no {kind} of {package.file_name}, which conda-lock's format demands",
                whose=package.channel,
                todo="take the package from another channel",
            )
    return {
        "name": package.name,
        "version": package.version,
        "manager": "conda",
        "platform": platform,
        "dependencies": _merged(package.depends),
        "url": package.url,
        "hash": {"md5": package.md5, "sha256": package.sha256},
        "build": package.build,
    }


def more_of(package: CondaPackage, platform: str) -> dict[str, Any]:
    """What the entry of a conda package cannot say of it."""
    # conda-lock sorts dependencies as it writes
    entry = entry_of(package, platform)
    entry["dependencies"] = dict(sorted(entry["dependencies"].items()))
    derived = asdict(package_of(entry, {}))
    mine = asdict(package)
    return {name: mine[name] for name in _MORE if mine[name] != derived[name]}


def _merged(depends: Iterable[str]) -> dict[str, str]:
    """Name → all that is asked of its version. Several specs with builds cannot be one; then the first counts."""
    found: dict[str, str] = {}
    for spec in depends:
        name, _, asked = spec.partition(" ")
        asked = asked.strip()
        before = found.get(name, "")
        both = f"{before},{asked}" if " " not in before + asked else before
        found[name] = both if before and asked and before != asked else before or asked
    return found


def pip_entry_of(package: PipPackage, platform: str) -> dict[str, Any]:
    """The entry of a distribution of pip's part, as conda-lock's models take it."""
    commit = re.search(r"@([0-9a-f]{40})", package.url)
    sha256 = commit[1] if package.from_repository and commit else package.sha256
    return {
        "name": package.name,
        "version": package.version,
        "manager": "pip",
        "platform": platform,
        "dependencies": {},
        "url": package.url,
        "hash": {"sha256": sha256},
        **({"source": {"type": "url", "url": package.url}} if package.direct else {}),
    }
