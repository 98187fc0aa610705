"""What killed runs have left half done goes with the next installer."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from fakes import FakeMachine, Things
from tljh.engine.processes import Completed
from tljh.engine.resource import Diff
from tljh.engine.store import Store
from tljh.paths import Paths
from tljh.stages.leaving.leftovers import remove_leftovers

HALF = f".tljh-new-{2**30}-x"


@pytest.fixture
def paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Paths:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    paths = Paths(tmp_path / "tljh")
    for folder in (paths.bin, paths.config, paths.rules, paths.backups, paths.envs / "user-3"):
        folder.mkdir(parents=True)
    return paths


def test_below_the_prefix_and_among_temporary_files(paths: Paths, tmp_path: Path) -> None:
    folders = [
        paths.prefix,
        paths.bin,
        paths.state,
        paths.config,
        paths.rules,
        paths.backups,
        paths.envs,
        paths.envs / "user-3",
    ]
    for folder in folders:
        (folder / HALF).touch()
    (tmp_path / "tmp" / f"tljh-{2**30}-x").mkdir()
    with Store(paths.store) as store:
        remove_leftovers(paths, store, FakeMachine(tmp_path), print)
    assert [folder for folder in folders if (folder / HALF).exists()] == []
    assert list((tmp_path / "tmp").iterdir()) == []


def test_beside_what_a_killed_run_changed(paths: Paths, tmp_path: Path) -> None:
    places = [tmp_path / name for name in ("killed", "ended")]
    with Store(paths.store) as store:
        for place in places:
            place.mkdir()
            (place / HALF).touch()
            run = store.begin_run("tljh install")
            thing = Things(f"file:{place}/sudoers")
            store.begin_change(run, thing, Diff({}, {"mode": "0644"}, {}), None)
            if place.name == "ended":
                store.end_run(run, "done")
        remove_leftovers(paths, store, FakeMachine(tmp_path), print)
    assert not (places[0] / HALF).exists()
    assert (places[1] / HALF).exists(), "where nothing was cut off, nobody looks"


def test_dpkg_ends_what_was_cut_off_with_a_run_of_ours(paths: Paths, tmp_path: Path) -> None:
    said: list[str] = []
    machine = FakeMachine(tmp_path)
    machine.put("/var/lib/dpkg/updates/0001", "Package: hello")
    with Store(paths.store) as store:
        remove_leftovers(paths, store, machine, said.append)
        assert (machine.commands, said) == ([], []), "it is somebody else's business"
        store.begin_run("tljh install")
        remove_leftovers(paths, store, machine, said.append)
        assert machine.ran("dpkg ") == ["dpkg --force-confdef --force-confold --configure -a"]
        assert said == ["dpkg was interrupted earlier: finishing that first (dpkg --configure -a)"]
        machine.answers["dpkg"] = Completed(2, "", "dpkg frontend lock is held")
        remove_leftovers(paths, store, machine, said.append)


def test_half_made_accounts_of_a_killed_run_go(paths: Paths, tmp_path: Path) -> None:
    machine = FakeMachine(tmp_path)
    machine.put("/etc/passwd", "".join(f"{name}:x:99{n}:99{n}::/:/bin/sh\n" for n, name in enumerate("abc")))
    with Store(paths.store) as store:
        run = store.begin_run("tljh install")
        store.begin_change(run, Things("account:a"), Diff({}, {"account": "present"}, {}), None)
        store.begin_change(run, Things("accounts"), Diff({}, {"b": "present"}, {}), None)
        done = store.begin_change(run, Things("account:c"), Diff({}, {"account": "present"}, {}), None)
        store.end_change(done, Things("account:c"), Diff({}, {}, {}), "done")
        remove_leftovers(paths, store, machine, print)
    assert machine.commands == ["userdel a", "userdel b"]
