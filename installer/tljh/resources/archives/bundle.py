"""An offline bundle: one file that holds all that a machine without a network is installed from.

A tar archive (POSIX.1-2001 "pax") in zstd (RFC 8878). Its first file is ``manifest.json``, the others are sorted:

- ``bootstrap.py``; ``uv/…whl``; ``wheels/*.whl``: this project, the plugins and all that they and the users need
- ``conda/<subdir>/*.conda``: the user environments' conda packages
- ``apt/*.deb`` and their index ``apt/Packages``
- ``lock/conda-lock.yml`` and ``lock/requirements-hub.lock``

``bootstrap.py`` reads bundles without this module: what is written here and what is read there must agree.
"""

from __future__ import annotations

import io
import json
import os
import tarfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

from tljh.engine.files import put_in_place
from tljh.engine.machine import Machine
from tljh.errors import TljhError
from tljh.paths import Paths
from tljh.resources.environments.integrity import digest_of

FORMAT = 1
MANIFEST = "manifest.json"
NO_INDEX = "file:///var/empty"
"""An index without packages; ``UV_NO_INDEX`` does not exist."""
LEVEL = 3  # what is in a bundle is compressed already


@dataclass(frozen=True)
class Kept:
    """The unpacked bundle that this machine was installed from: it stays for repairs.

    Attributes:
        folder: Such as ``/opt/tljh/state/bundle``.
    """

    folder: Path

    @property
    def wheels(self) -> Path:
        return self.folder / "wheels"

    @property
    def archives(self) -> Path:
        """conda packages, ``<subdir>/<file name>``."""
        return self.folder / "conda"

    @property
    def packages(self) -> Path:
        """apt packages and their index."""
        return self.folder / "apt"

    @property
    def variables(self) -> dict[str, str]:
        """What makes uv take packages from the bundle alone."""
        nothing = dict.fromkeys(("UV_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL"), "")
        return {
            **nothing,
            "UV_OFFLINE": "1",
            "UV_DEFAULT_INDEX": NO_INDEX,
            "UV_FIND_LINKS": str(self.wheels),
        }


def kept(paths: Paths) -> Kept | None:
    """The bundle that this machine was installed from, if it was."""
    folder = paths.state / "bundle"
    return Kept(folder) if (folder / MANIFEST).exists() else None


@dataclass(frozen=True)
class Entry:
    """One file of a bundle.

    Attributes:
        sha256: Hexadecimal.
        size: In bytes.
    """

    sha256: str
    size: int


@dataclass(frozen=True)
class Manifest:
    """What a bundle says of itself.

    Attributes:
        version: This project's.
        system: ``ID`` and ``VERSION_ID`` of /etc/os-release: ``debian 12``.
        machine: The processor, as ``uname -m`` says it.
        python: Of the hub environment: ``3.11``.
        project: The path of this project's wheel in the bundle.
        plugins: What is given to ``--plugin``: requirements, or paths of wheels in the bundle.
        files: Path in the bundle → its entry.
    """

    version: str
    system: str
    machine: str
    python: str
    project: str
    plugins: Sequence[str]
    files: Mapping[str, Entry]

    @property
    def size(self) -> int:
        """Bytes of all files together."""
        return sum(entry.size for entry in self.files.values())

    def as_text(self) -> str:
        """As it stands in a bundle."""
        said = {"format": FORMAT, **asdict(self), "files": {name: asdict(e) for name, e in self.files.items()}}
        return json.dumps(said, indent=1) + "\n"

    @classmethod
    def of_text(cls, text: str, whose: str) -> Manifest:
        """Read one.

        Raises:
            TljhError: it is none, or of another format.
        """
        try:
            said: dict[str, Any] = json.loads(text)
            found = said.pop("format")
            if found == FORMAT:
                files = {name: Entry(**entry) for name, entry in said.pop("files").items()}
                return cls(**said, files=files)
            what = f"it has format {found}, and {FORMAT} is known here"
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            what = f"{type(error).__name__}: {error}"
        raise TljhError(f"the manifest cannot be used: {what}", whose=whose, todo="make the bundle anew")


# ---- writing


def entries(folder: Path, told: Callable[[int], None]) -> dict[str, Entry]:
    """The entry of every file below ``folder``, sorted by its path there.

    Args:
        told: Called with the bytes that were read since it was last called.
    """
    found = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        size = path.stat().st_size
        found[path.relative_to(folder).as_posix()] = Entry(digest_of(path), size)
        told(size)
    return found


def write(target: Path, folder: Path, manifest: Manifest, told: Callable[[int], None]) -> None:
    """Make a bundle of the files below ``folder``; it appears at ``target`` in one step.

    The same files and manifest always give the same bytes.

    Raises:
        OSError: it cannot be written; nothing stays of it.
    """
    import zstandard

    fresh = target.with_name(f".{target.name}.{os.getpid()}")
    compressor = zstandard.ZstdCompressor(level=LEVEL, write_checksum=True)
    try:
        with (
            fresh.open("wb") as file,
            compressor.stream_writer(file) as plain,
            tarfile.open(fileobj=plain, mode="w|", format=tarfile.PAX_FORMAT) as archive,
        ):
            text = manifest.as_text().encode()
            archive.addfile(_member(MANIFEST, len(text)), io.BytesIO(text))
            for name, entry in sorted(manifest.files.items()):
                with (folder / name).open("rb") as source:
                    archive.addfile(_member(name, entry.size), source)
                told(entry.size)
        put_in_place(fresh, target)
    finally:
        fresh.unlink(missing_ok=True)


def _member(name: str, size: int) -> tarfile.TarInfo:
    """A file of nobody's, from no time."""
    member = tarfile.TarInfo(name)
    member.size, member.mode = size, 0o644
    return member


# ---- reading


def manifest_of(path: Path) -> Manifest:
    """The manifest of a bundle, or of an unpacked one.

    Raises:
        TljhError: it is no bundle, or cannot be read.
    """
    whose = str(path)
    try:
        if path.is_dir():
            return Manifest.of_text((path / MANIFEST).read_text(), whose)
        with _opened(path) as archive:
            member = archive.next()
            content = archive.extractfile(member) if member and member.name == MANIFEST else None
            if content is None:
                raise tarfile.ReadError("its first file is no manifest")
            return Manifest.of_text(content.read().decode(), whose)
    except OSError as error:
        raise TljhError(f"it cannot be read: {error.strerror or error}", whose=whose) from error
    except (tarfile.TarError, EOFError, UnicodeDecodeError) as error:
        raise TljhError(
            f"it is no bundle: {error}", whose=whose, todo="name a file that `tljh bundle create` made"
        ) from error


@contextmanager
def _opened(path: Path) -> Iterator[tarfile.TarFile]:
    import zstandard

    file: BinaryIO
    try:
        with (
            path.open("rb") as file,
            zstandard.ZstdDecompressor().stream_reader(file) as plain,
            tarfile.open(fileobj=plain, mode="r|") as archive,
        ):
            yield archive
    except zstandard.ZstdError as error:
        raise tarfile.ReadError(str(error)) from error


def forget(machine: Machine, paths: Paths) -> bool:
    """Remove the kept bundle: packages come from the network again. Whether there was one."""
    found = kept(paths)
    if found:
        machine.remove(found.folder)
    return found is not None
