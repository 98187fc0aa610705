"""The history: what lies apart comes back whole, once for all, and the memory of a generation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tljh.engine.generation_tables import PART
from tljh.engine.plugin_tables import Deed
from tljh.engine.store import HookRun, Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "tljh.sqlite")


def large(word: str) -> str:
    return " ".join([word] * 400)


def parts(store: Store) -> int:
    return int(store._db.execute("select count(*) from parts").fetchone()[0])


def test_a_record_comes_back_as_it_was(store: Store) -> None:
    record: dict[str, Any] = {
        "config": large("config"),
        "plugins": {f"plugin-{number}": "1.0" for number in range(50)},
        "locks": {"hub": {"lock": [large("a")]}, "user": {"lock": [large("b")], PART: "a key of this name"}},
        "small": [1, None, {"a": True}],
    }
    number = store.add_generation(store.begin_run("x"), "tljh install", record)
    assert store.generation(number) == {"id": number, **record}
    assert store.generations(1) == [{"id": number, **record}]
    assert store.generation(number + 1) is None


def test_what_is_the_same_is_there_once(store: Store) -> None:
    run = store.begin_run("x")
    for number in range(5):
        locks = {"hub": large("hub"), "user": large(f"user {number}")}
        store.add_generation(run, "x", {"config": large("same"), "locks": locks})
    assert parts(store) == 1 + 1 + 5
    assert [found["locks"]["user"][:6] for found in store.generations(2)] == ["user 4", "user 3"]


def test_the_list_of_all(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUDO_USER", "ada")
    assert store.history() == []
    for version in ("1.0", "2.0"):
        run = store.begin_run("tljh install")
        record = {"plugins": {"x": version}, "config": large("c"), "of": 7}
        store.add_generation(run, "tljh install --plugin x", record)
    newest, first = store.history()
    assert (newest.number, first.number) == (2, 1)
    assert (newest.reason, newest.actor, newest.changes) == ("tljh install --plugin x", "ada", {})
    assert newest.brief == {"plugins": {"x": "2.0"}, "of": 7}
    assert store.history(1) == [newest]
    assert store.history(2, newest=1) == [first]


def test_the_memory_of_a_generation(store: Store) -> None:
    def remember(word: str) -> None:
        store.set_wishes("plugin", ["a", word])
        store.set_wishes(f"content of {word}", [large(word)])
        store.remember_hook("a", "tljh_config_post_install", HookRun(word, {"applied": [word]}))
        store.remember_hook("a", "tljh_post_install", HookRun(word, {}))
        store.remember_deed(Deed("a", "unit", word, {"text": word}))

    remember("one")
    before = store.memory()
    remember("two")
    assert store.memory() != before
    store.recall(before)
    assert store.memory() == before
    assert store.wishes("plugin") == ["a", "one"]
    assert store.wishes("content of two") == []
    assert [deed.name for deed in store.deeds()] == ["one"]
    config, post = "tljh_config_post_install", "tljh_post_install"
    assert store.hook_run("a", config) == HookRun("one", {"applied": ["one"]})
    assert store.hook_run("a", post) == HookRun("two", {}), "what it did then can't be taken back"
