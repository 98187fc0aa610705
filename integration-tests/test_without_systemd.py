"""The same install where there is no systemd: containers, WSL. The hub runs under supervisor."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from server import ADMIN, LEARNER, PLUGIN, SECRET, URL, Server


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


def test_foreground_is_an_entry_point(container: Server) -> None:
    container.machine.reboot()  # as `docker restart`: nothing runs until the entry point starts it
    process = container.machine.popen("tljh", "start", "--foreground")
    container.wait()
    assert container.cell("print(6 * 7)", LEARNER, SECRET) == "42\n"
    container.machine.sh("pkill -TERM -o -f 'tljh start --foreground|supervisord'").check()
    assert process.wait(60) is not None
