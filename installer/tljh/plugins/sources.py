"""Where plugins come from: packages that are installed, files in ``plugins.d``, and what one run imports.

Nothing is imported here; ``loading.py`` does that. Plugins that are switched off are found too, and marked.
"""

from __future__ import annotations

import hashlib
import importlib
import os
import re
import sys
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib import metadata, util
from importlib.machinery import SourceFileLoader
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tljh import hooks
from tljh.engine.parsers import canonical_name
from tljh.engine.resource import CORE
from tljh.paths import Paths

OFF_VARIABLE = "TLJH_PLUGINS_OFF"
"""Names of plugins that a process does not load, separated by colons. Without it the installed list holds."""
IMPORT_VARIABLE = "TLJH_IMPORT_PLUGINS"
"""Files and modules that are plugins in one run only, separated by colons."""

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

Kind = Literal["package", "file", "import"]

_HEAD = 4096  # bytes of a METADATA file in which name and version stand; what follows may be a whole book
_NAME_AND_VERSION = re.compile(r"^(Name|Version): *(.+?) *$", re.MULTILINE)


@dataclass(frozen=True)
class PluginSource:
    """One plugin, not loaded yet.

    Attributes:
        value: The module, or ``module:object``, or the path of a file.
        version: Of the package; of a file the beginning of its content's digest.
        kind: ``package`` (an entry point), ``file`` (in plugins.d) or ``import`` (of this run only).
        path: The file or module of the latter two.
        off: Known, but not to be loaded.
    """

    name: str
    value: str
    distribution: str
    version: str
    load: Callable[[], object]
    kind: Kind = "package"
    path: str = ""
    off: bool = False

    @property
    def label(self) -> str:
        """What a message calls it: its name, and the version of the package that brings it, or its file."""
        if self.path:
            return f"plugin {self.name} ({self.path})"
        package = "" if canonical_name(self.distribution) == canonical_name(self.name) else f"{self.distribution} "
        return f"plugin {self.name} ({package}{self.version})"

    def called(self, names: Collection[str]) -> bool:
        """Whether one of ``names`` (canonical ones) is its name or that of its package."""
        return canonical_name(self.name) in names or canonical_name(self.distribution or self.name) in names


def name_fault(name: str) -> str:
    """Why a plugin can't be called ``name``, which lists hold with commas or colons; empty where it can."""
    if name == CORE:
        return f"{CORE} is who asks for what no plugin asks for"
    if not name.isprintable() or any(sign in name for sign in ":,") or name.startswith("-"):
        return "a plugin's name has no colon, comma or line break, and does not begin with '-'"
    return ""


def find_sources() -> list[PluginSource]:
    """The plugins of this interpreter's environment, of ``plugins.d`` and of this run, by name."""
    paths = Paths.from_environment()
    found = [*packages(), *files(paths.plugins_d), *imports(_listed(IMPORT_VARIABLE))]
    off = {canonical_name(name) for name in switched_off(paths)}
    marked = [replace(source, off=True) if source.called(off) else source for source in found]
    return sorted(marked, key=lambda source: (source.name, source.distribution, source.path))


def packages() -> list[PluginSource]:
    """Entry points of the group ``tljh``."""
    found = []
    known: dict[int, tuple[str, str]] = {}
    for entry in metadata.entry_points(group=hooks.PROJECT):
        name, version = known.setdefault(id(entry.dist), _name_and_version(entry.dist))
        found.append(PluginSource(entry.name, entry.value, name, version, partial(_load_entry, entry)))
    return found


def _load_entry(entry: metadata.EntryPoint) -> object:
    if entry.pattern.match(entry.value) is None:
        raise ValueError(f"its entry point is {entry.value!r}, and should be a module, or module:object")
    return entry.load()


def files(folder: Path) -> list[PluginSource]:
    """Each Python file of a folder, but for those whose names begin with a dot or an underscore."""
    try:
        there = sorted(folder.glob("[!._]*.py"))
    except OSError:  # no right to look into it: whoever needs it is root
        return []
    return [_file(path, "file") for path in there]


def imports(specs: Iterable[str]) -> list[PluginSource]:
    """What ``--import-plugin`` named: files and modules."""
    return [_file(Path(spec), "import") if "/" in spec else _module(spec) for spec in specs]


def switched_off(paths: Paths) -> Sequence[str]:
    """The names of plugins that this process is not to load."""
    if OFF_VARIABLE in os.environ:
        return _listed(OFF_VARIABLE)
    try:
        lines = paths.plugins_disabled.read_text().splitlines()
    except OSError:
        return ()
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


def variables(off: Iterable[str], imported: Iterable[str]) -> dict[str, str]:
    """The environment of a process that is to load plugins in an installer's behalf."""
    return {OFF_VARIABLE: ":".join(off), IMPORT_VARIABLE: ":".join(imported)}


def _listed(variable: str) -> list[str]:
    return [part for part in os.environ.get(variable, "").split(":") if part]


def _name_and_version(distribution: metadata.Distribution | None) -> tuple[str, str]:
    """Of a distribution, without parsing all its metadata, which takes longer than everything else here."""
    if distribution is None:
        return "", ""
    read = getattr(distribution, "read_text", None)
    text = (read("METADATA") if read else None) or ""
    said = dict(_NAME_AND_VERSION.findall(text[:_HEAD].partition("\n\n")[0]))
    if len(said) == 2:
        return said["Name"], said["Version"]
    return distribution.name, distribution.version


def _file(path: Path, kind: Kind) -> PluginSource:
    try:
        version = hashlib.sha256(path.read_bytes()).hexdigest()[:8]
    except OSError:  # loading it will say why
        version = ""
    return PluginSource(path.stem, str(path), "", version, partial(_load_file, path), kind, str(path))


class _NoByteCode(SourceFileLoader):
    """Leaves no ``__pycache__`` beside a file of the admin's."""

    def set_data(self, path: str, data: ReadableBuffer, *, _mode: int = 0o666) -> None:
        """Write nothing."""


def _load_file(path: Path) -> object:
    name = f"tljh_file_{re.sub(r'[^0-9A-Za-z_]', '_', path.stem)}"
    spec = util.spec_from_file_location(name, path, loader=_NoByteCode(name, str(path)))
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no Python file")
    module = util.module_from_spec(spec)
    sys.modules[name] = module  # annotations of its classes are looked up there
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _module(spec: str) -> PluginSource:
    return PluginSource(spec.partition(":")[0], spec, "", "", partial(_load_module, spec), "import", spec)


def _load_module(spec: str) -> object:
    name, _, attributes = spec.partition(":")
    found: object = importlib.import_module(name)
    for attribute in filter(None, attributes.split(".")):
        found = getattr(found, attribute)
    return found
