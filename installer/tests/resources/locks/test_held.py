"""A lock as it is given: files of this machine and of the web, read when they are asked for."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from fakes import FakeMachine, recorded
from tljh.errors import TljhError
from tljh.resources.conda.environment import subdir
from tljh.resources.locks import held as module
from tljh.resources.locks.held import Held, file_of, is_url
from tljh.resources.locks.lock_file import digest_of

REAL = recorded("resources/conda-lock.yml").replace("linux-64", subdir())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "mine.yml").write_text(REAL)
    (tmp_path / "teaching.conda-lock.yml").write_text(REAL)
    (tmp_path / "requirements-hub.lock").write_text("a==1 --hash=sha256:aa\n")
    return tmp_path


def test_names() -> None:
    assert file_of("user") == "conda-lock.yml"
    assert file_of("teaching") == "teaching.conda-lock.yml"
    assert is_url("https://x/y") and not is_url("/x/y") and not is_url("file:///x")


def test_files_of_this_machine(folder: Path) -> None:
    held = Held(FakeMachine(), str(folder / "mine.yml"))
    assert held.part("user").python_version == "3.13"
    assert held.digest("user") == digest_of(REAL)
    assert held.digest("teaching") == digest_of(REAL)
    assert held.digest("other") == ""
    assert held.hub is not None and held.hub.pins == {"a": "==1"}
    assert held.hub.place == str(folder / "requirements-hub.lock")


def test_it_is_read_once(folder: Path) -> None:
    held = Held(FakeMachine(), str(folder / "mine.yml"))
    assert held.file("user") is held.file("user")
    (folder / "requirements-hub.lock").unlink()
    assert held.hub is None
    (folder / "mine.yml").unlink()
    assert held.digest("user"), "what this run has read holds for all of it"


def test_what_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "x.yml").write_bytes(b"\xff")
    with pytest.raises(TljhError, match=r"^--lock: the lock .*x\.yml cannot be read: it is not text$"):
        Held(FakeMachine(), str(tmp_path / "x.yml")).digest("user")


def test_an_error_names_the_file(folder: Path) -> None:
    (folder / "mine.yml").write_text("version: 3\n")
    with pytest.raises(TljhError, match=r"mine\.yml: this is not a lock that can be read: it has version 3"):
        Held(FakeMachine(), str(folder / "mine.yml")).part("user")
    (folder / "requirements-hub.lock").write_text("a==1\n")
    with pytest.raises(TljhError, match=r"requirements-hub\.lock line 1: a has no sha256"):
        _ = Held(FakeMachine(), str(folder / "mine.yml")).hub


def test_the_web(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def fetch(url: str, *, whose: str) -> str:
        asked.append(url)
        if "requirements" in url:
            error = TljhError("404")
            error.__cause__ = OSError()
            error.__cause__.response = SimpleNamespace(status_code=404)  # type: ignore[attr-defined]
            raise error
        if "teaching" in url:
            raise TljhError("no route", whose=whose)
        return REAL

    monkeypatch.setattr(module, "fetch_text", fetch)
    held = Held(FakeMachine(), "https://me:secret@host/a/mine.yml?x=1")
    assert held.part("user").conda
    assert held.hub is None, "there is none"
    with pytest.raises(TljhError, match="--lock: no route"):
        held.digest("teaching")
    assert asked == [
        "https://me:secret@host/a/mine.yml?x=1",
        "https://me:secret@host/a/requirements-hub.lock?x=1",
        "https://me:secret@host/a/teaching.conda-lock.yml?x=1",
    ]
    assert held.shown("user") == "https://host/a/mine.yml?x=1"
