"""Before apt: another program that is at work, and a dpkg that was interrupted."""

from __future__ import annotations

import fcntl
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from fakes import FakeMachine
from tljh.errors import CommandFailed, TljhError
from tljh.resources import apt_others
from tljh.resources.apt_others import failed_packages, finish_interrupted, holder, patience, wait_for_others

LOCK = "/var/lib/dpkg/lock-frontend"
FAILED = (
    "dpkg: error processing package foo (--configure):\nErrors were encountered while processing:\n foo\n bar\n"
)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeMachine:
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    return FakeMachine(tmp_path)


def held_by(monkeypatch: pytest.MonkeyPatch, *pids: int) -> None:
    """Who holds the locks, look by look; the last one always."""
    left = list(pids)

    def look(descriptor: int, command: int, asked: bytes) -> bytes:
        pid = left.pop(0) if len(left) > 1 else left[0]
        return struct.pack("hhqqi4x", fcntl.F_WRLCK if pid else fcntl.F_UNLCK, 0, 0, 0, pid)

    monkeypatch.setattr(apt_others.fcntl, "fcntl", look)


def test_nobody_holds_what_is_not_there(machine: FakeMachine) -> None:
    assert holder(machine) is None


def test_a_lock_that_nobody_holds(machine: FakeMachine) -> None:
    machine.put(LOCK, "")
    assert holder(machine) is None, "asked of the kernel itself"


def test_it_waits_and_says_for_whom(machine: FakeMachine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.put(LOCK, "")
    machine.put("/proc/12/cmdline", "/usr/bin/python3\0/usr/bin/unattended-upgrade\0")
    held_by(monkeypatch, 12, 12, 0)
    said: list[str] = []
    wait_for_others(machine, said.append, deadline=float("inf"))
    assert said == [
        "waiting for /usr/bin/python3 /usr/bin/unattended-upgrade (pid 12), which works with the system's packages"
    ]


def test_in_the_end_it_names_who_it_was(machine: FakeMachine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.put(LOCK, "")
    held_by(monkeypatch, 12)
    with pytest.raises(TljhError) as caught:
        wait_for_others(machine, print, deadline=0.0)
    assert str(caught.value) == (
        f"a program (pid 12) works with the system's packages and has not ended: it holds {LOCK}\n"
        "  → wait until it has ended, or end it (ps -fp 12), then run the same command again"
    )


@pytest.mark.parametrize(("text", "seconds"), [("", 600.0), ("3", 3.0), ("soon", 600.0)])
def test_how_long_it_waits(monkeypatch: pytest.MonkeyPatch, text: str, seconds: float) -> None:
    monkeypatch.setenv("TLJH_APT_PATIENCE", text)
    assert patience() == seconds


def failing(output: str) -> Callable[..., None]:
    def dpkg(*words: str) -> None:
        raise CommandFailed(["dpkg", *words], 1, output)

    return dpkg


STATUS = """Package: git
Status: install ok installed

Package: git-man
Status: deinstall ok half-installed

"""
QUERIED = (
    "install ok installed git\ndeinstall ok half-installed git-man\npurge ok half-configured sudo:amd64\n"
    "install reinstreq half-installed hello\ndeinstall reinstreq half-installed vim\n"
    "deinstall ok config-files nano\ninstall ok half-configured adduser\n"
)


@pytest.mark.parametrize("half", ["", "installed", "configured"])
def test_a_removal_that_was_cut_off_is_finished_first(tmp_path: Path, half: str) -> None:
    """dpkg --configure leaves it half done; one whose unpacking was cut off is apt's to mend."""
    machine = FakeMachine(tmp_path, {"dpkg-query -W": QUERIED})
    machine.put("/var/lib/dpkg/updates/tmp.i" if half else "/var/lib/dpkg/updates/0001", "")
    machine.put("/var/lib/dpkg/status", STATUS.replace("half-installed", f"half-{half}") if half else "")
    done: list[tuple[str, ...]] = []
    finish_interrupted(machine, print, lambda *words: done.append(words))
    assert done == [("--force-depends", "--remove", "git-man", "sudo:amd64"), ("--configure", "-a")]


def test_who_waits_to_be_unpacked_anew_is_no_interruption(tmp_path: Path) -> None:
    machine = FakeMachine(tmp_path, {"dpkg-query -W": "install reinstreq half-installed hello\n"})
    machine.put("/var/lib/dpkg/status", "Package: hello\nStatus: install reinstreq half-installed\n\n")
    finish_interrupted(machine, pytest.fail, failing(""))


def test_nothing_was_interrupted(machine: FakeMachine) -> None:
    machine.put("/var/lib/dpkg/updates/tmp.i", "")
    finish_interrupted(machine, pytest.fail, failing(""))


def test_what_was_interrupted_is_finished(machine: FakeMachine) -> None:
    machine.put("/var/lib/dpkg/updates/0001", "")
    said: list[str] = []
    done: list[tuple[str, ...]] = []
    finish_interrupted(machine, said.append, lambda *words: done.append(words))
    assert done == [("--configure", "-a")]
    assert said == ["dpkg was interrupted earlier: finishing that first (dpkg --configure -a)"]


def test_what_can_not_be_finished_is_named(machine: FakeMachine) -> None:
    machine.put("/var/lib/dpkg/updates/0001", "")
    with pytest.raises(TljhError) as caught:
        finish_interrupted(machine, print, failing(FAILED))
    assert str(caught.value).startswith("dpkg was interrupted, and what it left cannot be finished: foo, bar\n")
    assert "  → mend or remove foo, bar (dpkg --configure -a)" in str(caught.value)


def test_packages_that_failed() -> None:
    assert failed_packages(FAILED) == "foo, bar"
    assert failed_packages("E: Unable to locate package x") == ""
