"""What a plugin's packaging says, read without building or running anything of it.

A project's folder is read from ``pyproject.toml``, ``setup.cfg`` and the literal arguments of ``setup()`` in
``setup.py``; a wheel from its own metadata.
"""

from __future__ import annotations

import ast
import configparser
import sys
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.parser import Parser
from pathlib import Path
from typing import Any

from tljh.errors import TljhError, UsageError

GROUP = "tljh"


@dataclass(frozen=True)
class Project:
    """One plugin's project, as its packaging describes it.

    Attributes:
        folders: Where Python finds its modules when they are not installed.
        entry_points: Name → value, of our group.
        requires_python: As ``Requires-Python`` has it; empty where nothing is said.
    """

    name: str = ""
    version: str = ""
    folders: tuple[Path, ...] = ()
    entry_points: Mapping[str, str] = field(default_factory=dict)
    requires_python: str = ""
    requires: tuple[str, ...] = ()
    about: str = ""
    dynamic: tuple[str, ...] = ()


def read(path: Path, unpack: Path) -> Project:
    """The project in a folder, or in a wheel.

    Args:
        unpack: A folder that a wheel is unpacked into.

    Raises:
        UsageError: there is nothing like it at ``path``.
        TljhError: a file of it can't be read.
    """
    if path.suffix == ".whl" and path.is_file():
        return _wheel(path, unpack)
    if not path.is_dir():
        what = "is neither a folder nor a wheel nor a Python file" if path.exists() else "does not exist"
        raise UsageError(f"{path} {what}", todo="name a plugin's folder, its wheel, or its one Python file")
    if not any((path / name).is_file() for name in ("pyproject.toml", "setup.cfg", "setup.py")):
        raise UsageError(
            f"{path} is no Python project: it has neither pyproject.toml nor setup.py",
            todo="tljh plugin new NAME writes one",
        )
    found = _merged(
        _setup_py(path / "setup.py"), _setup_cfg(path / "setup.cfg"), _pyproject(path / "pyproject.toml")
    )
    return Project(**found, folders=tuple(folder for folder in (path / "src", path) if folder.is_dir()))


def _merged(*parts: Mapping[str, Any]) -> dict[str, Any]:
    """Later parts win, as they do for setuptools."""
    return {key: value for part in parts for key, value in part.items() if value}


def _pyproject(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    data = _toml(path)
    project = _section(path, data, "project")
    poetry = _section(path, data, "tool", "poetry")
    points = _section(path, data, "project", "entry-points", GROUP)
    points = points or _section(path, data, "tool", "poetry", "plugins", GROUP)
    return {
        "name": str(project.get("name") or poetry.get("name", "")),
        "version": str(project.get("version") or poetry.get("version", "")),
        "entry_points": {name: str(value) for name, value in points.items()},
        "requires_python": str(project.get("requires-python", "")),
        "requires": _lines(path, project, "dependencies"),
        "about": str(project.get("description") or poetry.get("description", "")),
        "dynamic": _lines(path, project, "dynamic"),
    }


def _section(path: Path, data: Mapping[str, Any], *names: str) -> Mapping[str, Any]:
    """A table of a pyproject.toml; empty where there is none."""
    found: Any = data
    for number, name in enumerate(names, 1):
        found = found.get(name, {})
        if not isinstance(found, Mapping):
            raise TljhError(f"[{'.'.join(names[:number])}] should be a table, not {found!r}", whose=str(path))
    return dict(found)


def _lines(path: Path, project: Mapping[str, Any], name: str) -> tuple[str, ...]:
    found = project.get(name, [])
    if not isinstance(found, list):
        raise TljhError(f"project.{name} should be a list, not {found!r}", whose=str(path))
    return tuple(map(str, found))


def _toml(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text()
        if sys.version_info >= (3, 11):
            import tomllib

            return tomllib.loads(text)
        import toml  # type: ignore[import-untyped,unused-ignore]

        return dict(toml.loads(text))
    except (OSError, ValueError, IndexError) as error:
        raise TljhError(f"it can't be read: {error}", whose=str(path)) from error


def _setup_cfg(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read(path)
    except configparser.Error as error:
        raise TljhError(f"it can't be read: {error}", whose=str(path)) from error

    def said(section: str, key: str) -> str:
        return parser.get(section, key, fallback="").strip()

    return {
        "name": said("metadata", "name"),
        "version": said("metadata", "version"),
        "about": said("metadata", "description"),
        "requires_python": said("options", "python_requires"),
        "requires": tuple(filter(None, map(str.strip, said("options", "install_requires").splitlines()))),
        "entry_points": _points(said("options.entry_points", GROUP).splitlines()),
    }


def _setup_py(path: Path) -> dict[str, Any]:
    """The literal arguments of ``setup()``."""
    if not path.is_file():
        return {}
    try:
        tree = ast.parse(path.read_text(), str(path))
    except (SyntaxError, UnicodeDecodeError) as error:
        raise TljhError(f"it can't be read: {error}", whose=str(path)) from error
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and _name(node.func) == "setup"]
    given: dict[str, Any] = {}
    for word in calls[0].keywords if calls else ():
        try:
            given[word.arg or ""] = ast.literal_eval(word.value)
        except ValueError:
            continue  # worked out while it runs; what is missing then is said as missing
    points = given.get("entry_points") or {}
    listed = points.get(GROUP, ()) if isinstance(points, dict) else ()
    requires = given.get("install_requires") or ()
    return {
        "name": str(given.get("name", "")),
        "version": str(given.get("version", "")),
        "about": str(given.get("description", "")),
        "requires_python": str(given.get("python_requires", "")),
        "requires": (requires,) if isinstance(requires, str) else tuple(map(str, requires)),
        "entry_points": _points([listed] if isinstance(listed, str) else list(listed)),
    }


def _name(node: ast.AST) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


def _points(lines: list[str]) -> dict[str, str]:
    """``name = module`` lines."""
    pairs = (line.partition("=") for line in lines if "=" in line)
    return {name.strip(): value.strip() for name, _, value in pairs}


def _wheel(path: Path, unpack: Path) -> Project:
    try:
        with zipfile.ZipFile(path) as archive:
            archive.extractall(unpack)
    except (OSError, zipfile.BadZipFile) as error:
        raise TljhError(f"it can't be read: {error}", whose=str(path)) from error
    infos = sorted(unpack.glob("*.dist-info"))
    if not infos or not (infos[0] / "METADATA").is_file():
        raise TljhError("it has no metadata, so it is no wheel", whose=str(path))
    headers = Parser().parsestr((infos[0] / "METADATA").read_text())
    points = infos[0] / "entry_points.txt"
    parser = configparser.ConfigParser(delimiters=("=",), interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(points.read_text() if points.is_file() else "")
    return Project(
        name=headers.get("Name", ""),
        version=headers.get("Version", ""),
        folders=(unpack,),
        entry_points=dict(parser[GROUP]) if parser.has_section(GROUP) else {},
        requires_python=headers.get("Requires-Python", ""),
        requires=tuple(headers.get_all("Requires-Dist") or ()),
        about=headers.get("Summary", ""),
    )
