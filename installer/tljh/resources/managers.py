"""The one place that chooses what keeps the services running on this host."""

from __future__ import annotations

from tljh import systemd
from tljh.engine.machine import Machine
from tljh.paths import Paths
from tljh.resources.service import Manager, Systemd
from tljh.resources.supervisor import Supervisor


def manager_for(paths: Paths, machine: Machine, *, with_systemd: bool | None = None) -> Manager:
    """systemd, or supervisor where it does not run.

    Args:
        with_systemd: ``None``: look.
    """
    if systemd.is_running() if with_systemd is None else with_systemd:
        return Systemd(machine)
    return Supervisor(paths.hub, paths.state)
