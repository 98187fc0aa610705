from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from tljh import systemd
from tljh.engine.machine import Machine
from tljh.engine.processes import Completed
from tljh.errors import TljhError
from tljh.plugins import recording


class FakeMachine(Machine):
    """Remembers commands; files are below a temporary folder."""

    commands: list[list[str]]

    def __init__(self, root: Path, status: int = 0) -> None:
        super().__init__(root)
        self.commands = []
        self.exit_status = status

    def run(self, command: Sequence[str | Path], **options: Any) -> Completed:
        self.commands.append([str(word) for word in command])
        return Completed(self.exit_status, "", "")

    def _chown(self, path: Path, owner: str) -> None:
        assert owner == "root:root"


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeMachine:
    (tmp_path / "run/systemd/system").mkdir(parents=True)
    (tmp_path / "etc/systemd/system").mkdir(parents=True)
    fake = FakeMachine(tmp_path)
    monkeypatch.setattr(systemd, "Machine", lambda: fake)
    return fake


def test_running_is_what_systemd_says_of_itself(machine: FakeMachine) -> None:
    assert systemd.is_running()
    (machine.root / "run/systemd/system").rmdir()
    assert not systemd.is_running()


def test_a_unit_is_written_and_removed(machine: FakeMachine) -> None:
    systemd.install_unit("example.service", "[Service]\nExecStart=/bin/true\n")
    file = machine.root / "etc/systemd/system/example.service"
    assert file.read_text() == "[Service]\nExecStart=/bin/true\n"
    assert file.stat().st_mode & 0o777 == 0o644
    systemd.uninstall_unit("example.service")
    assert not file.exists()
    systemd.uninstall_unit("example.service")


@pytest.mark.parametrize("verb", ["start", "stop", "restart", "enable", "disable"])
def test_each_verb_is_systemctls(machine: FakeMachine, verb: str) -> None:
    getattr(systemd, f"{verb}_service")("example.service")
    assert machine.commands == [["systemctl", verb, "example.service"]]


def test_reload(machine: FakeMachine) -> None:
    systemd.reload_daemon()
    assert machine.commands == [["systemctl", "daemon-reload"]]


@pytest.mark.parametrize(("status", "answer"), [(0, True), (3, False)])
def test_questions_are_answered_by_the_exit_status(machine: FakeMachine, status: int, answer: bool) -> None:
    machine.exit_status = status
    assert systemd.check_service_active("x") is answer
    assert systemd.check_service_enabled("x") is answer
    assert [words[1] for words in machine.commands] == ["is-active", "is-enabled"]


def test_without_systemd_the_error_says_so(machine: FakeMachine) -> None:
    (machine.root / "run/systemd/system").rmdir()
    for act in (lambda: systemd.start_service("x"), lambda: systemd.install_unit("x", ""), systemd.reload_daemon):
        with pytest.raises(TljhError, match="systemd does not run this machine"):
            act()
    assert machine.commands == []


# ---- what a hook does is noted


@pytest.fixture
def notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(recording.VARIABLE, str(tmp_path / "notes"))
    return tmp_path / "notes"


def test_a_unit_is_noted_with_what_it_replaced(machine: FakeMachine, notes: Path) -> None:
    systemd.install_unit("x.service", "new\n")
    (machine.root / "etc/systemd/system/x.service").write_text("the admin's\n")
    systemd.install_unit("x.service", "new\n")
    systemd.uninstall_unit("x.service")
    first, second, third = recording.read(notes)
    assert (first["kind"], first["path"], first["text"]) == ("unit", "/etc/systemd/system", "new\n")
    assert first["there"] is None
    assert second["there"]["kind"] == "file"
    assert base64.b64decode(second["content"]) == b"the admin's\n"
    assert third["gone"] is True


@pytest.mark.parametrize(("status", "was"), [(0, True), (3, False)])
def test_what_is_started_and_enabled_is_noted_with_what_it_was(
    machine: FakeMachine, notes: Path, status: int, was: bool
) -> None:
    machine.exit_status = status
    for act in (systemd.start_service, systemd.restart_service, systemd.enable_service):
        act("x")
    for act in (systemd.stop_service, systemd.disable_service):
        act("x")
    said = [{key: note[key] for key in note if key not in ("plugin", "kind")} for note in recording.read(notes)]
    assert said == [
        {"name": "x", "was": was, "started": True},
        {"name": "x", "was": was, "started": True},
        {"name": "x", "was": was, "enabled": True},
        {"name": "x", "was": False, "started": False},
        {"name": "x", "was": False, "enabled": False},
    ]
