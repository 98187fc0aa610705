"""The whole file system before an install, after it, after an uninstall: all is accounted for, nothing is left."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import client
import pytest
import snapshot
from plugin_life import welcome
from server import CHECKOUT, LEARNER, PLUGIN, SECRET, URL, Server
from snapshot import ACCOUNTS_KEEP, APT_KEEPS

DOCUMENT = CHECKOUT / "docs" / "admin" / "what-is-changed.md"
HOME = f"/home/jupyter-{LEARNER}"
GROUP = "physics"

# What belongs to a change of accounts and groups, and to one of packages.
ACCOUNTS = (*ACCOUNTS_KEEP, *(name.removesuffix("-") for name in ACCOUNTS_KEEP))
APT = (
    *APT_KEEPS,
    "/var/lib/dpkg",
    "/var/lib/apt/extended_states",
    "/usr/share",
    *(f"/etc/rc{n}.d" for n in range(7)),
)

# What bootstrap, the installer and the services write beside what is planned, as DOCUMENT lists it.
OURS = {
    "/opt/tljh": "install prefix",
    "/opt/tljh/envs": "envs/",
    "/opt/tljh/bin": "bin/uv",
    "/opt/tljh/hub": "`hub`",
    "/opt/tljh/user": "`user`",
    "/opt/tljh/cache": "cache/",
    "/opt/tljh/installer.log": "installer.log",
    "/opt/tljh/config/config.yaml": "config/config.yaml",
    "/opt/tljh/config/config.yaml.lock": "config/config.yaml.lock",
    "/opt/tljh/state": "state/",
    "/opt/tljh/state/backups": "state/backups/",
    "/opt/tljh/state/jupyterhub.sqlite": "state/jupyterhub.sqlite",
    "/opt/tljh/state/hub-database": "state/hub-database",
    "/opt/tljh/state/jupyterhub_cookie_secret": "state/jupyterhub_cookie_secret",
    "/opt/tljh/state/passwords.dbm.db": "state/passwords.dbm.db",
    "/opt/tljh/state/rules": "state/rules/",
    "/opt/tljh/state/tljh.sqlite": "state/tljh.sqlite",
    "/opt/tljh/state/tljh.lock": "state/tljh.lock",
    "/opt/tljh/state/plugin-traits.json": "state/plugin-traits.json",
    "/opt/tljh/state/admins.json": "state/admins.json",
    "/opt/tljh/state/wheels": "state/wheels/",
}
# What the plugin's own code did, and in which hook.
HOOKS = {"/opt/tljh/state/simplest-post-install": ("hook:tljh_post_install", "simplest")}


@pytest.fixture(scope="module")
def server(make_server: Callable[..., Server]) -> Server:
    return make_server("uninstall")


@pytest.fixture(scope="module")
def before(server: Server) -> snapshot.Snapshot:
    """The machine as it was, but for the checkout and the plugin."""
    welcome("1.0", "first").wheel(server.machine)
    return look(server)


def look(server: Server) -> snapshot.Snapshot:
    return server.whole_disk("/srv/plugins")


@pytest.fixture(scope="module")
def installed(server: Server, before: snapshot.Snapshot) -> snapshot.Snapshot:
    wheel = welcome("1.0", "first").wheel(server.machine)
    server.install("--plugin", PLUGIN, "--plugin", wheel)
    return look(server)


def with_a_server(server: Server) -> None:
    """Somebody logs in, has a server and puts a file into his home."""

    async def come() -> None:
        async with client.Hub(LEARNER, SECRET, URL) as person:
            await person.login()
            await person.spawn()
            await person.open()

    server.machine.inside(lambda: asyncio.run(come()))
    server.machine.sh(f"test -f {HOME}/notes || echo mine > {HOME}/notes; chown jupyter-{LEARNER}: {HOME}/notes")


def journal(server: Server) -> list[dict[str, Any]]:
    runs = json.loads(server.tljh("journal", "--json").check().stdout)["runs"]
    return [row for run in runs for row in run["changes"] if row["result"] == "done"]


# ---- after an install every difference has a name


def test_every_difference_is_accounted_for(
    server: Server, before: snapshot.Snapshot, installed: snapshot.Snapshot
) -> None:
    found = snapshot.differences(before, installed)
    rows = journal(server)
    brought = packages_files(server, rows)
    unexplained = {path: what for path, what in found.items() if not explained(path, rows, brought)}
    assert not unexplained, "\n".join(f"{path}: {what}" for path, what in unexplained.items())


def explained(path: str, rows: list[dict[str, Any]], brought: set[str]) -> str:
    """Who put this there; empty where nobody knows."""
    resources = {row["resource"] for row in rows}
    named = {f"{kind}:{path}" for kind in ("file", "directory", "link")} & resources
    if named:
        return named.pop()
    environments = [row["after"] for row in rows if row["key"] == "(path)" and row["after"]]
    if snapshot.is_below(path, environments):
        return "environment"
    if path in brought or (snapshot.is_below(path, APT) and "apt" in resources):
        return "apt"
    if path in ACCOUNTS and any(name.startswith(("groups", "group:", "account", "member:")) for name in resources):
        return "accounts"
    unit = re.fullmatch(r"/etc/systemd/system/\S+\.wants/(\S+)", path)
    if unit and {f"unit:{unit[1]}", f"service:{unit[1].removesuffix('.service')}"} & resources:
        return "a unit that is enabled"
    if path in HOOKS:
        return str((HOOKS[path][0], HOOKS[path][1]) in {(row["resource"], row["key"]) for row in rows} or "")
    return next((ours for ours in OURS if snapshot.is_below(path, [ours]) and fits(path, ours)), "")


def fits(path: str, ours: str) -> bool:
    """Whether all below one of ours is; of the folders that hold more than that, only the folder itself."""
    return (
        path == ours
        or ours not in ("/opt/tljh", "/opt/tljh/bin", "/opt/tljh/state", "/opt/tljh/envs")
        or (path == "/opt/tljh/bin/uv")
    )


def packages_files(server: Server, rows: list[dict[str, Any]]) -> set[str]:
    """Files of the packages that came: dpkg knows them, and what it makes of them."""
    owned = server.machine.run(
        "/opt/tljh/hub/bin/python", "-c",
        "import sqlite3; d = sqlite3.connect('file:/opt/tljh/state/tljh.sqlite?mode=ro', uri=True);"
        "print(*[key for key, in d.execute(\"select key from owned where resource = 'arrived packages'\")])",
    ).check().stdout.split()  # fmt: skip
    assert {"git", "git-man", "hello", "tljh-requirements"} <= set(owned)
    assert {row["key"] for row in rows if row["resource"] == "apt"} <= set(owned)
    listed = server.machine.run("dpkg-query", "-L", *owned).check().stdout.split("\n")
    return {path for name in listed for path in (name, str(Path("/usr") / name.lstrip("/")))}


def test_what_is_ours_beside_the_plan_is_documented() -> None:
    text = DOCUMENT.read_text()
    missing = [path for path, word in OURS.items() if word not in text]
    assert not missing, f"{DOCUMENT.name} does not list {missing}"


# ---- before it goes


def test_people_come(server: Server, installed: snapshot.Snapshot) -> None:
    server.config("add-item", f"users.extra_user_groups.{GROUP}", LEARNER)
    server.allow(LEARNER)
    with_a_server(server)
    assert GROUP in server.machine.run("id", "-nG", f"jupyter-{LEARNER}").stdout.split()


def test_a_dry_run_says_it_all_and_changes_nothing(server: Server) -> None:
    pids = server.pids()
    said = server.tljh("uninstall", "--dry-run", "--purge")
    assert said.returncode == 2, f"{said}"
    for words in (
        f"jupyter-{LEARNER}.service",
        f"Deleted for good: 1 home with all that is in there: {HOME}",
        "- /opt/tljh/state  folder",
        "puts back what was there before",
        "Stays: simplest: what tljh_config_post_install, tljh_post_install",
    ):
        assert words in said.output, f"{words!r} is not in\n{said.output}"
    assert server.pids() == pids


def test_nobody_is_asked_without_a_terminal(server: Server) -> None:
    refused = server.tljh("uninstall", "--purge")
    assert refused.returncode == 2 and "there is nobody to ask" in refused.output
    server.wait()


def test_not_from_a_server_of_the_hub(server: Server) -> None:
    unit = server.machine.run(
        "systemd-run", "--collect", "--unit=jupyter-somebody", "--wait", "--pipe", "tljh", "uninstall", "--yes"
    )
    assert unit.returncode == 1 and "this runs in somebody's server" in unit.output
    server.wait()


# ---- without --purge


@pytest.fixture(scope="module")
def uninstalled(server: Server, before: snapshot.Snapshot) -> dict[str, str]:
    """What differs then from what was before the install."""
    began = time.monotonic()
    done = server.tljh("uninstall", "--yes").check()
    print(f"uninstalled in {time.monotonic() - began:.1f} s")
    assert "Uninstalled after" in done.output and "Stays: /opt/tljh/config: your settings." in done.output
    return snapshot.differences(before, look(server))


def test_only_what_is_the_admins_and_peoples_stays(uninstalled: dict[str, str]) -> None:
    kept = ("/opt/tljh/config", "/opt/tljh/installer.log", HOME, *ACCOUNTS, *APT, "/etc/sudoers", "/etc/sudoers.d")
    conffiles = ("/etc/sudo.conf", "/etc/sudo_logsrvd.conf", "/etc/pam.d", "/etc/init.d", "/etc/bash_completion.d")
    state = [f"/opt/tljh/state/{name}" for name in ("tljh.sqlite", "tljh.lock", "jupyterhub.sqlite", "backups")]
    state += [
        f"/opt/tljh/state/{name}"
        for name in ("jupyterhub_cookie_secret", "passwords.dbm.db", "acme.json", "admins.json")
    ]
    state += ["/opt/tljh/state/traefik-api.secret", *HOOKS]
    others = snapshot.without(uninstalled, (*kept, *conffiles, *state))
    # tljh_post_remove of the plugin says so here
    assert others.keys() - {"/opt/tljh", "/opt/tljh/state", "/var/lib/systemd/deb-systemd-helper-enabled"} == set()
    assert uninstalled.keys() >= {"/opt/tljh/config/config.yaml", f"{HOME}/notes"}
    assert "/etc/issue.net" not in uninstalled, "what a plugin replaced is as it was"
    assert "/etc/sudoers.d/jupyterhub-admins" not in uninstalled


def test_nothing_runs_any_more(server: Server, uninstalled: dict[str, str]) -> None:
    there = server.machine.sh("pgrep -af 'tljh|traefik|welcome' | grep -v pgrep").stdout
    assert not there, there
    assert not server.machine.sh("systemctl list-units --all --no-legend 'jupyter*' 'traefik*' 'welcome*'").stdout


def test_the_plugins_keys_are_gone_and_the_admins_are_there(server: Server, uninstalled: dict[str, str]) -> None:
    text = server.machine.read("/opt/tljh/config/config.yaml")
    assert "simplest_plugin" not in text and "welcome" not in text
    assert GROUP in text and LEARNER in text


def test_an_install_after_it_has_the_same_people(server: Server, uninstalled: dict[str, str]) -> None:
    server.bootstrap().check()
    server.wait()
    assert server.cell("print(open('notes').read())", LEARNER, SECRET).strip() == "mine"
    plugins = json.loads(server.tljh("plugin", "list", "--json").check().stdout)["plugins"]
    assert plugins == [], "an install begins anew"
    history = json.loads(server.tljh("history", "--json").check().stdout)["generations"]
    assert [row["why"].split()[1] for row in history][:2] == ["install", "uninstall"]


# ---- with --purge


def test_a_purge_that_is_killed_goes_on_and_leaves_nothing(server: Server, before: snapshot.Snapshot) -> None:
    began = server.machine.popen("tljh", "uninstall", "--purge", "--yes")
    for line in began.stdout or ():
        if "services" in line and "done" in line:  # what runs is stopped; nothing else is gone
            server.machine.sh("pkill -9 -f '[b]in/tljh uninstall'")
            break
    began.communicate(timeout=60)
    assert began.returncode != 0, "it was not killed"
    done = server.tljh("uninstall", "--purge", "--yes").check()
    assert "Uninstalled after" in done.output
    left = snapshot.without(snapshot.differences(before, look(server)), (*APT_KEEPS, *ACCOUNTS_KEEP))
    assert not left, "\n".join(f"{path}: {what}" for path, what in left.items())


def test_nothing_is_left_to_uninstall(server: Server) -> None:
    assert server.machine.run("sh", "-c", "command -v tljh").returncode != 0
    names = ("passwd", "group")
    texts: Mapping[str, str] = {name: server.machine.read(f"/etc/{name}") for name in names}
    assert not any("jupyter" in text or GROUP in text or "welcome" in text for text in texts.values())
