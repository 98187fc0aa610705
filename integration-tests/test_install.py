"""The main story on Debian 12 with systemd: install, use, again, damage and mend, reboot."""

from __future__ import annotations

import asyncio
import json
import re
import runpy
from dataclasses import dataclass
from pathlib import Path

import client
import pytest
from server import ADMIN, LEARNER, PACKAGE_MANAGERS, PLUGIN, SECRET, URL, Server

CONFIG = "/opt/tljh/config/config.yaml"
BOOTSTRAP = Path(__file__).parents[1] / "bootstrap/bootstrap.py"


# ---- the first run


def test_says_where_the_hub_is(hub: Server) -> None:
    assert hub.first
    said = hub.first.stdout
    assert "http://" in said
    assert ADMIN in said
    assert "/opt/tljh/installer.log" in said
    assert "\x1b[" not in said, "colours are for terminals"


def test_password_is_in_no_log(hub: Server) -> None:
    assert hub.password
    assert hub.password not in hub.log()
    assert hub.password not in hub.machine.run("journalctl", "--no-pager").stdout
    mode = hub.machine.run("stat", "-c", "%a", "/opt/tljh/installer.log").stdout.strip()
    assert mode == "600"


def test_nothing_to_change_afterwards(hub: Server) -> None:
    assert hub.first_plan == (0, [])


def test_the_folders_that_go_as_a_whole_hold_what_bootstrap_knows_of(hub: Server) -> None:
    """Where nothing is installed yet, it refuses a prefix that has anything else in them."""
    ours = runpy.run_path(str(BOOTSTRAP))["OURS"]
    for folder, names in ours.items():
        there = set(hub.machine.run("ls", "-A", f"/opt/tljh/{folder}").stdout.split())
        assert there <= names, folder
        assert there or folder != "bin"


def test_nothing_is_written_into_the_folder_of_a_plugin(hub: Server) -> None:
    found = hub.machine.run("find", PLUGIN, "-name", "build", "-o", "-name", "*.egg-info").check().stdout
    assert found == ""


# ---- a person at work


def test_environments_share_no_file_with_anything(hub: Server) -> None:
    shared = hub.machine.run("find", "/opt/tljh/envs", "-type", "f", "-links", "+1").stdout
    assert shared == "", "an edit in one place would be an edit in another"


def test_kernel_runs_as_its_own_account(hub: Server) -> None:
    said = hub.cell("import getpass, os, sys; print(getpass.getuser(), os.getcwd(), sys.prefix)")
    user, home, prefix = said.split()
    assert user == f"jupyter-{ADMIN}"
    assert home == f"/home/jupyter-{ADMIN}"
    assert re.fullmatch(r"/opt/tljh/(user|envs/user-\d+)", prefix)


def test_wrong_password_is_refused_in_words(hub: Server) -> None:
    with pytest.raises(client.ClientError, match=r"(?i)invalid|incorrect|wrong"):
        hub.cell("1", password="not-the-password")


def test_admin_has_sudo_and_others_do_not(hub: Server) -> None:
    ask = "import subprocess; print(subprocess.run(['sudo', '-n', 'id', '-u'], capture_output=True, text=True))"
    assert "stdout='0\\n'" in hub.cell(ask)
    refused = hub.cell(ask, LEARNER, SECRET)
    assert "returncode=0" not in refused and "returncode=1" in refused


def test_state_and_config_are_closed_to_users(hub: Server) -> None:
    look = "import os\nfor p in ('state', 'config', 'installer.log'): print(os.access('/opt/tljh/' + p, os.R_OK))"
    assert hub.cell(look, LEARNER, SECRET).split() == ["False"] * 3


def test_user_installs_for_himself(hub: Server) -> None:
    said = hub.cell("%pip install -q --user art\nimport art; print(art.__file__)", LEARNER, SECRET)
    assert f"/home/jupyter-{LEARNER}/.local/" in said
    # and it is there in the next kernel
    assert "ok" in hub.cell("import art; print('ok')", LEARNER, SECRET)


def test_admin_installs_for_all_and_it_survives_a_run(hub: Server) -> None:
    said = hub.cell("!sudo -E /opt/tljh/user/bin/pip install -q pyfiglet; echo status $?")
    assert "status 0" in said
    hub.bootstrap("--admin", ADMIN).check()
    assert "figlet" in hub.cell("import pyfiglet; print(pyfiglet.__name__)", LEARNER, SECRET)
    hub.assert_converged()


def test_memory_limit_kills_the_kernel_not_the_server(hub: Server) -> None:
    before = hub.machine.read(CONFIG)
    hub.config("set", "limits.memory", "256M")
    hub.config("reload")
    greedy = "x = bytearray(1 << 30); print(len(x))"

    async def story() -> tuple[str, int, str]:
        async with client.Hub("greedy", SECRET, URL) as person:
            await person.login()
            await person.spawn()
            await person.open()
            kernel = await person.kernel()
            said = await person.run(kernel, greedy)
            await asyncio.sleep(3)  # the server starts the kernel anew
            status = (await person.server_api("GET", "/api/status")).status
            again = await person.run(kernel, "print('alive')")
            await person.stop()
            return said, status, again

    said, status, again = hub.machine.inside(lambda: asyncio.run(story()))
    assert "KERNEL" in said and str(1 << 30) not in said
    assert status == 200
    assert again == "alive\n"
    hub.machine.write(CONFIG, before, 0o600)
    hub.config("reload")


def test_hub_restart_keeps_a_running_kernel(hub: Server) -> None:
    async def story() -> tuple[str, str]:
        async with client.Hub(LEARNER, SECRET, URL) as person:
            await person.login()
            await person.spawn()
            await person.open()
            kernel = await person.kernel()
            await person.run(kernel, "kept = 6 * 7")
            hub.machine.run("systemctl", "restart", "jupyterhub").check()
            await client.wait_for_hub(URL)
            said = await person.run(kernel, "print(kept)")
            server = (await person.api("GET", f"/users/{LEARNER}")).json()["servers"][""]
            return said, str(server["ready"])

    assert hub.machine.inside(lambda: asyncio.run(story())) == ("42\n", "True")


def test_server_stops(hub: Server) -> None:
    async def story() -> float:
        async with client.Hub(LEARNER, SECRET, URL) as person:
            await person.login()
            await person.spawn()
            return await person.stop()

    assert hub.machine.inside(lambda: asyncio.run(story())) < 30
    assert hub.machine.sh(f"ps -u jupyter-{LEARNER} -o pid=").stdout.strip() == ""


# ---- the same command again


def test_again_changes_nothing(hub: Server) -> None:
    before, pids, length = hub.snapshot(), hub.pids(), len(hub.log())
    again = hub.bootstrap("--admin", ADMIN, "--plugin", PLUGIN).check()
    assert re.search(r"(?i)nothing (to (do|change)|(was )?changed)", again.output), again.output
    assert hub.pids() == pids, "a service was restarted"
    assert hub.snapshot() == before
    written = hub.log()[length:]
    assert not PACKAGE_MANAGERS.findall(written), "a package manager was started"
    assert not re.search(r"(?i)password[^:\n]*: *\S", again.stdout), "an old account gets no new password"
    hub.assert_converged()


def test_plan_touches_nothing(hub: Server) -> None:
    before = hub.snapshot()
    assert hub.tljh("plan").check().returncode == 0
    assert hub.snapshot() == before


# ---- damage behind our back, one kind of resource at a time


@dataclass(frozen=True)
class Damage:
    """What is done to the machine, and what a plan has to show: lines of ``shows``, none beside ``may``.

    ``shows`` and ``may`` are patterns of resource ids. ``may`` holds what follows from it: an environment that
    is replaced restarts what runs from it.
    """

    script: str
    shows: str
    may: str = "-"


SERVICES = r"service:.*"
FOLLOWS = r"service:.*|hook:.*"  # of another environment: what runs from it, and plugins that work on it
HUB_PACKAGES = "$(ls -d /opt/tljh/hub/lib/python3.*/site-packages)"
DAMAGES = {
    "unit file": Damage(
        "rm /etc/systemd/system/jupyterhub.service; systemctl daemon-reload",
        r"file:.*jupyterhub\.service",
        SERVICES,
    ),
    "sudoers": Damage("echo '# edited' >> /etc/sudoers.d/jupyterhub-admins", r"file:.*/jupyterhub-admins"),
    "hub package": Damage(f"rm -rf {HUB_PACKAGES}/jupyterhub_idle_culler*", r"environment.*hub.*", FOLLOWS),
    "user package": Damage(
        "/opt/tljh/user/bin/python -m pip uninstall -q -y nbgitpuller", r"environment.*user.*", FOLLOWS
    ),
    "stopped hub": Damage("systemctl stop jupyterhub", r"service:jupyterhub.*"),
    "stopped proxy": Damage("systemctl stop traefik", r"service:traefik.*"),
    "disabled service": Damage("systemctl disable -q jupyterhub", r"service:jupyterhub.*"),
    "mode of the config folder": Damage("chmod 0755 /opt/tljh/config", r".*/opt/tljh/config"),
    "mode of a secret": Damage("chmod 0644 /opt/tljh/state/traefik-api.secret", r".*traefik-api\.secret"),
    "content of traefik's settings": Damage(
        "echo '# edited' >> /opt/tljh/state/traefik.toml", r"file:.*traefik\.toml", SERVICES
    ),
    "group": Damage(
        "sed -i /^jupyterhub-users:/d /etc/group /etc/gshadow", r".*(group|account).*", r".*membership.*"
    ),
    "link to the user environment": Damage("ln -sfn /nowhere /opt/tljh/user", r"environment.*user.*", FOLLOWS),
    "tljh-config": Damage("rm /usr/bin/tljh-config", r".*/usr/bin/tljh-config"),
    "apt package": Damage("dpkg --force-depends -r $PACKAGE >/dev/null", r"apt.*"),
}


@pytest.mark.parametrize("kind", DAMAGES)
def test_damage_is_shown_and_mended(hub: Server, kind: str) -> None:
    damage = DAMAGES[kind]
    hub.assert_converged()
    before = hub.pids()
    package = apt_package_of_plugin(hub) if "$PACKAGE" in damage.script else ""
    hub.machine.run("bash", "-c", damage.script, env={"PACKAGE": package}).check()

    try:
        status, changes = hub.plan()
    finally:  # whatever the plan says, the next test starts from a machine that is mended
        mended = hub.tljh("install")
        if mended.returncode != 0:
            hub.machine.sh("apt-get -yqq --fix-broken install; tljh install")
    shown = {change["resource"] for change in changes}
    assert status == 2, f"the plan does not see it: {changes}"
    assert [name for name in shown if re.fullmatch(damage.shows, name)], f"not shown, but: {shown}"
    others = [name for name in shown if not re.fullmatch(f"{damage.shows}|{damage.may}", name)]
    assert not others, f"also shown: {[c for c in changes if c['resource'] in others]}"
    assert all(change["origin"] and change["undo"] for change in changes)

    mended.check()
    hub.assert_converged()
    hub.wait()
    if not any(name.startswith("service") for name in shown):
        assert hub.pids() == before, "a service was restarted for nothing"


def apt_package_of_plugin(hub: Server) -> str:
    """The apt package that the ``simplest`` plugin asks for."""
    source = "".join(hub.machine.sh(f"cat {PLUGIN}/*.py {PLUGIN}/*/*.py 2>/dev/null").stdout)
    found = re.search(r"def tljh_extra_apt_packages.*?return\s*\[\s*[\"']([^\"']+)", source, re.DOTALL)
    assert found, "the plugin asks for no apt package"
    return found[1]


# ---- the power goes


def test_answers_after_a_reboot(hub: Server) -> None:
    hub.machine.reboot()
    assert hub.wait(timeout=60) < 60
    assert hub.cell("print(6 * 7)") == "42\n"
    hub.assert_converged()


def test_answers_after_the_plug_was_pulled(hub: Server) -> None:
    hub.machine.kill()
    hub.machine.boot()
    hub.wait(timeout=60)
    assert hub.cell("print(6 * 7)", LEARNER, SECRET) == "42\n"
    hub.assert_converged()


def test_plan_as_json_has_every_field(hub: Server) -> None:
    hub.machine.sh("chmod 0755 /opt/tljh/config").check()
    shown = hub.tljh("plan", "--json")
    (change,) = json.loads(shown.stdout)["changes"]
    assert {"resource", "action", "key", "before", "after", "origin", "undo"} <= set(change)
    assert (change["action"], change["before"], change["after"]) == ("change", "0755", "0700")
    hub.tljh("install").check()
