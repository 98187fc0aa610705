"""A plugin's life on a real machine: added, configured, damaged, upgraded, off and on, removed without a trace."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import client
import pytest
from plugin_life import STAGE, assert_same, state, welcome
from plugin_packages import Package, index, serve
from result import Result
from server import LEARNER, SECRET, URL, Server

CONFIG = "/opt/tljh/config/config.yaml"
BANNER = "/srv/welcome/banner.txt"


@pytest.fixture(scope="module")
def server(make_server: Callable[..., Server]) -> Server:
    server = make_server("plugin-life")
    server.install()
    server.allow(LEARNER)

    async def come_and_go() -> None:
        """So that the account is there; a server that runs would go on with what it was started from."""
        async with client.Hub(LEARNER, SECRET, URL) as person:
            await person.login()
            await person.spawn()
            await person.open()
            await person.stop()

    server.machine.inside(lambda: asyncio.run(come_and_go()))
    return server


@pytest.fixture(scope="module")
def before(server: Server) -> dict[str, Any]:
    """The machine before the first plugin came."""
    assert server.machine.exists("/etc/issue.net"), "the tests want a file that was there before"
    return state(server)


def plugin(server: Server, *words: str) -> Result:
    return server.tljh("plugin", *words, "--yes").check()


def listed(server: Server) -> dict[str, dict[str, Any]]:
    said = json.loads(server.tljh("plugin", "list", "--json").check().stdout)
    return {row["name"]: row for row in said["plugins"]}


def resources(server: Server) -> set[str]:
    """What a plan would change."""
    return {change["resource"] for change in server.plan()[1]}


# ---- it comes


def test_nobody_is_asked_without_a_terminal(server: Server, before: dict[str, Any]) -> None:
    path = welcome("1.0", "first").wheel(server.machine)
    refused = server.tljh("plugin", "add", path)
    assert refused.returncode not in (0, None)
    assert "there is nobody to ask" in refused.output and "--yes" in refused.output
    assert listed(server) == {}
    assert_same(before, state(server))


def test_added(server: Server, before: dict[str, Any]) -> None:
    said = plugin(server, "add", welcome("1.0", "first").wheel(server.machine)).output
    for line in ("+ welcome.said", "+ hello", "+ cowsay", "group:welcomers", "unit:welcome.service", "[welcome;"):
        assert line in said, said
    assert server.machine.read(BANNER) == "first blue 3\n"
    assert server.machine.read("/etc/issue.net") == "Welcome\n"
    assert server.machine.run("id", "-nG", "welcome-bot").stdout.split() == ["welcome-bot", "welcomers"]
    for unit in ("welcome.service", "welcome-again.timer"):
        assert server.machine.run("systemctl", "is-active", unit).stdout.strip() == "active"
    server.assert_converged()


def test_its_effect_in_a_notebook(server: Server) -> None:
    said = server.cell("import cowsay, subprocess; print(subprocess.getoutput('id -nG'))", LEARNER, SECRET)
    assert "welcomers" in said.split()


def test_its_command_and_its_check(server: Server) -> None:
    assert "wave" in server.tljh("--help").stdout
    assert server.tljh("wave").check().stdout == "waving in blue\n"
    assert "the banner hangs" in server.tljh("doctor").check().stdout
    server.machine.run("rm", "/srv/banner").check()
    ill = server.tljh("doctor")
    assert ill.returncode == 1 and "the banner hangs" in ill.output
    server.tljh("doctor", "--fix").check()
    server.assert_converged()


DAMAGE = {
    f"file:{BANNER}": f"echo spoiled > {BANNER}",
    "link:/srv/banner": "ln -sfn /etc /srv/banner",
    "directory:/srv/welcome": "chmod 0700 /srv/welcome",
    "unit:welcome.service": "systemctl stop welcome.service",
    "unit:welcome-again.timer": "systemctl disable --now welcome-again.timer",
    "member:welcomers/welcome-bot": "gpasswd --delete welcome-bot welcomers",
    "file:/etc/systemd/system/welcome.service": "echo '# mine' >> /etc/systemd/system/welcome.service",
}


@pytest.mark.parametrize("resource", DAMAGE)
def test_damage_is_seen_and_mended(server: Server, resource: str) -> None:
    server.machine.sh(DAMAGE[resource]).check()
    seen = resources(server)
    assert resource in seen and seen <= {resource, "unit:welcome.service"}, seen
    server.tljh("install").check()
    server.assert_converged()


# ---- its settings, its versions


def test_settings(server: Server) -> None:
    refused = server.machine.run("tljh-config", "set", "plugins.welcome.width", "wide")
    assert refused.returncode == 1 and "plugins.welcome.width is the text" in refused.output
    server.config("set", "--no-validate", "plugins.welcome.width", "wide")
    refused = server.tljh("plan")
    assert refused.returncode == 1
    for word in (f"{CONFIG} line ", "plugins.welcome.width", "expected a whole number", "In characters"):
        assert word in refused.output, f"{refused}"
    server.config("set", "plugins.welcome.width", "7")
    server.tljh("install").check()
    assert server.machine.read(BANNER) == "first blue 7\n"
    assert "plugins.welcome.width = 7" in server.tljh("plugin", "info", "welcome").check().stdout


@pytest.mark.parametrize(("version", "word"), [("2.0", "second"), ("1.0", "first"), ("3.0", "third")])
def test_upgrade_and_downgrade(server: Server, version: str, word: str) -> None:
    plugin(server, "add", welcome(version, word).wheel(server.machine))
    assert listed(server)["welcome"]["version"] == version
    assert server.machine.read(BANNER) == f"{word} blue 7\n"
    assert f"said: {word}" in server.machine.read(CONFIG)
    server.assert_converged()


# ---- it goes


def test_switched_off_and_on(server: Server, before: dict[str, Any]) -> None:
    plugin(server, "disable", "welcome")
    assert listed(server)["welcome"]["state"] == "disabled"
    assert not server.machine.exists(BANNER)
    assert server.machine.run("id", "welcome-bot").returncode != 0
    server.assert_converged()
    plugin(server, "enable", "welcome")
    assert server.machine.read(BANNER) == "third blue 7\n"
    server.assert_converged()


def test_removed_without_a_trace(server: Server, before: dict[str, Any]) -> None:
    said = plugin(server, "remove", "welcome").output
    assert "tljh_config_post_install" in said, "what can't be undone is told"
    assert listed(server) == {}
    assert server.machine.exists("/var/tmp/welcome-said-goodbye"), "tljh_post_remove ran"
    server.assert_converged()
    server.config("unset", "plugins")  # the admin's own settings stayed
    server.tljh("install").check()
    assert_same(before, state(server))


# ---- from an index, and from a folder that changes


SMALL = """
from tljh.declare import File
from tljh.hooks import hookimpl

@hookimpl
def tljh_resources(config):
    return [File(path="/etc/small", content="{word}")]
"""


def test_from_an_index(server: Server, before: dict[str, Any]) -> None:
    first, second = (Package("tljh-small", SMALL.format(word=f"of {n}.0"), f"{n}.0") for n in (1, 2))
    folder = index(server.machine, [first])
    serving = serve(server.machine, folder, 8078)
    # a cache that machines share knows what another machine's index said under this address
    env = {"UV_INDEX": "http://127.0.0.1:8078/simple", "UV_CACHE_DIR": "/var/tmp/uv-of-this-test"}
    try:
        missing = server.tljh("plugin", "add", "--yes", "tljh-small==3.0", env=env)
        assert missing.returncode == 1 and "tljh-small==3.0" in missing.output
        server.tljh("plugin", "add", "--yes", "tljh-small", env=env).check()
        assert server.machine.read("/etc/small") == "of 1.0"
        index(server.machine, [first, second])
        server.tljh("install", env=env).check()
        assert server.machine.read("/etc/small") == "of 1.0", "nobody asked for another version"
        server.tljh("plugin", "upgrade", "--yes", "small", env=env).check()
        assert server.machine.read("/etc/small") == "of 2.0"
    finally:
        server.machine.run("pkill", "-f", "http.server 8078")
        serving.wait()
    plugin(server, "remove", "tljh-small")
    assert_same(before, state(server))


def test_from_a_folder_that_changes(server: Server, before: dict[str, Any]) -> None:
    folder = Package("tljh-small", SMALL.format(word="here")).project(server.machine)
    plugin(server, "add", folder)
    assert server.machine.read("/etc/small") == "here"
    server.machine.write(f"{folder}/tljh_small.py", SMALL.format(word="edited"))
    server.tljh("install").check()
    assert server.machine.read("/etc/small") == "edited"
    plugin(server, "remove", "small")
    assert_same(before, state(server))


def test_from_a_folder_that_is_imported_from_where_it_is(server: Server, before: dict[str, Any]) -> None:
    folder = Package("tljh-small", SMALL.format(word="here")).project(server.machine)
    plugin(server, "add", "-e", folder)
    assert server.machine.read("/etc/small") == "here"
    serving = server.machine.run("readlink", "/opt/tljh/hub").stdout
    server.machine.write(f"{folder}/tljh_small.py", SMALL.format(word="edited"))
    server.tljh("install").check()
    assert server.machine.read("/etc/small") == "edited"
    assert server.machine.run("readlink", "/opt/tljh/hub").stdout == serving, "nothing had to be built"
    plugin(server, "remove", "small")
    assert_same(before, state(server))


# ---- stages


def stage_log(server: Server) -> list[str]:
    log = server.machine.run("cat", "/var/tmp/stages.log").stdout.splitlines()
    server.machine.run("rm", "-f", "/var/tmp/stages.log")
    return log


def test_stages(server: Server) -> None:
    path = Package("tljh-stages", STAGE).wheel(server.machine)
    plugin(server, "add", path)
    assert stage_log(server) == ["database up, port = 5432", "tables at 5432", "database left"]
    server.tljh("install").check()
    assert stage_log(server) == [], "nothing has changed: nothing runs"
    server.tljh("install", "--run-hooks").check()
    assert stage_log(server) == ["database up, port = 5432", "tables at 5432", "database left"]
    server.machine.run("rm", "/etc/database.conf").check()
    server.tljh("install", "--exclude-stage", "data*").check()
    assert not server.machine.exists("/etc/database.conf")
    server.tljh("install").check()
    assert server.machine.exists("/etc/database.conf")
    stage_log(server)
    plugin(server, "remove", "stages")
    assert stage_log(server) == ["tables gone", "database down"]
    assert not server.machine.exists("/etc/database.conf")
    server.assert_converged()


# ---- files, and one run only


def test_a_file_in_plugins_d(server: Server, before: dict[str, Any]) -> None:
    code = """
from tljh.declare import File
from tljh.hooks import hookimpl

@hookimpl
def tljh_resources(config):
    return [File(path="/etc/from-a-file", content="here\\n")]
"""
    server.machine.write("/opt/tljh/config/plugins.d/small.py", code, 0o600)
    server.tljh("install").check()
    assert server.machine.read("/etc/from-a-file") == "here\n"
    assert listed(server)["small"]["source"] == "file"
    server.machine.run("rm", "/opt/tljh/config/plugins.d/small.py").check()
    server.tljh("install").check()
    assert not server.machine.exists("/etc/from-a-file")
    server.machine.write("/root/once.py", code.replace("from-a-file", "from-one-run"))
    server.tljh("install", "--import-plugin", "/root/once.py").check()
    assert server.machine.read("/etc/from-one-run") == "here\n"
    server.tljh("install").check()
    assert not server.machine.exists("/etc/from-one-run")
    assert_same(before, state(server))


# ---- broken ones


BROKEN = {
    "import error": ("import no_such_module", "No module named 'no_such_module'"),
    "syntax error": ("def broken(:", "SyntaxError"),
    "raises": ("@hookimpl\ndef tljh_extra_apt_packages(): raise OSError('no wish')", "no wish"),
    "a text": ("@hookimpl\ndef tljh_extra_apt_packages(): return 'hello'", "instead of a list"),
    "ends": ("import sys\n@hookimpl\ndef tljh_extra_apt_packages(): sys.exit(3)", "sys.exit(3)"),
    "kills": ("import os\n@hookimpl\ndef tljh_extra_apt_packages(): os._exit(3)", "ended the process"),
    "signature": ("@hookimpl\ndef tljh_custom_jupyterhub_config(c, d): pass", "wants d"),
    "core's file": (
        "@hookimpl\ndef tljh_resources(config):\n"
        "    return [File(path='/etc/sudoers.d/jupyterhub-admins', content='')]",
        "/etc/sudoers.d/jupyterhub-admins",
    ),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_one_is_refused(server: Server, before: dict[str, Any], fault: str) -> None:
    code, words = BROKEN[fault]
    head = "from tljh.hooks import hookimpl\nfrom tljh.declare import File\n"
    path = Package("tljh-broken", head + code).wheel(server.machine)
    refused = server.tljh("plugin", "add", "--yes", path)
    assert refused.returncode == 1
    assert "plugin broken" in refused.output and words in refused.output, f"{refused}"
    assert "→" in refused.output
    assert listed(server) == {}
    assert_same(before, state(server))


def test_one_that_breaks_later_can_be_taken_out(server: Server, before: dict[str, Any]) -> None:
    plugin(server, "add", welcome("1.0", "first").wheel(server.machine))
    server.machine.sh(
        "for f in /opt/tljh/envs/hub-*/lib/python3*/site-packages/tljh_welcome.py; do echo '(' > $f; done"
    )
    refused = server.tljh("install")
    assert refused.returncode == 1 and "plugin welcome" in refused.output and "--without welcome" in refused.output
    server.tljh("install", "--without", "welcome").check()
    done = server.tljh("plugin", "remove", "welcome", "--yes")
    assert done.returncode == 1, "its last word could not be said"
    assert "can't be loaded" in done.output and "removed all the same" in done.output, f"{done}"
    server.assert_converged()
    assert_same(before, state(server))
