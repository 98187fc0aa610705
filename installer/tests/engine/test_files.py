"""Names of what is half written, and what is removed of it when its process is gone."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from fakes import FakeMachine
from tljh.engine.files import fresh_prefix, remove_scratch, remove_tree, remove_unfinished, scratch_prefix

GONE = 2**30  # no process has such a number


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_what_a_killed_process_was_making_goes(tmp_path: Path) -> None:
    (tmp_path / f".tljh-new-{GONE}-abc").touch()
    (tmp_path / f".tljh-new-{GONE}-hub-3" / "bin").mkdir(parents=True)
    (tmp_path / f".tljh-new-{GONE}-link").symlink_to(tmp_path)
    mine = f"{fresh_prefix()}x"
    for name in (mine, "config.yaml", ".tljh-new-x", f"tljh-new-{GONE}-x"):
        (tmp_path / name).touch()
    found = remove_unfinished([tmp_path, tmp_path / "not-there", tmp_path / "config.yaml"])
    assert len(found) == 3
    assert names(tmp_path) == sorted([mine, "config.yaml", ".tljh-new-x", f"tljh-new-{GONE}-x"])
    assert tmp_path.exists(), "a link is removed, not what it leads to"


def test_temporary_folders_of_killed_installers_go(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "kept").mkdir(parents=True)
    (tmp_path / f"tljh-{GONE}-abc" / "uv").mkdir(parents=True)
    (tmp_path / f"tljh-{GONE}-file").touch()
    (tmp_path / f"tljh-{GONE}-link").symlink_to(elsewhere)
    (tmp_path / f"{scratch_prefix()}abc").mkdir()
    (tmp_path / "tljh-abc").mkdir()
    remove_scratch(tmp_path)
    left = [f"{scratch_prefix()}abc", "elsewhere", "tljh-abc", f"tljh-{GONE}-link"]
    assert names(tmp_path) == sorted(left)
    assert (elsewhere / "kept").exists()


def test_what_belongs_to_somebody_else_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / f"tljh-{GONE}-abc").mkdir()
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    assert remove_scratch(tmp_path) == []
    assert names(tmp_path) == [f"tljh-{GONE}-abc"]


def test_a_machine_writes_under_such_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine, seen = FakeMachine(tmp_path), []
    replace = os.replace

    def replaced(source: str | Path, target: Path) -> None:
        seen.append(Path(source).name)
        replace(source, target)

    monkeypatch.setattr(os, "replace", replaced)
    machine.write_file(Path("/x"), b"x")
    machine.make_link(Path("/y"), "x")
    assert [name.startswith(fresh_prefix()) for name in seen] == [True, True]


def test_only_what_is_there_is_synced(tmp_path: Path) -> None:
    machine = FakeMachine(tmp_path)
    (tmp_path / "etc").mkdir()
    machine.sync(Path("/etc"), Path("/not-there"))
    assert machine.commands == [f"sync --file-system {tmp_path}/etc"]


def test_a_large_folder_goes_whole(tmp_path: Path) -> None:
    top, outside = tmp_path / "environment", tmp_path / "outside"
    outside.mkdir()
    (outside / "stays").touch()
    for number in range(100):
        folder = top / "lib" / "site-packages" / f"package{number}" / "below"
        folder.mkdir(parents=True)
        (folder / "module.py").touch()
    (top / "lib" / "link").symlink_to(outside)
    (top / "lib" / "site-packages" / "link").symlink_to(outside)
    remove_tree(top)
    assert not top.exists()
    assert (outside / "stays").exists()


def test_a_small_or_missing_folder(tmp_path: Path) -> None:
    (tmp_path / "few" / "one").mkdir(parents=True)
    remove_tree(tmp_path / "few")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(FileNotFoundError):
        remove_tree(tmp_path / "few")
    remove_tree(tmp_path / "few", ignore_errors=True)
