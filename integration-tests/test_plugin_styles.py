"""Plugins in the styles of published ones, all on one machine: each does what it does with TLJH, nothing twice."""

from __future__ import annotations

import urllib.request
from collections.abc import Callable, Iterator

import client
import plugin_styles as styles
import pytest
from plugin_packages import index, serve
from server import ADMIN, LEARNER, SECRET, URL, Server

OURS = "import importlib.metadata as m; print(m.version('the-littlest-jupyterhub'))"


@pytest.fixture(scope="module")
def server(make_server: Callable[..., Server]) -> Iterator[Server]:
    server = make_server("plugin-styles")
    folder = index(server.machine, [styles.ONLY_THERE])
    process = serve(server.machine, folder, 8077)
    paths = [package.wheel(server.machine) for package in styles.ALL]
    server.install("--plugin", *paths)
    server.allow(LEARNER)
    yield server
    server.machine.run("pkill", "-f", "http.server 8077")
    process.wait()


def login_page(server: Server) -> tuple[dict[str, str], str]:
    """Headers (lower case) and text."""

    def get() -> tuple[dict[str, str], str]:
        with urllib.request.urlopen(f"{URL}/hub/login", timeout=20) as answer:
            return {name.lower(): value for name, value in answer.headers.items()}, answer.read().decode()

    return server.machine.inside(get)


def test_a_second_run_runs_nothing_twice(server: Server) -> None:
    assert server.first_plan == (0, [])
    before = server.pids()
    server.machine.run("rm", "-f", "/srv/shared/shared")  # it ran again when config.yaml had changed
    again = server.bootstrap("--admin", ADMIN).check()
    assert "Nothing to change" in again.output
    assert server.pids() == before
    assert server.machine.run("readlink", "/etc/skel/shared").stdout.strip() == "/srv/shared"
    assert not server.machine.exists("/srv/shared/shared"), "nothing had changed, and it ran again"


def test_settings_of_its_own_in_config_yaml(server: Server) -> None:
    assert server.machine.read("/etc/quota.test") == "soft 1G\n"
    server.config("set", "quota.soft", "3G")
    server.tljh("install").check()
    assert server.machine.read("/etc/quota.test") == "soft 3G\n", "the admin's value wins, and the hook ran again"
    server.assert_converged()


def test_a_unit_through_tljh_systemd(server: Server) -> None:
    shown = server.machine.run("systemctl", "is-active", "plugin-clock.service").stdout
    assert shown.strip() == "active"
    server.machine.run("systemctl", "disable", "--now", "plugin-clock.service").check()
    _, changes = server.plan()
    assert {change["resource"].partition(":")[2] for change in changes} == {"plugin-clock.service"}, changes
    server.tljh("install").check()
    assert server.machine.run("systemctl", "is-active", "plugin-clock.service").stdout.strip() == "active"
    server.assert_converged()


def test_a_spawner_that_is_mixed_from_ours(server: Server) -> None:
    assert server.cell("import os; print(os.environ['COURSE'])", LEARNER, SECRET) == "statistics\n"


def test_the_order_of_hooks(server: Server) -> None:
    assert login_page(server)[0]["x-order"].split() == ["gamma", "beta", "alpha"]


def test_an_index_of_its_own(server: Server) -> None:
    said = server.cell("import only_in_this_index; print(only_in_this_index.HERE)", LEARNER, SECRET)
    assert said == "from the other index\n"


def test_a_class(server: Server) -> None:
    assert server.machine.read(f"/home/jupyter-{LEARNER}/greeting.txt") == f"hello jupyter-{LEARNER}"


def test_who_requires_tljh_gets_this_installation(server: Server) -> None:
    said = server.machine.run("/opt/tljh/hub/bin/python", "-c", OURS).check().stdout.strip()
    assert said.startswith("3."), said
    assert "requires TLJH and got it" in login_page(server)[1]


# ---- several environments, which a plugin or config.yaml asks for


def test_an_environment_of_a_plugin(server: Server) -> None:
    said = server.cell("import art, sys; print(art.__name__, sys.prefix)", LEARNER, SECRET, "tljh-teaching")
    name, prefix = said.split()
    assert name == "art" and prefix.startswith("/opt/tljh/envs/teaching"), said
    with pytest.raises(client.ClientError, match="kernel"):
        server.cell("1", LEARNER, SECRET, "tljh-maps")


def test_an_environment_of_the_admin_comes_changes_and_goes(server: Server) -> None:
    server.config("set", "environments.maps.title", "Maps")
    server.config("add-item", "environments.maps.packages.pip", "cowsay")
    server.tljh("install").check()
    assert server.cell("import cowsay; print('here')", LEARNER, SECRET, "tljh-maps") == "here\n"
    server.assert_converged()
    server.config("add-item", "environments.maps.packages.pip", "art")
    server.tljh("install").check()
    assert server.cell("import art, cowsay; print('both')", LEARNER, SECRET, "tljh-maps") == "both\n"
    server.machine.run("rm", "/usr/local/share/jupyter/kernels/tljh-maps/kernel.json").check()
    assert {change["stage"] for change in server.plan()[1]} == {"environments"}
    server.tljh("install").check()
    server.assert_converged()
    server.config("unset", "environments.maps")
    server.tljh("install").check()
    assert not server.machine.exists("/usr/local/share/jupyter/kernels/tljh-maps")
    assert server.cell("import art; print('stays')", LEARNER, SECRET, "tljh-teaching") == "stays\n"
    server.assert_converged()
