"""Fetches packages of a Debian release and reads them; the host may be of another release.

apt is used with sources and states of its own, so that neither the host's releases nor its pins count; its proxies
do. The mirror is Debian's own, as for the machines' base (``debian.py``). Nothing is installed.
"""

from __future__ import annotations

import io
import re
import subprocess
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from conda_package import File

SUITE = "bookworm"
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
MIRROR = "http://deb.debian.org"
SOURCES = f"""\
deb [signed-by={KEYRING}] {MIRROR}/debian {SUITE} main
deb [signed-by={KEYRING}] {MIRROR}/debian {SUITE}-updates main
deb [signed-by={KEYRING}] {MIRROR}/debian-security {SUITE}-security main
"""


@dataclass(frozen=True)
class Deb:
    """What a Debian package holds, by paths without a leading slash.

    Args:
        version: Without epoch and Debian's revision, so that it is one for conda too.
    """

    version: str
    files: Mapping[str, File]
    links: Mapping[str, str]


def fetch(names: Sequence[str]) -> dict[str, Deb]:
    """The newest of these packages, by name.

    Raises:
        subprocess.CalledProcessError: apt or dpkg failed; their own words are on standard error.
    """
    with tempfile.TemporaryDirectory(prefix="channel-debs-") as place:
        folder = Path(place)
        options = _apt_options(folder)
        subprocess.run(["apt-get", "-qq", *options, "update"], check=True)
        subprocess.run(["apt-get", "-qq", *options, "download", *names], cwd=folder, check=True)
        return {path.name.partition("_")[0]: _read(path) for path in sorted(folder.glob("*.deb"))}


def _apt_options(folder: Path) -> list[str]:
    """Options that keep all of apt's files in ``folder``."""
    for name in ("lists/partial", "cache/archives/partial"):
        (folder / name).mkdir(parents=True)
    (folder / "status").touch()
    (folder / "sources.list").write_text(SOURCES)
    settings = {
        "Dir::Etc::SourceList": folder / "sources.list",
        "Dir::Etc::SourceParts": "/dev/null",
        "Dir::Etc::PreferencesParts": "/dev/null",
        "Dir::Etc::Preferences": "/dev/null",
        "Dir::State::Lists": folder / "lists",
        "Dir::State::Status": folder / "status",
        "Dir::Cache": folder / "cache",
        "APT::Sandbox::User": "root",  # apt's own account may not write into our folder
        "APT::Update::Post-Invoke": "",
        "Acquire::Languages": "none",
        "Acquire::Retries": "3",
    }
    return [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]


def _read(path: Path) -> Deb:
    full = subprocess.run(["dpkg-deb", "--field", path, "Version"], capture_output=True, text=True, check=True)
    unpacked = subprocess.run(["dpkg-deb", "--fsys-tarfile", path], capture_output=True, check=True).stdout
    files: dict[str, File] = {}
    links: dict[str, str] = {}
    with tarfile.open(fileobj=io.BytesIO(unpacked)) as archive:
        for member in archive:
            name = member.name.removeprefix("./")
            if member.issym():
                links[name] = member.linkname
            elif member.isfile() or member.islnk():
                content = archive.extractfile(member)
                assert content
                files[name] = File(content.read(), 0o755 if member.mode & 0o111 else 0o644)
    return Deb(_upstream(full.stdout.strip()), files, links)


def _upstream(version: str) -> str:
    """``1.2.13`` of ``1:1.2.13.dfsg-1``."""
    return re.sub(r"^\d+:|(\.dfsg)?[-+~].*$", "", version)
