"""People's servers that are stopped, and accounts and groups that were made for them."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from fakes import FakeMachine, recorded
from tljh.engine.facts import Facts
from tljh.engine.parsers import Account
from tljh.engine.resource import difference
from tljh.resources import people
from tljh.resources.people import MadeGroups, People, RunningServers, ancestors, below, end

PROGRAM = Path("/opt/tljh/bin/singleuser.py")


@pytest.fixture
def machine(tmp_path: Path) -> FakeMachine:
    found = FakeMachine(tmp_path)
    found.put("/etc/passwd", recorded("engine/passwd"))
    found.put("/etc/group", recorded("engine/group"))
    return found


@pytest.fixture
def killed(machine: FakeMachine, monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """What gets a signal; a process that is asked to end does, unless its command says otherwise."""
    sent: list[tuple[int, int]] = []

    def kill(pid: int, number: int) -> None:
        sent.append((pid, number))
        folder = machine.at(Path("/proc") / str(pid))
        if b"stubborn" not in (folder / "cmdline").read_bytes() or number == signal.SIGKILL:
            (folder / "stat").write_text(f"{pid} (x) Z 1 1")

    monkeypatch.setattr(os, "kill", kill)
    monkeypatch.setattr(people, "PATIENCE", 0.1)
    return sent


def process(machine: FakeMachine, pid: int, parent: int, *words: str) -> None:
    machine.put(f"/proc/{pid}/cmdline", "\0".join([*words, ""]))
    machine.put(f"/proc/{pid}/stat", f"{pid} (a ) name) S {parent} 1 1")


def systemd(machine: FakeMachine, shown: str) -> None:
    machine.at(Path("/run/systemd/system")).mkdir(parents=True)
    machine.answers["systemctl show"] = shown


def test_units_of_the_hubs_own_making_are_stopped(machine: FakeMachine) -> None:
    row = "Id={}\nActiveState={}\nFragmentPath={}\n\n"
    systemd(
        machine,
        row.format("jupyter-ada.service", "active", "/run/systemd/transient/jupyter-ada.service")
        + row.format("jupyter-bob.service", "failed", "/run/systemd/transient/jupyter-bob.service")
        + row.format("jupyter-mine.service", "active", "/etc/systemd/system/jupyter-mine.service"),
    )
    servers = RunningServers("servers", program=PROGRAM)
    diff = difference(servers, Facts(machine), set())
    assert diff.drop == {"jupyter-ada.service": "runs"}
    assert "what is not saved is lost" in servers.effect(diff)
    servers.change(diff, machine)
    assert machine.ran("systemctl stop") == ["systemctl stop jupyter-ada.service"]


def test_without_systemd_processes_are_ended_with_all_that_they_started(
    machine: FakeMachine, killed: list[tuple[int, int]]
) -> None:
    process(machine, 10, 1, "python3", str(PROGRAM), "--port=1")
    process(machine, 11, 10, "python3", "-m", "ipykernel_launcher", "stubborn")
    process(machine, 12, 1, "vim", f"{PROGRAM}.txt")
    servers = RunningServers("servers", program=PROGRAM)
    diff = difference(servers, Facts(machine), set())
    assert list(diff.drop) == ["pid 10"]
    servers.change(diff, machine)
    assert set(killed) == {(10, signal.SIGTERM), (11, signal.SIGTERM), (11, signal.SIGKILL)}


def test_families_of_processes(machine: FakeMachine) -> None:
    for pid, parent in ((2, 1), (3, 2), (4, 3), (9, 1)):
        process(machine, pid, parent, "x")
    assert below(machine, {2}) == {2, 3, 4}
    assert ancestors(machine, 4) == {4, 3, 2, 1}


def test_this_process_and_the_first_one_are_never_ended(
    machine: FakeMachine, killed: list[tuple[int, int]]
) -> None:
    end(machine, {1, os.getpid()})
    assert killed == []


def test_accounts_that_we_made(machine: FakeMachine, killed: list[tuple[int, int]]) -> None:
    accounts = Facts(machine).accounts
    uid = accounts["jupyter-admin"].uid
    known = {
        "jupyter-admin": Account("jupyter-admin", uid, uid, "/home/jupyter-admin"),
        "root": Account("root", 4711, 4711, "/home/root"),  # another number: somebody else's
        "gone": Account("gone", 4712, 4712, "/home/gone"),
    }
    resource = People("people", known=known)
    diff = difference(resource, Facts(machine), set())
    assert diff.drop == {"jupyter-admin": f"uid {uid}"}
    resource.change(diff, machine)
    assert machine.commands == ["userdel jupyter-admin"]


def test_groups_that_we_made(machine: FakeMachine) -> None:
    resource = MadeGroups("groups", names=("jupyterhub-users", "gone"))
    diff = difference(resource, Facts(machine), set())
    assert diff.drop == {"jupyterhub-users": "present"}
    resource.change(diff, machine)
    assert machine.commands == ["groupdel jupyterhub-users"]
