"""Backups that are broken, of another version, or made to do harm: told apart before anything is used."""

from __future__ import annotations

import io
import json
import sqlite3
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from tljh.engine.schema import SCHEMA_VERSION
from tljh.errors import TljhError
from tljh.resources.archives import sealed
from tljh.stages.backups.backup import FORMAT, Manifest
from tljh.stages.backups.backup_file import BackupFile, Contents

MANIFEST = Manifest(
    "3.0", SCHEMA_VERSION, "hub1", 1.0, "debian 12", "x86_64", "3.11", "/opt/tljh", 1, 2, {"a": 3}, True
)
LOCK = {"requirements": [], "lock": ["numpy==2.0"], "packages": {}, "sources": {}}
PEOPLE = {"accounts": [], "groups": {}}
Row = tuple[str, bytes | tarfile.TarInfo]


def database() -> bytes:
    connection = sqlite3.connect(":memory:")
    connection.execute(f"pragma user_version = {SCHEMA_VERSION}")
    connection.execute("create table x (y)")
    return bytes(connection.serialize()) if hasattr(connection, "serialize") else b"SQLite"


def rows(**change: Any) -> list[Row]:
    """What a good backup holds; ``None`` leaves a text out."""
    said = {
        "manifest": json.loads(MANIFEST.as_text()),
        "accounts": PEOPLE,
        "passwords": {"ada": "$2b$x"},
        "locks": {"hub": LOCK, "user": LOCK},
        **change,
    }
    folder = tarfile.TarInfo("config")
    folder.type, folder.mode = tarfile.DIRTYPE, 0o700
    texts: list[Row] = [
        (f"{name}.json", json.dumps(value).encode()) for name, value in said.items() if value is not None
    ]
    return [*texts, ("store.sqlite", database()), ("config", folder), ("config/config.yaml", b"users: {}\n")]


def made(path: Path, members: Sequence[Row], *, end: int | None = None) -> BackupFile:
    with (
        sealed.writing(path, None) as file,
        tarfile.open(fileobj=file, mode="w|", format=tarfile.PAX_FORMAT, encoding="utf-8") as archive,
    ):
        for name, content in [*members, ("end.json", json.dumps({"members": end or len(members)}).encode())]:
            if isinstance(content, bytes):
                member = tarfile.TarInfo(name)
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
            else:
                archive.addfile(content)
    return BackupFile(path)


def unpack(file: BackupFile) -> Contents:
    folder = file.path.parent / "unpacked"
    folder.mkdir()
    return file.unpack(folder, lambda number: None)


def fault(file: BackupFile) -> str:
    with pytest.raises(TljhError) as caught:
        unpack(file)
    assert "nothing was changed" in str(caught.value)
    return str(caught.value)


def test_a_good_one(tmp_path: Path) -> None:
    found = unpack(made(tmp_path / "x", rows()))
    assert found.manifest == MANIFEST
    assert found.passwords == {"ada": b"$2b$x"}
    assert found.locks["user"] == LOCK
    assert (found.folder / "config" / "config.yaml").read_bytes() == b"users: {}\n"
    assert sorted(path.name for path in found.folder.iterdir()) == ["config", "store.sqlite"]


@pytest.mark.parametrize("size", [5, 100, 400, -20])
def test_cut_off(tmp_path: Path, size: int) -> None:
    file = made(tmp_path / "x", rows())
    file.path.write_bytes(file.path.read_bytes()[:size])
    assert "is damaged or cut off: " in fault(file)


def test_without_its_end(tmp_path: Path) -> None:
    assert fault(made(tmp_path / "x", rows(), end=3)).startswith(
        f"{tmp_path}/x is damaged or cut off: it is not complete"
    )


def test_something_after_its_end(tmp_path: Path) -> None:
    members = [*rows(), ("end.json", json.dumps({"members": len(rows())}).encode())]
    assert "something follows its end" in fault(made(tmp_path / "x", members))


@pytest.mark.parametrize("name", ["accounts", "passwords", "locks"])
def test_a_part_is_missing(tmp_path: Path, name: str) -> None:
    assert "it is not complete" in fault(made(tmp_path / "x", rows(**{name: None})))


@pytest.mark.parametrize(
    "change",
    [{"format": FORMAT + 1}, {"schema": SCHEMA_VERSION + 100}, {"format": "x"}, {"format": 99, "more": {}}],
)
def test_of_a_newer_version(tmp_path: Path, change: dict[str, Any]) -> None:
    said = {**json.loads(MANIFEST.as_text()), **change, "program": "9.0"}
    assert fault(made(tmp_path / "x", rows(manifest=said))) == (
        f"{tmp_path}/x was made by another version of this program (9.0), which writes what this one can't read\n"
        "  → run the bootstrap script of that version, then the same command again; nothing was changed"
    )


def test_a_later_step_of_the_schema_can_be_read(tmp_path: Path) -> None:
    said = {**json.loads(MANIFEST.as_text()), "schema": SCHEMA_VERSION + 1}
    assert unpack(made(tmp_path / "x", rows(manifest=said))).manifest.schema == SCHEMA_VERSION + 1


def test_another_archive(tmp_path: Path) -> None:
    file = made(tmp_path / "x", [("bootstrap.py", b"x")])
    assert fault(file).startswith(f"{tmp_path}/x is no backup: it does not say what it is of")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"accounts": []}, "accounts.json is not what it should be"),
        ({"locks": {"hub": LOCK}}, "it lacks 'an environment'"),
        ({"locks": {"hub": LOCK, "user": {}}}, "it lacks 'an environment'"),
        ({"locks": {"hub": LOCK, "user": {"x": 1}}}, "it lacks 'requirements'"),
        ({"passwords": {"ada": 1}}, "it lacks"),
        ({"passwords": {"ada": "é"}}, "it lacks"),
        ({"manifest": {"format": 1, "schema": SCHEMA_VERSION}}, "its manifest has no"),
    ],
)
def test_texts_that_are_not_what_they_should_be(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    assert words in fault(made(tmp_path / "x", rows(**change)))


@pytest.mark.parametrize(
    "name", ["../x", "/etc/cron.d/x", "config/../../x", "etc/passwd", "homes", "tljh.sqlite", "state/../../x"]
)
def test_a_file_for_another_place(tmp_path: Path, name: str) -> None:
    file = made(tmp_path / "x", [*rows(), (name, b"x")])
    said = fault(file)
    assert "it would be put elsewhere" in said or f"it holds {name!r}" in said
    assert sorted(path.name for path in tmp_path.iterdir()) == ["unpacked", "x"]


def test_a_link_and_a_file_behind_it(tmp_path: Path) -> None:
    link = tarfile.TarInfo("config/d")
    link.type, link.linkname = tarfile.SYMTYPE, str(tmp_path)
    assert "config/d is no folder" in fault(made(tmp_path / "x", [*rows(), ("", link), ("config/d/y", b"x")]))
    assert not (tmp_path / "y").exists()


def test_a_device(tmp_path: Path) -> None:
    device = tarfile.TarInfo("state/sda")
    device.type, device.devmajor, device.devminor = tarfile.BLKTYPE, 8, 0
    assert "neither a file nor a folder nor a link" in fault(made(tmp_path / "x", [*rows(), ("", device)]))


def test_homes_are_only_read(tmp_path: Path) -> None:
    home = tarfile.TarInfo("homes/jupyter-ada")
    home.type = tarfile.DIRTYPE
    file = made(tmp_path / "x", [*rows(), ("", home), ("homes/jupyter-ada/notes", b"x")])
    assert not (unpack(file).folder / "homes").exists()
    found = [(owner, str(path), content.read() if content else None) for owner, path, _, content in file.homes()]
    assert found == [("jupyter-ada", ".", None), ("jupyter-ada", "notes", b"x")]
