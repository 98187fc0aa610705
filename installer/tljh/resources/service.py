"""The services ``jupyterhub`` and ``traefik``: under systemd, or under supervisor where there is none.

A service's state holds what it was started with: its launcher writes that down as it starts, so an edited
file, a switched environment or a kill between writing a unit and restarting it shows as a difference.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Protocol

from tljh.engine.facts import Facts
from tljh.engine.machine import Machine
from tljh.engine.outside import check_room
from tljh.engine.parsers import parse_systemctl_show
from tljh.engine.resource import Diff, Resource, State, Undo
from tljh.errors import TljhError

START_TIMEOUT = 60.0  # seconds until a service that was started must be running
RESTARTS = 3  # of a service that was never seen running: it won't be
_FAILING = "Id,LoadState,LoadError,ActiveState,NRestarts"
LOG_LINES = 15


class Manager(Protocol):
    """What keeps services running on this kind of host."""

    def state(self, facts: Facts, name: str) -> Mapping[str, str]:
        """``enabled`` and ``active``, each ``yes`` or what is so instead; nothing where it is not known."""

    def start(self, name: str) -> None:
        """Start, or restart with what is on disk now."""

    def stop(self, name: str) -> None:
        """Stop; user servers go on."""

    def remove(self, name: str) -> None:
        """Stop and forget."""

    def failing(self, name: str) -> str:
        """What is so of a service that won't come up, since it fails each time; empty while it may."""

    def log_tail(self, name: str) -> str:
        """The end of what the service last said."""


@dataclass
class Systemd:
    """Units; the hub's user servers are transient units beside them."""

    machine: Machine
    names: Sequence[str] = ("jupyterhub", "traefik")

    def state(self, facts: Facts, name: str) -> Mapping[str, str]:
        wanted = "Id,LoadState,UnitFileState,ActiveState,SubState"
        shown = parse_systemctl_show(facts.output("systemctl", "show", "-p", wanted, *self._units()))
        unit = next((u for u in shown if u.get("Id") == f"{name}.service"), {})
        if unit.get("LoadState") != "loaded":
            return {}
        enabled = unit.get("UnitFileState", "")
        active = unit.get("ActiveState", "")
        return {
            "enabled": "yes" if enabled == "enabled" else enabled or "no",
            "active": "yes" if active == "active" else f"{active} ({unit.get('SubState', '')})",
        }

    def _units(self) -> list[str]:
        return [f"{name}.service" for name in self.names]

    def start(self, name: str) -> None:
        self.machine.run(["systemctl", "enable", "--no-reload", "--quiet", f"{name}.service"])
        self.machine.run(["systemctl", "daemon-reload"])
        self.machine.run(["systemctl", "reset-failed", f"{name}.service"], check=False)
        self.machine.run(["systemctl", "restart", f"{name}.service"], check=False, timeout=120.0)

    def stop(self, name: str) -> None:
        self.machine.run(["systemctl", "stop", f"{name}.service"], timeout=120.0)

    def remove(self, name: str) -> None:
        self.machine.run(["systemctl", "disable", "--now", f"{name}.service"], check=False, timeout=120.0)

    def failing(self, name: str) -> str:
        command = ["systemctl", "show", "-p", _FAILING, f"{name}.service"]
        shown = self.machine.run(command, check=False, timeout=30.0)
        unit = next(iter(parse_systemctl_show(shown.stdout)), {})
        if unit.get("LoadState") not in ("loaded", None):
            return f"its unit cannot be used: {unit.get('LoadError') or unit['LoadState']}"
        restarts = unit.get("NRestarts", "0")
        if restarts.isdigit() and int(restarts) >= RESTARTS:
            return f"it has ended {int(restarts) + 1} times since it was started"
        return "it has failed" if unit.get("ActiveState") == "failed" else ""

    def log_tail(self, name: str) -> str:
        command = ["journalctl", "-u", f"{name}.service", "-n", str(LOG_LINES), "--no-pager", "-o", "cat"]
        return self.machine.run(command, check=False, timeout=20.0).stdout


@dataclass
class Service(Resource):
    """One service, running with what is on disk.

    Attributes:
        manager: Who keeps it running; ``None`` when it is no longer wanted and its kind of host is not known.
        started: Where its launcher writes what it was started with.
        environment: The real path of the environment that it is to run from.
        files: Files whose content it reads as it starts; those that a run has yet to write come from ``planned``.
        passed_over: Files that it reads too, and that are no reason to restart it.
        planned: Path → the content that the file will have when the service is started.
        rehearse: Raises what would keep it from starting; called before one that runs is stopped.
    """

    manager: Manager
    started: Path
    environment: Path
    files: Sequence[Path] = ()
    passed_over: Sequence[Path] = ()
    planned: Mapping[Path, bytes] = field(default_factory=dict)
    wanted: bool = True
    rehearse: Callable[[Machine], None] | None = None

    undo: ClassVar[Undo] = Undo.EXACT

    @property
    def name(self) -> str:
        return self.id.partition(":")[2]

    def desired(self) -> State:
        if not self.wanted:
            return {}
        with_files = {f"with {path}": digest for path in self.files if (digest := self._digest(path))}
        return {"enabled": "yes", "active": "yes", "environment": str(self.environment), **with_files}

    def _digest(self, path: Path) -> str:
        content = self.planned.get(path)
        if content is None:
            try:
                content = path.read_bytes()
            except FileNotFoundError:
                return ""
        return hashlib.sha256(content).hexdigest()[:16]

    def observe(self, facts: Facts) -> State:
        state = dict(self.manager.state(facts, self.name))
        enabled = state.get("enabled") == "yes" and isinstance(self.manager, Systemd)
        if not self.wanted and state.get("active") != "yes" and not enabled:
            return {}  # what is left are files, which have resources of their own
        if state.get("active") == "yes":
            state.update(parse_started(facts.text(self.started)))
            for path in self.passed_over:
                state.pop(f"with {path}", None)
        return state

    def ours(self, facts: Facts, recorded: set[str]) -> set[str]:
        # what it was started with is ours to change; so is a file that is gone since
        return recorded | {key for key in self.observe(facts) if key.startswith("with ")} if recorded else recorded

    def effect(self, diff: Diff) -> str:
        if "active" in diff.put:
            return f"starts {self.name}"
        return f"restarts {self.name}"

    def change(self, diff: Diff, machine: Machine) -> None:
        if not self.wanted:
            self.manager.remove(self.name)
            return
        check_room(self.environment, f"to start {self.name}")
        if self.rehearse:
            self.rehearse(machine)
        self.manager.start(self.name)
        self.planned = {}  # from now on what is on disk counts
        # what the last start read and this one does not: it is seen until the launcher has written down anew
        self._wait(machine, stale=diff.before.keys() - self.desired().keys())

    def _wait(self, machine: Machine, stale: Set[str]) -> None:
        """Until it runs with what is on disk; whether it does its work, the verification asks."""
        desired = self.desired()
        deadline = time.monotonic() + START_TIMEOUT
        while True:
            state = self.observe(Facts(machine))
            if all(state.get(key) == value for key, value in desired.items()) and not stale & state.keys():
                return
            failing = "" if state.get("active") == "yes" else self.manager.failing(self.name)
            if failing or time.monotonic() > deadline:
                raise TljhError(
                    f"the service {self.name} does not run: {failing or state.get('active', 'not known')}; "
                    "it last said:\n"
                    + "\n".join(f"    {line}" for line in self.manager.log_tail(self.name).splitlines()),
                    todo="mend what it complains of, then run the same command again",
                )
            time.sleep(0.05)


def parse_started(text: str) -> dict[str, str]:
    """What a launcher wrote: ``environment PATH``, ``pid NUMBER``, then ``sha256sum``'s (digest, spaces, path)."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        word, _, rest = line.partition(" ")
        if word == "environment":
            found["environment"] = rest
        elif len(word) == 64:
            found[f"with {rest.strip()}"] = word[:16]
    return found


def started_script(name: str, link: Path, started: Path, files: Sequence[str], command: str) -> str:
    """A launcher: a shell script that resolves the link once, writes down what it starts with, and starts it.

    Args:
        link: Of the environment; nothing long-running may run through it.
        files: What the service reads as it starts; shell patterns are allowed.
        command: Shell words; ``$environment`` is the real path of the environment.
    """
    listed = " ".join(files)
    return f"""#!/bin/sh
# Starts {name}. Written by the installer of {link.parent}; changes here do not last.
set -eu
environment=$(readlink -f {link})
mkdir -p {started.parent}
{{
    echo "environment $environment"
    echo "pid $$"
    for file in {listed}; do
        if [ -f "$file" ]; then sha256sum "$file"; fi
    done
}} > {started}.new
mv {started}.new {started}
export TLJH_SERVICE={name}
exec {command}
"""
