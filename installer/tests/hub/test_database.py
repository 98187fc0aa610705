"""Which database the hub uses is noted, without what is secret in its address."""

from __future__ import annotations

import stat
from pathlib import Path
from types import SimpleNamespace

import pytest
from tljh.hub import database
from tljh.paths import Paths


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("sqlite:////opt/tljh/state/jupyterhub.sqlite", "sqlite:////opt/tljh/state/jupyterhub.sqlite"),
        ("sqlite:////srv/hub.sqlite?timeout=20", "sqlite:////srv/hub.sqlite"),
        ("postgresql+psycopg://hub:s3cret@db.example.org/hub", "postgresql"),
    ],
)
def test_it_is_noted(tmp_path: Path, url: str, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = Paths(tmp_path)
    paths.state.mkdir()
    monkeypatch.setattr("tljh.engine.machine.Machine._chown", lambda *arguments: None)
    assert database.noted(paths) == ""
    c = SimpleNamespace(JupyterHub=SimpleNamespace(db_url=url))
    database.note(c, paths)
    assert database.noted(paths) == place
    file = paths.state / "hub-database"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    before = file.stat().st_ino
    database.note(c, paths)
    assert file.stat().st_ino == before, "what is noted already is not written again"


def test_a_relative_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = Paths(tmp_path)
    paths.state.mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tljh.engine.machine.Machine._chown", lambda *arguments: None)
    database.note(SimpleNamespace(JupyterHub=SimpleNamespace(db_url="sqlite:///hub.sqlite")), paths)
    assert database.noted(paths) == f"sqlite:///{Path.cwd()}/hub.sqlite"


def test_a_hub_that_cannot_write_it_starts_all_the_same(tmp_path: Path) -> None:
    database.note(SimpleNamespace(JupyterHub=SimpleNamespace(db_url="sqlite:////x")), Paths(tmp_path / "none"))
