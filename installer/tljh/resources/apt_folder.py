"""A folder of Debian packages that apt installs from: for machines without a network.

It is a flat repository (sources.list(5)): ``.deb`` files and their index ``Packages``. It has no signature; who
reads it has checked the files already (``bundle``).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

from tljh.engine.machine import Machine
from tljh.errors import CommandFailed, TljhError

INDEX = "Packages"
_ENVIRONMENT = {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}


def only_from(folder: Path, scratch: Path) -> list[str]:
    """The options that make apt know the packages of ``folder`` and what is installed, and nothing else.

    Args:
        scratch: An empty folder for what apt writes; the machine's own lists stay as they are.
    """
    lists, sources = scratch / "lists", scratch / "sources.list"
    (lists / "partial").mkdir(parents=True)
    sources.write_text(f"deb [trusted=yes] file:{folder} ./\n")
    settings = {
        "Dir::Etc::SourceList": str(sources),
        "Dir::Etc::SourceParts": "/dev/null",
        "Dir::State::Lists": str(lists),
        "Dir::Cache::pkgcache": "",
        "Dir::Cache::srcpkgcache": "",
        "APT::Sandbox::User": "root",  # apt's own user can't enter our folder
    }
    return [word for key, value in settings.items() for word in ("-o", f"{key}={value}")]


def download(
    machine: Machine, specs: Sequence[str], folder: Path, *, recommended: bool, say: Callable[[str], None]
) -> None:
    """Fetch these packages with all that they need on a machine that has nothing yet, and index them.

    What every machine has is fetched too: some packages ask for exactly one version of it.

    Args:
        specs: As apt-get(8) takes them.
        recommended: With what their packagers like to see beside them.

    Raises:
        TljhError: apt can't; in its own words.
    """
    empty = folder / ".apt"
    (empty / "archives" / "partial").mkdir(parents=True)
    (empty / "status").touch()
    options = ["-o", f"Dir::State::status={empty}/status", "-o", f"Dir::Cache::Archives={empty}/archives"]
    options += ["-o", "Dir::Cache::pkgcache=", "-o", "Dir::Cache::srcpkgcache=", "-o", "APT::Sandbox::User=root"]
    options += [] if recommended else ["--no-install-recommends"]
    words = ["apt-get", "-y", "-q", *options, "--download-only", "install", *specs]
    try:
        machine.run(words, env=_ENVIRONMENT, timeout=3600.0, on_line=say)
    except CommandFailed as error:
        raise TljhError(
            f"the system's packages can't be fetched\n{error}",
            todo="see what apt says; `apt-get update` may help where it knows only old versions",
        ) from error
    for package in sorted((empty / "archives").glob("*.deb")):
        machine.move(package, folder / package.name)
    machine.remove(empty)
    machine.write_file(folder / INDEX, index(machine, folder).encode())


def index(machine: Machine, folder: Path) -> str:
    """The text of ``Packages``: what each package says of itself, and which file it is."""
    return "".join(_entry(machine, package) for package in sorted(folder.glob("*.deb")))


def _entry(machine: Machine, package: Path) -> str:
    said = machine.run(["dpkg-deb", "--field", package]).stdout
    digest = hashlib.sha256(package.read_bytes()).hexdigest()
    return f"{said}Filename: ./{package.name}\nSize: {package.stat().st_size}\nSHA256: {digest}\n\n"
