"""Plugins as packages, made from a text of Python: a wheel, a project's folder, or an index that serves wheels.

A wheel is a zip of known form (https://packaging.python.org/en/latest/specifications/binary-distribution-format/),
so making one takes no build tool and no time.
"""

from __future__ import annotations

import io
import subprocess
import textwrap
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from machine import Machine

FOLDER = "/srv/plugins"


@dataclass(frozen=True)
class Package:
    """One version of a package with one module.

    Attributes:
        code: The module; common indentation is taken away.
        entry: The value of its entry point in the group ``tljh``; the module itself when empty, none for ``"-"``.
        plugin: The name of that entry point; the package's without ``tljh-`` when empty.
    """

    name: str
    code: str = ""
    version: str = "1.0"
    requires: Sequence[str] = ()
    entry: str = ""
    plugin: str = ""

    @property
    def module(self) -> str:
        return self.name.replace("-", "_")

    @property
    def _plugin(self) -> str:
        return self.plugin or self.name.removeprefix("tljh-")

    @property
    def _value(self) -> str:
        return self.entry or self.module

    @property
    def file_name(self) -> str:
        return f"{self.module}-{self.version}-py3-none-any.whl"

    def wheel(self, machine: Machine, folder: str = FOLDER) -> str:
        """Put its wheel into ``folder`` of the machine; returns the path."""
        info = f"{self.module}-{self.version}.dist-info"
        requires = "".join(f"Requires-Dist: {line}\n" for line in self.requires)
        files = {
            f"{self.module}.py": textwrap.dedent(self.code),
            f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {self.name}\nVersion: {self.version}\n{requires}",
            f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
            f"{info}/entry_points.txt": f"[tljh]\n{self._plugin} = {self._value}\n" if self.entry != "-" else "",
        }
        files[f"{info}/RECORD"] = "".join(f"{name},,\n" for name in [*files, f"{info}/RECORD"])
        made = io.BytesIO()
        with zipfile.ZipFile(made, "w") as archive:
            for name, text in files.items():
                archive.writestr(name, text)
        path = f"{folder}/{self.file_name}"
        here = machine.root / path.lstrip("/")
        here.parent.mkdir(parents=True, exist_ok=True)
        here.write_bytes(made.getvalue())
        return path

    def project(self, machine: Machine, folder: str = FOLDER) -> str:
        """Put it into ``folder`` of the machine as a project that is yet to be built; returns its path."""
        path = f"{folder}/{self.name}"
        listed = ", ".join(f'"{line}"' for line in self.requires)
        machine.write(
            f"{path}/pyproject.toml",
            '[build-system]\nrequires = ["setuptools>=68"]\nbuild-backend = "setuptools.build_meta"\n'
            f'[project]\nname = "{self.name}"\nversion = "{self.version}"\ndependencies = [{listed}]\n'
            f'[project.entry-points.tljh]\n{self._plugin} = "{self._value}"\n'
            f'[tool.setuptools]\npy-modules = ["{self.module}"]\n',
        )
        machine.write(f"{path}/{self.module}.py", textwrap.dedent(self.code))
        return path


def serve(machine: Machine, folder: str, port: int) -> subprocess.Popen[str]:
    """Let a folder of the machine be served on its loopback; its log goes nowhere: nobody would read it."""
    return machine.popen(
        "sh", "-c", f"exec python3 -m http.server {port} -d {folder} -b 127.0.0.1 >/dev/null 2>&1"
    )


def index(machine: Machine, packages: Iterable[Package], folder: str = "/srv/index") -> str:
    """A folder in the form of a package index (PEP 503), to be served by any web server; returns its path."""
    names: dict[str, list[str]] = {}
    for package in packages:
        package.wheel(machine, f"{folder}/simple/{package.name}")
        names.setdefault(package.name, []).append(package.file_name)
    for name, files in names.items():
        links = "".join(f'<a href="{file}">{file}</a>\n' for file in files)
        machine.write(f"{folder}/simple/{name}/index.html", f"<!doctype html><body>\n{links}</body>\n")
    return folder
