"""What the two kinds of servers are given; that they start is for a real machine to show."""

from __future__ import annotations

import asyncio
import os
import pwd
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from systemdspawner import SystemdSpawner, systemd
from tljh.hub import environment, servers_local
from tljh.hub.limits import Hierarchy
from tljh.hub.servers_local import LocalServers
from tljh.hub.servers_systemd import SystemdServers
from traitlets.config import Config


def a_user(name: str = "alice") -> Any:
    return SimpleNamespace(name=name, id=7, admin=False, url="/user/x/", settings={}, escaped_name=name)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A host where accounts exist and where there is no control group; returns the prefix."""
    monkeypatch.setenv("TLJH_INSTALL_PREFIX", str(tmp_path))
    monkeypatch.setattr(systemd, "get_systemd_version", lambda: 252)
    monkeypatch.setattr(servers_local, "hierarchy", Hierarchy)
    account = pwd.struct_passwd(("jupyter-alice", "x", 1001, 1001, "", "/home/jupyter-alice", "/bin/sh"))
    monkeypatch.setattr(pwd, "getpwnam", lambda name: {"jupyter-alice": account}[name])
    (tmp_path / "envs/user-3/bin").mkdir(parents=True)
    (tmp_path / "user").symlink_to("envs/user-3")
    return tmp_path


def test_units_are_named_as_tljh_names_them(made: Path) -> None:
    assert SystemdServers(user=a_user()).unit_name == "jupyter-alice"
    assert SystemdServers(user=a_user()).default_shell == "/bin/bash"


def test_a_unit_starts_with_the_real_environment(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []

    async def start(self: SystemdSpawner) -> tuple[str, int]:
        seen.append((self.extra_paths, self.start_timeout))
        return "127.0.0.1", 1

    monkeypatch.setattr(SystemdSpawner, "start", start)
    one = SystemdServers(user=a_user(), extra_paths=[f"{made}/user/bin"], start_timeout=99)
    assert asyncio.run(one.start()) == ("127.0.0.1", 1)
    assert seen == [([f"{made}/envs/user-3/bin"], 3)]
    assert (one.extra_paths, one.start_timeout) == ([f"{made}/user/bin"], 99)


def test_only_an_admin_may_become_root(made: Path) -> None:
    one = SystemdServers(user=a_user())
    one.use_account("jupyter-alice", True)
    assert not one.disable_user_sudo
    one.use_account("jupyter-alice", False)
    assert one.disable_user_sudo
    assert one.log_hint == "journalctl -u jupyter-alice"


def test_a_name_with_braces_is_nobody_elses_account(made: Path) -> None:
    one = SystemdServers(user=a_user("{USERID}"))
    one.use_account("jupyter-{USERID}", False)
    assert one._expand_user_vars(one.username_template) == "jupyter-{USERID}"


def test_a_process_knows_who_it_is(made: Path) -> None:
    one = LocalServers(user=a_user(), extra_paths=[f"{made}/user/bin"])
    env = one.user_env({"PATH": "/bin", "X": "1"})
    assert env == {
        "X": "1",
        "PATH": f"{made}/envs/user-3/bin:/bin",
        "USER": "jupyter-alice",
        "LOGNAME": "jupyter-alice",
        "HOME": "/home/jupyter-alice",
        "SHELL": "/bin/bash",
    }


def test_settings_for_systemdspawner_hold_without_systemd(made: Path) -> None:
    config = Config({"SystemdSpawner": {"extra_paths": ["/x"]}, "Spawner": {"mem_limit": "1G"}})
    one = LocalServers(user=a_user(), config=config)
    assert one.extra_paths == ["/x"]
    assert one.mem_limit == 1 << 30


def test_a_pid_of_somebody_else_is_not_our_server(made: Path) -> None:
    mine = os.getpid()
    one = LocalServers(user=a_user())
    one.load_state({"pid": mine, "started": servers_local.process_started(mine)})
    assert one.get_state() == {"pid": mine, "started": servers_local.process_started(mine)}
    assert asyncio.run(one.poll()) is None
    one.load_state({"pid": mine, "started": 1})
    assert asyncio.run(one.poll()) == 0
    assert one.get_state() == {}


def test_a_process_that_is_gone_has_not_started() -> None:
    assert servers_local.process_started(2**22 + 1) is None


def test_output_goes_to_a_file_that_only_root_reads(made: Path) -> None:
    (made / "state").mkdir()
    one = LocalServers(user=a_user(), popen_kwargs={"cwd": "/"})
    with one._output():
        os.write(one.popen_kwargs["stdout"], b"hello")
        assert one.popen_kwargs["cwd"] == "/"
    assert one.popen_kwargs == {"cwd": "/"}
    file = made / "state/servers/jupyter-alice.log"
    assert (file.read_text(), file.stat().st_mode & 0o777) == ("hello", 0o600)
    assert one.log_hint == str(file)


def test_links_are_followed_when_a_server_starts(made: Path) -> None:
    assert environment.real_paths([f"{made}/user/bin"]) == [f"{made}/envs/user-3/bin"]
