"""What is known of plugins without loading any."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import pytest
from tljh.engine.store import Store
from tljh.errors import TljhError
from tljh.plugins import known as module
from tljh.plugins.contributions import PluginReport
from tljh.plugins.known import (
    Known,
    chosen,
    complete_name,
    in_words,
    known,
    note_failed_hooks,
    note_problems,
    together_with,
)
from tljh.plugins.recorded import as_record


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "tljh.sqlite")


def report(name: str, distribution: str = "", **more: Any) -> PluginReport:
    return PluginReport(name, distribution or f"tljh-{name}", "1.0", label=f"plugin {name} (1.0)", **more)


def installed(store: Store, *reports: PluginReport, specs: tuple[str, ...] = (), **more: Any) -> None:
    record: Mapping[str, Any] = {"reports": {row.name: as_record(row) for row in reports}, **more}
    store.add_generation(1, "tljh install", record)
    store.set_wishes("plugin", specs)


def states(store: Store) -> dict[str, tuple[str, tuple[str, ...]]]:
    return {plugin.name: (plugin.state, plugin.why) for plugin in known(store)}


def test_before_the_first_install(store: Store) -> None:
    assert known(store) == []


def test_states(store: Store) -> None:
    installed(store, report("b"), report("a"), report("c"), report("d", problems=("it is wrong",)))
    store.set_wishes("disabled", ["b"])
    store.set_wishes("problem of c", ["plugin c can't be loaded: ImportError: x"])
    assert list(states(store)) == ["a", "b", "c", "d"]
    assert states(store) == {
        "a": ("active", ()),
        "b": ("disabled", ()),
        "c": ("failed", ("plugin c can't be loaded: ImportError: x",)),
        "d": ("failed", ("it is wrong",)),
    }


def test_the_newest_generation_counts(store: Store) -> None:
    installed(store, report("a"), report("b"))
    installed(store, report("a"))
    assert list(states(store)) == ["a"]


def test_what_no_install_has_brought_yet(store: Store) -> None:
    locks = {"hub": {"lock": ["cowsay==6"]}}
    installed(store, report("a"), specs=("tljh_a>=1", "tljh-new==2", "cowsay"), locks=locks)
    assert states(store)["tljh-new"] == (
        "failed",
        ("asked for, but no install has brought it yet; 'tljh install' goes on",),
    )
    assert states(store)["cowsay"] == ("failed", ("its package is installed, but it is no plugin of TLJH",))
    (a,) = [plugin for plugin in known(store, module.canonical_name) if plugin.name == "a"]
    assert a.state == "active"


def test_where_a_plugin_comes_from(store: Store) -> None:
    installed(
        store,
        report("a"),
        report("b"),
        PluginReport("c", "", "ab12", source="file", origin_path="/etc/c.py"),
        specs=("/srv/tljh-a",),
    )
    found = known(store, lambda spec: {"/srv/tljh-a": "tljh-a"}[spec])
    assert [(plugin.spec, plugin.place, plugin.kind) for plugin in found] == [
        ("/srv/tljh-a", "/srv/tljh-a", "package"),
        ("", "tljh-b", "package"),
        ("", "/etc/c.py", "file"),
    ]


def test_problems_are_remembered_until_they_are_gone(store: Store) -> None:
    installed(store, report("a"))
    note_problems(store, [report("a", problems=("one", "two")), report("b")])
    assert states(store) == {"a": ("failed", ("one", "two"))}
    note_problems(store, [report("a")])
    assert states(store) == {"a": ("active", ())}


def test_what_failed_in_the_hub(store: Store) -> None:
    installed(store, report("a"), report("b"))
    found = {plugin.name: plugin for plugin in known(store, in_hub={"a": "out of order", "gone": "too"})}
    assert (found["a"].state, found["a"].why) == ("failed", ("out of order",))
    assert found["b"].state == "active" and list(found) == ["a", "b"]


# ---- naming


PLUGINS = [
    Known(report("one", "tljh-two")),
    Known(report("quota")),
    Known(report("two", "tljh-two")),
    Known(PluginReport("file", "", "", source="file")),
]


@pytest.mark.parametrize(
    ("word", "names"),
    [
        ("quota", ["quota"]),
        ("Quota", ["quota"]),
        ("tljh-quota", ["quota"]),
        ("TLJH_Quota", ["quota"]),
        ("two", ["two"]),
        ("tljh.two", ["one", "two"]),
        ("file", ["file"]),
    ],
)
def test_a_plugin_by_its_name_or_its_package(word: str, names: list[str]) -> None:
    assert [plugin.name for plugin in chosen(PLUGINS, [word])] == names


def test_each_is_chosen_once() -> None:
    assert [plugin.name for plugin in chosen(PLUGINS, ["two", "tljh-two", "two"])] == ["two", "one"]


def test_one_that_is_not_installed() -> None:
    with pytest.raises(TljhError) as caught:
        chosen(PLUGINS, ["quoat"])
    assert str(caught.value) == (
        "no plugin 'quoat' is installed; did you mean 'quota'?\n  → choose one of: one, quota, two, file"
    )
    with pytest.raises(TljhError) as caught:
        chosen([], ["x"])
    assert str(caught.value) == "no plugin 'x' is installed\n  → tljh plugin add SPEC installs one"
    with pytest.raises(TljhError, match="no plugin '' is installed"):
        chosen(PLUGINS[:3], [""])


def test_those_of_one_package_go_together() -> None:
    assert [plugin.name for plugin in together_with(PLUGINS, PLUGINS[:1])] == ["one", "two"]
    assert [plugin.name for plugin in together_with(PLUGINS, PLUGINS[3:])] == ["file"]


def test_in_words() -> None:
    assert [in_words([]), in_words(["a"]), in_words(["a", "b"]), in_words(["a", "b", "c"])] == [
        "",
        "a",
        "a and b",
        "a, b and c",
    ]


# ---- tab completion


def completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, begun: str, *typed: str) -> list[str]:
    monkeypatch.setenv("TLJH_INSTALL_PREFIX", str(tmp_path))
    argument = click.Argument(["names"], nargs=-1)
    context = click.Context(click.Command("remove"))
    context.params["names"] = typed
    return [item.value for item in complete_name(context, argument, begun)]


def test_names_are_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "state").mkdir()
    store = Store(tmp_path / "state" / "tljh.sqlite")
    installed(store, report("quota"), report("query"), report("other"))
    assert completed(tmp_path, monkeypatch, "qu") == ["query", "quota"]
    assert completed(tmp_path, monkeypatch, "", "quota") == ["other", "query"]


def test_completion_says_nothing_where_nothing_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert completed(tmp_path, monkeypatch, "") == []
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "tljh.sqlite").write_bytes(b"no database" * 100)
    assert completed(tmp_path, monkeypatch, "") == []


def test_hooks_that_failed_are_remembered(store: Store) -> None:
    a, b = report("a"), report("b")
    installed(store, a, b)
    note_failed_hooks(store, [a, b], ["plugin a (1.0): tljh_post_install failed: OSError: x"])
    assert states(store) == {
        "a": ("failed", ("plugin a (1.0): tljh_post_install failed: OSError: x",)),
        "b": ("active", ()),
    }
