"""A backup of the shared hub, restored on another machine: same people, passwords, settings and packages."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

import client
import pytest
from server import ADMIN, LEARNER, SECRET, THERE, URL, Server

FILE, WORD = "/root/hub.backup", "/root/passphrase"
TOKEN = "0123456789abcdef" * 4
NOTES = f"/home/jupyter-{LEARNER}/notes.txt"


def say(server: Server, script: str) -> str:
    return server.machine.sh(f"set -e\n{script}").check().stdout.strip()


@pytest.fixture(scope="module")
def origin(hub: Server) -> Server:
    """The shared hub with something of everybody's in it, and its backup."""
    assert "42" in hub.cell("print(6 * 7)", LEARNER, SECRET)
    hub.cell("pass")
    home = f"/home/jupyter-{LEARNER}"
    say(
        hub,
        f"""
        rm -f {FILE} {home}/pipe; printf 'correct horse battery\\n' > {WORD}
        cd {home}; echo remember > notes.txt; ln -sf /etc/hostname link; ln -f notes.txt again
        mkfifo pipe; cp /bin/true program; chown -Rh jupyter-{LEARNER}: .; chmod 600 notes.txt; chmod 4755 program
        groupadd -f -g 2222 lab; gpasswd -a jupyter-{LEARNER} lab
        echo 'jupyter-{LEARNER}:a unix password' | chpasswd
        """,
    )
    make_token = (
        "import sqlite3, hashlib, sys; sys.argv = ['x']\n"
        "from jupyterhub import orm\n"
        "db = orm.new_session_factory('sqlite:////opt/tljh/state/jupyterhub.sqlite')()\n"
        f"user = db.query(orm.User).filter_by(name={LEARNER!r}).one()\n"
        f"user.new_api_token(token={TOKEN!r}, note='for the test')\n"
    )
    if hub.machine.sh(f"curl -sf -H 'Authorization: token {TOKEN}' {URL}/hub/api/user").returncode:
        hub.machine.run("/opt/tljh/hub/bin/python", "-c", make_token).check()
    return hub


@pytest.fixture(scope="module")
def target(origin: Server, make_server: Callable[..., Server]) -> Server:
    """A fresh machine with the backup on it, and an account that has the number of one of the hub's."""
    made = origin.tljh("backup", FILE, "--homes", "--passphrase-file", WORD).check()
    assert "2 homes" in made.stdout or "homes, encrypted" in made.stdout
    assert f"left out: homes/jupyter-{LEARNER}/pipe" in made.output
    server = make_server("restored")
    for path in (FILE, WORD):
        server.machine.copy_in(origin.machine.root / path.lstrip("/"), path)
    server.password = origin.password
    uid = say(origin, f"id -u jupyter-{ADMIN}")
    say(server, f"useradd --create-home --gid 100 --uid {uid} ubuntu")
    return server


def restore(server: Server, *flags: str) -> str:
    done = server.bootstrap("--restore", FILE, "--passphrase-file", WORD, *flags)
    return f"{done.returncode}\n{done.output}"


# ---- the file


def test_the_file_is_roots_alone_and_tells_nothing(target: Server, origin: Server) -> None:
    assert say(origin, f"stat -c '%a %U' {FILE}") == "600 root"
    for secret in ("remember", LEARNER, "config.yaml", "$2b$"):
        assert origin.machine.run("grep", "-c", "-a", "-F", secret, FILE).stdout.strip() == "0", secret


def test_without_a_passphrase_it_is_said(target: Server, origin: Server) -> None:
    made = origin.tljh("backup", "/root/plain.backup", "--without-passphrase").check()
    assert "the backup is not encrypted, and it holds secrets" in made.stderr
    said = json.loads(origin.tljh("backup", "/root/plain.backup", "--without-passphrase", "--json").check().stdout)
    assert (said["encrypted"], said["homes"], said["prefix"]) == (False, {}, "/opt/tljh")


# ---- on a fresh machine


def test_a_number_that_is_taken_is_said_before_anything_is_changed(target: Server) -> None:
    before = target.machine.snapshot(["/etc", "/home"])
    said = restore(target)
    assert said.startswith("1\n"), said
    assert f"jupyter-{ADMIN} has uid" in said
    assert "which is ubuntu's on this machine" in said
    assert "--renumber" in said
    assert target.machine.snapshot(["/etc", "/home"]) == before
    assert (
        not target.machine.exists("/opt/tljh/state/tljh.sqlite") or target.tljh("history").stdout.count("\n") < 2
    )


def test_one_command_brings_everything_back(target: Server, origin: Server) -> None:
    said = restore(target, "--renumber")
    assert said.startswith("0\n"), said
    target.wait()
    target.assert_converged()
    config = "/opt/tljh/config/config.yaml"
    assert target.machine.read(config) == origin.machine.read(config)
    assert "tljh restore" in target.tljh("history").check().stdout


def test_the_same_people_with_the_same_passwords(target: Server) -> None:
    code = "import getpass; print(getpass.getuser(), open('notes.txt').read())"
    assert f"jupyter-{LEARNER} remember" in target.cell(code, LEARNER, SECRET)
    assert f"jupyter-{ADMIN}" in target.cell("import getpass; print(getpass.getuser())")
    wrong = target.machine.inside(lambda: asyncio.run(_login(LEARNER, "not-the-password")))
    assert "403" in wrong or "401" in wrong or "Invalid" in wrong, wrong


async def _login(name: str, password: str) -> str:
    async with client.Hub(name, password, URL) as session:
        try:
            await session.login()
        except client.ClientError as error:
            return str(error)
        return "logged in"


def test_the_hubs_database_came_along(target: Server) -> None:
    said = target.machine.sh(f"curl -sf -H 'Authorization: token {TOKEN}' {URL}/hub/api/user").check()
    assert json.loads(said.stdout)["name"] == LEARNER


def test_accounts_have_their_numbers_groups_and_unix_passwords(target: Server, origin: Server) -> None:
    learner = f"jupyter-{LEARNER}"
    assert say(target, f"id {learner}") == say(origin, f"id {learner}")
    shadow = f"getent shadow {learner} | cut -d: -f2"
    assert say(target, shadow) == say(origin, shadow)
    admin = f"jupyter-{ADMIN}"
    assert say(target, f"id -u {admin}") != say(origin, f"id -u {admin}")
    assert say(target, f"stat -c %U /home/{admin} /home/{admin}/.bashrc | sort -u") == admin
    assert "jupyterhub-admins" in say(target, f"id -Gn {admin}")


def test_homes_are_as_they_were(target: Server, origin: Server) -> None:
    home = f"/home/jupyter-{LEARNER}"
    look = f"cd {home}; stat -c '%n %a %U:%G %h %s %Y' notes.txt again; readlink link; stat -c %a ."
    assert say(target, look) == say(origin, look)
    assert say(target, f"stat -c %a {home}/program") == "755", "nobody gets a program that runs as its owner"


def test_the_same_environments(target: Server, origin: Server) -> None:
    look = "import json, sys; print(json.load(open(sys.argv[1]))['packages'])"
    for link in ("/opt/tljh/hub", "/opt/tljh/user"):
        script = f'{link}/bin/python -c "{look}" {link}/tljh-environment.json'
        assert say(target, script) == say(origin, script)


# ---- files that are broken


@pytest.mark.parametrize("kind", ["cut off", "changed", "no backup", "other passphrase"])
def test_a_broken_file_changes_nothing(target: Server, kind: str) -> None:
    before, pids = target.snapshot(), target.pids()
    scripts = {
        "cut off": f"head -c 200000 {FILE} > /root/bad; cp {WORD} /root/word",
        "changed": f"cp {FILE} /root/bad; printf x | dd of=/root/bad bs=1 seek=100000 conv=notrunc; "
        f"cp {WORD} /root/word",
        "no backup": f"echo hello > /root/bad; cp {WORD} /root/word",
        "other passphrase": f"cp {FILE} /root/bad; echo something else > /root/word",
    }
    words = {
        "cut off": "/root/bad is damaged or cut off: ",
        "changed": "/root/bad is damaged or cut off: ",
        "no backup": "/root/bad is no backup",
        "other passphrase": "the passphrase does not open /root/bad",
    }
    say(target, scripts[kind])
    done = target.tljh("restore", "/root/bad", "--yes", "--passphrase-file", "/root/word")
    assert done.returncode == 1
    assert words[kind] in done.output
    assert "nothing was changed" in done.output
    assert (target.snapshot(), target.pids()) == (before, pids)


# ---- on a machine in use


def test_a_machine_in_use_is_asked_for(target: Server) -> None:
    done = target.tljh("restore", FILE, "--passphrase-file", WORD, "--renumber")
    assert done.returncode == 2
    assert "this machine's hub has been used, and would become what the backup says" in done.output


def test_a_machine_in_use_goes_back_and_keeps_what_it_had(target: Server, origin: Server) -> None:
    say(target, f"echo changed > {NOTES}; tljh-config set limits.memory 700M")
    target.cell("print(1)", LEARNER, SECRET)  # his server runs
    done = target.tljh("restore", FILE, "--passphrase-file", WORD, "--renumber", "--yes").check()
    assert "servers of people stopped" in done.output
    target.wait()
    config = "/opt/tljh/config/config.yaml"
    assert target.machine.read(config) == origin.machine.read(config)
    assert target.machine.read(NOTES) == "remember\n"
    assert say(target, f"cat {NOTES.replace('/notes', '.before-restore-*/notes')}") == "changed"
    assert say(target, "ls /opt/tljh/state/backups/before-restore-*.tar.zst | wc -l") == "1"
    assert "remember" in target.cell("print(open('notes.txt').read())", LEARNER, SECRET)
    target.assert_converged()


def test_a_restore_that_is_killed_is_gone_on_with(target: Server) -> None:
    words = ["tljh", "restore", FILE, "--passphrase-file", WORD, "--renumber", "--yes"]
    killed = target.machine.popen(*words)
    assert killed.stdout is not None
    for line in killed.stdout:
        if "homes" in line and line.startswith("✓"):
            break
    target.machine.run("pkill", "-KILL", "-f", "tljh restore")
    killed.wait(30)
    target.machine.run(*words, timeout=300).check()
    target.wait()
    target.assert_converged()
    assert "remember" in target.cell("print(open('notes.txt').read())", LEARNER, SECRET)
    assert target.machine.exists(f"{THERE}/README.md")
