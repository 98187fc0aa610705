"""Copies of the state database: which are kept, which is the last good one, and how it is put back."""

from __future__ import annotations

from pathlib import Path

import pytest
from tljh.engine import sqlite
from tljh.engine.store import Store
from tljh.engine.store_copies import Last, copies, last, newest_good, restore


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "state").mkdir()
    return tmp_path / "state" / "tljh.sqlite"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The second that it is; each copy is made in another."""
    now = [0]

    def gmtime(*_: object) -> tuple[int, ...]:
        now[0] += 1
        return (2026, 1, 1, 0, 0, now[0], 0, 1, 0)

    monkeypatch.setattr("time.gmtime", gmtime)
    return now


def filled(path: Path, *commands: str) -> None:
    with Store(path) as store:
        for command in commands:
            run = store.begin_run(command)
            store.add_generation(run, command, {"config": "x"})
            store.copy()


def test_a_copy_is_whole_and_only_roots(path: Path) -> None:
    filled(path, "tljh install")
    (copy,) = copies(path)
    assert copy.parent == path.parent / "backups"
    assert copy.stat().st_mode & 0o777 == 0o600
    assert copy.parent.stat().st_mode & 0o777 == 0o700
    with Store(copy, read_only=True, check=True) as store:
        assert [row["config"] for row in store.generations(3)] == ["x"]
    assert list(copy.parent.iterdir()) == [copy]


@pytest.mark.usefixtures("clock")
def test_the_last_three_are_kept_and_nothing_else_is_touched(path: Path) -> None:
    other = path.parent / "backups" / "jupyterhub-abc.sqlite"
    other.parent.mkdir(mode=0o700)
    other.touch()
    filled(path, *"abcde")
    assert [(found.command, found.generation) for found in map(last, copies(path)) if found] == [
        ("e", 5),
        ("d", 4),
        ("c", 3),
    ]
    assert other.exists()


@pytest.mark.usefixtures("clock")
def test_the_newest_good_one_is_not_a_damaged_one(path: Path) -> None:
    assert newest_good(path) is None
    filled(path, "a", "b")
    newest, older = copies(path)
    newest.write_bytes(newest.read_bytes()[:1000])
    assert newest_good(path) == older
    older.write_text("nothing of a database")
    assert newest_good(path) is None


def test_an_empty_database_is_a_good_copy_too(path: Path) -> None:
    with Store(path) as store:
        assert last(store.copy()) == Last(0, "", 0)


def test_put_back(path: Path) -> None:
    filled(path, "tljh install")
    path.write_text("damaged")
    journal = path.with_name("tljh.sqlite-journal")
    journal.write_text("of the damaged one")
    kept = restore(path, copies(path)[0])
    assert kept.read_text() == "damaged"
    assert not journal.exists()
    assert kept.with_name(f"{kept.name}-journal").read_text() == "of the damaged one"
    assert path.stat().st_mode & 0o777 == 0o600
    with Store(path, check=True) as store:
        assert [row["config"] for row in store.generations(3)] == ["x"]


def test_a_copy_that_fails_leaves_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(fresh: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(sqlite, "put_in_place", full)
    with Store(path) as store, pytest.raises(OSError, match="No space"):
        store.copy()
    assert list((path.parent / "backups").iterdir()) == []
