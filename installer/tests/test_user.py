from __future__ import annotations

import grp
import itertools
import pwd
import types
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pluggy
import pytest
import tljh.utils
from tljh import hooks, user
from tljh.engine.machine import Machine
from tljh.engine.processes import Completed
from tljh.engine.store import Store
from tljh.plugins import recording


class FakeMachine(Machine):
    """A machine whose accounts and groups are two dictionaries."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.commands: list[str] = []
        self.accounts: dict[str, pwd.struct_passwd] = {}
        self.groups: dict[str, grp.struct_group] = {}
        self.makes_accounts = True

    def run(self, command: Sequence[str | Path], **options: Any) -> Completed:
        words = [str(word) for word in command]
        self.commands.append(" ".join(words))
        name = words[-1]
        if words[0] == "useradd" and self.makes_accounts:
            options = dict(itertools.pairwise(words))
            uid, gid = int(options.get("--uid", 1001)), int(options.get("--gid", 1001))
            home = options.get("--home-dir", f"/home/{name}")
            self.accounts[name] = pwd.struct_passwd((name, "x", uid, gid, "", home, "/bin/bash"))
        if words[0] == "userdel":
            del self.accounts[name]
        if words[0] == "groupadd":
            self.add_group(name)
        return Completed(0, "", "")

    def add_group(self, name: str, gid: int = 1001, members: Sequence[str] = ()) -> None:
        self.groups[name] = grp.struct_group((name, "x", gid, list(members)))


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeMachine:
    fake = FakeMachine(tmp_path)
    monkeypatch.setenv("TLJH_INSTALL_PREFIX", str(tmp_path / "prefix"))
    (tmp_path / "prefix/state").mkdir(parents=True)
    monkeypatch.setattr(user, "Machine", lambda: fake)
    monkeypatch.setattr(pwd, "getpwnam", lambda name: fake.accounts[name])
    monkeypatch.setattr(grp, "getgrnam", lambda name: fake.groups[name])
    monkeypatch.setattr(user.os, "geteuid", lambda: 0)
    monkeypatch.setattr(tljh.utils, "get_plugin_manager", lambda: manager_of())
    return fake


def manager_of(**plugins: Any) -> pluggy.PluginManager:
    manager = pluggy.PluginManager("tljh")
    manager.add_hookspecs(hooks)
    for name, function in plugins.items():
        module = types.ModuleType(name)
        module.tljh_new_user_create = hooks.hookimpl(specname="tljh_new_user_create")(function)  # type: ignore[attr-defined]
        manager.register(module, name)
    return manager


def a_store(machine: FakeMachine) -> Path:
    path = machine.root / "prefix/state/tljh.sqlite"
    with Store(path):
        return path


def test_a_new_account_has_a_home_that_others_cannot_read(machine: FakeMachine) -> None:
    user.ensure_user("jupyter-alice")
    assert machine.commands == [
        "useradd --create-home --shell /bin/bash jupyter-alice",
        "chmod o-rwx /home/jupyter-alice",
    ]


def test_an_account_that_is_there_is_left_alone(machine: FakeMachine) -> None:
    user.ensure_user("jupyter-alice")
    machine.commands.clear()
    user.ensure_user("jupyter-alice")
    assert machine.commands == []


def test_a_home_that_was_there_is_not_touched(
    machine: FakeMachine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    told: list[str] = []
    monkeypatch.setattr(user, "run_new_user_hooks", told.append)
    (tmp_path / "home/jupyter-alice").mkdir(parents=True)
    user.ensure_user("jupyter-alice")
    assert machine.commands == ["useradd --create-home --shell /bin/bash jupyter-alice"]
    assert told == []


def test_a_group_that_outlived_its_account_is_used(machine: FakeMachine) -> None:
    machine.add_group("jupyter-alice", gid=1234)
    user.ensure_user("jupyter-alice")
    assert machine.commands[0].endswith("--gid 1234 jupyter-alice")


def test_a_recorded_account_gets_its_numbers_again(machine: FakeMachine) -> None:
    with Store(a_store(machine)) as store:
        store.remember_account(name="jupyter-alice", uid=1500, gid=1501, home="/data/alice", origin="core")
    user.ensure_user("jupyter-alice")
    assert machine.commands[:2] == [
        "groupadd --gid 1501 jupyter-alice",
        "useradd --create-home --shell /bin/bash --uid 1500 --gid 1501 --home-dir /data/alice jupyter-alice",
    ]


def test_a_new_account_is_recorded_and_a_removed_one_forgotten(machine: FakeMachine) -> None:
    path = a_store(machine)
    user.ensure_user("jupyter-alice", origin="a-plugin")
    with Store(path) as store:
        account = store.account("jupyter-alice")
        assert account is not None
        assert (account.uid, account.gid, account.home) == (1001, 1001, "/home/jupyter-alice")
    user.remove_user("jupyter-alice")
    with Store(path) as store:
        assert store.account("jupyter-alice") is None


def test_without_a_store_none_is_made(machine: FakeMachine) -> None:
    user.ensure_user("jupyter-alice")
    assert not (machine.root / "prefix/state/tljh.sqlite").exists()


def test_every_plugin_is_told_of_a_new_account_and_one_that_fails_is_named(
    machine: FakeMachine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[str] = []

    def fails(username: str) -> None:
        raise ValueError("no disk")

    def ends(username: str) -> None:
        raise SystemExit(3)

    manager = manager_of(first=lambda username: told.append(f"first {username}"), bad=fails, worse=ends)
    manager.register(manager_of(last=lambda username: told.append(f"last {username}")).get_plugin("last"), "last")
    monkeypatch.setattr(tljh.utils, "get_plugin_manager", lambda: manager)
    user.ensure_user("jupyter-alice")
    assert sorted(told) == ["first jupyter-alice", "last jupyter-alice"]
    assert "plugin bad: its tljh_new_user_create failed for the new account jupyter-alice" in caplog.text
    assert "plugin worse" in caplog.text


def test_plugins_that_cannot_be_loaded_stop_nobody(
    machine: FakeMachine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails() -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr(tljh.utils, "get_plugin_manager", fails)
    user.ensure_user("jupyter-alice")
    assert "the plugins could not be loaded" in caplog.text


def test_an_account_that_useradd_did_not_make_is_an_error(machine: FakeMachine) -> None:
    machine.makes_accounts = False
    with pytest.raises(user.TljhError, match="useradd made no account jupyter-alice"):
        user.ensure_user("jupyter-alice")


def test_groups_are_made_once(machine: FakeMachine) -> None:
    user.ensure_group("staff")
    user.ensure_group("staff")
    assert machine.commands == ["groupadd --force staff"]
    user.remove_group("staff")
    user.remove_group("other")
    assert machine.commands[1:] == ["groupdel staff"]


def test_membership_changes_only_where_it_differs(machine: FakeMachine) -> None:
    machine.add_group("staff", members=["alice"])
    user.ensure_user_group("alice", "staff")
    user.remove_user_group("bob", "staff")
    assert machine.commands == []
    user.ensure_user_group("bob", "staff")
    user.remove_user_group("alice", "staff")
    assert machine.commands == ["gpasswd --add bob staff", "gpasswd --delete alice staff"]


def test_an_account_that_is_not_there_is_not_removed(machine: FakeMachine) -> None:
    user.remove_user("nobody-here")
    assert machine.commands == []


# ---- what a hook does is noted


def test_accounts_groups_and_memberships_are_noted(
    machine: FakeMachine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(recording.VARIABLE, str(tmp_path / "notes"))
    user.ensure_user("ana")
    user.ensure_user("ana")
    user.ensure_group("g")
    user.ensure_group("g")
    user.ensure_user_group("ana", "g")
    machine.add_group("g", members=["ana"])
    user.ensure_user_group("ana", "g")
    user.remove_user_group("ana", "g")
    user.remove_group("g")
    user.remove_user("ana")
    said = [(note["kind"], note["name"], note.get("was", "gone")) for note in recording.read(tmp_path / "notes")]
    assert said == [
        ("user", "ana", False),
        ("user", "ana", True),
        ("group", "g", False),
        ("group", "g", True),
        ("membership", "g/ana", False),
        ("membership", "g/ana", True),
        ("membership", "g/ana", "gone"),
        ("group", "g", "gone"),
        ("user", "ana", "gone"),
    ]
