"""Makes a conda package of a wheel, as conda-forge's build would: files, programs, dependencies, ``RECORD``.

The wheel's format: https://packaging.python.org/en/latest/specifications/binary-distribution-format/
Extras don't exist in conda: what is required with an extra anywhere gets the extra's requirements for everybody.
"""

from __future__ import annotations

import base64
import configparser
import csv
import email.parser
import hashlib
import io
import re
import zipfile
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from email.message import Message
from pathlib import Path

from channel_python import MINOR, SITE_PACKAGES, TAG
from conda_package import MACHINE, PLACEHOLDER, CondaPackage
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

# the environment that markers in wheels are about
MARKERS = {
    "implementation_name": "cpython",
    "os_name": "posix",
    "platform_machine": MACHINE,
    "platform_python_implementation": "CPython",
    "platform_system": "Linux",
    "python_full_version": f"{MINOR}.2",
    "python_version": MINOR,
    "sys_platform": "linux",
}
# names that are different on conda-forge, as far as they are in JupyterLab's closure
CONDA_NAMES = {
    "fastjsonschema": "python-fastjsonschema",
    "ipython-pygments-lexers": "ipython_pygments_lexers",
    "jupyter-client": "jupyter_client",
    "jupyter-core": "jupyter_core",
    "jupyter-events": "jupyter_events",
    "jupyter-server": "jupyter_server",
    "jupyter-server-terminals": "jupyter_server_terminals",
    "jupyterlab-pygments": "jupyterlab_pygments",
    "jupyterlab-server": "jupyterlab_server",
    "jupyterlab-widgets": "jupyterlab_widgets",
    "prometheus-client": "prometheus_client",
    "pure-eval": "pure_eval",
    "stack-data": "stack_data",
    "typing-extensions": "typing_extensions",
    "tzdata": "python-tzdata",  # conda-forge's tzdata is the time zones without Python
}
MORE_DEPENDS = {"pip": ("setuptools", "wheel")}
# not taken over: they say who installed the wheel, or that it is signed as it was
LEFT_OUT = ("RECORD", "RECORD.jws", "RECORD.p7s", "INSTALLER", "REQUESTED")
_PROGRAM = """\
#!{placeholder}/bin/python
import sys
from {module} import {first}
if __name__ == "__main__":
    sys.exit({function}())
"""


def conda_name(name: str) -> str:
    """The name on conda-forge of a package of PyPI."""
    plain = canonicalize_name(name)
    return CONDA_NAMES.get(plain, plain)


def wanted_extras(wheels: Iterable[Path]) -> Mapping[str, Collection[str]]:
    """Which extras of a package (by its canonical name) any of these wheels requires."""
    extras: dict[str, set[str]] = defaultdict(set)
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as archive:
            metadata = _metadata(archive, _dist_info(archive))
        for line in metadata.get_all("Requires-Dist") or []:
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate({**MARKERS, "extra": ""}):
                extras[canonicalize_name(requirement.name)] |= requirement.extras
    return extras


def convert(wheel: Path, extras: Collection[str] = ()) -> CondaPackage:
    """The conda package of a wheel.

    Args:
        extras: Those whose requirements become the package's own.
    """
    with zipfile.ZipFile(wheel) as archive:
        info = _dist_info(archive)
        metadata = _metadata(archive, info)
        programs = dict(_programs(archive, info))
        pure = wheel.stem.endswith("-any")
        package = _described(metadata, extras, programs if pure else {}, None if pure else wheel.stem)
        where = _Places("site-packages", "python-scripts") if pure else _Places(SITE_PACKAGES, "bin")
        recorded = list(_add_files(package, archive, info, where))
    for name, function in programs.items():
        if not pure:
            _add_program(package, name, function)
        recorded.append((f"../../../bin/{name}", "", ""))
    for name, text in (("INSTALLER", "conda\n"), ("REQUESTED", "")):
        package.add(f"{where.packages}/{info}/{name}", text.encode())
        recorded.append((f"{info}/{name}", "", ""))
    recorded.append((f"{info}/RECORD", "", ""))
    record = io.StringIO()
    csv.writer(record, lineterminator="\n").writerows(recorded)
    package.add(f"{where.packages}/{info}/RECORD", record.getvalue().encode())
    return package


# ---- what it is


def _described(
    metadata: Message, extras: Collection[str], programs: Mapping[str, str], platform: str | None
) -> CondaPackage:
    """The package without its files; ``platform`` is the name of a wheel that is not for any platform."""
    name = conda_name(metadata["Name"])
    depends = [*_depends(metadata, extras), *MORE_DEPENDS.get(name, ())]
    if platform:
        lower, upper = MINOR, f"3.{int(MINOR.partition('.')[2]) + 1}"
        depends = [line for line in depends if line.split()[0] != "python"]
        depends += [f"__glibc >={_glibc(platform)}", f"python >={lower},<{upper}.0a0"]
        depends.append(f"python_abi {MINOR}.* *_{TAG}")
    words = metadata["License-Expression"] or (metadata["License"] or "").partition("\n")[0]
    return CondaPackage(
        name,
        metadata["Version"],
        f"py{MINOR.replace('.', '')}h0000000_0" if platform else "pyh0000000_0",
        noarch=None if platform else "python",
        depends=sorted(depends),
        license=str(words)[:60] or "unknown",
        summary=str(metadata["Summary"] or ""),
        entry_points=[f"{program} = {function}" for program, function in programs.items()],
    )


def _depends(metadata: Message, extras: Collection[str]) -> set[str]:
    python = metadata["Requires-Python"]
    depends = {f"python {conda_version(SpecifierSet(python))}" if python else "python"}
    for line in metadata.get_all("Requires-Dist") or []:
        requirement = Requirement(line)
        marker = requirement.marker
        if marker is None or any(marker.evaluate({**MARKERS, "extra": extra}) for extra in ("", *extras)):
            depends.add(f"{conda_name(requirement.name)} {conda_version(requirement.specifier)}".strip())
    return depends


def conda_version(specifiers: SpecifierSet) -> str:
    """``>=1.2,!=1.3.*,1.*`` of ``>=1.2,!=1.3.*,==1.*``."""
    parts = []
    for specifier in sorted(specifiers, key=str):
        operator, version = specifier.operator, specifier.version
        if operator in ("==", "===") and version.endswith(".*"):
            parts.append(version)
        else:
            number = version if operator == "!=" else version.removesuffix(".*")
            parts.append(f"{operator.replace('===', '==')}{number}")
    return ",".join(parts)


def _glibc(wheel: str) -> str:
    """The lowest glibc that a wheel takes, by the platforms in its name (PEP 600)."""
    older = {"manylinux2014": (2, 17), "manylinux2010": (2, 12), "manylinux1": (2, 5)}
    named = [version for name, version in older.items() if name in wheel]
    named += [(int(major), int(minor)) for major, minor in re.findall(r"manylinux_(\d+)_(\d+)", wheel)]
    return ".".join(map(str, min(named, default=(2, 17))))


def _dist_info(archive: zipfile.ZipFile) -> str:
    (found,) = (name for name in archive.namelist() if re.fullmatch(r"[^/]+\.dist-info/METADATA", name))
    return found.partition("/")[0]


def _metadata(archive: zipfile.ZipFile, info: str) -> Message:
    text = archive.read(f"{info}/METADATA").decode()
    return email.parser.HeaderParser().parsestr(text)


def _programs(archive: zipfile.ZipFile, info: str) -> Iterator[tuple[str, str]]:
    """The wheel's programs and their functions."""
    if f"{info}/entry_points.txt" not in archive.namelist():
        return
    parser = configparser.ConfigParser(delimiters=("=",), interpolation=None)
    parser.optionxform = str  # type: ignore[method-assign,assignment]
    parser.read_string(archive.read(f"{info}/entry_points.txt").decode())
    for section in ("console_scripts", "gui_scripts"):
        if parser.has_section(section):
            for name, function in parser.items(section):
                yield name, function.partition("[")[0].strip()


# ---- its files


@dataclass(frozen=True)
class _Places:
    packages: str
    programs: str


def _add_files(
    package: CondaPackage, archive: zipfile.ZipFile, info: str, where: _Places
) -> Iterator[tuple[str, str, int | str]]:
    """Put the wheel's files where they belong; yields the lines of RECORD."""
    data_folder = info.removesuffix(".dist-info") + ".data/"
    for member in archive.infolist():
        name = member.filename
        if member.is_dir() or name in {f"{info}/{left_out}" for left_out in LEFT_OUT}:
            continue
        data = archive.read(member)
        mode = 0o755 if (member.external_attr >> 16) & 0o111 else 0o644
        placeholder = None
        target, recorded = f"{where.packages}/{name}", name
        if name.startswith(data_folder):
            kind, _, rest = name.removeprefix(data_folder).partition("/")
            target, recorded = _place(kind, rest, package.name, where)
            if kind == "scripts":
                mode = 0o755
                if data.startswith(b"#!python"):
                    data = f"#!{PLACEHOLDER}/bin/python\n".encode() + data.partition(b"\n")[2]
                    placeholder = "text"
        package.add(target, data, mode, placeholder)
        if placeholder:  # its hash is only known when it is linked
            yield recorded, "", ""
        else:
            digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
            yield recorded, f"sha256={digest}", len(data)


def _place(kind: str, rest: str, name: str, where: _Places) -> tuple[str, str]:
    """Where a file of a wheel's data folder goes, and what RECORD calls it."""
    if kind in ("purelib", "platlib"):
        return f"{where.packages}/{rest}", rest
    if kind == "scripts":
        return f"{where.programs}/{rest}", f"../../../bin/{rest}"
    target = f"include/python{MINOR}/{name}/{rest}" if kind == "headers" else rest
    return target, f"../../../{target}"


def _add_program(package: CondaPackage, name: str, function: str) -> None:
    """A program that a package for any platform gets when it is linked."""
    module, _, attribute = function.partition(":")
    text = _PROGRAM.format(
        placeholder=PLACEHOLDER, module=module.strip(), first=attribute.partition(".")[0], function=attribute
    )
    package.add(f"bin/{name}", text.encode(), 0o755, "text")
