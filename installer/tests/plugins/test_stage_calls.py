"""The parent's side of the process in which stages' code runs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from tljh.engine.conversation import Silence
from tljh.plugins.stage_calls import Deployed, StageFailure, StageHost

PYTHON = Path("/opt/tljh/envs/hub-2/bin/python")
LABEL = "plugin x (tljh-x 1.0)"


Answer = dict[str, Any] | BaseException


class FakeConversation:
    """Answers from a list; an exception is raised."""

    def __init__(self, *answers: Answer) -> None:
        self.answers: list[Answer] = [*answers]
        self.asked: list[dict[str, Any]] = []
        self.timeouts: list[float] = []
        self.interrupted = self.closed = False

    def tell(self, line: str) -> None:
        request = json.loads(line)
        self.number = request.pop("id")
        self.asked.append(request)

    def hear(self, timeout: float) -> str:
        self.timeouts.append(timeout)
        answer = self.answers.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        return json.dumps({"id": self.number, **answer})

    def interrupt(self) -> None:
        self.interrupted = True

    def close(self) -> None:
        self.closed = True


class FakeMachine:
    def __init__(self, conversation: FakeConversation) -> None:
        self.conversation = conversation
        self.started: list[tuple[list[str], dict[str, str], Path]] = []

    def converse(self, command: Sequence[object], *, env: dict[str, str], cwd: Path) -> FakeConversation:
        self.started.append(([str(word) for word in command], env, cwd))
        return self.conversation


def host_with(*answers: Answer) -> tuple[StageHost, FakeConversation, FakeMachine]:
    conversation = FakeConversation({}, *answers)
    machine: Any = FakeMachine(conversation)
    host = StageHost(
        machine, PYTHON, "limits: {}\n", Path("/opt/tljh"), variables={"A": "b"}, cwd=Path("/opt/tljh/state")
    )
    return host, conversation, machine


def test_the_process_is_started_when_it_is_needed_and_once() -> None:
    host, conversation, machine = host_with(
        {"outputs": {"one": 1}, "entered": True}, {"outputs": {}, "entered": False}
    )
    assert machine.started == []
    assert host.deploy("x", LABEL, "one", {"zero": 0}, seconds=60) == Deployed({"one": 1}, True)
    host.check("x", LABEL, "one", {})
    ((command, env, cwd),) = machine.started
    assert command == [str(PYTHON), "-m", "tljh.plugins.stage_host"]
    assert (env, cwd) == ({"A": "b", "PYTHONSAFEPATH": "1"}, Path("/opt/tljh/state"))
    begin, deploy, check = conversation.asked
    assert begin == {"do": "begin", "text": "limits: {}\n", "prefix": "/opt/tljh"}
    assert deploy == {"do": "deploy", "plugin": "x", "stage": "one", "outputs": {"zero": 0}, "seconds": 60}
    assert check["do"] == "check"
    assert conversation.timeouts[1] == 70, "the process interrupts the plugin by itself first"
    host.close()
    assert conversation.closed
    host.close()


def test_nothing_entered_nothing_to_leave() -> None:
    host, _, machine = host_with({"outputs": {}, "entered": False})
    assert host.leave() == []
    host.deploy("x", LABEL, "one", {})
    assert host.leave() == []
    assert len(machine.started) == 1


def test_code_that_failed() -> None:
    host, _, _ = host_with(
        {"problem": f"{LABEL}: deploy of the stage one failed: KeyError: 'a'", "traceback": "T"}
    )
    with pytest.raises(StageFailure) as caught:
        host.deploy("x", LABEL, "one", {})
    assert caught.value.problem == f"{LABEL}: deploy of the stage one failed: KeyError: 'a'"
    assert (caught.value.traceback, caught.value.plugin, caught.value.stage) == ("T", "x", "one")
    assert host.leave() == []


def test_a_process_that_ended() -> None:
    entered = {"outputs": {}, "entered": True}
    host, _, _ = host_with(entered, Silence("ended the process (signal 11)", "token=abc"))
    host.deploy("x", LABEL, "one", {})
    with pytest.raises(StageFailure) as caught:
        host.deploy("x", LABEL, "two", {})
    assert caught.value.problem == f"{LABEL}: deploy of the stage two ended the process (signal 11)"
    assert caught.value.traceback == "token=***"
    with pytest.raises(StageFailure, match="of the stage three can't be run: an earlier stage ended the process"):
        host.check("x", LABEL, "three", {})
    (failure,) = host.leave("it failed")
    assert failure.problem == (f"not ended, because the process that held them is gone: the stages one of {LABEL}")
    assert host.leave() == []


def test_a_process_that_can_not_run_our_code() -> None:
    machine: Any = FakeMachine(FakeConversation(Silence("ended the process (status 1)", "No module named 'tljh'")))
    host = StageHost(machine, PYTHON, "", Path("/opt/tljh"))
    with pytest.raises(StageFailure) as caught:
        host.destroy("x", LABEL, "one", {})
    assert caught.value.problem == (
        f"{LABEL}: destroy of the stage one can't be run: its process ended the process (status 1)"
    )
    assert caught.value.traceback == "No module named 'tljh'"


def test_ctrl_c_interrupts_the_plugin_and_contexts_are_left() -> None:
    late = {"id": 3, "problem": "deploy of the stage two was interrupted"}
    host, conversation, _ = host_with(
        {"outputs": {}, "entered": True}, KeyboardInterrupt(), late, {"failures": []}
    )
    host.deploy("x", LABEL, "one", {})
    with pytest.raises(KeyboardInterrupt):
        host.deploy("x", LABEL, "two", {})
    assert conversation.interrupted
    assert host.leave("interrupted") == [], "the answer that came late was that of deploy"
    assert conversation.asked[-1]["do"] == "leave"


def test_how_contexts_are_left() -> None:
    entered = {"outputs": {}, "entered": True}
    failure = {"plugin": "x", "stage": "one", "problem": "it failed", "traceback": "T"}
    host, conversation, _ = host_with(entered, entered, {"failures": [failure]})
    host.deploy("x", LABEL, "one", {})
    host.deploy("x", LABEL, "two", {})
    (found,) = host.leave("apt is broken", seconds=30)
    assert (found.plugin, found.stage, found.problem, found.traceback) == ("x", "one", "it failed", "T")
    assert conversation.asked[-1] == {"do": "leave", "error": "apt is broken", "seconds": 30}
    assert conversation.timeouts[-1] == 70, "each of the two has its time"


def test_a_process_that_ends_as_contexts_are_left() -> None:
    host, _, _ = host_with({"outputs": {}, "entered": True}, Silence("did not end within 310 s", "said"))
    host.deploy("x", LABEL, "one", {})
    (failure,) = host.leave()
    assert failure.problem == f"one of {LABEL}: deploy, as it ended, did not end within 310 s"
