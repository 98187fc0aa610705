"""Going back to what was remembered: seen before it is written, written in one step, known until it is done."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tljh.engine.generation_tables import GOING_BACK
from tljh.engine.plugin_tables import Deed
from tljh.engine.store import HookRun, Store

CONFIG_HOOK, POST_INSTALL = "tljh_config_post_install", "tljh_post_install"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "tljh.sqlite") as opened:
        yield opened


@pytest.fixture
def then(store: Store) -> dict[str, Any]:
    """What was remembered; all of it is another now."""
    store.add_wishes("plugin", ["a", "b"])
    store.remember_hook("a", CONFIG_HOOK, HookRun("first", {"applied": []}))
    store.remember_deed(Deed("a", "apt", "hello", {}))
    memory = store.memory()
    store.set_wishes("plugin", ["c"])
    store.remember_hook("a", CONFIG_HOOK, HookRun("second", {"applied": []}))
    store.remember_hook("a", POST_INSTALL, HookRun("second", {}))
    store.forget_deed(store.deeds()[0])
    return memory


def test_what_was_remembered_is_seen_and_not_written(store: Store, then: dict[str, Any]) -> None:
    now = store.memory()
    store.look_back(then)
    assert store.wishes("plugin") == ["a", "b"]
    assert store.hook_run("a", CONFIG_HOOK) == HookRun("first", {"applied": []})
    assert store.hook_run("a", POST_INSTALL) == HookRun("second", {}), "other hooks are as they ran last"
    assert [deed.name for deed in store.deeds()] == ["hello"]
    with Store(store.path, read_only=True) as other:
        assert other.memory() == now


def test_who_only_reads_can_look_back(store: Store, then: dict[str, Any]) -> None:
    with Store(store.path, read_only=True) as reader:
        reader.look_back(then)
        assert reader.wishes("plugin") == ["a", "b"]
        reader.look_back(reader.memory() | {"wishes": {"plugin": ["d"]}})
        assert reader.wishes("plugin") == ["d"]


def test_it_is_recalled_and_the_next_run_knows(store: Store, then: dict[str, Any]) -> None:
    store.look_back(then)
    store.recall(then, going_back=4)
    with Store(store.path) as next_run:
        assert next_run.wishes(GOING_BACK) == ["4"]
        assert next_run.memory() == then, "that a rollback is under way is no part of it"
        assert next_run.hook_run("a", POST_INSTALL) == HookRun("second", {})
    store.add_generation(store.begin_run("tljh rollback 4"), "tljh rollback 4", {"of": 4})
    assert store.wishes(GOING_BACK) == []


def test_after_a_rollback_to_the_newest_there_is_no_new_one(store: Store, then: dict[str, Any]) -> None:
    store.add_generation(store.begin_run("tljh install"), "tljh install", {})
    store.recall(then, going_back=1)
    assert store.gone_back() == 1
    assert store.wishes(GOING_BACK) == []
    assert store.numbers() == [1]


def test_hooks_that_ran_since(store: Store) -> None:
    store.remember_hook("early", POST_INSTALL, HookRun("x", {}))
    store.add_generation(store.begin_run("tljh install"), "tljh install", {})
    store.remember_hook("late", POST_INSTALL, HookRun("x", {}))
    store.remember_hook("later", CONFIG_HOOK, HookRun("x", {}))
    assert store.hooks_since(1, POST_INSTALL) == ["late"]


@pytest.mark.parametrize(
    ("outcome", "changed", "failed"),
    [("failed: no", True, True), (None, True, True), ("failed: no", False, False), ("done", True, False)],
)
def test_runs_that_failed_since(store: Store, outcome: str | None, changed: bool, failed: bool) -> None:
    first = store.begin_run("tljh install")
    store.add_generation(first, "tljh install", {})
    run = store.begin_run("tljh install")
    if changed:
        query = (
            "insert into journal (run, time, stage, resource, key, action, origin, result)"
            " values (?, 0, 's', 'r', 'k', 'create', 'core', 'done')"
        )
        store._db.execute(query, (run,))
    if outcome:
        store.end_run(run, outcome)
    assert store.run_of(1) == first
    assert store.failed_since(store.run_of(1)) is failed
