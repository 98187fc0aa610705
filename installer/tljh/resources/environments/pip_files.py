"""Which files pip's part of an environment is downloaded from: URL and hash of each, as an index tells uv.

Format of what uv writes: ``pylock.toml`` (PEP 751).
"""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from tljh.engine.parsers import canonical_name
from tljh.errors import CommandFailed, TljhError
from tljh.fetch import without_credentials
from tljh.resources.environments.pip_part import joined
from tljh.resources.environments.python_environment import NEEDLESS, Builder, explained
from tljh.resources.locks.lock import Requested

GLIBC = 28
"""Of other platforms than this machine's: glibc 2.28, as conda-lock supposes it."""

PROCESSORS = {"linux-64": "x86_64", "linux-aarch64": "aarch64"}

# PEP 600: older names of the same platforms
_OLDER_NAMES = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}
_COMMIT = re.compile(r"@[0-9a-f]{40}(?:#|$)")


@dataclass(frozen=True)
class PipPackage:
    """One distribution, and the file that it comes from.

    Attributes:
        name: Canonical.
        url: Of the file; without credentials. ``git+URL@COMMIT`` of what comes from a repository.
        sha256: Of the file, hexadecimal; empty where the commit says all.
        direct: Whether it was asked for by this URL; otherwise any index may give it.
    """

    name: str
    version: str
    url: str
    sha256: str
    direct: bool = False

    @property
    def from_repository(self) -> bool:
        """Whether its URL names one commit, which no hash can say better."""
        return self.url.startswith("git+") and bool(_COMMIT.search(self.url))

    @property
    def line(self) -> str:
        """The line of a requirements file that gives this and nothing else."""
        end = "" if self.from_repository else f" --hash=sha256:{self.sha256}"
        return f"{self.name} @ {self.url}{end}" if self.direct else f"{self.name}=={self.version}{end}"


@dataclass(frozen=True)
class Target:
    """What pip's part is for.

    Attributes:
        python: An interpreter; of this machine, whatever the target is.
        version: Of the target's Python: ``3.11``.
        platform: ``linux-64`` …, where it is not this machine's; empty of this machine.
    """

    python: Path
    version: str
    platform: str = ""

    @property
    def flags(self) -> list[str]:
        """What tells uv so."""
        name = f"{PROCESSORS[self.platform]}-manylinux_2_{GLIBC}" if self.platform else ""
        return ["--python-version", self.version, *(["--python-platform", name] if name else [])]


def locate(
    builder: Builder,
    rows: Sequence[Requested],
    target: Target,
    *,
    prefer: Mapping[str, str] | None = None,
    there: Mapping[str, str] | None = None,
    exact: bool = False,
) -> list[PipPackage]:
    """The files that requirements come to.

    Args:
        rows: Requirement lines and pip options, in order.
        prefer: Name → version that is taken where nothing asks for another.
        there: Canonical name → version of what conda's packages bring; none of it is in the answer.
        exact: The rows say all that is wanted; what they ask for themselves is not looked at.

    Raises:
        TljhError: there is no solution, or the index cannot be reached; it names who asked for what. Or the index
            serves another file than the one whose hash a row has.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        lines = [row.requirement.split(" --hash=")[0] for row in rows]
        (folder / "requirements.in").write_text("".join(f"{line}\n" for line in lines))
        constraints = (f"{name}=={version}\n" for name, version in (there or {}).items())
        (folder / "constraints.txt").write_text("".join(constraints))
        # an environment of conda's packages has what its packages ask for
        needless = NEEDLESS if there is None else ()
        overrides = [*builder.overrides, *(f'{name} ; python_version < "0"' for name in needless)]
        (folder / "overrides.txt").write_text("".join(f"{line}\n" for line in overrides))
        if prefer:
            (folder / "pylock.toml").write_text(_seeds(prefer))
        words: list[str | Path] = ["--python", target.python, *target.flags]
        words += ["--no-deps"] if exact else ["--override", folder / "overrides.txt"]
        words += ["--constraint", folder / "constraints.txt"]
        words += [f"--no-emit-package={name}" for name in there or ()]
        try:
            builder.run(
                *("pip", "compile", "--quiet", "--no-header", "--no-annotate", "--format", "pylock.toml", *words),
                *("-o", folder / "pylock.toml", folder / "requirements.in"),
            )
        except CommandFailed as error:
            raise explained(error, rows) from error
        found = read_pylock((folder / "pylock.toml").read_text(), target)
    _compare([row.requirement for row in rows], found)
    return found


def with_hashes(builder: Builder, lines: Sequence[str]) -> list[str]:
    """Exact requirements with the hashes of all files that the index has of them; options go first.

    Raises:
        TljhError: the index cannot be reached, or has no such package any more.
    """
    with tempfile.TemporaryDirectory() as folder:
        listed = Path(folder) / "requirements.in"
        listed.write_text("".join(f"{line}\n" for line in lines))
        try:
            said = builder.run(
                *("pip", "compile", "--quiet", "--no-header", "--no-annotate", "--no-deps", "--generate-hashes"),
                *("--python", builder.python, listed),
            )
        except CommandFailed as error:
            raise explained(error, [Requested(line, "") for line in lines]) from error
    return [line for line in joined(said) if not line.startswith("-")]


def read_pylock(text: str, target: Target) -> list[PipPackage]:
    """The one file of each package that an installer on the target takes."""
    ranks = {tag: rank for rank, tag in enumerate(_tags(target))}
    return [_package(said, ranks) for said in _toml(text)["packages"]]


def _package(said: Mapping[str, Any], ranks: Mapping[Any, int]) -> PipPackage:
    name, version = canonical_name(said["name"]), str(said.get("version", ""))
    if vcs := said.get("vcs"):
        below = f"#subdirectory={vcs['subdirectory']}" if vcs.get("subdirectory") else ""
        place = vcs.get("url") or Path(vcs["path"]).as_uri()
        url = f"{vcs['type']}+{without_credentials(place)}@{vcs['commit-id']}{below}"
        return PipPackage(name, version, url, "", direct=True)
    if "directory" in said:
        raise TljhError(
            f"{name} comes from the folder {said['directory']['path']}, which no lock can describe",
            todo="name a wheel, an address or a repository instead",
        )
    direct = said.get("archive")
    file = direct or _best(said.get("wheels", ()), ranks) or said.get("sdist")
    if file is None:
        raise TljhError(f"{name} {version} has no file for this platform and no source", todo="take another one")
    url = file.get("url") or Path(file["path"]).as_uri()
    return PipPackage(
        name, version, without_credentials(url), file["hashes"].get("sha256", ""), direct=bool(direct)
    )


def _best(wheels: Sequence[Mapping[str, Any]], ranks: Mapping[Any, int]) -> Mapping[str, Any] | None:
    """The wheel that fits best; of equals the first, as uv has it."""
    from packaging.utils import InvalidWheelFilename, parse_wheel_filename

    best: tuple[tuple[int, int], Mapping[str, Any]] | None = None
    for wheel in wheels:
        place = urlsplit(wheel["url"]).path if "url" in wheel else wheel["path"]
        try:
            _, _, build, tags = parse_wheel_filename(unquote(place.rpartition("/")[2]))
        except InvalidWheelFilename:
            continue  # uv passes over it too
        fitting = [ranks[tag] for tag in tags if tag in ranks]
        order = (min(fitting), -build[0] if build else 0) if fitting else None
        if order and (best is None or order < best[0]):
            best = (order, wheel)
    return best[1] if best else None


def _tags(target: Target) -> Iterable[Any]:
    from packaging.tags import compatible_tags, cpython_tags, platform_tags

    version = tuple(int(part) for part in target.version.split("."))
    platforms = list(_platforms(target.platform)) if target.platform else list(platform_tags())
    interpreter = "cp" + "".join(map(str, version[:2]))
    yield from cpython_tags(version, platforms=platforms)
    yield from compatible_tags(version, interpreter, platforms)


def _platforms(platform: str) -> Iterable[str]:
    processor = PROCESSORS[platform]
    oldest = 5 if processor == "x86_64" else 17
    for minor in range(GLIBC, oldest - 1, -1):
        yield f"manylinux_2_{minor}_{processor}"
        if minor in _OLDER_NAMES:
            yield f"{_OLDER_NAMES[minor]}_{processor}"
    yield f"linux_{processor}"


def _compare(lines: Iterable[str], found: Iterable[PipPackage]) -> None:
    """What is installed and what the index serves now must be the same file."""
    known: dict[str, set[str]] = {}
    for line in lines:
        requirement, *hashes = line.split(" --hash=")
        name = Requested(requirement, "").name
        known[name] = {value.strip().removeprefix("sha256:") for value in hashes if value.startswith("sha256:")}
    for package in found:
        hashes_known = known.get(package.name)
        if hashes_known and package.sha256 and package.sha256 not in hashes_known:
            raise TljhError(
                f"{package.url} has the sha256 {package.sha256}, which is not the file that is installed here",
                todo=f"find out who changed it, or move to another version: tljh lock --upgrade {package.name}",
            )


def _seeds(prefer: Mapping[str, str]) -> str:
    """A ``pylock.toml`` with these versions: uv keeps what its output file holds already."""
    rows = [f'\n[[packages]]\nname = "{name}"\nversion = "{version}"\n' for name, version in prefer.items()]
    return 'lock-version = "1.0"\ncreated-by = "tljh"\n' + "".join(rows)


def _toml(text: str) -> dict[str, Any]:
    if sys.version_info >= (3, 11):
        import tomllib

        return tomllib.loads(text)
    import toml

    return dict(toml.loads(text))
