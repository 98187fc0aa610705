"""Units of systemd: the functions that published plugins import.

What the units of this project contain is not here.
"""

from __future__ import annotations

from pathlib import Path

from tljh.engine.machine import Machine
from tljh.errors import TljhError

UNIT_FOLDER = "/etc/systemd/system"
RUNNING = Path("/run/systemd/system")  # made by systemd itself: sd_booted(3)

_START_TIMEOUT = 180.0  # seconds; systemd's own limit for one start is 90


def is_running(machine: Machine | None = None) -> bool:
    """Whether systemd runs this machine; that its programs are installed doesn't say so."""
    found = (machine or Machine()).status(RUNNING)
    return found is not None and found.kind == "directory"


def reload_daemon() -> None:
    """Make systemd read unit files again."""
    _systemctl("daemon-reload")


def install_unit(name: str, unit: str, path: str = UNIT_FOLDER) -> None:
    """Write a unit file; call ``reload_daemon`` afterwards.

    Args:
        name: With its kind: ``example.service``.
        unit: The text of the file.
        path: The folder that it is written to.
    """
    machine = _machine(f"install the unit {name}")
    machine.write_file(Path(path) / name, unit.encode("utf-8"))


def uninstall_unit(name: str, path: str = UNIT_FOLDER) -> None:
    """Remove a unit file; call ``reload_daemon`` afterwards."""
    _machine(f"remove the unit {name}").remove(Path(path) / name)


def start_service(name: str) -> None:
    """Start a service, unless it runs."""
    _systemctl("start", name)


def stop_service(name: str) -> None:
    """Stop a service, if it runs."""
    _systemctl("stop", name)


def restart_service(name: str) -> None:
    """Stop a service and start it again."""
    _systemctl("restart", name)


def enable_service(name: str) -> None:
    """Have a service started when the machine boots."""
    _systemctl("enable", name)


def disable_service(name: str) -> None:
    """Have a service no longer started when the machine boots."""
    _systemctl("disable", name)


def check_service_active(name: str) -> bool:
    """Whether a service runs."""
    return _asks("is-active", name)


def check_service_enabled(name: str) -> bool:
    """Whether a service is started when the machine boots."""
    return _asks("is-enabled", name)


def _machine(doing: str) -> Machine:
    machine = Machine()
    if not is_running(machine):
        raise TljhError(
            f"cannot {doing}: systemd does not run this machine (there is no {RUNNING})",
            todo="start the program in another way here, or use a machine that is run by systemd",
        )
    return machine


def _systemctl(verb: str, *names: str) -> None:
    doing = " ".join((verb.replace("daemon-reload", "reload systemd's units"), *names))
    _machine(doing).run(["systemctl", verb, *names], timeout=_START_TIMEOUT)


def _asks(verb: str, name: str) -> bool:
    machine = _machine(f"ask whether {name} {verb.replace('-', ' ')}")
    return machine.run(["systemctl", verb, "--quiet", name], check=False, timeout=30.0).returncode == 0
