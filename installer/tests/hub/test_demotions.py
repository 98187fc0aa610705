"""Who is no admin any more: in the hub's database, in the group, in servers that run."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest
from fakes import FakeMachine
from tljh.errors import TljhError
from tljh.hub import demotions
from tljh.paths import Paths
from traitlets.config import Config


@pytest.fixture
def paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Paths:
    found = Paths(tmp_path)
    found.state.mkdir()
    monkeypatch.setattr("tljh.engine.machine.Machine._chown", lambda *arguments: None)
    return found


@pytest.fixture
def demoted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    names: list[str] = []
    monkeypatch.setattr(demotions, "demote", names.append)
    return names


def config(paths: Paths, *admins: str) -> Config:
    c = Config()
    c.JupyterHub.db_url = f"sqlite:///{paths.hub_database}"
    c.Authenticator.admin_users = set(admins)
    return c


def database(paths: Paths) -> sqlite3.Connection:
    connection = sqlite3.connect(paths.hub_database)
    connection.executescript(
        "create table users (id integer, name text, admin boolean); create table roles (id integer, name text);"
        "create table user_role_map (user_id integer, role_id integer);"
        "insert into users values (1, 'ada', 1), (2, 'bob', 1);"
        "insert into roles values (1, 'user'), (2, 'admin');"
        "insert into user_role_map values (1, 1), (1, 2), (2, 1), (2, 2);"
    )
    return connection


def test_the_first_start_demotes_nobody(paths: Paths, demoted: list[str]) -> None:
    database(paths).close()
    demotions.at_start(config(paths, "ada"), paths)
    assert demoted == []
    assert json.loads((paths.state / "admins.json").read_text()) == ["ada"]
    assert (paths.state / "admins.json").stat().st_mode & 0o777 == 0o600


def test_who_is_missing_at_the_next_start_is_no_admin(paths: Paths, demoted: list[str]) -> None:
    connection = database(paths)
    demotions.at_start(config(paths, "ada", "Bob"), paths)
    demotions.at_start(config(paths, "bob"), paths)
    assert demoted == ["ada"]
    assert connection.execute("select name, admin from users").fetchall() == [("ada", 0), ("bob", 1)]
    assert connection.execute("select * from user_role_map").fetchall() == [(1, 1), (2, 1), (2, 2)]
    connection.close()
    demotions.at_start(config(paths, "bob"), paths)
    assert demoted == ["ada"], "once"


def test_before_there_is_a_database(paths: Paths, demoted: list[str]) -> None:
    demotions.at_start(config(paths, "ada"), paths)
    demotions.at_start(config(paths), paths)
    assert demoted == ["ada"]


def test_somebody_who_is_put_into_the_group_by_name_stays(paths: Paths, demoted: list[str]) -> None:
    demotions.at_start(config(paths, "ada"), paths)
    c = config(paths)
    c.UserCreatingSpawner.user_groups = {"jupyterhub-admins": ["ada"]}
    demotions.at_start(c, paths)
    assert demoted == []


def test_admins_of_every_kind_of_authenticator_count(paths: Paths) -> None:
    c = config(paths, "ada")
    c.FirstUseAuthenticator.admin_users = ["Bob"]
    c.Spawner.admin_users = ["nobody"]
    assert demotions.named(c) == {"ada", "bob"}


@pytest.mark.parametrize("text", ["", "{", '{"a": 1}'])
def test_a_broken_record_demotes_nobody(paths: Paths, demoted: list[str], text: str) -> None:
    (paths.state / "admins.json").write_text(text)
    demotions.at_start(config(paths, "ada"), paths)
    assert demoted == []


# ---- one account


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeMachine:
    found = FakeMachine(tmp_path)
    monkeypatch.setattr(demotions, "Machine", lambda: found)
    monkeypatch.setattr(demotions.systemd, "is_running", lambda: True)
    monkeypatch.setattr(demotions.pwd, "getpwnam", lambda name: type("Account", (), {"pw_uid": 4_000_000})())
    return found


def test_servers_of_the_account_are_ended_and_no_others(machine: FakeMachine) -> None:
    machine.answers["systemctl show"] = (
        "Id=jupyter-ada.service\nUser=jupyter-ada\n\nId=jupyter-adam.service\nUser=jupyter-adam\n\n"
        "User=jupyter-ada\nId=jupyter-ada--lab.service\n"
    )
    demotions.end_servers("jupyter-ada")
    assert machine.ran("systemctl stop") == ["systemctl stop jupyter-ada.service jupyter-ada--lab.service"]


def test_who_is_in_the_group_leaves_it(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[object] = []
    monkeypatch.setattr(demotions, "_is_member", lambda account: account == "jupyter-ada")
    monkeypatch.setattr(demotions.user, "remove_user_group", lambda *names: done.append(names))
    monkeypatch.setattr(demotions, "end_servers", done.append)
    demotions.demote("ada")
    demotions.demote("bob")
    assert done == [("jupyter-ada", "jupyterhub-admins"), "jupyter-ada"]


def test_a_failure_is_in_the_hubs_log_and_stops_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*names: str) -> None:
        raise TljhError("gpasswd ended with status 1")

    monkeypatch.setattr(demotions, "_is_member", lambda account: True)
    monkeypatch.setattr(demotions.user, "remove_user_group", fail)
    monkeypatch.setattr(demotions.log, "propagate", True)
    demotions.demote("ada")
    assert "ada is no admin any more, but may still be able to use sudo" in caplog.text
