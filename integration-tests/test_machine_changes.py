"""Another prefix, another Python of the system, and the whole system from Debian 12 to 13."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable

import pytest
from machine import Machine
from server import ADMIN, LEARNER, SECRET, Server

PREFIX = "/srv/hub"
NAMED = {"TLJH_INSTALL_PREFIX": PREFIX}
GONE = "/usr/bin/python3.9-that-is-gone"
# what an upgrade of the system in place keeps
KEPT = ("srv/hub", "home", "etc/systemd/system")


@pytest.fixture(scope="module")
def hub(make_server: Callable[..., Server]) -> Server:
    """Installed below another prefix; only bootstrap is told so."""
    server = make_server("changes")
    server.first = server.bootstrap("--admin", f"{ADMIN}:{SECRET}", env=NAMED).check()
    server.password = SECRET
    server.allow(LEARNER)
    return server


# ---- another prefix


def test_nobody_has_to_be_told_the_prefix(hub: Server) -> None:
    assert not hub.machine.exists("/opt/tljh")
    hub.assert_converged()
    assert "admin" in hub.config("show").output
    assert hub.tljh("status").check().output.count("running") == 2
    hub.tljh("doctor").check()
    code = "import subprocess, sys; print(sys.prefix, subprocess.run(['sudo', '-n', 'true']).returncode)"
    prefix, status = hub.cell(code).split()
    assert prefix.startswith(PREFIX) and status == "0"
    assert hub.cell("print(6 * 7)", LEARNER, SECRET) == "42\n"
    text = hub.machine.sh("cat /etc/systemd/system/jupyterhub.service /usr/bin/tljh").check().output
    assert "/opt/tljh" not in text


def test_it_answers_after_a_reboot(hub: Server) -> None:
    hub.machine.reboot()
    hub.wait()
    hub.assert_converged()


# ---- the system's Python


def test_the_python_of_the_hub_environment_is_gone(hub: Server) -> None:
    pids = hub.pids()
    hub.machine.sh(f"ln -sfn {GONE} $(readlink -f {PREFIX}/hub)/bin/python").check()
    for command in (("tljh", "status"), ("tljh", "doctor"), ("tljh-config", "show")):
        said = hub.machine.run(*command)
        assert said.returncode == 1
        assert f"was made with {GONE}, which is gone" in said.output
        assert "→ tljh doctor --fix" in said.output
    assert hub.pids() == pids, "who works goes on"

    mended = hub.tljh("doctor", "--fix").check()
    assert "JupyterHub is ready" in mended.output
    hub.tljh("doctor").check()
    hub.assert_converged()
    assert hub.cell("print(6 * 7)", LEARNER, SECRET) == "42\n"


# ---- from Debian 12 to 13


@pytest.fixture(scope="module")
def upgraded(hub: Server, make_server: Callable[..., Server]) -> Server:
    """Debian 13 with what Debian 12 had on its disk: another Python, without the old one."""
    assert "pyfiglet" not in hub.cell("!sudo -E /srv/hub/user/bin/pip install -q pyfiglet")
    hub.machine.stop()
    server = make_server("upgraded", "trixie")
    for path in KEPT:
        _copy(hub.machine, server.machine, path)
    server.machine.sh("systemctl daemon-reload; systemctl start --no-block traefik jupyterhub")
    return server


def _copy(source: Machine, target: Machine, path: str) -> None:
    source.disk.mount()
    shutil.rmtree(target.root / path, ignore_errors=True)
    subprocess.run(["cp", "-a", source.root / path, (target.root / path).parent], check=True)
    if path.startswith("etc"):
        (target.root / "usr/bin/tljh").symlink_to(f"{PREFIX}/bin/tljh")


def test_the_doctor_sees_another_system(upgraded: Server) -> None:
    said = upgraded.tljh("doctor")
    assert said.returncode == 1
    assert "was made with python3.11" in said.output and "is Python 3.13 now" in said.output


def test_the_same_command_brings_everything_back(upgraded: Server) -> None:
    upgraded.bootstrap("--admin", ADMIN, env=NAMED).check()
    upgraded.wait()
    code = "import sys, getpass, pyfiglet; print(*sys.version_info[:2], getpass.getuser())"
    assert upgraded.cell(code, LEARNER, SECRET).split() == ["3", "13", f"jupyter-{LEARNER}"], (
        "with his old password"
    )
    assert upgraded.cell("print(6 * 7)", ADMIN, SECRET) == "42\n"
    home = upgraded.machine.run("stat", "-c", "%U", f"/home/jupyter-{LEARNER}").stdout.strip()
    assert home == f"jupyter-{LEARNER}"
    upgraded.tljh("doctor").check()
    upgraded.assert_converged()
    assert "Nothing to change" in upgraded.bootstrap(env=NAMED).check().output
