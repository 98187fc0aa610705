"""Writes conda packages (``.conda``), byte for byte the same each time.

The format: https://docs.conda.io/projects/conda/en/stable/dev-guide/package-spec.html, and for packages that are
for any version of Python https://docs.conda.io/projects/conda/en/stable/user-guide/concepts/packages.html
What goes into the packages of the test channel is decided in ``channel_python`` and ``conda_from_wheel``.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import platform
import tarfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

MACHINE = platform.machine()
SUBDIR = {"x86_64": "linux-64"}.get(MACHINE, f"linux-{MACHINE}")
# Where the files believe they are, until they are linked: as long as conda-build's, so that any prefix fits.
PLACEHOLDER = ("/opt/channel_build/_h_env" + "_placehold" * 40)[:255]
BUILT = 1_790_000_000  # the time in every package, seconds since 1970
SUFFIX = ".conda"


@dataclass(frozen=True)
class File:
    """One file of a package.

    Args:
        placeholder: ``text`` or ``binary`` when ``PLACEHOLDER`` in it is to be replaced by the prefix.
    """

    data: bytes
    mode: int = 0o644
    placeholder: str | None = None


@dataclass
class CondaPackage:
    """One package: its metadata, and its files by their paths below the prefix.

    Args:
        noarch: ``python``: files below ``site-packages/`` and ``python-scripts/`` go where the environment's
            Python has these; ``generic``: for any platform; ``None``: for ``subdir``.
        entry_points: ``name = module:function``, only with ``noarch="python"``: the programs are made when it
            is linked.
        more: Other keys of ``info/index.json``, which get into the channel's index.
    """

    name: str
    version: str
    build: str = "0"
    build_number: int = 0
    noarch: str | None = None
    depends: Iterable[str] = ()
    constrains: Iterable[str] = ()
    license: str = "unknown"
    summary: str = ""
    entry_points: Iterable[str] = ()
    more: Mapping[str, Any] = field(default_factory=dict)
    files: dict[str, File] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)

    @property
    def subdir(self) -> str:
        return "noarch" if self.noarch else SUBDIR

    @property
    def stem(self) -> str:
        return f"{self.name}-{self.version}-{self.build}"

    def add(self, path: str, data: bytes, mode: int = 0o644, placeholder: str | None = None) -> None:
        self.files[path] = File(data, mode, placeholder)

    def edit(self, path: str, data: bytes, placeholder: str | None = None) -> None:
        """Give a file other content; its mode stays.

        Raises:
            KeyError: the package has no such file.
        """
        self.files[path] = File(data, self.files[path].mode, placeholder)

    def link(self, path: str, target: str) -> None:
        self.links[path] = target

    def write(self, channel: Path, level: int = 3) -> Path:
        """Write it into a channel's folder; the index has to be written afterwards.

        Args:
            level: How hard zstd tries.
        """
        import zstandard  # slow to load, and tests that only serve a channel don't need it

        folder = channel / self.subdir
        folder.mkdir(parents=True, exist_ok=True)
        content = _tar([*self.files.items(), *self.links.items()])
        info = _tar(self._info().items())
        target = folder / f"{self.stem}{SUFFIX}"
        partial = target.with_name(f".{target.name}.partial")
        with zipfile.ZipFile(partial, "w", zipfile.ZIP_STORED) as archive:
            for name, data in (
                ("metadata.json", b'{"conda_pkg_format_version": 2}'),
                (f"pkg-{self.stem}.tar.zst", zstandard.compress(content, level)),
                (f"info-{self.stem}.tar.zst", zstandard.compress(info, level)),
            ):
                archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), data)
        partial.replace(target)
        return target

    # ---- its metadata

    def _info(self) -> dict[str, File]:
        paths = list(self._paths())
        about = {"license": self.license, "summary": self.summary or self.name}
        described: dict[str, Any] = {
            "index.json": self._index(),
            "paths.json": {"paths": paths, "paths_version": 1},
            "about.json": about,
        }
        if self.noarch == "python":
            noarch = {"type": "python", "entry_points": list(self.entry_points)}
            described["link.json"] = {"noarch": noarch, "package_metadata_version": 1}
        info = {
            f"info/{name}": File(json.dumps(value, indent=1, sort_keys=True).encode())
            for name, value in described.items()
        }
        info["info/files"] = File("".join(f"{path['_path']}\n" for path in paths).encode())
        return info

    def _index(self) -> dict[str, Any]:
        index = {
            "arch": None if self.noarch else MACHINE,
            "build": self.build,
            "build_number": self.build_number,
            "constrains": list(self.constrains),
            "depends": list(self.depends),
            "license": self.license,
            "name": self.name,
            "platform": None if self.noarch else "linux",
            "subdir": self.subdir,
            "timestamp": BUILT * 1000,  # milliseconds
            "version": self.version,
            **self.more,
        }
        return {**index, "noarch": self.noarch} if self.noarch else index

    def _paths(self) -> Iterator[dict[str, Any]]:
        for path in sorted([*self.files, *self.links]):
            known = self._content(path)
            entry: dict[str, Any] = {
                "_path": path,
                "path_type": "softlink" if path in self.links else "hardlink",
                "sha256": hashlib.sha256(known.data).hexdigest(),
                "size_in_bytes": len(known.data),
            }
            if path in self.files and known.placeholder:
                entry["file_mode"], entry["prefix_placeholder"] = known.placeholder, PLACEHOLDER
            yield entry

    def _content(self, path: str) -> File:
        """A file, or what a link leads to; a link out of the package counts as empty, as conda-build has it."""
        while path in self.links:
            path = os.path.normpath(Path(path).parent / self.links[path])
        return self.files.get(path, File(b""))


def small_package(
    name: str,
    version: str,
    depends: Iterable[str] = (),
    files: Mapping[str, str | bytes] | None = None,
    **metadata: Any,
) -> CondaPackage:
    """A package for tests that want one with certain properties.

    Args:
        files: Texts or bytes by their paths below the prefix, by default one that tells its version. A path that
            begins with ``site-packages/`` makes it a package for any version of Python.
        metadata: As for ``CondaPackage``.
    """
    if files is None:
        files = {f"share/{name}/version": f"{version}\n"}
    for_python = any(path.startswith(("site-packages/", "python-scripts/")) for path in files)
    metadata.setdefault("noarch", "python" if for_python else "generic")
    package = CondaPackage(name, version, depends=list(depends), **metadata)
    for path, content in files.items():
        program = path.startswith(("bin/", "python-scripts/"))
        data = content.encode() if isinstance(content, str) else content
        placeholder = "text" if PLACEHOLDER.encode() in data else None
        package.add(path, data, 0o755 if program else 0o644, placeholder)
    return package


def _tar(members: Iterable[tuple[str, File | str]]) -> bytes:
    """A tar archive of files and links, in the order of their paths."""
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for path, member in sorted(members, key=lambda pair: pair[0]):
            entry = tarfile.TarInfo(path)
            entry.mtime = BUILT
            if isinstance(member, str):
                entry.type, entry.linkname, entry.mode = tarfile.SYMTYPE, member, 0o777
                archive.addfile(entry)
            else:
                entry.size, entry.mode = len(member.data), member.mode
                archive.addfile(entry, io.BytesIO(member.data))
    return written.getvalue()
