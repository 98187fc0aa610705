"""A machine with The Littlest JupyterHub on it: taken over in place with all that people have, and given back.

What is taken over is a replica (``tljh_replica``). Both ways are interrupted wherever something has just been
moved, and gone on with. Of TLJH 2; ``TLJH_TAKEOVERS=all`` tries TLJH 1 too, and takes as long again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable

import client
import pytest
from machine import Machine
from server import Server
from tljh_replica import CONFIG, FIRST, PASSWORDS, SECOND, SUDOERS, Replica

KINDS = [SECOND, FIRST] if os.environ.get("TLJH_TAKEOVERS") == "all" else [SECOND]
LOOK = "import sys, os, pyjokes, cowsay; print(sys.prefix, pyjokes.__version__, sorted(os.listdir('.'))[-1])"
# as soon as one of these is so, everything that the command has started is killed
TAKING = (
    "test -d /opt/tljh/generation-0/files",
    "test -L /opt/tljh/user",
    "test -e /opt/tljh/generation-0/jupyterhub.sqlite",
    "test -L /opt/tljh/hub",
    "grep -q launch- /etc/systemd/system/jupyterhub.service",
)
GIVING = (
    "! systemctl is-active --quiet jupyterhub",
    "! grep -q launch- /etc/systemd/system/jupyterhub.service",
    "test ! -L /opt/tljh/hub",
    "test ! -L /opt/tljh/user",
    "test ! -e /opt/tljh/generation-0",
)


@pytest.fixture(scope="module", params=KINDS, ids=lambda kind: f"tljh-{kind.version}")
def replica(make_server: Callable[..., Server], request: pytest.FixtureRequest) -> Replica:
    return Replica(make_server(f"takeover-{request.param.version}").machine, request.param).build()


@pytest.fixture(scope="module")
def servers_before(replica: Replica) -> dict[str, str]:
    return servers(replica.machine)


def servers(machine: Machine) -> dict[str, str]:
    """The process of each person's server."""
    names = [f"jupyter-{name}" for name in PASSWORDS]
    return {name: machine.sh(f"systemctl show -p MainPID --value {name}.service").stdout.strip() for name in names}


def killed_when(machine: Machine, condition: str, command: str) -> bool:
    """Run a command and kill all that it has started as soon as something is so; whether that came."""
    script = f"""
        setsid sh -c '{command}' >/tmp/out 2>&1 & pid=$!
        while kill -0 $pid 2>/dev/null; do
            if {condition}; then kill -KILL -$pid; wait $pid; exit 9; fi
        done
        wait $pid; exit $?
    """
    done = machine.sh(script, timeout=400)
    assert done.returncode in (0, 9), machine.read("/tmp/out")
    return done.returncode == 9


def bootstrap(machine: Machine) -> str:
    variables = " ".join(f"{name}={value}" for name, value in machine.env.items())
    return f"{variables} python3 /srv/the-littlest-jupyterhub/bootstrap/bootstrap.py --admin admin"


def test_interrupted_wherever_something_was_moved(replica: Replica, servers_before: dict[str, str]) -> None:
    assert all(killed_when(replica.machine, condition, bootstrap(replica.machine)) for condition in TAKING[:4])
    killed_when(replica.machine, TAKING[4], bootstrap(replica.machine))
    done = replica.machine.sh(bootstrap(replica.machine), timeout=600).check()
    assert "JupyterHub is ready" in done.output or "Nothing to change" in done.output
    assert servers(replica.machine) == servers_before, "people's servers go on"


def test_people_log_in_with_their_passwords_and_find_their_work(replica: Replica) -> None:
    for name in PASSWORDS:
        assert replica.cell(name, LOOK).split() == ["/opt/tljh/user", "0.6.0", f"work-of-{name}.txt"]
    with pytest.raises(client.ClientError, match="login of learner"):
        replica.cell("learner", "1", "another-password")


def test_a_server_that_starts_anew_finds_everything_in_its_environment(replica: Replica) -> None:
    replica.machine.run("systemctl", "stop", "jupyter-learner.service").check()
    replica.machine.sh("systemctl restart jupyterhub").check()  # or it would believe for a while that it runs
    prefix, version, work = replica.cell("learner", LOOK).split()
    assert (version, work) == ("0.6.0", "work-of-learner.txt")
    assert prefix in ("/opt/tljh/user", "/opt/tljh/envs/user-1")
    script = "#!/opt/tljh/user/bin/"
    assert script in replica.machine.sh("head -c 60 /opt/tljh/envs/user-1/bin/jupyter").stdout, (
        "the old path holds"
    )


def test_settings_plugins_and_the_admins_own_files_have_an_effect(replica: Replica) -> None:
    page = replica.machine.sh("curl -si http://127.0.0.1/hub/login").check().stdout
    assert "X-Gallery: 1" in page, "the plugin's"
    assert "from jupyterhub_config.d" in page
    assert "from jupyterhub_config.d" in page
    assert replica.machine.exists("/opt/tljh/state/rules/access.log"), "what traefik_config.d says"
    assert "# written by the admin of TLJH" in replica.machine.read("/opt/tljh/config/config.yaml")
    plugins = json.loads(replica.machine.run("tljh", "plugin", "list", "--json").check().stdout)
    assert "gallery" in json.dumps(plugins)


def test_nothing_is_left_to_do_and_nothing_of_before_is_ours(replica: Replica) -> None:
    plan = replica.machine.run("tljh", "plan", "--json")
    assert (plan.returncode, json.loads(plan.stdout)["changes"]) == (0, [])
    owned = "import sqlite3; print([r[0] for r in sqlite3.connect('/opt/tljh/state/tljh.sqlite').execute("
    mine = replica.machine.run("python3", "-c", f"{owned}'select resource from owned where key = \"content\"')])")
    assert "sudoers.d/jupyterhub-admins" not in mine.check().stdout
    assert "system/jupyterhub.service" not in mine.stdout
    refused = replica.machine.run("tljh", "uninstall", "--yes")
    assert refused.returncode != 0
    assert "tljh rollback 0" in refused.output


def test_back_again_interrupted_wherever_something_was_moved(replica: Replica) -> None:
    shown = replica.machine.run("tljh", "rollback", "0", "--dry-run")
    assert "Note: passwords that people have set since, homes and accounts are kept." in shown.output
    for condition in GIVING:
        killed_when(replica.machine, condition, "tljh rollback 0 --yes")
    if replica.machine.exists("/usr/bin/tljh"):
        replica.machine.run("tljh", "rollback", "0", "--yes", timeout=300).check()
    machine = replica.machine
    for path in ("/opt/tljh/hub", "/opt/tljh/user"):
        machine.sh(f"test -d {path} && test ! -L {path}").check()
    assert machine.read("/opt/tljh/config/config.yaml") == CONFIG
    assert machine.read("/etc/sudoers.d/jupyterhub-admins") == SUDOERS
    assert "/opt/tljh/hub/bin/python3 -m jupyterhub.app" in machine.read("/etc/systemd/system/jupyterhub.service")
    assert machine.sh("readlink /usr/bin/tljh-config").stdout.strip() == "/opt/tljh/hub/bin/tljh-config"
    for gone in ("/usr/bin/tljh", "/opt/tljh/generation-0", "/opt/tljh/bin", "/opt/tljh/cache"):
        assert not machine.exists(gone), gone


def test_the_old_hub_serves_its_people(replica: Replica) -> None:
    replica.machine.reboot()
    for name in PASSWORDS:
        assert replica.cell(name, LOOK).split() == ["/opt/tljh/user", "0.6.0", f"work-of-{name}.txt"]
    version = replica.machine.sh("curl -s http://127.0.0.1/hub/api/").check().stdout
    assert json.loads(version)["version"].startswith(replica.kind.hub[0].partition("==")[2].rstrip("*"))


def test_it_can_be_taken_over_once_more(replica: Replica) -> None:
    replica.machine.sh(bootstrap(replica.machine), timeout=600).check()
    assert replica.cell("learner", LOOK).split()[1:] == ["0.6.0", "work-of-learner.txt"]
