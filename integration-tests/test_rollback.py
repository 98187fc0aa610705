"""Going back on a real machine: settings, packages, plugins, the hub's database; by hand and by itself."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from typing import Any

import client
import pytest
from result import Result
from server import LEARNER, SECRET, URL, Server

LATE = "late"
THEN = "/root/then.txt"
OLD = {"certifi": "2024.8.30", "idna": "3.6"}  # both in the hub's and the users' environment
STATE = "/opt/tljh/state"
CONFIG = "/opt/tljh/config/config.yaml"
SETUP = """from setuptools import setup
setup(name="tljh-{name}", version="1.0", py_modules=["tljh_{name}"], install_requires=["{needs}"],
      entry_points={{"tljh": ["{name} = tljh_{name}"]}})
"""
NO_HOOK = "from tljh.hooks import hookimpl\n"
# the hub does not start when a plugin fails that concerns logins
BROKEN = """from tljh.hooks import hookimpl

@hookimpl
def tljh_custom_jupyterhub_config(c):
    c.JupyterHub.authenticator_class = "no.such.Authenticator"
"""
# ends an installer as the power does, as soon as it has begun to go back
KILL = """
import os, signal, sqlite3, subprocess, time
run = subprocess.Popen(["tljh", "rollback", "{number}", "--yes"], start_new_session=True)
database = sqlite3.connect("file:/opt/tljh/state/tljh.sqlite?mode=ro", uri=True, timeout=20)
while not database.execute("select 1 from wishes where kind = 'rollback'").fetchall():
    time.sleep(0.001)
os.killpg(run.pid, signal.SIGKILL)
print(run.wait())
"""


@pytest.fixture(scope="module")
def server(make_server: Callable[..., Server]) -> Server:
    """One with a JupyterHub 5, whose learner has a server that runs."""
    server = make_server("rollback")
    for name, needs, code in (
        ("old", "jupyterhub<6", NO_HOOK),
        ("new", "jupyterhub>=6", NO_HOOK),
        ("broken", "jupyterhub>=6", BROKEN),
    ):
        server.machine.run("mkdir", "-p", f"/srv/{name}").check()
        server.machine.write(f"/srv/{name}/setup.py", SETUP.format(name=name, needs=needs))
        server.machine.write(f"/srv/{name}/tljh_{name}.py", code)
    server.machine.write(THEN, "".join(f"{name}=={version}\n" for name, version in OLD.items()))
    server.install("--plugin", "/srv/old", env={"UV_CONSTRAINT": THEN})
    server.allow(LEARNER)
    visit(server, LEARNER)
    return server


def visit(server: Server, name: str) -> None:
    """Somebody logs in and starts a server, which goes on running."""

    async def come() -> None:
        async with client.Hub(name, SECRET, URL) as person:
            await person.login()
            await person.spawn()
            await person.open()

    server.machine.inside(lambda: asyncio.run(come()))


def process(server: Server, name: str = LEARNER) -> str:
    """The process of somebody's server; empty where none runs."""
    shown = server.machine.run("systemctl", "show", "-p", "MainPID", "--value", f"jupyter-{name}.service").stdout
    return shown.strip().removeprefix("0")


def rollback(server: Server, *words: str) -> dict[str, Any]:
    done = server.tljh("rollback", *words, "--yes", "--json").check()
    return dict(json.loads(done.stdout))


def newest(server: Server) -> dict[str, Any]:
    """The newest generation, from the database itself."""
    script = (
        "import json, sqlite3; d = sqlite3.connect('file:/opt/tljh/state/tljh.sqlite?mode=ro', uri=True);"
        "n, r = d.execute('select id, record from generations order by id desc limit 1').fetchone();"
        "print(json.dumps({'id': n, 'of': json.loads(r).get('of'), 'plugins': json.loads(r)['plugins']}))"
    )
    return dict(json.loads(server.machine.run("/usr/bin/python3", "-c", script).check().stdout))


def hub_version(server: Server) -> str:
    server.wait()
    return str(json.loads(server.machine.run("curl", "-s", f"{URL}/hub/api/").check().stdout)["version"])


def revision(server: Server) -> str:
    script = (
        f"import sqlite3; d = sqlite3.connect('file:{STATE}/jupyterhub.sqlite?mode=ro', uri=True);"
        "print(*[row[0] for row in d.execute('select version_num from alembic_version')],"
        " *sorted(row[0] for row in d.execute('select name from users')))"
    )
    return server.machine.run("/usr/bin/python3", "-c", script).check().stdout.strip()


# ---- versions


def old_ones(server: Server) -> list[str]:
    """Which of OLD are still in an environment: ``ENVIRONMENT PACKAGE``."""
    script = "from importlib.metadata import version; print(*(version(n) for n in ('certifi', 'idna')))"
    found = []
    for environment in ("hub", "user"):
        said = server.machine.run(f"/opt/tljh/{environment}/bin/python", "-I", "-c", script).check().stdout
        there = dict(zip(OLD, said.split(), strict=True))
        found += [f"{environment} {name}" for name, version in OLD.items() if there[name] == version]
    return found


def test_versions_move_when_they_are_asked_to(server: Server) -> None:
    running, every = process(server), ["hub certifi", "hub idna", "user certifi", "user idna"]
    assert "Nothing to change" in server.tljh("install").check().output
    shown = server.tljh("upgrade", "--dry-run", "certifi")
    assert shown.returncode == 2
    assert "~ certifi  ==2024.8.30 → ==" in shown.output and "idna" not in shown.output, shown
    assert old_ones(server) == every
    wrong = server.tljh("upgrade", "--yes", "jupyterlap")
    assert "neither an environment nor a package jupyterlap here (did you mean jupyterlab?)" in wrong.output
    assert "Upgraded after" in server.tljh("upgrade", "--yes", "idna").check().output
    assert old_ones(server) == ["hub certifi", "user certifi"]
    server.tljh("upgrade", "--yes", "user").check()
    assert old_ones(server) == ["hub certifi"]
    assert "Nothing to change" in server.tljh("upgrade", "--yes", "user").check().output
    server.tljh("upgrade", "--yes").check()
    assert old_ones(server) == []
    assert hub_version(server).startswith("5."), "what a plugin holds to a version keeps it"
    assert process(server) == running, "people's servers go on"
    server.assert_converged()
    rollback(server)
    assert old_ones(server) == ["hub certifi"]
    server.tljh("rollback", "--yes", str(newest(server)["of"] - 2)).check()
    assert old_ones(server) == every
    server.assert_converged()


# ---- settings and packages


def test_a_setting_and_a_package_go_back(server: Server) -> None:
    there = newest(server)
    before, first, running = server.machine.read(CONFIG), there["of"] or there["id"], process(server)
    config_and_package(server)
    server.machine.run("/opt/tljh/user/bin/pip", "install", "-q", "cowsay").check()
    server.config("set", "limits.cpu", "2")  # and not reloaded
    shown = server.tljh("rollback", "--dry-run")
    assert shown.returncode == 2
    for said in ("limits.memory", "isodate", "installed by hand and carried over: cowsay", "before-rollback-"):
        assert said in shown.output, f"the plan does not say {said}: {shown}"
    server.machine.run("/opt/tljh/user/bin/pip", "uninstall", "-qy", "cowsay").check()
    said = rollback(server)
    assert server.machine.read(CONFIG) == before
    assert "cpu: 2" in server.machine.read(said["config_kept"]), "what was not in effect is kept"
    assert newest(server)["of"] == first
    assert server.machine.run("/opt/tljh/user/bin/python", "-c", "import isodate").returncode == 1
    assert process(server) == running, "people's servers go on"
    server.assert_converged()


def config_and_package(server: Server) -> None:
    server.config("set", "limits.memory", "1G")
    server.config("add-item", "user_environment.packages.pip", "isodate")
    server.tljh("install").check()


def test_one_that_is_killed_is_gone_on_with(server: Server) -> None:
    there = newest(server)["id"]
    server.tljh("rollback", str(there - 1), "--yes").check()
    assert "isodate" in server.machine.read(CONFIG)
    killed = server.machine.run("/usr/bin/python3", "-c", KILL.format(number=there))
    assert killed.stdout.splitlines()[-1] == "-9", f"it was not killed: {killed}"
    refused = server.tljh("install", "--channel", "bioconda")
    assert f"a rollback to generation {there} was cut off" in refused.output
    done = server.tljh("install").check()
    assert f"a rollback to generation {there} was cut off; this run goes on with it" in done.output
    assert "isodate" not in server.machine.read(CONFIG)
    server.assert_converged()


def test_what_there_is_not(server: Server) -> None:
    refused = server.tljh("rollback", "77", "--yes")
    assert (refused.returncode, "there is no generation 77" in refused.output) == (2, True)
    runs = "select count(*) from generations"
    count = server.machine.run("/usr/bin/python3", "-c", COUNT.format(query=runs)).stdout
    said = server.tljh("rollback", str(newest(server)["id"]), "--yes").check()
    assert "is in effect" in said.output
    assert server.machine.run("/usr/bin/python3", "-c", COUNT.format(query=runs)).stdout == count


COUNT = "import sqlite3; print(sqlite3.connect('/opt/tljh/state/tljh.sqlite').execute('{query}').fetchone())"


# ---- another JupyterHub


def test_a_plugin_and_the_database_go_back(server: Server) -> None:
    assert hub_version(server).startswith("5.")
    old, running = revision(server), process(server)
    server.tljh("plugin", "remove", "old", "--yes").check()
    without = newest(server)["id"]
    added = server.tljh("plugin", "add", "/srv/new", "--yes").check()
    assert "then it is migrated" in added.output
    assert hub_version(server).startswith("6.")
    assert process(server) == running
    server.config("add-item", "users.allowed", LATE)
    server.machine.run("tljh-config", "reload").check()
    visit(server, LATE)
    new = revision(server)
    assert new.split()[1:] == sorted([*old.split()[1:], LATE])
    shown = server.tljh("rollback", str(without), "--dry-run").output
    lost = r"1 user \(late\) and \d+ tokens? that came since are lost; 1 server must stop \(late\)"
    assert re.search(lost, shown), f"the plan does not say what is lost: {shown}"
    rollback(server, str(without))
    assert (hub_version(server)[:2], revision(server)) == ("5.", old)
    assert newest(server)["of"] == without
    assert (process(server), process(server, LATE)) == (running, "")
    copies = server.machine.run("ls", f"{STATE}/backups").stdout
    assert len(re.findall(r"jupyterhub-\w+-[\d-]+\.sqlite", copies)) == 2, f"one of each: {copies}"
    server.assert_converged()


def test_an_upgrade_that_fails_goes_back_by_itself(server: Server) -> None:
    before, old, running = newest(server), revision(server), process(server)
    failed = server.tljh("plugin", "add", "/srv/broken", "--yes")
    assert failed.returncode == 1
    assert "the hub ends as soon as it is started" in failed.output
    again = re.search(rf"generation {before['id']} is in effect again, after (\d+) s", failed.output)
    assert again, f"it does not say that it went back: {failed}"
    assert int(again[1]) <= 10
    assert (hub_version(server)[:2], revision(server)) == ("5.", old)
    assert newest(server) == before, "nothing new is in effect"
    assert process(server) == running
    server.assert_converged()


def test_no_rollback_leaves_it_to_the_admin(server: Server) -> None:
    before = newest(server)["id"]
    server.config("set", "auth.type", "no.such.Authenticator")
    failed: Result = server.tljh("install", "--no-rollback")
    assert (failed.returncode, "in effect again" in failed.output) == (1, False)
    said = rollback(server)
    assert said["generation"] == before, "without a number it is the one that worked"
    assert "no.such" in server.machine.read(said["config_kept"])
    assert hub_version(server).startswith("5.")
    server.assert_converged()


def test_what_is_gone_is_built_again(server: Server) -> None:
    rollback(server, "1")
    assert newest(server)["of"] == 1
    assert set(newest(server)["plugins"]) == {"old"}
    assert hub_version(server).startswith("5.")
    server.assert_converged()
