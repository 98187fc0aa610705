"""One installer at a time."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from tljh.engine import lock
from tljh.errors import TljhError


@pytest.fixture(autouse=True)
def no_descriptor_handed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(lock.FD_VARIABLE, "")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "tljh.lock"


@pytest.fixture
def held(path: Path) -> Iterator[int]:
    """The lock, held by somebody else."""
    path.parent.mkdir()
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    yield descriptor
    os.close(descriptor)


@pytest.fixture
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that were slept."""
    slept: list[float] = []
    monkeypatch.setattr("time.sleep", slept.append)
    return slept


def test_taken_and_given_back(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["tljh", "install", "-v"])
    descriptor = lock.acquire(path)
    assert os.get_inheritable(descriptor), "it holds until the last child has ended"
    assert os.environ[lock.FD_VARIABLE] == str(descriptor)
    assert path.stat().st_mode & 0o777 == 0o600
    text = json.loads(path.read_text())
    assert (text["pid"], text["command"]) == (os.getpid(), "tljh install -v")
    assert lock.holder(path) == lock.Holder(os.getpid(), "tljh install -v", text["started"])
    with path.open() as other, pytest.raises(BlockingIOError):
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    lock.release(descriptor)
    assert lock.FD_VARIABLE not in os.environ
    lock.release(lock.acquire(path))


def test_a_longer_text_leaves_nothing_behind(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["tljh", "install", "x" * 300])
    lock.release(lock.acquire(path))
    monkeypatch.setattr("sys.argv", ["tljh"])
    lock.release(lock.acquire(path))
    found = lock.holder(path)
    assert found is not None
    assert found.command == "tljh"


def test_a_descriptor_that_was_handed_over(path: Path, held: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(lock.FD_VARIABLE, str(held))
    os.set_inheritable(held, False)
    assert lock.acquire(path) == held
    assert os.get_inheritable(held)


def test_a_descriptor_of_something_else_is_not_taken_over(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (tmp_path / "other").open("w") as other:
        monkeypatch.setenv(lock.FD_VARIABLE, str(other.fileno()))
        descriptor = lock.acquire(path)
        assert descriptor != other.fileno()
        lock.release(descriptor)


def says(path: Path, pid: int, monkeypatch: pytest.MonkeyPatch, *holding: lock.Process) -> None:
    """The lock's text, and who has its file open."""
    path.write_text(json.dumps({"pid": pid, "command": "tljh install -v", "started": "10:11:12"}))
    monkeypatch.setattr(lock, "processes_with", lambda path: list(holding))


@pytest.mark.usefixtures("held")
def test_somebody_is_at_work(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    says(path, 77, monkeypatch, lock.Process(77, "python"), lock.Process(78, "apt-get"))
    with pytest.raises(TljhError) as caught:
        lock.acquire(path)
    assert str(caught.value) == (
        "another installer is at work: pid 77, since 10:11:12: tljh install -v\n"
        "  → wait until it has ended, then run the same command again"
    )


def test_what_a_killed_run_started_is_waited_for_and_named_once(
    path: Path, held: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    says(path, 77, monkeypatch, lock.Process(80, "apt-get"), lock.Process(81, "dpkg"))
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 3:
            fcntl.flock(held, fcntl.LOCK_UN)

    monkeypatch.setattr("time.sleep", sleep)
    said: list[str] = []
    lock.release(lock.acquire(path, say=said.append))
    assert said == [
        "waiting for apt-get (pid 80), dpkg (pid 81), "
        "which an earlier run (pid 77: tljh install -v) started, to end"
    ]


@pytest.mark.usefixtures("held")
def test_a_process_that_got_the_number_of_the_killed_one_is_not_taken_for_it(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    says(path, os.getppid(), monkeypatch, lock.Process(80, "uv"))
    monkeypatch.setattr(lock, "WAIT_FOR_CHILDREN", -1.0)
    with pytest.raises(TljhError, match=r"uv \(pid 80\), which an earlier run .* started, still holds"):
        lock.acquire(path)


def opened(path: Path) -> int:
    """How many of this process's open files are that one."""
    return [os.path.realpath(entry) for entry in Path("/proc/self/fd").iterdir()].count(str(path))


@pytest.mark.usefixtures("held", "no_waiting")
def test_waiting_has_an_end(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "WAIT_FOR_CHILDREN", -1.0)
    path.write_text("{no json")
    before = opened(path)
    with pytest.raises(TljhError) as caught:
        lock.acquire(path)
    assert str(caught.value) == (
        f"something, which an earlier run started, still holds {path} after -0 minutes\n"
        "  → see what it does, end it if it does nothing (kill PID), then run the same command again"
    )
    assert opened(path) == before, "it stays open"


@pytest.mark.usefixtures("held")
def test_an_interruption_ends_the_waiting(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("time.sleep", interrupted)
    with pytest.raises(KeyboardInterrupt):
        lock.acquire(path)
    assert os.environ[lock.FD_VARIABLE] == ""


def test_who_has_it_open(path: Path, tmp_path: Path) -> None:
    path.parent.mkdir()
    path.touch()
    for pid, name, target in (("12", "apt-get", path), ("9", "python", path), ("30", "sh", tmp_path)):
        folder = tmp_path / "proc" / pid / "fd"
        folder.mkdir(parents=True)
        (folder / "3").symlink_to(target)
        (folder / "4").symlink_to(tmp_path / "gone")
        (folder.parent / "comm").write_text(f"{name}\n")
    (tmp_path / "proc" / "40").mkdir()  # somebody else's, which can't be looked into
    assert [str(found) for found in lock.processes_with(path, tmp_path / "proc")] == [
        "python (pid 9)",
        "apt-get (pid 12)",
    ]


@pytest.mark.parametrize("text", ["", "{}", "[]", "{no json", '{"pid": "x", "command": "", "started": ""}'])
def test_a_text_that_says_nothing(path: Path, text: str) -> None:
    path.parent.mkdir()
    path.write_text(text)
    assert lock.holder(path) is None


def test_no_text_at_all(path: Path) -> None:
    assert lock.holder(path) is None
