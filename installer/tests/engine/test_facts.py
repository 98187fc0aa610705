"""Facts are read once, and again after a change."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest
from fakes import FakeMachine, add_distribution, make_environment, real, recorded
from tljh.engine.facts import Facts


@pytest.fixture
def machine(tmp_path: Path) -> FakeMachine:
    return FakeMachine(tmp_path)


def test_read_once_until_something_changes(machine: FakeMachine) -> None:
    machine.put("/etc/group", "a:x:1:b\n")
    facts = Facts(machine)
    assert facts.groups == {"a": {"b"}}
    machine.put("/etc/group", "c:x:1:\n")
    assert facts.groups == {"a": {"b"}}
    facts.refresh()
    assert facts.groups == {"c": frozenset()}


def test_a_program_is_asked_once(machine: FakeMachine) -> None:
    machine.answers["systemctl show"] = "Id=x\n"
    facts = Facts(machine)
    assert facts.output("systemctl", "show", "x") == facts.output("systemctl", "show", "x") == "Id=x\n"
    assert machine.commands == ["systemctl show x"]
    assert machine.options[0]["check"] is False


def test_files(machine: FakeMachine) -> None:
    machine.put("/x", "content")
    machine.at(Path("/link")).symlink_to("x")
    facts = Facts(machine)
    found = facts.file(Path("/x"))
    assert found is not None
    assert found.digest == hashlib.sha256(b"content").hexdigest()
    link = facts.file(Path("/link"))
    assert link is not None
    assert (link.status.kind, link.digest) == ("link", "")
    assert facts.file(Path("/nothing")) is None
    assert facts.text(Path("/nothing")) == ""


def test_the_machine_as_recorded(machine: FakeMachine) -> None:
    machine.put("/var/lib/dpkg/status", recorded("engine/dpkg-status"))
    machine.put("/etc/passwd", recorded("engine/passwd"))
    machine.put("/proc/net/tcp", recorded("engine/proc-net-tcp"))
    machine.put("/proc/net/tcp6", recorded("engine/proc-net-tcp6"))
    facts = Facts(machine)
    assert facts.deb_packages.version("sudo") == "1.9.13p3-1+deb12u4"
    assert facts.accounts["jupyter-admin"].uid == 1000
    assert {80, 8099, 15001} <= set(facts.listening)


def test_a_machine_without_ipv6(machine: FakeMachine) -> None:
    machine.put("/proc/net/tcp", recorded("engine/proc-net-tcp"))
    assert 15001 in Facts(machine).listening


def test_an_environment(machine: FakeMachine, tmp_path: Path) -> None:
    path = make_environment(tmp_path / "envs/user-1", {"Jupyter_Lab": "4.2", "pip": "25.0"})
    add_distribution(path, "cowsay", "6.1")
    add_distribution(path, "pip", "25.1")
    (path / "tljh-environment.json").write_text(json.dumps({"format": 1}))
    (tmp_path / "user").symlink_to("envs/user-1")
    found = Facts(machine).environment(Path("/user"))
    assert found is not None
    assert found.path == real(path)
    assert found.record == {"format": 1}
    assert found.packages == {"jupyter-lab": "4.2", "pip": "25.1", "cowsay": "6.1"}
    assert found.by_pip == {"cowsay", "pip"}
    assert found.has_python


def test_what_is_left_of_an_uninstalled_distribution_does_not_count(machine: FakeMachine, tmp_path: Path) -> None:
    path = make_environment(tmp_path / "user", {"cowsay": "6.1"})
    (path / "lib/python3.11/site-packages/cowsay-6.1.dist-info/METADATA").unlink()
    found = Facts(machine).environment(Path("/user"))
    assert found is not None
    assert found.packages == {}


@pytest.mark.parametrize("text", [None, "", "{half of a rec"])
def test_an_environment_without_a_whole_record(machine: FakeMachine, tmp_path: Path, text: str | None) -> None:
    path = make_environment(tmp_path / "user", {})
    if text is not None:
        (path / "tljh-environment.json").write_text(text)
    (path / "bin/python").unlink()
    found = Facts(machine).environment(Path("/user"))
    assert found is not None
    assert found.record == {}
    assert not found.has_python


def test_an_environment_of_another_python(machine: FakeMachine, tmp_path: Path) -> None:
    """The system was upgraded: the interpreter is there, but looks for packages elsewhere."""
    there, python = tmp_path / "envs/hub-1", tmp_path / "usr/bin/python3.13"
    for folder in (there / "bin", there / "lib/python3.11/site-packages", python.parent):
        folder.mkdir(parents=True)
    python.touch()
    (there / "bin/python").symlink_to(python)
    assert (found := Facts(machine).environment(Path("/envs/hub-1"))) and not found.has_python
    (there / "lib/python3.13").mkdir()
    assert (found := Facts(machine).environment(Path("/envs/hub-1"))) and found.has_python
    python.unlink()
    assert (found := Facts(machine).environment(Path("/envs/hub-1"))) and not found.has_python


def test_no_environment(machine: FakeMachine, tmp_path: Path) -> None:
    (tmp_path / "user").symlink_to("envs/gone")
    assert Facts(machine).environment(Path("/user")) is None
    path = make_environment(tmp_path / "envs/gone", {})
    shutil.rmtree(path / "lib")
    found = Facts(machine).environment(Path("/nothing"))
    assert found is None
