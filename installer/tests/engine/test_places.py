"""Writing as root where somebody else may write as well."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from fakes import FakeMachine
from tljh.engine import places
from tljh.engine.machine import Machine
from tljh.engine.places import Redirected, held, opened


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    """A folder that others can write to."""
    path = tmp_path / "home"
    path.mkdir()
    path.chmod(0o777)
    return path


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    path = tmp_path / "etc"
    path.mkdir()
    return path


class TestMachine(Machine):
    """Real but for owners, so that anybody can run the tests."""

    __test__ = False

    def _chown(self, handle: int, owner: str) -> None:
        os.fstat(handle)


def test_a_link_of_roots_is_followed(tmp_path: Path, outside: Path) -> None:
    (tmp_path / "prefix").symlink_to(outside)
    (outside / "sub").mkdir()
    (outside / "sub" / "up").symlink_to("../../etc")
    with held(tmp_path / "prefix" / "sub" / "up" / "x") as here:
        here.write_text("x")
    assert (outside / "x").read_text() == "x"


@pytest.mark.parametrize("target", ["{outside}", "../etc"])
def test_a_link_of_somebody_elses_is_not(shared: Path, outside: Path, target: str) -> None:
    (shared / "course").symlink_to(target.format(outside=outside))
    machine = TestMachine()
    doings = (
        lambda: machine.write_file(shared / "course" / "x", b"x"),
        lambda: machine.make_link(shared / "course" / "x", "y"),
        lambda: machine.make_directory(shared / "course" / "x"),
        lambda: machine.make_directory(shared / "course"),
        lambda: machine.remove(shared / "course" / "x"),
        lambda: machine.move(shared / "course" / "x", shared / "y"),
    )
    (outside / "x").write_text("as it was")
    for do in doings:
        with pytest.raises(Redirected) as caught:
            do()
        assert f"{shared}/course is a link that others than root can change" in str(caught.value)
        assert str(caught.value).endswith("→ see who made it (ls -ld), and put a folder in its place")
    assert [path.name for path in outside.iterdir()] == ["x"]
    assert (outside / "x").read_text() == "as it was"


def test_a_link_at_the_place_itself_is_replaced(shared: Path, outside: Path) -> None:
    (outside / "shadow").write_text("as it was")
    (shared / "x").symlink_to(outside / "shadow")
    TestMachine().write_file(shared / "x", b"new")
    assert (shared / "x").read_text() == "new"
    assert not (shared / "x").is_symlink()
    assert (outside / "shadow").read_text() == "as it was"


def test_a_folder_that_is_swapped_for_a_link_meanwhile(shared: Path, outside: Path) -> None:
    (shared / "course").mkdir()

    def blocks() -> object:
        yield b"x"
        (shared / "course").rename(shared / "other")
        (shared / "course").symlink_to(outside)

    TestMachine().write_blocks(shared / "course" / "x", blocks())  # type: ignore[arg-type]
    assert list(outside.iterdir()) == []
    assert (shared / "other" / "x").read_text() == "x"


def test_a_folder_becomes_a_link_as_it_is_opened(
    shared: Path, outside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (shared / "course").mkdir()
    real = os.stat

    def swap(path: object, **options: object) -> os.stat_result:
        found = real(path, **options)  # type: ignore[arg-type]
        if path == "course":
            (shared / "course").rmdir()
            (shared / "course").symlink_to(outside)
        return found

    monkeypatch.setattr(places.os, "stat", swap)
    with pytest.raises(OSError, match=r"Not a directory|is a link"), held(shared / "course" / "x"):
        pass


def test_roots_link_in_a_sticky_folder_is_followed(tmp_path: Path, outside: Path) -> None:
    tmp = tmp_path / "tmp"
    tmp.mkdir()
    tmp.chmod(0o1777)
    (tmp / "mine").symlink_to(outside)
    with opened(tmp / "mine") as handle:
        assert os.fstat(handle).st_ino == outside.stat().st_ino


def test_missing_folders_are_made(tmp_path: Path) -> None:
    TestMachine().make_directory(tmp_path / "a" / "b", mode=0o700)
    assert stat.S_IMODE((tmp_path / "a" / "b").stat().st_mode) == 0o700


def test_errors_name_the_path_that_was_meant(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught, held(tmp_path / "nowhere" / "x"):
        pass
    assert caught.value.filename == str(tmp_path / "nowhere")
    (tmp_path / "x").mkdir()
    with pytest.raises(IsADirectoryError) as other:
        TestMachine().write_file(tmp_path / "x", b"")
    assert str(tmp_path / "x") in (str(other.value.filename), str(other.value.filename2))


def test_links_in_a_circle(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(OSError, match="Too many levels"), opened(tmp_path / "a"):
        pass


def test_no_descriptor_stays_open(tmp_path: Path) -> None:
    machine = FakeMachine(tmp_path)
    before = len(list(Path("/proc/self/fd").iterdir()))
    for number in range(5):
        machine.write_file(Path("/x"), str(number).encode())
        machine.make_directory(Path("/a/b"))
    assert len(list(Path("/proc/self/fd").iterdir())) <= before
