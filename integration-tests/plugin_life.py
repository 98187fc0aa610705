"""Plugins that state what there is to be, for the tests of a plugin's life, and how two machines are compared."""

from __future__ import annotations

import json
from typing import Any

from plugin_packages import Package
from server import Server

WELCOME = """
    from pathlib import Path

    import tljh
    from pydantic import Field
    from tljh.declare import Account, File, Folder, Group, HealthCheck, HubService, Link, Timer, Unit

    TEXT = "[Service]\\nExecStart=/bin/sleep infinity\\n[Install]\\nWantedBy=multi-user.target\\n"

    class Welcome(tljh.Plugin):
        colour: str = Field("blue", description="Of the banner")
        width: int = Field(3, description="In characters", ge=1)

        @tljh.hookimpl
        def tljh_extra_apt_packages(self):
            return ["hello"]

        @tljh.hookimpl
        def tljh_extra_user_pip_packages(self):
            return ["cowsay"]

        @tljh.hookimpl
        def tljh_config_post_install(self, config):
            config["welcome"] = {{"said": "{word}"}}
            config.setdefault("users", {{}}).setdefault("extra_user_groups", {{}})["welcomers"] = ["learner"]

        @tljh.hookimpl
        def tljh_resources(self, config):
            return [
                Folder(path="/srv/welcome"),
                File(path="/srv/welcome/banner.txt", content=f"{word} {{self.colour}} {{self.width}}\\n"),
                File(path="/etc/issue.net", content="Welcome\\n"),
                Link(path="/srv/banner", target="/srv/welcome/banner.txt"),
                Group(name="welcomers"),
                Account(name="welcome-bot", groups=["welcomers"]),
                Unit(name="welcome.service", text=TEXT),
                Timer(name="welcome-again", command=["/bin/true"], calendar="daily"),
                HubService(name="welcome-bot", command=["sleep", "infinity"], scopes=["list:users"]),
            ]

        @tljh.hookimpl
        def tljh_subcommands(self, cli):
            @cli.command()
            def wave():
                "Wave."
                print("waving in", self.colour)

        @tljh.hookimpl
        def tljh_health_checks(self):
            hangs = Path("/srv/banner")
            yield HealthCheck(
                name="banner",
                sentence="the banner hangs",
                check=hangs.exists,
                fix=lambda: hangs.symlink_to("/srv/welcome/banner.txt"),
            )

        @tljh.hookimpl
        def tljh_post_remove(self):
            Path("/var/tmp/welcome-said-goodbye").touch()
"""


def welcome(version: str, word: str) -> Package:
    """A typed plugin that declares one thing of each kind; ``/etc/issue.net`` is there before."""
    return Package("tljh-welcome", WELCOME.format(word=word), version, entry="tljh_welcome:Welcome")


STAGE = """
    from contextlib import contextmanager
    from pathlib import Path

    import tljh

    LOG = Path("/var/tmp/stages.log")

    def note(text):
        with LOG.open("a") as file:
            file.write(text + "\\n")

    class Database(tljh.Stage):
        name = "database"
        priority = 58  # after the environments, before the accounts

        def render(self):
            return {"/etc/database.conf": "port = 5432\\n"}

        @contextmanager
        def deploy(self, stage_outputs):
            note("database up, " + Path("/etc/database.conf").read_text().strip())
            yield {"port": 5432}
            note("database left")

        def check(self, stage_outputs):
            return stage_outputs["database"] == {"port": 5432}

        @contextmanager
        def destroy(self, stage_outputs):
            yield  # what needs it goes first
            note("database down")

    class Tables(tljh.Stage):
        name = "tables"
        priority = 110  # after everything

        def deploy(self, stage_outputs):
            note(f"tables at {stage_outputs['database']['port']}")

        def destroy(self, stage_outputs):
            note("tables gone")

    @tljh.hookimpl
    def tljh_stages():
        return [Tables, Database]
"""


# what is below these folders, but for copies that useradd and its like make, and what changes with time
LOOK = """
import hashlib, json, os, sqlite3, stat
SKIP = {"/srv/plugins", "/srv/index", "/srv/the-littlest-jupyterhub", "/opt/tljh/config/config.yaml.lock",
        "/etc/ld.so.cache", *(f"/etc/{n}-" for n in ("passwd", "group", "shadow", "gshadow", "subuid", "subgid"))}
def look(path):
    found = os.lstat(path)
    row = [oct(found.st_mode), found.st_uid, found.st_gid]
    if stat.S_ISLNK(found.st_mode):
        row.append(os.readlink(path))
    elif stat.S_ISREG(found.st_mode):
        row.append(hashlib.sha256(open(path, "rb").read()).hexdigest())
    files[path] = row
    if stat.S_ISDIR(found.st_mode):
        for name in os.listdir(path):
            if os.path.join(path, name) not in SKIP:
                look(os.path.join(path, name))
files = {}
for folder in ("/etc", "/srv", "/opt/tljh/config"):
    look(folder)
files["/home"] = sorted(os.listdir("/home"))
rows = sqlite3.connect("file:/opt/tljh/state/tljh.sqlite?mode=ro", uri=True)
owned = sorted(map(list, rows.execute("select resource, key, origin from owned")))
print(json.dumps({"files": files, "owned": owned}))
"""


def state(server: Server) -> dict[str, Any]:
    """What is ours, and what of the machine a plugin could have changed: to be compared with another time."""
    seen = json.loads(server.machine.run("/usr/bin/python3", "-c", LOOK).check().stdout)
    packages = server.machine.sh("dpkg-query -W -f '${Package} ${db:Status-Abbrev}\\n' | grep ' ii'").stdout
    user = server.machine.run("/opt/tljh/user/bin/python", "-m", "pip", "freeze", "--all").check().stdout
    return {**seen, "packages": sorted(packages.splitlines()), "user environment": sorted(user.splitlines())}


def assert_same(one: dict[str, Any], other: dict[str, Any], when: str = "") -> None:
    """Compare two states thing by thing.

    Raises:
        AssertionError: they differ; a line for each thing.
    """
    found = []
    for name, value in one.items():
        if isinstance(value, dict):
            paths = sorted(path for path in {**value, **other[name]} if value.get(path) != other[name].get(path))
            found += [f"{path}: {value.get(path)} -> {other[name].get(path)}" for path in paths]
        else:
            found += [f"{name}: - {row}" for row in value if row not in other[name]]
            found += [f"{name}: + {row}" for row in other[name] if row not in value]
    assert not found, "\n".join([when, *found])
