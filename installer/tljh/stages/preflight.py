"""Before anything else: what this run would stumble over later. Looks only."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tljh.engine.facts import Facts
from tljh.errors import TljhError

OURS = ("traefik",)


def check_root() -> None:
    """Everything that changes the machine needs root.

    Raises:
        TljhError: this process is somebody else's.
    """
    if os.geteuid() != 0:
        raise TljhError("this needs root", todo="run it as root, or with sudo where there is one")


def check_ports(config: Mapping[str, Any], facts: Facts) -> None:
    """The proxy's ports are free, or held by our own proxy.

    Raises:
        TljhError: another program listens there; it is named.
    """
    wanted = {"http.port": config["http"]["port"]}
    if config["https"]["enabled"]:
        wanted["https.port"] = config["https"]["port"]
    for key, port in wanted.items():
        inode = facts.listening.get(int(port))
        owner = _owner_of_socket(inode) if inode else None
        if inode and (owner is None or owner[1] not in OURS):
            who = f"{owner[1]} (pid {owner[0]})" if owner else "another program"
            raise TljhError(
                f"port {port} is taken by {who}",
                todo=f"stop it, or choose another port: tljh-config set {key} PORT",
            )


def _owner_of_socket(inode: int) -> tuple[int, str] | None:
    """The process that holds a socket: pid and name; ``None`` when it cannot be seen from here."""
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            links = [os.readlink(link) for link in (entry / "fd").iterdir()]
        except OSError:
            continue  # it has ended, or it is not ours to look at
        if f"socket:[{inode}]" in links:
            name = (entry / "comm").read_text().strip()
            # a supervised bootstrap progress page counts as ours: it ends before the proxy starts
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            return int(entry.name), "traefik" if re.search(r"bootstrap|show-progress-page", command) else name
    return None
