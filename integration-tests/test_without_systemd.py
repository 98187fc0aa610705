"""The same install where there is no systemd: containers, WSL. The hub runs under supervisor."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from server import ADMIN, LEARNER, PLUGIN, SECRET, URL, Server

CONFIG = "/opt/tljh/config/config.yaml"
BACKUP = "/root/hub.backup"


@pytest.fixture(scope="module")
def container(make_server: Callable[..., Server]) -> Server:
    server = make_server("container-hub", container=True)
    server.install("--plugin", PLUGIN)
    server.allow(LEARNER)
    return server


def test_says_what_is_not_enforced(container: Server) -> None:
    assert container.first
    assert re.search(r"(?i)without systemd|no systemd", container.first.output), container.first.output


def test_kernel_runs_as_its_own_account(container: Server) -> None:
    said = container.cell("import getpass, os; print(getpass.getuser(), os.getcwd())", LEARNER, SECRET)
    assert said.split() == [f"jupyter-{LEARNER}", f"/home/jupyter-{LEARNER}"]


def test_admin_has_sudo_and_others_do_not(container: Server) -> None:
    ask = "import subprocess; print(subprocess.run(['sudo', '-n', 'id', '-u'], capture_output=True, text=True))"
    assert "stdout='0\\n'" in container.cell(ask)
    assert "returncode=1" in container.cell(ask, LEARNER, SECRET)


def test_again_changes_nothing(container: Server) -> None:
    before, pids = container.snapshot(), container.pids()
    container.bootstrap("--admin", ADMIN, "--plugin", PLUGIN).check()
    assert container.pids() == pids
    assert container.snapshot() == before
    container.assert_converged()


def test_start_stop_status_restart(container: Server) -> None:
    assert container.tljh("status").check().output
    container.tljh("stop").check()
    asked = container.machine.run("curl", "-s", "-o", "/dev/null", f"{URL}/hub/login")
    assert asked.returncode == 7, "somebody still listens"  # 7: connection refused
    assert container.tljh("status").returncode != 0
    container.tljh("start").check()
    container.wait()
    before = container.pids()
    container.tljh("restart").check()
    container.wait()
    assert container.pids() != before
    assert container.cell("print(6 * 7)", LEARNER, SECRET) == "42\n"
    container.assert_converged()


def test_stopped_hub_is_shown_and_mended(container: Server) -> None:
    container.tljh("stop").check()
    status, changes = container.plan()
    assert status == 2
    assert all("service" in change["resource"] for change in changes), changes
    container.tljh("install").check()
    container.wait()
    container.assert_converged()


def test_an_install_goes_back(container: Server) -> None:
    before = container.machine.read(CONFIG)
    container.config("set", "limits.memory", "1G")
    container.config("add-item", "user_environment.packages.pip", "isodate")
    container.tljh("install").check()
    there = ("/opt/tljh/user/bin/python", "-c", "import isodate")
    assert container.machine.run(*there).returncode == 0
    container.tljh("rollback", "--yes").check()
    assert container.machine.read(CONFIG) == before
    assert container.machine.run(*there).returncode == 1
    container.assert_converged()


def test_a_backup_brings_back_what_was_in_it(container: Server) -> None:
    before = container.machine.read(CONFIG)
    container.tljh("backup", BACKUP, "--homes", "--without-passphrase").check()
    container.config("set", "limits.memory", "2G")
    container.tljh("install").check()
    container.machine.run("rm", f"/home/jupyter-{LEARNER}/.bashrc").check()
    refused = container.tljh("restore", BACKUP)
    assert "this machine's hub has been used, and would become what the backup says" in refused.output
    container.tljh("restore", BACKUP, "--yes").check()
    assert container.machine.read(CONFIG) == before
    container.wait()
    assert container.cell("import os; print(os.path.exists('.bashrc'))", LEARNER, SECRET) == "True\n"
    container.assert_converged()


def test_foreground_is_an_entry_point(container: Server) -> None:
    container.machine.reboot()  # as `docker restart`: nothing runs until the entry point starts it
    process = container.machine.popen("tljh", "start", "--foreground")
    container.wait()
    assert container.cell("print(6 * 7)", LEARNER, SECRET) == "42\n"
    container.machine.sh("pkill -TERM -o -f 'tljh start --foreground|supervisord'").check()
    assert process.wait(60) is not None


def test_all_of_it_goes(container: Server) -> None:
    container.tljh("start").check()
    container.wait()
    container.cell("print(1)", LEARNER, SECRET)
    container.tljh("uninstall", "--purge", "--yes").check()
    assert not container.machine.exists("/opt/tljh")
    assert container.machine.run("id", f"jupyter-{LEARNER}").returncode == 1
    left = container.machine.sh("pgrep -af '[s]upervisord|[t]raefik|[j]upyterhub|[s]ingleuser' || true").stdout
    assert left == ""
