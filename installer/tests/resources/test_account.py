"""Groups, and the accounts that a recreated container gets back."""

from __future__ import annotations

from pathlib import Path

import pytest
from fakes import FakeMachine, recorded
from tljh.engine.facts import Facts
from tljh.engine.parsers import Account
from tljh.engine.resource import difference
from tljh.resources.account import Accounts, Groups


@pytest.fixture
def machine(tmp_path: Path) -> FakeMachine:
    found = FakeMachine(tmp_path)
    found.put("/etc/passwd", recorded("engine/passwd"))
    found.put("/etc/group", recorded("engine/group"))
    return found


def test_groups(machine: FakeMachine) -> None:
    groups = Groups("groups", names=("jupyterhub-admins", "students"))
    diff = difference(groups, Facts(machine), set())
    assert diff.put == {"students": "present"}
    groups.change(diff, machine)
    assert machine.commands == ["groupadd --force students"]


def test_a_group_of_ours_that_nobody_wants(machine: FakeMachine) -> None:
    groups = Groups("groups", names=("jupyterhub-admins",), origins={"jupyterhub-users": "core", "gone": "core"})
    diff = difference(groups, Facts(machine), {"jupyterhub-users", "gone"})
    assert diff.drop == {"jupyterhub-users": "present"}
    groups.change(diff, machine)
    assert machine.commands == ["groupdel jupyterhub-users"]


def test_accounts_come_back_with_their_numbers(machine: FakeMachine) -> None:
    known = {
        "jupyter-admin": Account("jupyter-admin", 1000, 1002, "/home/jupyter-admin"),
        "jupyter-ana": Account("jupyter-ana", 1007, 1009, "/home/jupyter-ana"),
    }
    accounts = Accounts("accounts", known=known)
    diff = difference(accounts, Facts(machine), set())
    assert diff.put == {"jupyter-ana": "present"}
    accounts.change(diff, machine)
    assert machine.commands == [
        "groupadd --gid 1009 jupyter-ana",
        "useradd --no-create-home --shell /bin/bash --uid 1007 --gid 1009"
        " --home-dir /home/jupyter-ana jupyter-ana",
        "gpasswd --add jupyter-ana jupyterhub-users",
    ]


def test_accounts_are_never_removed() -> None:
    assert not Accounts.owns
