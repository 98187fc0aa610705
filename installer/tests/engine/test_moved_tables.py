"""Another machine's history before one's own, once."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest
from fakes import Things
from tljh.engine.resource import Diff
from tljh.engine.store import Store


def filled(path: Path, name: str, generations: int) -> Store:
    """A store whose runs created one thing each."""
    store = Store(path)
    for number in range(1, generations + 1):
        run = store.begin_run(f"{name} {number}")
        thing = Things(f"thing:{name}-{number}")
        diff = Diff({}, {"key": str(number)}, {})
        store.end_change(store.begin_change(run, thing, diff, b"saved"), thing, diff, "done")
        store.add_generation(run, f"{name} {number}", {"config": f"{name} {number}\n" * 100, "plugins": {}})
        store.end_run(run, "done")
    return store


@pytest.fixture
def other(tmp_path: Path) -> Path:
    path = tmp_path / "other.sqlite"
    filled(path, "other", 3).__exit__(None, None, None)
    return path


def reasons(store: Store) -> list[tuple[int, str]]:
    return [(row.number, row.reason) for row in reversed(store.history())]


def test_a_fresh_machine_has_the_others_history(tmp_path: Path, other: Path) -> None:
    with filled(tmp_path / "own.sqlite", "own", 0) as store:
        assert store.take_history(other) == (3, 3)
        assert reasons(store) == [(1, "other 1"), (2, "other 2"), (3, "other 3")]
        assert store.generation(2)["config"] == "other 2\n" * 100  # type: ignore[index]
        assert [row["run"] for row in store.journal()] == [1, 2, 3]
        assert store.begin_run("next") == 4
        assert store.add_generation(4, "next", {}) == 4


def test_ones_own_comes_after_it(tmp_path: Path, other: Path) -> None:
    with filled(tmp_path / "own.sqlite", "own", 2) as store:
        store.add_generation(2, "back", {"of": 1})
        owned = store.owned()
        assert store.take_history(other) == (3, 3)
        names = ["other 1", "other 2", "other 3", "own 1", "own 2", "back"]
        assert [reason for _, reason in reasons(store)] == names
        assert [number for number, _ in reasons(store)] == [1, 2, 3, 4, 5, 6]
        assert store.generation(5)["config"] == "own 2\n" * 100  # type: ignore[index]
        assert store.generation(6)["of"] == 4  # type: ignore[index]
        assert store.owned() == owned, "what is owned here is what was owned here"
        assert {row["run"]: row["resource"] for row in store.journal()} == {
            **{number: f"thing:other-{number}" for number in (1, 2, 3)},
            **{number + 3: f"thing:own-{number}" for number in (1, 2)},
        }


def test_a_second_time_nothing_is_taken(tmp_path: Path, other: Path) -> None:
    with filled(tmp_path / "own.sqlite", "own", 1) as store:
        store.take_history(other)
        before = reasons(store)
        assert store.take_history(other) == (0, 0)
        assert reasons(store) == before


def test_the_machines_own_earlier_history_is_there_already(tmp_path: Path) -> None:
    path = tmp_path / "own.sqlite"
    with filled(path, "own", 2) as store:
        copy = sqlite3.connect(tmp_path / "copy.sqlite")
        store._db.backup(copy)
        copy.close()
        store.add_generation(2, "later", {})
        assert store.take_history(tmp_path / "copy.sqlite") == (0, 0)
        assert [reason for _, reason in reasons(store)] == ["own 1", "own 2", "later"]


def test_all_or_nothing(tmp_path: Path, other: Path) -> None:
    damaged = sqlite3.connect(other)
    damaged.execute("drop table parts")
    damaged.commit()
    damaged.close()
    with filled(tmp_path / "own.sqlite", "own", 2) as store:
        before = (reasons(store), store.journal(), store.owned())
        with pytest.raises(sqlite3.DatabaseError):
            store.take_history(other)
        assert (reasons(store), store.journal(), store.owned()) == before


def test_what_another_installer_left_there_is_not_here(tmp_path: Path, other: Path) -> None:
    database = sqlite3.connect(other)
    row = (0, 1, 1.0, "takeover", json.dumps({"takeover": {}}))
    database.execute("insert into generations (id, run, time, reason, record) values (?, ?, ?, ?, ?)", row)
    database.commit()
    database.close()
    with filled(tmp_path / "own.sqlite", "own", 0) as store:
        assert store.take_history(other) == (3, 3)
        assert store.generation(0) is None


def test_accounts(tmp_path: Path) -> None:
    with Store(tmp_path / "own.sqlite") as store:
        row = {"name": "jupyter-ada", "uid": 1001, "gid": 1003, "home": "/home/jupyter-ada", "origin": "core"}
        store.take_accounts([row])
        store.take_accounts([{**row, "uid": 1007}])
        assert store.accounts()["jupyter-ada"].uid == 1007
        assert store.origins_of_accounts() == {"jupyter-ada": "core"}
