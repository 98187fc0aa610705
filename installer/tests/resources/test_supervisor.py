"""supervisor: its configuration, and what we tell it."""

from __future__ import annotations

import configparser
import os
import xmlrpc.client
from pathlib import Path
from typing import Any

import pytest
from fakes import FakeMachine
from tljh.engine.facts import Facts
from tljh.engine.resource import difference
from tljh.errors import TljhError
from tljh.resources import supervisor
from tljh.resources.service import Service
from tljh.resources.supervisor import Program, Supervisor, configuration

PROGRAMS = [
    Program("traefik", "/opt/tljh/bin/launch-traefik", Path("/opt/tljh/state"), 10),
    Program("jupyterhub", "/opt/tljh/bin/launch-jupyterhub", Path("/opt/tljh/state"), 20),
]


class FakeServer:
    """supervisord's XML-RPC interface; every call but questions is noted."""

    def __init__(self, **states: str) -> None:
        self.states = states
        self.groups: tuple[list[str], list[str], list[str]] = ([], [], [])
        self.done: list[str] = []
        self.runs = True
        self.pid = 1 << 30  # no process has this number: it has ended

    def getPID(self) -> int:
        if not self.runs:
            raise ConnectionRefusedError("no socket")
        return self.pid

    def getProcessInfo(self, name: str) -> dict[str, Any]:
        if not self.runs:
            raise FileNotFoundError("no socket")
        if name not in self.states:
            raise xmlrpc.client.Fault(10, "BAD_NAME")
        return {"name": name, "statename": self.states[name]}

    def reloadConfig(self) -> list[tuple[list[str], list[str], list[str]]]:
        return [self.groups]

    def stopProcess(self, name: str, wait: bool) -> None:
        if self.states.get(name) == "UNKNOWN":
            raise xmlrpc.client.Fault(10, "BAD_NAME: " + name)
        if self.states.get(name) != "RUNNING":
            raise xmlrpc.client.Fault(70, "NOT_RUNNING")
        self.done.append(f"stopProcess {name}")

    def shutdown(self) -> None:
        self.done.append("shutdown")
        self.runs = False

    def removeProcessGroup(self, name: str) -> None:
        self.states.pop(name, None)
        self.done.append(f"removeProcessGroup {name}")

    def __getattr__(self, call: str) -> Any:
        return lambda *words: self.done.append(f"{call} {words[0]}")


class OurSupervisor(Supervisor):
    server: FakeServer

    def _server(self) -> FakeServer:
        return self.server


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)


@pytest.fixture
def server() -> FakeServer:
    return FakeServer(traefik="RUNNING", jupyterhub="BACKOFF")


@pytest.fixture
def ours(tmp_path: Path, server: FakeServer) -> OurSupervisor:
    (tmp_path / "hub").symlink_to("envs/hub-3")
    (tmp_path / "supervisord.conf").write_text(configuration(tmp_path, PROGRAMS))
    made = OurSupervisor(tmp_path / "hub", tmp_path, FakeMachine())
    made.server = server
    return made


def facts() -> Facts:
    return Facts(FakeMachine())


# ---- the configuration


def test_the_configuration() -> None:
    read = configparser.RawConfigParser(inline_comment_prefixes=(";",))
    read.read_string(configuration(Path("/opt/tljh/state"), PROGRAMS))
    assert read["unix_http_server"] == {"file": "/opt/tljh/state/supervisor.sock", "chmod": "0700"}
    assert "inet_http_server" not in read, "nobody but root may speak to it"
    hub, proxy = read["program:jupyterhub"], read["program:traefik"]
    assert hub["command"] == "/opt/tljh/bin/launch-jupyterhub"
    assert hub["directory"] == "/opt/tljh/state"
    assert hub["stdout_logfile"] == "/opt/tljh/state/jupyterhub.log"
    assert (hub["stopasgroup"], hub["killasgroup"]) == ("false", "false"), "user servers outlive the hub"
    assert (hub["autostart"], hub["autorestart"]) == ("true", "true")
    assert hub.getint("priority") > proxy.getint("priority")
    assert read["supervisord"]["logfile"] == "/opt/tljh/state/supervisord.log"


# ---- states


def test_states(ours: OurSupervisor, server: FakeServer) -> None:
    assert ours.state(facts(), "traefik") == {"enabled": "yes", "active": "yes"}
    assert ours.state(facts(), "jupyterhub") == {"enabled": "yes", "active": "backoff"}
    assert ours.state(facts(), "other") == {}
    server.runs = False
    assert ours.state(facts(), "traefik") == {"enabled": "yes", "active": "supervisord does not run"}
    ours.config.write_text("")
    assert ours.state(facts(), "traefik") == {}
    server.runs = True
    assert ours.state(facts(), "traefik") == {"enabled": "no", "active": "yes"}


def test_a_service_that_was_removed_is_gone_though_its_configuration_is_still_there(
    ours: OurSupervisor, tmp_path: Path
) -> None:
    ours.remove("traefik")
    gone = Service("service:traefik", manager=ours, started=tmp_path / "x", environment=tmp_path, wanted=False)
    assert not difference(gone, facts(), {"enabled", "active"})


# ---- starting and stopping


def test_restart(ours: OurSupervisor, server: FakeServer) -> None:
    ours.start("traefik")
    assert server.done == ["stopProcess traefik", "startProcess traefik"]
    server.done.clear()
    ours.start("jupyterhub")
    assert server.done == ["startProcess jupyterhub"], "it did not run, which is no failure"


def test_a_changed_configuration_is_taken_up(ours: OurSupervisor, server: FakeServer) -> None:
    server.groups = (["new"], ["traefik"], ["old"])
    ours.start("traefik")
    assert server.done == [
        "stopProcessGroup traefik",
        "removeProcessGroup traefik",
        "stopProcessGroup old",
        "removeProcessGroup old",
        "addProcessGroup new",
        "addProcessGroup traefik",
        "startProcess traefik",
    ]


def test_start_where_nothing_runs(ours: OurSupervisor, server: FakeServer, tmp_path: Path) -> None:
    server.runs = False
    machine = ours.machine
    assert isinstance(machine, FakeMachine)

    def started(words: list[str]) -> str:
        server.runs = True
        return ""

    machine.answers["supervisord"] = started
    ours.start("traefik")
    assert machine.commands == [f"supervisord -c {tmp_path}/supervisord.conf"]
    assert server.done == [], "it starts them all"


def test_the_program_is_run_by_its_real_path(ours: OurSupervisor, tmp_path: Path) -> None:
    assert str(ours._program("supervisord")).endswith("/envs/hub-3/bin/supervisord")


def test_it_does_not_inherit_the_install_lock() -> None:
    assert Supervisor(Path("/hub"), Path("/state")).machine.inherit == ()


def test_it_does_not_answer(ours: OurSupervisor, server: FakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    server.runs = False
    monkeypatch.setattr(supervisor, "START_TIMEOUT", -1.0)
    with pytest.raises(TljhError) as caught:
        ours.start_all()
    assert str(caught.value) == (
        f"supervisord does not answer after -1 s\n  → see {ours.state_folder}/supervisord.log"
    )


def test_stop(ours: OurSupervisor, server: FakeServer) -> None:
    ours.stop("traefik")
    ours.stop("jupyterhub")
    assert server.done == ["stopProcess traefik"]
    server.states["x"] = "UNKNOWN"
    with pytest.raises(TljhError, match=r"^supervisor could not stop x: BAD_NAME: x$"):
        ours.stop("x")


def test_stop_all(ours: OurSupervisor, server: FakeServer) -> None:
    ours.stop_all()
    assert server.done == ["shutdown"]
    ours.stop_all()
    assert server.done == ["shutdown"]


def test_its_programs_take_their_time(
    ours: OurSupervisor, server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.pid = os.getpid()
    monkeypatch.setattr(supervisor, "STOP_TIMEOUT", -1.0)
    with pytest.raises(TljhError, match=r"^supervisord is still stopping its programs after -1 s\n  → see "):
        ours.stop_all()


def test_remove(ours: OurSupervisor, server: FakeServer) -> None:
    ours.remove("traefik")
    ours.remove("never heard of")
    assert server.done == ["stopProcess traefik", "removeProcessGroup traefik"]


def test_the_end_of_the_log(ours: OurSupervisor, tmp_path: Path) -> None:
    assert ours.log_tail("traefik") == ""
    (tmp_path / "traefik.log").write_text("".join(f"line {number}\n" for number in range(40)))
    assert ours.log_tail("traefik").splitlines() == [f"line {number}" for number in range(25, 40)]
