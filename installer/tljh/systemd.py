"""Units of systemd: the functions that published plugins import.

What the units of this project contain is not here.
"""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

from tljh.engine.machine import Machine
from tljh.errors import TljhError
from tljh.plugins import recording

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
    file = Path(path) / name
    before = _there(machine, file) if recording.is_on() else {}
    machine.write_file(file, unit.encode("utf-8"))
    recording.note("unit", name=name, path=str(path), text=unit, **before)


def uninstall_unit(name: str, path: str = UNIT_FOLDER) -> None:
    """Remove a unit file; call ``reload_daemon`` afterwards."""
    _machine(f"remove the unit {name}").remove(Path(path) / name)
    recording.note("unit", name=name, path=str(path), gone=True)


def start_service(name: str) -> None:
    """Start a service, unless it runs."""
    _noted("start", name, started=True)


def stop_service(name: str) -> None:
    """Stop a service, if it runs."""
    _noted("stop", name, started=False)


def restart_service(name: str) -> None:
    """Stop a service and start it again."""
    _noted("restart", name, started=True)


def enable_service(name: str) -> None:
    """Have a service started when the machine boots."""
    _noted("enable", name, enabled=True)


def disable_service(name: str) -> None:
    """Have a service no longer started when the machine boots."""
    _noted("disable", name, enabled=False)


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


def _noted(verb: str, name: str, **flag: bool) -> None:
    """Do it; while a plugin's hook runs, note what it was before."""
    was = False
    if recording.is_on() and any(flag.values()):
        was = check_service_active(name) if "started" in flag else check_service_enabled(name)
    _systemctl(verb, name)
    recording.note("service", name=name, was=was, **flag)


def _there(machine: Machine, file: Path) -> dict[str, Any]:
    """What a unit file is about to replace, for the record."""
    from tljh.resources.plugin_file import what_is_at

    found, content = what_is_at(machine, file), machine.read(file)
    return {"there": found, "content": base64.b64encode(content).decode() if content is not None else None}


def _systemctl(verb: str, *names: str) -> None:
    doing = " ".join((verb.replace("daemon-reload", "reload systemd's units"), *names))
    _machine(doing).run(["systemctl", verb, *names], timeout=_START_TIMEOUT)


def _asks(verb: str, name: str) -> bool:
    machine = _machine(f"ask whether {name} {verb.replace('-', ' ')}")
    return machine.run(["systemctl", verb, "--quiet", name], check=False, timeout=30.0).returncode == 0
