"""The first check of the doctor: a damaged state database is seen, put back, and what was lost is said."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tljh.engine import lock
from tljh.engine.store import Store
from tljh.engine.store_copies import copies
from tljh.paths import Paths
from tljh.reporter import Reporter
from tljh.stages.health import state_database
from tljh.stages.health.doctor import Result

LOG = """\
2026-11-21 22:00:00,001 INFO run 1 begins: tljh install
2026-11-21 22:00:00,002 DEBUG run: apt-get install
2026-11-21 22:10:00,003 INFO run 2 begins: tljh plugin add tljh-x
2026-11-21 22:20:00,004 INFO run 3 begins: tljh install --admin bob
"""


@pytest.fixture
def paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Paths:
    monkeypatch.delenv(lock.FD_VARIABLE, raising=False)
    paths = Paths(tmp_path)
    paths.state.mkdir()
    with Store(paths.store) as store:
        run = store.begin_run("tljh install")
        store.add_generation(run, "tljh install", {"config": "x"})
        store.copy()
    paths.log.write_text(LOG)
    return paths


def examine(paths: Paths, *, fix: bool = False) -> Result:
    return state_database.examine(paths, Reporter(quiet=True), fix=fix)


def test_all_is_well(paths: Paths) -> None:
    found = examine(paths)
    assert (found.name, found.state, found.problem) == ("state database", "well", "")


def test_before_the_first_install(tmp_path: Path) -> None:
    assert examine(Paths(tmp_path)).state == "well"


def test_damage_is_seen_and_nothing_is_changed(paths: Paths) -> None:
    paths.store.write_text("damaged, and longer than a header of a database is " * 10)
    before = sorted(paths.state.iterdir())
    found = examine(paths)
    assert (found.state, found.fixable) == ("ill", True)
    assert found.problem == f"the state database {paths.store} is damaged (file is not a database)"
    assert f"its last good copy is {copies(paths.store)[0]}" in found.more[0]
    assert sorted(paths.state.iterdir()) == before


def test_put_back_and_told_what_was_lost(paths: Paths) -> None:
    paths.store.write_text("damaged, and longer than a header of a database is " * 10)
    found = examine(paths, fix=True)
    (kept,) = paths.state.glob("tljh.sqlite.damaged-*")
    assert (found.state, found.problem) == ("mended", "")
    assert found.more == (
        f"put back: {copies(paths.store)[0]}, after generation 1 (tljh install)",
        f"the damaged one is kept: {kept}",
        "what these did is on the machine, but is no longer known:",
        "  2026-11-21 22:10:00  tljh plugin add tljh-x",
        "  2026-11-21 22:20:00  tljh install --admin bob",
        "run 'tljh install', and again what of them asked for something",
    )
    with Store(paths.store, read_only=True) as store:
        assert [row["config"] for row in store.generations(2)] == ["x"]
    assert examine(paths).state == "well"
    assert lock.FD_VARIABLE not in os.environ, "the lock is given back"


def test_nothing_was_lost(paths: Paths) -> None:
    paths.store.write_text("damaged, and longer than a header of a database is " * 10)
    paths.log.write_text(LOG.splitlines()[0])
    assert examine(paths, fix=True).more[-1] == "nothing was done since"


def test_the_same_number_in_an_earlier_life(paths: Paths) -> None:
    lines = LOG.splitlines()
    paths.log.write_text("\n".join([*lines, *lines[:1]]))
    assert state_database.commands_since(paths, 1) == []
    assert len(state_database.commands_since(paths, 2)) == 2
    paths.log.unlink()
    assert state_database.commands_since(paths, 1) == []


def test_without_any_copy_it_can_not_be_mended(paths: Paths) -> None:
    for copy in copies(paths.store):
        copy.unlink()
    paths.store.write_text("damaged, and longer than a header of a database is " * 10)
    found = examine(paths, fix=True)
    assert found.state == "ill"
    assert found.more[-1] == "it could not be mended: there is no good copy"
    assert paths.store.read_text().startswith("damaged")


def test_a_missing_copy_is_made(paths: Paths) -> None:
    for copy in copies(paths.store):
        copy.write_text("damaged")
    found = examine(paths)
    assert (found.state, found.problem) == ("ill", "there is no good copy of the state database")
    assert examine(paths, fix=True).state == "mended"
    assert examine(paths).state == "well"
