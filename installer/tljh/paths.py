"""Where things are on the machine. Nothing here reads or writes them.

The layout below the prefix is TLJH's, which plugins and admins' scripts rely on; ``envs``, ``cache`` and
``state/tljh.sqlite`` are ours.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

DEFAULT_PREFIX = "/opt/tljh"


def _own_prefix() -> str:
    """The prefix of the environment that this program runs in, by the name that it was installed under."""
    environment = Path(os.path.realpath(sys.prefix))
    prefix = environment.parent.parent
    is_ours = environment.parent.name == "envs" and environment.name.startswith("hub-")
    if not is_ours or os.path.realpath(DEFAULT_PREFIX) == str(prefix):  # it may be a link to another disk
        return DEFAULT_PREFIX
    return str(prefix)


@dataclass(frozen=True)
class Paths:
    """Every path below one install prefix."""

    prefix: Path

    @classmethod
    def from_environment(cls) -> Paths:
        """The paths of this machine: ``TLJH_INSTALL_PREFIX``, or where this program is installed."""
        return cls(Path(os.path.abspath(os.environ.get("TLJH_INSTALL_PREFIX") or _own_prefix())))

    @property
    def hub(self) -> Path:
        """Symlink to the hub environment that serves."""
        return self.prefix / "hub"

    @property
    def user(self) -> Path:
        """Symlink to the user environment that new servers start from."""
        return self.prefix / "user"

    @property
    def envs(self) -> Path:
        """Where environments are built: ``envs/hub-1``, ``envs/user-1`` …"""
        return self.prefix / "envs"

    @property
    def cache(self) -> Path:
        return self.prefix / "cache"

    @property
    def tools(self) -> Path:
        """Programs that only some commands need, each in an environment of its own."""
        return self.prefix / "tools"

    @property
    def bin(self) -> Path:
        """Programs that belong to no environment: uv and the services' launchers."""
        return self.prefix / "bin"

    @property
    def user_programs(self) -> Path:
        """What a person's server finds before the programs of the environment that it was started from."""
        return self.bin / "user"

    @property
    def log(self) -> Path:
        return self.prefix / "installer.log"

    @property
    def state(self) -> Path:
        return self.prefix / "state"

    @property
    def store(self) -> Path:
        return self.state / "tljh.sqlite"

    @property
    def backups(self) -> Path:
        """Copies of the databases, from before something was done to them, and of what a restore replaced."""
        return self.state / "backups"

    @property
    def lock(self) -> Path:
        return self.state / "tljh.lock"

    @property
    def rules(self) -> Path:
        """traefik's dynamic configuration, a folder."""
        return self.state / "rules"

    @property
    def hub_database(self) -> Path:
        return self.state / "jupyterhub.sqlite"

    @property
    def config(self) -> Path:
        return self.prefix / "config"

    @property
    def config_file(self) -> Path:
        return self.config / "config.yaml"

    @property
    def hub_config_d(self) -> Path:
        return self.config / "jupyterhub_config.d"

    @property
    def plugins_d(self) -> Path:
        """Python files that are plugins."""
        return self.config / "plugins.d"

    @property
    def plugins_disabled(self) -> Path:
        """The names of plugins that are switched off, one a line."""
        return self.state / "plugins-disabled"

    @property
    def plugin_services(self) -> Path:
        """The services that plugins add to the hub."""
        return self.state / "plugin-services.json"

    @property
    def traefik_config_d(self) -> Path:
        return self.config / "traefik_config.d"

    @property
    def run(self) -> Path:
        """What lives as long as the machine is up: what each service was started with."""
        return Path("/run/tljh")

    def started(self, service: str) -> Path:
        """What ``service`` was started with, as its launcher wrote it down."""
        return self.run / f"{service}.started"
