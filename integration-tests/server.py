"""A test machine with this project on it: what an admin types there, and what can be seen of it afterwards."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import client
from machine import Machine
from result import Result

CHECKOUT = Path(__file__).parent.parent
THERE = "/srv/the-littlest-jupyterhub"
PLUGIN = f"{THERE}/integration-tests/plugins/simplest"
SCIENCE = f"{THERE}/integration-tests/plugins/science"
NOT_COPIED = (".git", ".venv", ".cache", "__pycache__", ".*_cache", "*.egg-info", "build", "dist", "output")
ADMIN = "admin"
LEARNER, SECRET = "learner", "first-use-1"  # somebody without rights, and his first password
URL = "http://127.0.0.1"

# What a run that changes nothing may still write: its log, its journal, what a living hub keeps, and caches.
LIVING = (
    "/opt/tljh/installer.log",
    "/opt/tljh/state/tljh.sqlite",
    "/opt/tljh/state/tljh.lock",
    "/opt/tljh/state/jupyterhub.sqlite",
    "/opt/tljh/state/passwords.dbm",
    "/opt/tljh/state/jupyterhub.log",
    "/opt/tljh/state/traefik.log",
    "/opt/tljh/state/supervisord.log",
    "/opt/tljh/config/config.yaml.lock",
    "/opt/tljh/cache",
)
# Starting one of these means that something was to be done.
PACKAGE_MANAGERS = re.compile(r"run: (\S*/)?(apt|apt-get|dpkg|uv|pip|conda|mamba)(?= )(?! --version)(.*)")


class Server:
    """A machine, and this project's checkout in it.

    Args:
        machine: Where; it is up.
        cache: Let uv use the download cache that all machines share (``conftest``), instead of its own.
        checkout: Put the checkout into it; otherwise it is there.
    """

    def __init__(self, machine: Machine, cache: bool = True, checkout: bool = True) -> None:
        self.machine = machine
        self.password = ""
        self.first: Result | None = None
        self.first_plan: tuple[int, list[dict[str, Any]]] | None = None
        # packages of PyPI wherever a test does not bring a channel of its own: what can be reached must not decide
        machine.env["CONDA_OFFLINE"] = "true"
        if cache:
            machine.env["UV_CACHE_DIR"] = "/var/cache/uv-shared"
        if checkout:
            machine.copy_in(CHECKOUT, THERE, ignore=shutil.ignore_patterns(*NOT_COPIED))

    # ---- what an admin types

    def bootstrap(self, *arguments: str, timeout: float = 900.0, env: Mapping[str, str] | None = None) -> Result:
        """README's first command, from the checkout."""
        words = ("python3", f"{THERE}/bootstrap/bootstrap.py", *arguments)
        return self.machine.run(*words, timeout=timeout, env=env)

    def install(self, *arguments: str, env: Mapping[str, str] | None = None) -> Result:
        """The first install of a test: with an admin whose password is generated, and taken from what is said."""
        self.first = self.bootstrap("--admin", ADMIN, *arguments, env=env).check()
        self.password = generated_password(self.first.output)
        self.first_plan = self.plan()
        return self.first

    def tljh(self, *arguments: str, timeout: float = 600.0, env: Mapping[str, str] | None = None) -> Result:
        return self.machine.run("tljh", *arguments, timeout=timeout, env=env)

    def config(self, *arguments: str) -> Result:
        return self.machine.run("tljh-config", *arguments, timeout=180).check()

    def allow(self, *names: str) -> None:
        """Let these people in: with FirstUseAuthenticator, as in TLJH, an admin names who may come."""
        lines = "\n".join(f"tljh-config add-item users.allowed {name}" for name in names)
        self.machine.sh(f"set -e\n{lines}\ntljh-config reload", timeout=180).check()
        # plugins that look at config.yaml get to see the new one: only then nothing is left to do
        self.tljh("install").check()
        self.wait()

    # ---- what is seen

    def plan(self) -> tuple[int, list[dict[str, Any]]]:
        """``tljh plan --json``: its exit status and its lines."""
        shown = self.tljh("plan", "--json", timeout=120)
        assert shown.returncode in (0, 2), f"{shown}"
        return shown.returncode, list(json.loads(shown.stdout)["changes"])

    def assert_converged(self) -> None:
        status, changes = self.plan()
        assert (status, changes) == (0, []), f"there is still something to change: {changes}"

    def pids(self) -> dict[str, str]:
        """The process ids of the hub and of the proxy, as seen in the machine."""
        found = {}
        for name, pattern in (("jupyterhub", r"-m jupyterhub -f"), ("traefik", r"bin/traefik\b")):
            found[name] = self.machine.run("pgrep", "-o", "-f", "--", pattern).stdout.strip()
        assert all(found.values()), f"not running: {found}"
        return found

    def log(self) -> str:
        return self.machine.run("cat", "/opt/tljh/installer.log").stdout

    def snapshot(self) -> dict[str, list[object]]:
        """Everything that a run of the installer could have changed."""
        return self.machine.snapshot(["/opt/tljh", "/etc", "/usr/bin", "/var/lib/dpkg/status"], skip=LIVING)

    def whole_disk(self, *skip: str) -> dict[str, list[Any]]:
        """The machine's whole file system without the checkout, as ``snapshot`` has it: to be compared by it.

        Args:
            skip: More paths to leave out.
        """
        left_out = [word for path in (THERE, *skip) for word in ("--skip", path)]
        words = ("python3", f"{THERE}/integration-tests/snapshot.py", *left_out)
        return dict(json.loads(self.machine.run(*words, timeout=120).check().stdout))

    def tree(self, link: str = "/opt/tljh/user") -> dict[str, list[str]]:
        """An environment as ``manifest`` has it: to be compared with another one."""
        real = self.machine.run("readlink", "-f", link).check().stdout.strip()
        script = Path(__file__).with_name("manifest.py").read_text()
        listing = self.machine.run("/usr/bin/python3", "-c", script, real).check().stdout
        return dict(json.loads(listing))

    def report(self) -> str:
        """What somebody needs who reads of a failure."""
        parts = [("installer.log", "tail -n 60 /opt/tljh/installer.log")]
        if self.machine.kind == "systemd":
            parts.append(("units", "systemctl --no-pager list-units 'jupyter*' traefik.service"))
            journal = "journalctl --no-pager -o short -n 200 -u 'jupyter*' -u traefik"
            # each request is a line of 600 characters in the proxy's log; while the hub starts there are hundreds
            usual = "grep -vE '\"(Downstream|Origin)Status\":(200|302|502)'"
            parts.append(("journal", f"{journal} | {usual} | tail -n 60 | cut -c -300"))
        else:
            parts.append(("processes", "ps axf -o pid,user,args"))
            parts.append(("logs", "tail -n 40 /opt/tljh/state/*.log /var/log/tljh/* 2>/dev/null"))
        shown = [(title, self.machine.sh(script, timeout=30).output) for title, script in parts]
        return "\n".join(f"--- {title} of {self.machine.name}\n{text}" for title, text in shown)

    # ---- as a person

    def wait(self, url: str = URL, timeout: float = 60.0) -> float:
        """Seconds until the login page comes through the proxy."""
        return self.machine.inside(lambda: asyncio.run(client.wait_for_hub(url, timeout)))

    def cell(self, code: str, name: str = ADMIN, password: str | None = None, kernel: str = "python3") -> str:
        """What a notebook's cell says: log in, start the server, run it in a kernel of its own."""
        word = self.password if password is None else password
        return self.machine.inside(lambda: client.run_cell(name, word, code, URL, kernel=kernel))


def generated_password(output: str) -> str:
    """The admin's password, which the installer says once.

    Raises:
        AssertionError: it doesn't, or it does so twice.
    """
    said = re.findall(r"(?im)^.*password[^:\n]*:\s*(\S+)\s*$", output)
    assert len(said) == 1, f"a generated password is to be told exactly once, not {len(said)} times:\n{output}"
    return str(said[0])
