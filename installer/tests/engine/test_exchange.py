"""Two paths that change places."""

from __future__ import annotations

import ctypes
import errno
from pathlib import Path
from typing import Any

import pytest
from tljh.engine import exchange as module
from tljh.engine.machine import Machine
from tljh.errors import TljhError


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    one, other = tmp_path / "user", tmp_path / "envs/user-1"
    one.mkdir()
    (one / "work").touch()
    other.parent.mkdir()
    other.symlink_to("envs/user-1")
    return one, other


def test_a_folder_and_a_link_to_where_it_will_be(pair: tuple[Path, Path]) -> None:
    one, other = pair
    module.exchange(one, other)
    assert one.is_symlink()
    assert (one / "work").exists()
    assert (other / "work").exists()
    assert not other.is_symlink()


def without_the_call(number: int) -> Any:
    def fail(*arguments: object) -> int:
        ctypes.set_errno(number)
        return -1

    return lambda *arguments, **more: type("Library", (), {"renameat2": staticmethod(fail)})


def test_where_the_file_system_cannot(pair: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.ctypes, "CDLL", without_the_call(errno.EINVAL))
    one, other = pair
    module.exchange(one, other)
    assert (one.is_symlink(), (one / "work").exists(), other.is_symlink()) == (True, True, False)
    assert sorted(path.name for path in other.parent.iterdir()) == ["user-1"]


def test_a_mount_point_stays(pair: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.ctypes, "CDLL", without_the_call(errno.EBUSY))
    with pytest.raises(TljhError, match=r"user cannot be moved to .*user-1: Device or resource busy") as caught:
        Machine().exchange(*pair)
    assert "where a disk is mounted" in str(caught.value)
    assert not pair[0].is_symlink()
