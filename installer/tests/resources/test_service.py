"""Services: what they run with is what is compared; systemd answers as it was recorded."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from fakes import FakeMachine, recorded
from tljh.engine.facts import Facts
from tljh.engine.machine import Machine
from tljh.engine.resource import Diff, difference
from tljh.errors import TljhError
from tljh.resources import service
from tljh.resources.service import Service, Systemd, parse_started, started_script

DISABLED = "Id=jupyterhub.service\nLoadState=loaded\nActiveState=inactive\nSubState=dead\nUnitFileState=disabled\n"


@dataclass
class FakeManager:
    """Answers in turn with what it was told to; the last one again and again."""

    states: list[Mapping[str, str]] = field(default_factory=list)
    done: list[str] = field(default_factory=list)

    def state(self, facts: Facts, name: str) -> Mapping[str, str]:
        return self.states.pop(0) if len(self.states) > 1 else self.states[0]

    def start(self, name: str) -> None:
        self.done.append(f"start {name}")

    def stop(self, name: str) -> None:
        self.done.append(f"stop {name}")

    def remove(self, name: str) -> None:
        self.done.append(f"remove {name}")

    def failing(self, name: str) -> str:
        return ""

    def log_tail(self, name: str) -> str:
        return "Traceback:\nno such file"


RUNNING = {"enabled": "yes", "active": "yes"}
FAILED = {"enabled": "yes", "active": "activating (auto-restart)"}


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)


@pytest.fixture
def machine(tmp_path: Path) -> FakeMachine:
    return FakeMachine()


def hub(tmp_path: Path, manager: object, **more: object) -> Service:
    known: dict[str, object] = {"started": tmp_path / "jupyterhub.started", "environment": Path("/envs/hub-3")}
    return Service("service:jupyterhub", manager=manager, **{**known, **more})  # type: ignore[arg-type]


def short(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


# ---- what it was started with


def test_what_a_launcher_wrote_down() -> None:
    assert parse_started(recorded("engine/traefik.started")) == {
        "environment": "/opt/tljh/envs/hub-3",
        "with /opt/tljh/bin/launch-traefik": "af9ae4b7d837ccae",
        "with /etc/systemd/system/traefik.service": "ff956910218c54d4",
        "with /opt/tljh/state/traefik.toml": "0ea5f1857a36f7d7",
    }
    assert parse_started("") == {}
    assert parse_started("environment /a b\npid 7\nnonsense\n") == {"environment": "/a b"}


def test_what_is_wanted(tmp_path: Path) -> None:
    there, planned, gone = tmp_path / "unit", tmp_path / "config.yaml", tmp_path / "gone"
    there.write_text("[Unit]")
    planned.write_text("old")
    wanted = hub(tmp_path, FakeManager(), files=[there, planned, gone], planned={planned: b"new"})
    assert wanted.name == "jupyterhub"
    assert wanted.desired() == {
        "enabled": "yes",
        "active": "yes",
        "environment": "/envs/hub-3",
        f"with {there}": short(b"[Unit]"),
        f"with {planned}": short(b"new"),
    }
    assert hub(tmp_path, FakeManager(), wanted=False).desired() == {}


def test_an_edited_file_is_a_difference(tmp_path: Path, machine: FakeMachine) -> None:
    unit = tmp_path / "unit"
    unit.write_text("[Unit]")
    digest = hashlib.sha256(b"[Unit]").hexdigest()
    (tmp_path / "jupyterhub.started").write_text(f"environment /envs/hub-3\n{digest}  {unit}\n")
    wanted = hub(tmp_path, FakeManager([RUNNING]), files=[unit])
    assert not difference(wanted, Facts(machine), set())
    unit.write_text("[Unit]\n# edited")
    diff = difference(wanted, Facts(machine), set())
    assert diff.put == {f"with {unit}": short(b"[Unit]\n# edited")}
    assert wanted.effect(diff) == "restarts jupyterhub"


def test_a_file_that_is_passed_over_is_none(tmp_path: Path, machine: FakeMachine) -> None:
    edited = tmp_path / "mine.py"
    (tmp_path / "jupyterhub.started").write_text(f"environment /envs/hub-3\n{'a' * 64}  {edited}\n")
    wanted = hub(tmp_path, FakeManager([RUNNING]), passed_over=[edited])
    assert not difference(wanted, Facts(machine), {"enabled", "active", f"with {edited}"})


def test_a_switched_environment_is_a_difference(tmp_path: Path, machine: FakeMachine) -> None:
    (tmp_path / "jupyterhub.started").write_text("environment /envs/hub-2\n")
    diff = difference(hub(tmp_path, FakeManager([RUNNING])), Facts(machine), set())
    assert diff.put == {"environment": "/envs/hub-3"}


def test_a_file_that_is_gone_since_is_a_difference(tmp_path: Path, machine: FakeMachine) -> None:
    started = f"environment /envs/hub-3\n{'a' * 64}  /etc/drop-in.conf\n"
    (tmp_path / "jupyterhub.started").write_text(started)
    wanted = hub(tmp_path, FakeManager([RUNNING]))
    assert difference(wanted, Facts(machine), {"enabled", "active"}).drop == {"with /etc/drop-in.conf": "a" * 16}
    assert difference(wanted, Facts(machine), set()).drop == {}, "not a service that we brought"


def test_what_a_stopped_service_was_started_with_does_not_count(tmp_path: Path, machine: FakeMachine) -> None:
    (tmp_path / "jupyterhub.started").write_text("environment /envs/hub-3\n")
    wanted = hub(tmp_path, FakeManager([{"enabled": "yes", "active": "inactive (dead)"}]))
    diff = difference(wanted, Facts(machine), set())
    assert diff.put == {"active": "yes", "environment": "/envs/hub-3"}
    assert wanted.effect(diff) == "starts jupyterhub"


# ---- starting


def test_it_must_run_with_what_is_on_disk(tmp_path: Path, machine: FakeMachine) -> None:
    manager = FakeManager([FAILED, RUNNING, RUNNING, FAILED])
    wanted = hub(tmp_path, manager)
    looks = iter(["environment /elsewhere\n", f"environment {wanted.environment}\n"])
    machine.read = lambda path: next(looks).encode() if path == wanted.started else None  # type: ignore[method-assign]
    wanted.change(Diff({}, wanted.desired(), {}), machine)
    assert manager.done == ["start jupyterhub"]
    assert manager.states == [FAILED], "until it runs from the right environment, and no longer"


def test_what_the_last_start_read_is_waited_for_to_go(tmp_path: Path, machine: FakeMachine) -> None:
    manager = FakeManager([RUNNING] * 4)
    wanted = hub(tmp_path, manager)
    now = f"environment {wanted.environment}\n"
    old = f"{now}{'0' * 64}  /plugins.d/gone.py\n"
    looks = iter([old, old, now, "no more looks"])
    machine.read = lambda path: next(looks).encode() if path == wanted.started else None  # type: ignore[method-assign]
    diff = difference(wanted, Facts(machine), {"with /plugins.d/gone.py"})
    wanted.change(diff, machine)
    assert next(looks) == "no more looks", "until its launcher has written down anew, and no longer"


def test_once_started_what_is_on_disk_counts(tmp_path: Path, machine: FakeMachine) -> None:
    unit = tmp_path / "unit"
    wanted = hub(tmp_path, FakeManager([RUNNING]), files=[unit], planned={unit: b"planned"})
    unit.write_bytes(b"another hand was quicker")
    digest = hashlib.sha256(b"another hand was quicker").hexdigest()
    text = f"environment {wanted.environment}\n{digest}  {unit}\n"
    machine.read = lambda path: text.encode() if path == wanted.started else None  # type: ignore[method-assign]
    wanted.change(difference(wanted, Facts(machine), set()), machine)
    assert wanted.desired()[f"with {unit}"] == short(b"another hand was quicker")


def test_it_does_not_run(tmp_path: Path, machine: FakeMachine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "START_TIMEOUT", -1.0)
    wanted = hub(tmp_path, FakeManager([FAILED]))
    with pytest.raises(TljhError) as caught:
        wanted.change(difference(wanted, Facts(machine), set()), machine)
    assert str(caught.value) == (
        "the service jupyterhub does not run: activating (auto-restart); it last said:\n"
        "    Traceback:\n    no such file\n"
        "  → mend what it complains of, then run the same command again"
    )


def test_it_fails_each_time(tmp_path: Path, machine: FakeMachine, monkeypatch: pytest.MonkeyPatch) -> None:
    """It isn't waited for to the end: meanwhile nobody is served."""
    monkeypatch.setattr(FakeManager, "failing", lambda manager, name: "it has ended 4 times since it was started")
    wanted = hub(tmp_path, FakeManager([FAILED]))
    with pytest.raises(TljhError, match=r"^the service jupyterhub does not run: it has ended 4 times .*; it last"):
        wanted.change(difference(wanted, Facts(machine), set()), machine)


def test_it_is_not_ended_where_it_could_not_start_again(
    tmp_path: Path, machine: FakeMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, doing: str) -> None:
        raise TljhError(f"no room {doing}")

    monkeypatch.setattr(service, "check_room", full)
    manager = FakeManager([FAILED])
    wanted = hub(tmp_path, manager)
    with pytest.raises(TljhError, match="no room to start jupyterhub"):
        wanted.change(difference(wanted, Facts(machine), set()), machine)
    assert manager.done == []


def test_it_is_not_ended_where_its_rehearsal_fails(tmp_path: Path, machine: FakeMachine) -> None:
    def rehearse(there: Machine) -> None:
        raise TljhError(f"{there is machine}, not with this")

    manager = FakeManager([FAILED])
    wanted = hub(tmp_path, manager, rehearse=rehearse)
    with pytest.raises(TljhError, match="True, not with this"):
        wanted.change(difference(wanted, Facts(machine), set()), machine)
    assert manager.done == []


def test_it_is_no_longer_wanted(tmp_path: Path, machine: FakeMachine) -> None:
    manager = FakeManager([RUNNING])
    gone = hub(tmp_path, manager, wanted=False)
    gone.change(difference(gone, Facts(machine), {"active", "enabled"}), machine)
    assert manager.done == ["remove jupyterhub"]


# ---- systemd


def test_units_as_recorded(machine: FakeMachine) -> None:
    machine.answers["systemctl show"] = recorded("engine/systemctl-show")
    manager, facts = Systemd(machine), Facts(machine)
    assert manager.state(facts, "jupyterhub") == {"enabled": "yes", "active": "yes"}
    assert manager.state(facts, "traefik") == {"enabled": "yes", "active": "yes"}
    assert manager.state(facts, "cron") == {}, "there is no such unit"
    assert manager.state(facts, "systemd-journald") == {"enabled": "static", "active": "yes"}
    assert manager.state(facts, "getty@tty1") == {"enabled": "yes", "active": "inactive (dead)"}
    assert manager.state(facts, "other") == {}
    assert machine.commands == [
        "systemctl show -p Id,LoadState,UnitFileState,ActiveState,SubState jupyterhub.service traefik.service"
    ], "asked once for all"


def test_start_and_stop_and_remove(machine: FakeMachine) -> None:
    manager = Systemd(machine)
    manager.start("traefik")
    manager.stop("traefik")
    manager.remove("traefik")
    assert machine.commands == [
        "systemctl enable --no-reload --quiet traefik.service",
        "systemctl daemon-reload",
        "systemctl reset-failed traefik.service",
        "systemctl restart traefik.service",
        "systemctl stop traefik.service",
        "systemctl disable --now traefik.service",
    ]


def test_a_unit_that_was_removed_is_gone_though_its_file_is_still_there(
    tmp_path: Path, machine: FakeMachine
) -> None:
    # services are dropped before the files that they were made of
    machine.answers["systemctl show"] = DISABLED
    gone = hub(tmp_path, Systemd(machine), wanted=False)
    assert not difference(gone, Facts(machine), {"enabled", "active", "environment"})


def test_a_unit_that_is_not_known_any_more(tmp_path: Path, machine: FakeMachine) -> None:
    machine.answers["systemctl show"] = DISABLED.replace("loaded", "not-found")
    gone = hub(tmp_path, Systemd(machine), wanted=False)
    assert not difference(gone, Facts(machine), {"enabled", "active"})


@pytest.mark.parametrize(
    ("shown", "why"),
    [
        ("LoadState=loaded\nActiveState=active\nNRestarts=0\n", ""),
        ("LoadState=loaded\nActiveState=activating\nNRestarts=2\n", ""),
        ("LoadState=loaded\nActiveState=activating\nNRestarts=3\n", "it has ended 4 times since it was started"),
        ("LoadState=loaded\nActiveState=failed\nNRestarts=0\n", "it has failed"),
        (
            "LoadState=bad-setting\nLoadError=no executable\nNRestarts=0\n",
            "its unit cannot be used: no executable",
        ),
        ("LoadState=masked\nNRestarts=0\n", "its unit cannot be used: masked"),
    ],
)
def test_a_unit_that_fails_each_time(machine: FakeMachine, shown: str, why: str) -> None:
    machine.answers["systemctl show"] = f"Id=traefik.service\n{shown}"
    assert Systemd(machine).failing("traefik") == why


def test_the_end_of_the_log(machine: FakeMachine) -> None:
    machine.answers["journalctl -u traefik.service -n 15 --no-pager -o cat"] = "bad port\n"
    assert Systemd(machine).log_tail("traefik") == "bad port\n"


# ---- the launcher


def test_the_launcher() -> None:
    text = started_script(
        "traefik",
        Path("/opt/tljh/hub"),
        Path("/run/tljh/traefik.started"),
        ["/opt/tljh/bin/launch-traefik", "/etc/systemd/system/traefik.service.d/*.conf"],
        '"$environment/bin/traefik" --configfile=/x',
    )
    assert text.startswith("#!/bin/sh\n# Starts traefik. Written by the installer of /opt/tljh;")
    lines = [line.strip() for line in text.splitlines()]
    resolve = lines.index("environment=$(readlink -f /opt/tljh/hub)")
    written = lines.index("mv /run/tljh/traefik.started.new /run/tljh/traefik.started")
    assert lines.index("set -eu") < resolve < written < len(lines) - 1
    assert lines[-1] == 'exec "$environment/bin/traefik" --configfile=/x'
    assert "for file in /opt/tljh/bin/launch-traefik /etc/systemd/system/traefik.service.d/*.conf; do" in lines, (
        "patterns are the shell's to expand"
    )
