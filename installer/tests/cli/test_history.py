"""``tljh history``, ``tljh diff`` and ``tljh journal``: what they print, and how little they read for it."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from fakes import Things, real
from tljh import cli
from tljh.engine.resource import Diff
from tljh.engine.store import Store
from tljh.errors import TljhError, UsageError
from tljh.paths import Paths

MORNING = 1_790_000_000.0


def record(config: str = "", version: str = "1.0", hub: str = "hub-1", **more: Any) -> dict[str, Any]:
    lock = {"requirements": [], "packages": {}, "lock": [f"attrs=={version}"]}
    known = {"config": config, "plugins": {"maps": "1.0"}, "environments": {"hub": hub}, "locks": {"hub": lock}}
    return {**known, **more}


def changed(store: Store, run: int, name: str, diff: Diff, result: str = "done") -> None:
    thing = Things(name, origins=dict.fromkeys({**diff.put, **diff.drop}, "maps"), stage="proxy")
    store.end_change(store.begin_change(run, thing, diff, None), thing, diff, result)


@pytest.fixture
def paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Paths:
    found = Paths(real(tmp_path) / "tljh")
    monkeypatch.setenv("TLJH_INSTALL_PREFIX", str(found.prefix))
    monkeypatch.setenv("SUDO_USER", "ada")
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(time, "time", lambda: MORNING)
    found.state.mkdir(parents=True)
    found.config.mkdir()
    return found


@pytest.fixture
def store(paths: Paths) -> Iterator[Store]:
    """Three generations: an install, a change of a setting and of a package, one that went back."""
    with Store(paths.store) as opened:
        first = opened.begin_run("tljh install --admin ada")
        changed(opened, first, "file:/etc/a", Diff({}, {"content": "one", "mode": "0644"}, {}))
        opened.end_run(first, "done")
        opened.add_generation(first, "tljh install --admin ada", record("password: one\nlimits: {}\n"))
        second = opened.begin_run("tljh install --plugin 'git+https://ada:geheim@example.org/x'")
        changed(opened, second, "file:/etc/a", Diff({"mode": "0644"}, {"mode": "0600"}, {}))
        changed(opened, second, "hook:tljh_post_install", Diff({}, {"maps": "digest"}, {}))
        changed(opened, second, "apt", Diff({}, {"hello": "installed"}, {}), "failed: no room\nand more")
        opened.end_run(second, "done")
        reason = "tljh install --plugin 'git+https://ada:geheim@example.org/x'"
        config = "password: other\nlimits: {}\n"
        plugins = {"maps": "2.0", "quota": "1.0"}
        opened.add_generation(second, reason, record(config, "2.0", "hub-2", plugins=plugins))
        third = opened.begin_run("tljh rollback")
        changed(opened, third, "file:/etc/a", Diff({"mode": "0600"}, {"mode": "0644"}, {}))
        opened.end_run(third, "done")
        opened.add_generation(third, "tljh rollback", record("password: one\nlimits: {}\n", of=1))
        yield opened


def tljh(*words: str) -> Result:
    result = CliRunner().invoke(cli.cli, list(words))
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


# ---- history


def test_the_list(store: Store) -> None:
    lines = tljh("history").output.splitlines()
    assert lines[0].split() == ["GEN", "WHEN", "BY", "CHANGES", "WHAT", "WHY"]
    assert lines[1].split(None, 3)[:2] == ["3", "2026-09-21"]
    assert "as generation 1" in lines[1] and lines[1].endswith("tljh rollback")
    assert "ada  ~1 !1    +quota 1.0, maps 1.0 → 2.0, hub-2" in lines[2]
    assert "geheim" not in lines[2] and "ada:***@example.org" in lines[2]
    assert "+2" in lines[3] and "+maps 1.0, hub-1" in lines[3]


def test_a_reload_is_called_settings(store: Store) -> None:
    store.add_generation(3, "tljh-config reload", record("limits: {}\n"))
    assert "settings" in tljh("history", "-n", "1").output


def test_only_some_of_them(store: Store) -> None:
    output = tljh("history", "-n", "1").output
    assert "tljh rollback" in output and "tljh install" not in output
    assert "… and 2 older ones (-n shows more)" in output


def test_the_list_for_programs(store: Store) -> None:
    found = json.loads(tljh("history", "--json").output)["generations"]
    assert [row["generation"] for row in found] == [3, 2, 1]
    assert found[0]["of"] == 1 and found[0]["by"] == "ada" and found[0]["time"] == MORNING
    assert found[1]["plugins"] == {"maps": "2.0", "quota": "1.0"}
    assert found[1]["changes"] == {"change": 1, "run": 1}


def test_one_generation(store: Store) -> None:
    output = tljh("history", "show", "2", "-v").output
    assert "generation 2\n  when      2026-09-21" in output
    assert "tljh journal --run 2" in output
    assert "  environment hub: hub-2, 1 packages\n    attrs 2.0\n" in output
    assert "    password: a secret (" in output and "other" not in output
    assert "attrs 2.0" not in tljh("history", "show", "2").output


def test_one_generation_for_programs(store: Store) -> None:
    found = json.loads(tljh("history", "show", "1", "--json").output)
    assert found["packages"] == {"hub": {"attrs": "1.0"}}
    assert found["config"].startswith("password: a secret (")


@pytest.mark.parametrize("number", ["9", "9" * 25])
@pytest.mark.parametrize("words", [("history", "show"), ("diff",), ("diff", "1")])
def test_a_generation_that_is_not_there(store: Store, words: tuple[str, ...], number: str) -> None:
    with pytest.raises(UsageError, match=f"there is no generation {number}; there are 1 to 3"):
        tljh(*words, number)


def test_a_run_that_is_not_there(store: Store) -> None:
    number = "9" * 25
    with pytest.raises(UsageError, match=f"there is no run {number}"):
        tljh("journal", "--run", number)


def test_before_the_first_install_has_ended(paths: Paths) -> None:
    with Store(paths.store):
        pass
    assert tljh("history").output == "No install has ended well yet.\n"
    assert tljh("journal").output == "Nothing was ever changed here.\n"
    with pytest.raises(UsageError, match="there is no generation 1; no install has ended well yet"):
        tljh("diff", "1")


def test_where_nothing_is_installed(paths: Paths) -> None:
    with pytest.raises(TljhError, match="no hub is installed below"):
        tljh("history")


def test_a_thousand_generations_take_few_statements(store: Store) -> None:
    with store._db:
        for number in range(4, 1001):
            run = store.begin_run(f"tljh install --admin number{number}")
            config = json.dumps({"config": f"n: {number}", "plugins": {}, "environments": {"hub": "hub-1"}})
            store._db.execute("insert into generations values (?, ?, ?, ?, ?)", (number, run, 1.0, "x", config))
    asked: list[str] = []
    store._db.set_trace_callback(asked.append)
    assert len(store.history()) == 1000
    assert len(asked) == 2, f"one for all generations, one for all changes: {asked[:5]}"
    asked.clear()
    store.runs(5)
    assert len(asked) == 1


# ---- diff


def test_what_one_generation_changed(store: Store) -> None:
    output = tljh("diff", "1", "2").output
    assert "--- config.yaml of generation 1\n+++ config.yaml of generation 2\n" in output
    assert "-password: a secret (" in output and "+password: a secret (" in output
    assert "plugins\n  ~ maps  1.0 → 2.0\n  + quota  1.0\n" in output
    assert "packages of the environment hub\n  ~ attrs  1.0 → 2.0\n" in output
    assert "file:/etc/a\n  ~ mode  0644 → 0600\n" in output
    assert "hook:" not in output and "hello" not in output


def test_the_other_way_round(store: Store) -> None:
    output = tljh("diff", "2", "1").output
    assert "  ~ maps  2.0 → 1.0\n  - quota  1.0\n" in output
    assert "file:/etc/a\n  ~ mode  0600 → 0644\n" in output


def test_nothing_differs_after_going_back(store: Store) -> None:
    assert tljh("diff", "1", "3").output == "Nothing differs between generation 1 and generation 3.\n"


def test_against_now(store: Store, paths: Paths) -> None:
    paths.config_file.write_text("password: one\nlimits: {memory: 1G}\n")
    output = tljh("diff", "3").output
    assert "+++ config.yaml now" in output and "+limits: {memory: 1G}" in output
    paths.config_file.write_text("password: one\nlimits: {}\n")
    assert tljh("diff", "3").output == "Nothing differs between generation 3 and now.\n"


def test_credentials_that_differ_are_told_without_telling_them(store: Store, paths: Paths) -> None:
    paths.config_file.write_text("password: one\nlimits: {}\n# token=geheim\n")
    store.add_generation(3, "x", record("password: one\nlimits: {}\n# token=offen\n"))
    assert tljh("diff", "4").output == "config.yaml: only credentials in addresses or in comments differ\n"


def test_a_diff_for_programs(store: Store) -> None:
    found = json.loads(tljh("diff", "1", "2", "--json").output)
    assert found["before"] == 1 and found["after"] == 2
    assert found["plugins"][0] == {"name": "maps", "before": "1.0", "after": "2.0"}
    assert found["packages"]["hub"] == [{"name": "attrs", "before": "1.0", "after": "2.0"}]
    assert found["things"]["file:/etc/a"] == [{"name": "mode", "before": "0644", "after": "0600"}]


# ---- journal


def test_the_journal(store: Store) -> None:
    output = tljh("journal").output
    first, second, third = (output.index(f"run {number}  2026-09-21") for number in (3, 2, 1))
    assert first < second < third
    assert "  proxy: file:/etc/a\n    ~ mode  0644 → 0600  [maps]\n" in output
    assert "  proxy: hook:tljh_post_install\n    ! maps  [maps]\n" in output
    assert "    + hello  installed  [maps; failed: no room]\n" in output
    assert "geheim" not in output


def test_one_run_of_the_journal(store: Store) -> None:
    output = tljh("journal", "--run", "1").output
    assert "run 1  " in output and "run 2" not in output
    with pytest.raises(UsageError, match="there is no run 7"):
        tljh("journal", "--run", "7")


def test_a_run_that_was_cut_off(store: Store) -> None:
    run = store.begin_run("tljh install")
    changed(store, run, "file:/etc/b", Diff({}, {"content": "x"}, {}), "begun")
    output = tljh("journal", "-n", "1").output
    assert "tljh install  cut off, or still at work" in output and "[maps; begun]" in output


def test_long_values_and_long_lists(store: Store) -> None:
    run = store.begin_run("tljh install")
    changed(store, run, "file:/etc/b", Diff({}, {f"key {n}": "x" * 50 for n in range(10)}, {}))
    short, whole = tljh("journal", "-n", "1").output, tljh("journal", "-n", "1", "-v").output
    assert f"{'x' * 40}…" in short and "… and 2 more (-v shows them)" in short
    assert "x" * 50 in whole and "key 9" in whole


def test_the_journal_for_programs(store: Store) -> None:
    runs = json.loads(tljh("journal", "--json").output)["runs"]
    assert [run["id"] for run in runs] == [3, 2, 1]
    assert runs[0]["changes"][0]["before"] == "0600" and runs[0]["outcome"] == "done"
