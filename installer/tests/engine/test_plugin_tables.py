"""What is remembered for plugins, and how a database of an earlier version comes to it."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from pathlib import Path

import pytest
from fakes import Things, store_in_memory
from tljh.engine import schema
from tljh.engine.machine import Machine
from tljh.engine.plugin_tables import Deed, Replaced
from tljh.engine.resource import Diff
from tljh.engine.store import KEPT, SCHEMA_VERSION, Store


class Replacing(Things):
    def replaced(self, machine: Machine) -> Mapping[str, str] | None:
        return {"kind": "file"}


@pytest.fixture
def store() -> Store:
    return store_in_memory()


def begin(store: Store, diff: Diff) -> None:
    run = store.begin_run("test")
    store.begin_change(run, Replacing("file:/x", origins={"content": "a"}), diff, b"old", {"kind": "file"})


def test_what_stood_there_is_kept_and_all_of_it_is_ours(store: Store) -> None:
    begin(store, Diff({"content": "1", "mode": "0600"}, {"content": "2"}, {}))
    assert store.replaced("file:/x") == Replaced({"kind": "file"}, b"old", {"kind": "file", "content": "2"})
    assert store.owned() == {"file:/x": {"content": "a", "mode": "core"}}


def test_what_is_ours_is_not_taken_for_what_was_there(store: Store) -> None:
    begin(store, Diff({}, {"content": "1"}, {}))
    store._db.execute("delete from replaced")
    begin(store, Diff({"content": "damaged"}, {"content": "1"}, {}))
    assert store.replaced("file:/x") is None


def test_what_we_wrote_last_is_known(store: Store) -> None:
    begin(store, Diff({"content": "1"}, {"content": "2"}, {}))
    begin(store, Diff({"content": "2"}, {"content": "3"}, {}))
    found = store.replaced("file:/x")
    assert found is not None
    assert found.written["content"] == "3"
    assert found.content == b"old"


@pytest.mark.parametrize("result", ["done", KEPT])
def test_put_back_it_is_forgotten(store: Store, result: str) -> None:
    begin(store, Diff({"content": "1"}, {"content": "2"}, {}))
    diff = Diff({"content": "2"}, {}, {"content": "2"})
    store.end_change([], Things("file:/x"), diff, result)
    assert store.replaced("file:/x") is None


def test_deeds(store: Store) -> None:
    store.remember_deed(Deed("b", "group", "g", {}))
    store.remember_deed(Deed("a", "unit", "x", {"text": "1"}))
    store.remember_deed(Deed("b", "group", "g", {"was": True}))
    assert store.deeds() == [Deed("b", "group", "g", {"was": True}), Deed("a", "unit", "x", {"text": "1"})]
    store.forget_deed(Deed("b", "group", "g", {}))
    assert [deed.plugin for deed in store.deeds()] == ["a"]


def test_numbers(store: Store) -> None:
    assert store.number("uid", "ana") is None
    store.remember_number("uid", "ana", 990)
    store.remember_number("uid", "ana", 991)
    assert store.number("uid", "ana") == 991
    assert store.number("gid", "ana") is None


def test_what_something_else_made_is_owned_in_the_newest_run(store: Store) -> None:
    store.begin_run("one")
    newest = store.begin_run("two")
    store.own("group:g", ["group"], "a")
    store.own("group:g", ["group"], "b")
    assert store._db.execute("select * from owned").fetchall() == [("group:g", "group", "a", newest)]


# ---- a database of the first version


@pytest.fixture
def old(tmp_path: Path) -> Path:
    path = tmp_path / "tljh.sqlite"
    with sqlite3.connect(path) as database:
        database.executescript(schema._FIRST + "pragma user_version = 1;")
        database.execute("insert into wishes (kind, value) values ('plugin', 'tljh-x')")
    return path


def version(path: Path) -> int:
    return int(sqlite3.connect(path).execute("pragma user_version").fetchone()[0])


def test_an_older_database_gets_what_came_later(old: Path) -> None:
    with Store(old) as store:
        store.remember_deed(Deed("a", "group", "g", {}))
    with Store(old) as store:
        assert store.wishes("plugin") == ["tljh-x"]
        assert [deed.name for deed in store.deeds()] == ["g"]
    assert version(old) == SCHEMA_VERSION == 3


def test_who_only_reads_an_older_database_leaves_it_as_it_is(old: Path) -> None:
    with Store(old, read_only=True) as store:
        assert store.wishes("plugin") == ["tljh-x"]
        assert store.deeds() == []
    assert version(old) == 1
