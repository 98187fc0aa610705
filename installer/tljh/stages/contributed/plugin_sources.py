"""What plugins are installed from: their specs as they were given, made into requirements that last."""

from __future__ import annotations

import hashlib
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tljh.engine.parsers import canonical_name
from tljh.errors import TljhError
from tljh.resources.environments.project_folder import digest_of
from tljh.resources.locks.lock import Requested
from tljh.stages.context import Context
from tljh.stages.leaving import removal
from tljh.stages.taking_over import takeover

EDITABLE = "-e "
"""What the spec of a plugin begins with that is imported from its folder, as uv takes it."""
PLUGIN = "--plugin"
"""The origin of a requirement that a flag of this name brought."""

_ARCHIVES = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst", ".tar.lzma", ".tar", ".zip")
_WHEEL = re.compile(r"[\w.]+-[\w.!+]+(-\d[^-]*)?-[^-]+-[^-]+-[^-]+\.whl")
_SPEC = re.compile(r"^([A-Za-z0-9][\w.-]*\s*(\[[\w\s,.-]*\])?\s*([<>=!~(;@].*)?|(git\+|https?://|file://).+)$")


@dataclass(frozen=True)
class Source:
    """A plugin's spec, made into something that can be installed again without the place that it came from."""

    spec: str
    requirement: str
    details: Mapping[str, str]


def sources_of(
    context: Context, known: Mapping[str, Mapping[str, str]], pins: Mapping[str, str] | None = None
) -> list[Source]:
    """Every plugin that was ever asked for and isn't taken out; the newest spec of a plugin stands for it."""
    found: dict[str, Source] = {}
    earlier = [*takeover.specs(context), *removal.wished(context, known, pins or {})]
    for spec in [*earlier, *context.options.plugins]:
        source = _source(context, spec, known.get(spec, {}))
        named = source.details.get("requirement", source.requirement)
        name = Requested(named, PLUGIN).name or source.requirement
        found.pop(name, None)
        found[name] = source
    return list(found.values())


def _source(context: Context, spec: str, known: Mapping[str, str]) -> Source:
    if spec.startswith(EDITABLE):
        return _editable(context, spec, known)
    path = Path(spec)
    if path.is_absolute() and path.exists():
        digest = digest_of(path)
        if known.get("digest") == digest and Path(known["wheel"]).exists():
            return Source(spec, known["requirement"], known)
        _refuse_no_package(context, path)
        wheel = _wheel(context, path, digest)
        name = canonical_name(wheel.name.split("-")[0])
        requirement = f"{name} @ {wheel.as_uri()}"
        return Source(spec, requirement, {"digest": digest, "wheel": str(wheel), "requirement": requirement})
    if path.is_absolute():
        if known:
            return Source(spec, known["requirement"], known)
        raise TljhError(
            f"--plugin {spec}: there is nothing at this path", todo="name a folder, a wheel or a package"
        )
    if not _SPEC.match(spec):
        raise TljhError(
            f"--plugin {spec!r} is not something that pip can install",
            todo="write a package (tljh-name==1.0), a URL (git+https://…), or a path that begins with ./",
        )
    return Source(spec, spec, {})


def _editable(context: Context, spec: str, known: Mapping[str, str]) -> Source:
    """A folder that is imported from where it is; a wheel of it is built once, to learn its name."""
    if known:
        return Source(spec, known["editable"], known)
    path = Path(spec.removeprefix(EDITABLE))
    if not path.is_absolute() or not path.is_dir():
        raise TljhError(f"--plugin '{spec}': there is no folder at this path", todo="name the folder of a project")
    _refuse_no_package(context, path)
    folder = context.scratch / "wheels" / hashlib.sha256(spec.encode()).hexdigest()[:12]
    name = canonical_name(context.builder.wheel(path, folder).name.split("-")[0])
    requirement = f"{EDITABLE}{path.as_uri()}#egg={name}"
    return Source(spec, requirement, {"requirement": f"{name} @ {path.as_uri()}", "editable": requirement})


def _refuse_no_package(context: Context, path: Path) -> None:
    """Say what a path is that is neither a project's folder nor a wheel nor a source archive.

    Raises:
        TljhError: it is something else.
    """
    name = path.name.lower()
    todo = "name the folder of a project, a wheel or a package"
    if path.is_dir():
        if any((path / file).is_file() for file in ("pyproject.toml", "setup.py")):
            return
        what = "is no Python project: it has neither pyproject.toml nor setup.py"
        todo = "name the folder that has one of them; 'tljh plugin new NAME' makes a project"
    elif name.endswith(".whl"):
        if zipfile.is_zipfile(path) and _WHEEL.fullmatch(path.name):
            return
        named = "NAME-VERSION-py3-none-any.whl, as wheels are"
        what = "is no wheel: " + ("it is damaged" if _WHEEL.fullmatch(path.name) else f"it isn't named {named}")
        todo = "build it anew (uv build --wheel), or name the folder of the project"
    elif name.endswith(".py"):
        what = "is a Python file, not a package"
        todo = f"put it into {context.paths.plugins_d}, or try it for one run: tljh install --import-plugin {path}"
    elif name.endswith(_ARCHIVES):
        return
    else:
        what = "is a file that is neither a wheel nor a project's source"
    raise TljhError(f"--plugin {path} {what}", todo=f"nothing was changed; {todo}")


def _wheel(context: Context, path: Path, digest: str) -> Path:
    """The wheel of a local plugin, kept so that the environment can be built again without its source."""
    base = context.scratch if context.planning else context.paths.state
    folder = base / "wheels" / digest.removeprefix("sha256:")[:12]
    if path.suffix != ".whl":
        return context.builder.wheel(path, folder)
    context.machine.make_directory(folder)
    context.machine.write_file(folder / path.name, path.read_bytes())
    return folder / path.name
