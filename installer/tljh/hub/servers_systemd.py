"""User servers as transient units, on a host that systemd runs."""

from __future__ import annotations

import re
from typing import Any

from systemdspawner import SystemdSpawner
from traitlets import default

from tljh.hub.environment import real_paths

_POLLS = 3  # systemd-run returns when the unit has started: what isn't there then won't come


class SystemdServers(SystemdSpawner):  # type: ignore[misc]
    """SystemdSpawner with TLJH's names, for accounts that exist."""

    extra_paths: Any
    start_timeout: Any

    @default("default_shell")
    def _default_shell(self) -> str:
        return "/bin/bash"

    @default("unit_name_template")
    def _default_unit_name(self) -> str:
        return "jupyter-{USERNAME}"

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if self.name:  # each named server needs a unit of its own; the names are free text
            self.unit_name += "--" + re.sub(r"[^A-Za-z0-9_.-]", "_", self.name)

    @property
    def log_hint(self) -> str:
        """Where an administrator reads what the server said."""
        return f"journalctl -u {self.unit_name}"

    def use_account(self, name: str, admin: bool) -> None:
        """Start the server as this system account."""
        # it is expanded once more: a user named {USERID} must not get somebody else's account
        self.username_template = name.replace("{", "{{").replace("}", "}}")
        self.disable_user_sudo = not admin

    async def start(self) -> tuple[str, int] | None:
        """Start the unit, with the real path of the user environment."""
        configured = self.extra_paths, self.start_timeout
        self.extra_paths, self.start_timeout = real_paths(self.extra_paths), _POLLS
        try:
            address: tuple[str, int] | None = await super().start()
        finally:
            self.extra_paths, self.start_timeout = configured
        return address
