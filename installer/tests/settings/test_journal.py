"""Changes of config.yaml and reloads, in the journal; a reload that took effect is a generation."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes import real
from tljh.engine.store import Store
from tljh.errors import TljhError
from tljh.paths import Paths
from tljh.settings.change import change
from tljh.settings.journal import key_changes, noting_reload

RECORD = {"config": "a: 1\n", "plugins": {"maps": "1.0"}, "environments": {"hub": "hub-1"}, "of": 3}


@pytest.fixture
def paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Paths:
    """An installation whose store is there, as root sees it."""
    found = Paths(real(tmp_path) / "tljh")
    monkeypatch.setenv("TLJH_INSTALL_PREFIX", str(found.prefix))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    found.state.mkdir(parents=True)
    found.config.mkdir()
    with Store(found.store) as store:
        store.add_generation(store.begin_run("tljh install"), "tljh install", RECORD)
    found.config_file.write_text("limits:\n  memory: 1G\n")
    return found


@pytest.fixture
def store(paths: Paths) -> Iterator[Store]:
    with Store(paths.store) as opened:
        yield opened


def rows(store: Store) -> list[tuple[str, str, str | None, str | None, str]]:
    return [(r["key"], r["action"], r["before"], r["after"], r["result"]) for r in store.journal()]


def set_(paths: Paths, key: str, value: object, command: str = "tljh-config set") -> list[str]:
    return change(paths.config_file, lambda document: document.set(key, value), command=command)


def test_a_change_with_before_and_after(paths: Paths, store: Store) -> None:
    assert set_(paths, "limits.memory", "2G", "tljh-config set limits.memory 2G") == []
    assert rows(store) == [("limits.memory", "change", '"1G"', '"2G"', "done")]
    newest = store.runs(1)[0]
    assert (newest["command"], newest["outcome"]) == ("tljh-config set limits.memory 2G", "done")
    saved = store._db.execute("select content from blobs").fetchone()[0]
    assert saved == b"limits:\n  memory: 1G\n"


def test_new_keys_and_removed_ones(paths: Paths, store: Store) -> None:
    set_(paths, "users.admin", ["ada"])
    change(paths.config_file, lambda document: document.unset("limits.memory"), command="tljh-config unset")
    assert rows(store)[0] == ("users.admin", "create", None, '["ada"]', "done")
    assert ("limits.memory", "remove", '"1G"', None, "done") in rows(store)


def test_a_secret_is_nowhere_in_the_journal(paths: Paths, store: Store) -> None:
    set_(paths, "auth.GitHubOAuthenticator.client_secret", "geheim-1")
    set_(paths, "auth.GitHubOAuthenticator.client_secret", "geheim-2")
    shown = repr(store.journal()) + repr(store.runs())
    assert "geheim" not in shown
    assert "a secret (" in shown
    last = rows(store)[-1]
    assert last[1] == "change" and last[2] != last[3]


def test_what_changes_nothing_leaves_no_run(paths: Paths, store: Store) -> None:
    set_(paths, "limits.memory", "1G")
    assert store.runs() == []


def test_a_refused_change_is_not_in_the_journal(paths: Paths, store: Store) -> None:
    with pytest.raises(TljhError, match=r"limits\.memory"):
        set_(paths, "limits.memory", ["a"])
    assert store.runs() == []


def test_a_file_that_cannot_be_written_is_told(
    paths: Paths, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise TljhError("no permission to write")

    monkeypatch.setattr("tljh.settings.document.Document.save", refuse)
    with pytest.raises(TljhError, match="no permission"):
        set_(paths, "limits.memory", "2G")
    assert rows(store) == [("limits.memory", "change", '"1G"', '"2G"', "failed: no permission to write")]


def test_another_file_is_nobodys_business(paths: Paths, store: Store, tmp_path: Path) -> None:
    elsewhere = tmp_path / "other.yaml"
    elsewhere.write_text("limits:\n  memory: 1G\n")
    change(elsewhere, lambda document: document.set("limits.memory", "2G"))
    assert store.runs() == []


def test_without_root_nothing_is_noted(paths: Paths, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    set_(paths, "limits.memory", "2G")
    assert store.runs() == []


def test_a_damaged_journal_keeps_nobody_from_a_change(paths: Paths) -> None:
    paths.store.write_bytes(b"this is no database, and long enough to be told from one" * 20)
    warnings = set_(paths, "limits.memory", "2G")
    assert "2G" in paths.config_file.read_text()
    assert warnings and "this is not in the journal ('tljh journal')" in warnings[0]


def test_what_differs_between_two_settings() -> None:
    diff = key_changes({"a": {"b": 1, "c": 2}, "d": [1]}, {"a": {"b": 3}, "d": [1], "e": {}})
    assert (dict(diff.before), dict(diff.put), dict(diff.drop)) == (
        {"a.b": "1", "a.c": "2"},
        {"a.b": "3", "e": "{}"},
        {"a.c": "2"},
    )


# ---- reloads


def test_a_reload_is_a_generation_of_its_own(paths: Paths, store: Store) -> None:
    with noting_reload("hub", paths) as note:
        note.restarted("jupyterhub")
    newest, before = store.generations(2)
    assert newest["config"] == paths.config_file.read_text()
    assert newest["environments"] == before["environments"] and "of" not in newest
    assert store.history()[0].reason == "tljh-config reload"
    assert rows(store) == [("active", "change", "yes", "restarted", "done")]


def test_a_reload_of_what_is_recorded_adds_no_generation(paths: Paths, store: Store) -> None:
    paths.config_file.write_text("a: 1\n")
    with noting_reload("proxy", paths) as note:
        note.restarted("traefik")
    assert len(store.generations(9)) == 1
    assert store.runs(1)[0]["command"] == "tljh-config reload proxy"


def test_files_of_a_reload(paths: Paths, store: Store) -> None:
    file = paths.state / "traefik.toml"
    file.write_text("new")
    with noting_reload("proxy", paths) as note:
        note.files({file: "digest-of-old"}, [file])
    row = store.journal()[0]
    assert (row["resource"], row["before"]) == (f"file:{file}", "digest-of-old")
    assert len(row["after"]) == 64


def test_a_reload_that_failed(paths: Paths, store: Store) -> None:
    with pytest.raises(TljhError), noting_reload("hub", paths) as note:
        note.restarted("jupyterhub")
        raise TljhError("the hub does not answer")
    assert store.runs(1)[0]["outcome"] == "failed: the hub does not answer"
    assert len(store.generations(9)) == 1


def test_while_an_install_is_at_work_that_records_it(paths: Paths, store: Store) -> None:
    with paths.lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with noting_reload("hub", paths) as note:
            note.restarted("jupyterhub")
    assert len(store.generations(9)) == 1 and store.runs()


def test_after_an_uninstall_a_reload_records_no_generation(paths: Paths, store: Store) -> None:
    store.add_generation(1, "tljh uninstall", {"config": "", "environments": {}})
    with noting_reload("hub", paths):
        pass
    assert len(store.generations(9)) == 2
