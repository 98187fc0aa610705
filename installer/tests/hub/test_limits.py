from __future__ import annotations

import os
from pathlib import Path

import pytest
from tljh.hub.limits import Hierarchy, Limits, ServerGroup, find_hierarchy, limits_statement


def version_1(root: Path, *controllers: str) -> None:
    for name in controllers:
        (root / name / "tljh").mkdir(parents=True)
        for folder in (root / name, root / name / "tljh"):
            (folder / "cgroup.procs").write_text("")


def version_2(root: Path, controllers: str = "cpu memory pids") -> None:
    (root / "tljh").mkdir(parents=True)
    for folder in (root, root / "tljh"):
        (folder / "cgroup.controllers").write_text(controllers)


def test_version_1_has_a_folder_for_each_kind(tmp_path: Path) -> None:
    version_1(tmp_path, "memory", "cpu")
    assert find_hierarchy(tmp_path) == Hierarchy(1, tmp_path / "memory/tljh", tmp_path / "cpu/tljh")


def test_version_2_has_one_folder_and_says_what_it_offers(tmp_path: Path) -> None:
    version_2(tmp_path, "memory pids")
    found = find_hierarchy(tmp_path)
    assert found == Hierarchy(2, tmp_path / "tljh", None)
    assert (tmp_path / "tljh/cgroup.subtree_control").read_text() == "+memory +cpu"


def test_nothing_there_is_nothing_used(tmp_path: Path) -> None:
    assert find_hierarchy(tmp_path) == Hierarchy()


def test_what_may_not_be_written_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    version_2(tmp_path)

    def refused(self: Path, text: str) -> int:
        raise OSError(16, "Device or resource busy")

    monkeypatch.setattr(Path, "write_text", refused)
    assert find_hierarchy(tmp_path) == Hierarchy()


def test_limits_of_version_1(tmp_path: Path) -> None:
    group = ServerGroup(Hierarchy(1, tmp_path / "m", tmp_path / "c"), "jupyter-alice")
    (tmp_path / "m").mkdir()
    (tmp_path / "c").mkdir()
    group.prepare(Limits(memory=1 << 20, cpu=1.5))
    values = {file.name: file.read_text() for file in tmp_path.glob("*/jupyter-alice/*")}
    assert values == {
        "memory.limit_in_bytes": "1048576",
        "cpu.cfs_period_us": "100000",
        "cpu.cfs_quota_us": "150000",
    }
    group.prepare(Limits())
    assert (tmp_path / "m/jupyter-alice/memory.limit_in_bytes").read_text() == "-1"
    assert (tmp_path / "c/jupyter-alice/cpu.cfs_quota_us").read_text() == "-1"


def test_limits_of_version_2(tmp_path: Path) -> None:
    group = ServerGroup(Hierarchy(2, tmp_path, tmp_path), "jupyter-alice")
    group.prepare(Limits(memory=1 << 20, cpu=0.5))
    assert (tmp_path / "jupyter-alice/memory.max").read_text() == "1048576"
    assert (tmp_path / "jupyter-alice/cpu.max").read_text() == "50000 100000"
    group.prepare(Limits())
    assert (tmp_path / "jupyter-alice/memory.max").read_text() == "max"
    assert (tmp_path / "jupyter-alice/cpu.max").read_text() == "max 100000"
    assert group.process_files == [tmp_path / "jupyter-alice/cgroup.procs"]


def test_ending_a_group_kills_what_is_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    group = ServerGroup(Hierarchy(2, tmp_path, tmp_path), "jupyter-alice")
    (tmp_path / "jupyter-alice").mkdir()
    (tmp_path / "jupyter-alice/cgroup.procs").write_text("11\n12\n")
    killed: list[int] = []

    def kill(pid: int, number: int) -> None:
        killed.append(pid)
        if pid == 12:
            (tmp_path / "jupyter-alice/cgroup.procs").unlink()
            raise ProcessLookupError

    monkeypatch.setattr(os, "kill", kill)
    group.end()
    assert sorted(killed) == [11, 12]
    assert not (tmp_path / "jupyter-alice").exists()
    group.end()


def test_a_name_cannot_leave_the_folder(tmp_path: Path) -> None:
    group = ServerGroup(Hierarchy(2, tmp_path, tmp_path), "jupyter-../../etc")
    assert group.process_files[0].parent.parent == tmp_path


def test_the_statement_says_what_is_not_enforced() -> None:
    everything = Limits(memory=1, cpu=1.0)
    whole = Hierarchy(2, Path("/g"), Path("/g"))
    assert limits_statement(whole, everything) == []
    said = " | ".join(limits_statement(Hierarchy(), everything))
    assert "limits.memory holds for each process of a user, not for all of them together" in said
    assert "limits.cpu is not enforced" in said
    assert "go on after the server has been stopped" in said
    assert "limits." not in " ".join(limits_statement(Hierarchy(), Limits()))
