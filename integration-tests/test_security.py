"""What people can and can't see and do on the shared hub; two of them run servers meanwhile."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator

import client
import pytest
from server import ADMIN, LEARNER, SECRET, URL, Server

OTHER = "greedy"
HIDDEN = "s3cr3t-0f-the-0auth-cl1ent"  # a value of config.yaml that nobody but root may ever see
FILES = (
    "/opt/tljh/config/config.yaml",
    "/opt/tljh/state/tljh.sqlite",
    "/opt/tljh/state/jupyterhub.sqlite",
    "/opt/tljh/state/jupyterhub_cookie_secret",
    "/opt/tljh/state/traefik-api.secret",
    "/opt/tljh/state/traefik.toml",
    "/opt/tljh/state/rules/rules.toml",
    "/opt/tljh/installer.log",
    "/etc/shadow",
    "/etc/sudoers.d/jupyterhub-admins",
)


@pytest.fixture(scope="module")
def secure(hub: Server) -> Iterator[Server]:
    """Two people's servers run, and config.yaml holds a secret."""
    hub.config("set", "auth.GitHubOAuthenticator.client_secret", HIDDEN)
    hub.tljh("install").check()
    hub.wait()
    for name in (LEARNER, OTHER):
        hub.cell("open('private.txt', 'w').write('mine')", name, SECRET)
    yield hub
    hub.config("unset", "auth.GitHubOAuthenticator.client_secret")
    hub.tljh("install").check()
    hub.wait()


def secrets_of(server: Server) -> dict[str, str]:
    files = {"cookie": "jupyterhub_cookie_secret", "proxy": "traefik-api.secret"}
    found = {name: server.machine.read(f"/opt/tljh/state/{file}").strip() for name, file in files.items()}
    return {**found, "password": server.password, "config": HIDDEN}


# ---- where secrets must not be


def test_no_secret_is_in_a_command_line(secure: Server) -> None:
    # also of what an install starts meanwhile
    look = "cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' '; echo"
    watch = f"while [ ! -e /tmp/enough ]; do {look}; sleep 0.02; done"
    watching = secure.machine.popen("sh", "-c", watch)
    try:
        secure.config("set", "limits.cpu", "1.5")
        secure.config("reload")
        secure.tljh("plan")
        secure.tljh("backup", "/root/watched.backup", "--without-passphrase").check()
        secure.config("unset", "limits.cpu")
        secure.tljh("install").check()
    finally:
        secure.machine.sh("touch /tmp/enough")
        seen = watching.communicate(timeout=30)[0]
        secure.machine.sh("rm /tmp/enough /root/watched.backup")
    secure.wait()
    assert "jupyterhub" in seen
    for name, secret in secrets_of(secure).items():
        assert secret not in seen, name


def test_no_secret_is_in_what_is_written_about_runs(secure: Server) -> None:
    said = {
        "log": secure.log(),
        "plan": secure.tljh("plan", "--json").output,
        "journal": secure.tljh("journal", "--json").output,
        "history": secure.tljh("history", "--json").output,
        "diff": secure.tljh("diff", "1").output,
        "system journal": secure.machine.run("journalctl", "--no-pager", "-o", "cat").stdout,
    }
    for name, secret in secrets_of(secure).items():
        for place, text in said.items():
            assert secret not in text, f"{name} in the {place}"


def test_no_secret_is_in_the_environment_of_somebodys_server(secure: Server) -> None:
    code = "import os; print(dict(os.environ)); print(open(f'/proc/{os.getppid()}/environ').read())"
    seen = secure.cell(code, LEARNER, SECRET)
    assert "JUPYTERHUB_API_TOKEN" in seen, "its own token is there, nobody else's"
    for name, secret in secrets_of(secure).items():
        assert secret not in seen, name
    assert "CONFIGPROXY_AUTH_TOKEN" not in seen


# ---- what people can reach


def test_config_and_state_are_roots_alone(secure: Server) -> None:
    folders = "/opt/tljh/config /opt/tljh/state"
    assert secure.machine.sh(f"stat -c '%a %U' {folders}").stdout.split() == ["700", "root"] * 2
    secrets = " ".join(path for path in FILES[:6])
    for line in secure.machine.sh(f"stat -c '%a %n' {secrets}").check().stdout.splitlines():
        mode, path = line.split()
        assert mode in ("600", "644") and (mode == "600" or path.endswith("jupyterhub.sqlite")), line


def test_a_server_reads_neither_state_nor_config_nor_another_home(secure: Server) -> None:
    paths = [*FILES, "/opt/tljh/config", "/opt/tljh/state", f"/home/jupyter-{OTHER}"]
    paths += [f"/home/jupyter-{OTHER}/private.txt", f"/home/jupyter-{ADMIN}", "/root"]
    code = f"""
import os
for path in {paths!r}:
    for what, do in (("read", lambda: os.listdir(path) if os.path.isdir(path) else open(path).read(1)),
                     ("write", lambda: open(path + "/x" if os.path.isdir(path) else path, "a"))):
        try:
            do()
            print("COULD", what, path)
        except OSError as error:
            pass
print("tried")
"""
    said = secure.cell(code, LEARNER, SECRET)
    assert "tried" in said
    assert "COULD" not in said


def test_a_server_sees_nothing_of_the_hubs_process(secure: Server) -> None:
    pids = list(secure.pids().values())
    code = f"""
for pid in {pids!r}:
    for name in ("environ", "fd", "mem", "root", "cwd"):
        try:
            import os
            path = "/proc/" + pid + "/" + name
            os.listdir(path) if name in ("fd", "root", "cwd") else open(path, "rb").read(1)
            print("COULD", path)
        except OSError:
            pass
print("tried")
"""
    said = secure.cell(code, LEARNER, SECRET)
    assert "tried" in said
    assert "COULD" not in said


def test_the_proxys_api_and_the_hub_ask_who_somebody_is(secure: Server) -> None:
    code = """
import json, os, urllib.request, urllib.error
def status(url, **headers):
    try:
        return urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=5).status
    except urllib.error.HTTPError as error:
        return error.code
    except OSError as error:
        return type(error).__name__
own = {"Authorization": "token " + os.environ["JUPYTERHUB_API_TOKEN"]}
hub = "http://127.0.0.1:15001/hub/api"
print(json.dumps({
    "proxy": status("http://127.0.0.1:8099/api/http/routers"),
    "proxy raw": status("http://127.0.0.1:8099/api/rawdata", **own),
    "users": status(hub + "/users", **own),
    "other": status(hub + "/users/greedy", **own),
    "nobody": status(hub + "/users"),
    "shutdown": status(hub + "/proxy", **own),
}))
"""
    said = json.loads(secure.cell(code, LEARNER, SECRET).strip().splitlines()[-1])
    assert said["proxy"] in (401, 403), said
    assert said["proxy raw"] in (401, 403), said
    assert said["users"] == 403 or said["users"] == 200, said
    assert said["other"] in (403, 404), said
    assert said["nobody"] == 403, said
    assert said["shutdown"] in (403, 404), said


def test_a_server_can_not_reach_another_persons_server(secure: Server) -> None:
    code = """
import urllib.request, urllib.error, json
found = []
for line in open("/proc/net/tcp").read().splitlines()[1:]:
    local, state = line.split()[1], line.split()[3]
    if state != "0A":
        continue
    port = int(local.split(":")[1], 16)
    for path in ("/user/greedy/api/contents", "/user/greedy/api/terminals"):
        try:
            with urllib.request.urlopen("http://127.0.0.1:%d%s" % (port, path), timeout=1) as answer:
                if "json" in answer.headers.get("Content-Type", ""):
                    found.append((port, path))
        except (urllib.error.HTTPError, OSError, ValueError):
            pass
        except Exception:
            pass
print("FOUND", found)
"""
    assert "FOUND []" in secure.cell(code, LEARNER, SECRET)


# ---- sudo


SUDO = "import subprocess; print(subprocess.run(['sudo', '-n', 'id', '-u'], capture_output=True, text=True))"


def test_sudo_is_for_admins(secure: Server) -> None:
    assert "returncode=0, stdout='0\\n'" in secure.cell(SUDO)
    assert "returncode=1" in secure.cell(SUDO, LEARNER, SECRET)


def test_a_demoted_admin_loses_sudo_in_a_server_that_runs_too(secure: Server) -> None:
    secure.config("add-item", "users.admin", LEARNER)
    secure.config("reload")
    secure.wait()
    secure.machine.inside(lambda: asyncio.run(_restart(LEARNER, SECRET)))
    assert "returncode=0" in secure.cell(SUDO, LEARNER, SECRET)
    assert "jupyterhub-admins" in secure.machine.run("id", "-Gn", f"jupyter-{LEARNER}").stdout
    before = secure.machine.run("systemctl", "show", "-p", "MainPID", f"jupyter-{LEARNER}").stdout
    secure.config("remove-item", "users.admin", LEARNER)
    secure.config("reload")
    secure.wait()
    assert "jupyterhub-admins" not in secure.machine.run("id", "-Gn", f"jupyter-{LEARNER}").stdout
    after = secure.machine.run("systemctl", "show", "-p", "MainPID", f"jupyter-{LEARNER}").stdout
    assert after != before, "the server that was started with the admins' group is gone"
    assert "returncode=1" in secure.cell(SUDO, LEARNER, SECRET)
    assert secure.machine.inside(lambda: asyncio.run(_is_admin(LEARNER, SECRET))) is False


def test_an_admin_who_is_unmade_in_the_hub_loses_sudo(secure: Server) -> None:
    secure.machine.inside(lambda: asyncio.run(_make_admin(secure.password, LEARNER, True)))
    secure.machine.inside(lambda: asyncio.run(_restart(LEARNER, SECRET)))
    assert "returncode=0" in secure.cell(SUDO, LEARNER, SECRET)
    secure.machine.inside(lambda: asyncio.run(_make_admin(secure.password, LEARNER, False)))
    groups = f"for i in $(seq 50); do id -Gn jupyter-{LEARNER} | grep -q admins || exit 0; sleep 0.1; done; exit 1"
    secure.machine.sh(groups).check()


async def _restart(name: str, password: str) -> None:
    async with client.Hub(name, password, URL) as session:
        await session.login()
        await session.stop()
        await session.spawn()


async def _is_admin(name: str, password: str) -> bool:
    async with client.Hub(name, password, URL) as session:
        await session.login()
        return bool((await session.api("GET", f"/users/{name}")).json().get("admin"))


async def _make_admin(password: str, name: str, admin: bool) -> None:
    async with client.Hub(ADMIN, password, URL) as session:
        await session.login()
        answer = await session.api("PATCH", f"/users/{name}", json={"admin": admin})
        assert answer.status == 200, answer.text


# ---- names


NAMES = (
    "root",
    "jupyter-root",
    "$(touch /tmp/owned)",
    "; touch /tmp/owned",
    "..",
    "x" * 200,
    "é-ß",
    "a b",
    "-rf",
    "{USERID}",
)


def test_names_end_in_a_safe_account_or_a_clear_refusal(secure: Server) -> None:
    said = secure.machine.inside(lambda: asyncio.run(_start_all(secure.password)))
    for name, (status, words) in said.items():
        assert status in ("ready", "refused", "no user"), f"{name!r}: {status} {words}"
        if status == "refused":
            assert "No account can be made for you on this server" in words, f"{name!r}: {words}"
    assert said["root"][0] == said["x" * 200][0] == "ready"
    assert not secure.machine.exists("/tmp/owned")
    accounts = secure.machine.sh("getent passwd | cut -d: -f1,3,6 | grep ^jupyter-").stdout.splitlines()
    for line in accounts:
        name, uid, home = line.split(":")
        assert int(uid) >= 1000
        assert home == f"/home/{name}"
        assert len(name.encode()) <= 32
    assert secure.machine.sh("id -u root; stat -c %U /root").stdout.split() == ["0", "root"]


async def _start_all(password: str) -> dict[str, tuple[str, str]]:
    """What becomes of a server that an admin starts for each of these users."""
    found = {}
    async with client.Hub(ADMIN, password, URL) as session:
        await session.login()
        for name in NAMES:
            path = f"/users/{_quoted(name)}"
            made = await session.api("POST", path, json={})
            if made.status not in (201, 409):
                found[name] = ("no user", made.text)
                continue
            found[name] = await _start(session, path)
            await session.api("DELETE", f"{path}/server", json={})
            await session.api("DELETE", path)
    return found


async def _start(session: client.Hub, path: str) -> tuple[str, str]:
    answer = await session.api("POST", f"{path}/server", json={})
    for _ in range(300):
        if answer.status >= 400:
            return "refused", answer.text
        user = (await session.api("GET", path)).json()
        server = user["servers"].get("")
        if server and server["ready"]:
            return "ready", ""
        if not server and not user.get("pending"):
            answer = await session.api("POST", f"{path}/server", json={})
        await asyncio.sleep(0.2)
    return "not ready", answer.text


def _quoted(name: str) -> str:
    from urllib.parse import quote

    return quote(name, safe="")


# ---- plugins' files in people's homes


PLUGIN = """
from tljh.declare import File
from tljh.hooks import hookimpl

@hookimpl
def tljh_resources():
    return [File(path="/home/jupyter-learner/course/notes.conf", content="from a plugin\\n")]
"""


def test_a_link_in_a_home_redirects_no_file_of_a_plugin(secure: Server) -> None:
    secure.machine.sh(
        "mkdir -p /srv/outside; cd /home/jupyter-learner; rm -rf course; ln -s /srv/outside course;"
        " chown -h jupyter-learner: /home/jupyter-learner/course"
    ).check()
    secure.machine.write("/root/course.py", PLUGIN)
    done = secure.tljh("install", "--import-plugin", "/root/course.py")
    try:
        assert done.returncode == 1
        assert "/home/jupyter-learner/course is a link that others than root can change" in done.output
        assert secure.machine.sh("ls /srv/outside").stdout == ""
    finally:
        secure.machine.sh("rm -rf /home/jupyter-learner/course /srv/outside /root/course.py")
        secure.tljh("install").check()
    secure.wait()
