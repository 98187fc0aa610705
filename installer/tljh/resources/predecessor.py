"""An installation of The Littlest JupyterHub that another installer has made: what it holds. Only read, never run.

Its hub environment is a folder where ours is a link. What is in it is found by the metadata of its distributions,
so that it need not work any more: an upgrade of the system may have taken its Python away.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import Distribution, EntryPoint, distributions
from pathlib import Path
from typing import Any

from tljh.engine.machine import Machine
from tljh.engine.parsers import canonical_name
from tljh.paths import Paths
from tljh.resources.locks.lock import RECORD

PROJECT = "the-littlest-jupyterhub"
GROUP = "tljh"
_NAME = re.compile(r"[A-Za-z0-9][\w.-]*")
_CLASS = re.compile(r"\s*(?:type|\S+_class):\s*[\"']?([\w.]+)")


@dataclass(frozen=True)
class Predecessor:
    """The hub environment of another installer.

    Attributes:
        hub: Its folder.
        config: The folder of config.yaml.
    """

    hub: Path
    config: Path

    @cached_property
    def distributions(self) -> dict[str, Distribution]:
        """What its hub environment holds, by canonical name."""
        sites = [str(path) for path in sorted(self.hub.glob("lib/python3*/site-packages"))]
        found: dict[str, Distribution] = {}
        for one in distributions(path=sites):
            name = one.metadata["Name"]
            if name:
                found.setdefault(canonical_name(name), one)
        return found

    @property
    def versions(self) -> dict[str, str]:
        """Canonical name → version."""
        return {name: one.version for name, one in self.distributions.items()}

    @property
    def version(self) -> str:
        """Of TLJH."""
        return self.versions.get(PROJECT, "")

    @property
    def plugins(self) -> dict[str, Distribution]:
        """The distributions that are plugins of TLJH, by canonical name."""
        return {name: one for name, one in self.distributions.items() if name != PROJECT and points_of(one)}

    def named_in_settings(self, known: Iterable[str]) -> dict[str, Distribution]:
        """The distributions that config.yaml or a file of jupyterhub_config.d speaks of, such as an authenticator.

        Args:
            known: Canonical names of what every hub environment of ours holds, and of the plugins.
        """
        words = self._words()
        skipped = {PROJECT, *map(canonical_name, known)}
        return {
            name: one
            for name, one in sorted(self.distributions.items())
            if name not in skipped and words & _modules(one)
        }

    def _words(self) -> set[str]:
        """The first parts of all that may be the name of a module."""
        texts = [path.read_text(errors="replace") for path in sorted(self.config.glob("jupyterhub_config.d/*.py"))]
        found = {word for text in texts for word in _imported(text)}
        settings = self.config / "config.yaml"
        lines = settings.read_text(errors="replace").splitlines() if settings.exists() else []
        types = [match[1] for line in lines if (match := _CLASS.match(line))]
        return found | {name.partition(".")[0] for name in types if "." in name}


def points_of(one: Distribution) -> list[EntryPoint]:
    """The plugins in a distribution."""
    return [point for point in one.entry_points if point.group == GROUP]


def find(machine: Machine, paths: Paths) -> Predecessor | None:
    """The installation of TLJH that is here and not ours; ``None`` where there is none, or it was taken over."""
    status = machine.status(paths.hub)
    if status is None or status.kind != "directory" or machine.status(paths.hub / RECORD):
        return None
    found = Predecessor(machine.at(paths.hub), machine.at(paths.config))
    return found if PROJECT in found.distributions else None


def _imported(text: str) -> set[str]:
    """The top-level modules that a file imports or names as a string (``"module.Class"``)."""
    try:
        tree = ast.parse(text)
    except SyntaxError:
        return set()
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {name.name.partition(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.partition(".")[0])
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            match = re.fullmatch(r"([A-Za-z_]\w*)(\.\w+)+", node.value)
            found |= {match[1]} if match else set()
    return found


def _modules(one: Distribution) -> set[str]:
    """The top-level modules of a distribution."""
    tops = {path.parts[0] for path in one.files or () if path.suffix == ".py" and ".." not in path.parts}
    return {name.removesuffix(".py") for name in tops}


# ---- as something that can be asked for


def spec_of(one: Distribution) -> str:
    """How pip was asked for it: a name, a repository, a URL or a path; a path need not be there any more."""
    name = canonical_name(one.metadata["Name"])
    said: Mapping[str, Any] = json.loads(one.read_text("direct_url.json") or "{}")
    url = str(said.get("url") or "")
    if "vcs_info" in said:
        revision = said["vcs_info"].get("requested_revision")
        return f"{name} @ {said['vcs_info']['vcs']}+{url}" + (f"@{revision}" if revision else "")
    if url.startswith("file://"):
        from urllib.parse import unquote, urlsplit

        return unquote(urlsplit(url).path)
    return f"{name} @ {url}" if url else name


def as_wheel(one: Distribution, folder: Path) -> Path:
    """A wheel of an installed distribution whose source is gone, made of its files; nothing of it is compiled.

    Source: PyPA's "Binary distribution format"; the installer's own files are left out.
    """
    import zipfile

    name = re.sub(r"[-_.]+", "_", one.metadata["Name"]).lower()
    skipped = ("INSTALLER", "REQUESTED", "direct_url.json", "RECORD")
    files = [path for path in one.files or () if not _is_elsewhere(path.parts) and path.name not in skipped]
    tags = re.findall(r"^Tag: *(\S+)", one.read_text("WHEEL") or "", re.M)
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{name}-{one.version}-{tags[0] if tags else 'py3-none-any'}.whl"
    listed = []
    with zipfile.ZipFile(target, "w") as archive:
        for path in files:
            archive.write(str(one.locate_file(path)), str(path))
            listed.append(f"{path},,\n")
        info = next(path.parts[0] for path in files if path.parts[0].endswith(".dist-info"))
        archive.writestr(f"{info}/RECORD", "".join([*listed, f"{info}/RECORD,,\n"]))
    return target


def _is_elsewhere(parts: Sequence[str]) -> bool:
    """A script beside site-packages, which installing makes anew; byte code."""
    return ".." in parts or "__pycache__" in parts


def wanted_for_itself(there: Sequence[Distribution]) -> set[str]:
    """Canonical names of the distributions that somebody asked pip for, which it notes in a file (PEP 376).

    Where an old pip noted nothing: those that no other one asks for.
    """
    noted = {canonical_name(one.metadata["Name"]) for one in there if one.read_text("REQUESTED") is not None}
    if noted:
        return noted
    names: set[str] = set()
    needed: set[str] = set()
    for one in there:
        mine = canonical_name(one.metadata["Name"] or "")
        names.add(mine)
        lines = [line for line in one.requires or () if "extra ==" not in line.partition(";")[2]]
        needed |= {canonical_name(match[0]) for line in lines if (match := _NAME.match(line))} - {mine}
    return names - needed
