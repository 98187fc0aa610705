"""What an uninstall takes away: files, services, and apt's packages that nobody else needs."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest
from fakes import FakeMachine
from tljh.engine.facts import Facts
from tljh.engine.processes import Completed
from tljh.engine.resource import difference
from tljh.resources.remains import BroughtPackages, Gone, StoppedService, unneeded
from tljh.resources.service import Systemd

STATUS = """Package: {}
Status: install ok {}
Version: 1.0

"""
SIMULATED = (
    "Remv git [1.0]\nRemv git-man [1.0]\nRemv tljh-requirements [1]\nRemv others-orphan [1]\nRemv sudo [1]\n"
)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeMachine:
    monkeypatch.delenv("SUDO_USER", raising=False)
    found = FakeMachine(tmp_path, {"apt-get -s": SIMULATED})
    packages(found, git="installed", sudo="installed", vim="installed", **{"tljh-requirements": "installed"})
    found.put("/etc/group", "sudo:x:27:\n")
    return found


def packages(machine: FakeMachine, **states: str) -> None:
    machine.put("/var/lib/dpkg/status", "".join(STATUS.format(name, state) for name, state in states.items()))


def free(machine: FakeMachine, *names: str, purge: bool = False) -> list[str]:
    return unneeded(machine, Facts(machine), names, purge=purge)


# ---- files


def test_files_links_and_folders(machine: FakeMachine) -> None:
    machine.put("/opt/tljh/envs/user-1/bin/x", "x")
    machine.put("/opt/tljh/log", "x")
    machine.at(Path("/opt/tljh/user")).symlink_to("envs/user-1")
    names = ("/opt/tljh/user", "/opt/tljh/envs", "/opt/tljh/log", "/opt/tljh/nothing")
    gone = Gone("files", paths=[Path(name) for name in names])
    diff = difference(gone, Facts(machine), set())
    assert diff.drop == {"/opt/tljh/user": "link", "/opt/tljh/envs": "folder", "/opt/tljh/log": "file"}
    assert list(diff.drop) == list(names[:3]), "they go in the order in which they are named"
    gone.change(diff, machine)
    assert not difference(gone, Facts(machine), set())
    assert machine.at(Path("/opt/tljh")).exists()


# ---- services


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        ("LoadState=loaded\nUnitFileState=enabled\nActiveState=inactive", {"enabled": "yes"}),
        ("LoadState=loaded\nUnitFileState=disabled\nActiveState=active", {"active": "yes"}),
        ("LoadState=not-found", {}),
    ],
)
def test_a_service_that_is_enabled_or_runs(machine: FakeMachine, shown: str, expected: Mapping[str, str]) -> None:
    machine.answers["systemctl show"] = f"Id=jupyterhub.service\n{shown}\n"
    service = StoppedService("service:jupyterhub", manager=Systemd(machine))
    diff = difference(service, Facts(machine), set())
    assert diff.drop == expected
    assert service.effect(diff) == ("stops jupyterhub" if "active" in expected else "")
    service.change(diff, machine)
    assert machine.ran("systemctl disable") == ["systemctl disable --now jupyterhub.service"]


# ---- packages


def test_only_what_came_with_us_and_nobody_needs(machine: FakeMachine) -> None:
    found = free(machine, "git", "vim", "tljh-requirements", "gone")
    assert found == ["git", "tljh-requirements"], "vim is needed by somebody, and others' orphans are not ours"
    assert machine.ran("apt-get -s") == ["apt-get -s -o APT::Get::AutomaticRemove=true remove tljh-requirements"]


def test_without_our_package_apt_is_asked_what_nobody_needs(machine: FakeMachine) -> None:
    packages(machine, git="installed")
    assert free(machine, "git", "tljh-requirements") == ["git"]
    assert machine.ran("apt-get -s") == ["apt-get -s -o APT::Get::AutomaticRemove=true autoremove"]


def test_where_nothing_is_ours_apt_is_not_asked(machine: FakeMachine) -> None:
    assert free(machine, "gone") == []
    assert machine.commands == []


def test_where_apt_is_broken_all_stays(machine: FakeMachine) -> None:
    machine.answers["apt-get -s"] = Completed(100, SIMULATED, "E: broken")
    assert free(machine, "git", "tljh-requirements") == []


def test_what_an_earlier_purge_left_goes(machine: FakeMachine) -> None:
    packages(machine, git="config-files", sudo="config-files")
    assert free(machine, "git", "sudo", purge=True) == ["git", "sudo"]
    assert free(machine, "git", "sudo") == []
    resource = BroughtPackages("apt", ["git"], purge=True)
    assert difference(resource, Facts(machine), set()).drop == {"git": "its configuration"}


@pytest.mark.parametrize("who", ["the one who asks", "a member", "a rule", "nobody"])
def test_sudo_stays_while_somebody_uses_it(
    machine: FakeMachine, monkeypatch: pytest.MonkeyPatch, who: str
) -> None:
    machine.put("/etc/sudoers.d/README", "")
    machine.put("/etc/sudoers.d/jupyterhub-admins", "")
    if who == "the one who asks":
        monkeypatch.setenv("SUDO_USER", "ada")
    elif who == "a member":
        machine.put("/etc/group", "sudo:x:27:ada\n")
    elif who == "a rule":
        machine.put("/etc/sudoers.d/ada", "")
    assert free(machine, "git", "sudo") == (["git", "sudo"] if who == "nobody" else ["git"])


@pytest.mark.parametrize(("purge", "word"), [(True, "purge"), (False, "remove")])
def test_they_are_removed_in_one_go(machine: FakeMachine, purge: bool, word: str) -> None:
    seen: list[str | None] = []

    def answer(words: list[str]) -> str:
        seen.append(os.environ.get("SUDO_FORCE_REMOVE"))
        return ""

    machine.answers["apt-get -s"] = "Remv git [1.0]\nPurg sudo [1]\n"
    machine.answers["apt-get -y"] = answer
    resource = BroughtPackages("apt", ["git", "sudo"], purge)
    diff = difference(resource, Facts(machine), set())
    assert diff.drop == {"git": "1.0", "sudo": "1.0"}
    resource.change(diff, machine)
    assert machine.commands[-1].endswith(f" {word} git sudo")
    assert seen == ["yes"] and "SUDO_FORCE_REMOVE" not in os.environ


def test_what_would_take_others_along_is_not_done(machine: FakeMachine) -> None:
    machine.answers["apt-get -s"] = "Remv git [1.0]\nRemv somebodys-tool [1]\n"
    resource = BroughtPackages("apt", ["git"])
    resource.change(difference(resource, Facts(machine), set()), machine)
    assert not machine.ran("apt-get -y")
    assert resource.gives_up
