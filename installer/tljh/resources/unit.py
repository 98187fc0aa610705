"""Units of systemd that plugins state: whether they are enabled, run, and run with the text that is on disk.

Their files are resources of their own (``plugin_file.UnitFile``). What a unit was started with is observed:
systemd says whether it has read the file, and when it started the unit; a file that is younger is not what runs.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from tljh import systemd
from tljh.engine.facts import Facts
from tljh.engine.machine import Machine
from tljh.engine.parsers import parse_systemctl_show
from tljh.engine.resource import Diff, Resource, State, Undo
from tljh.errors import TljhError

FOLDER = Path("/etc/systemd/system")
START_TIMEOUT = 60.0  # seconds
SETTLED = 0.3  # seconds that it must go on running after it was started
TOLERANCE = 0.02  # seconds that a file's time may be behind
OLDER = "an older text"

_ASKED = (
    "Id,LoadState,LoadError,UnitFileState,ActiveState,SubState,Result,Type,NeedDaemonReload,"
    "InactiveExitTimestampMonotonic,FragmentPath"
)


@dataclass
class UnitState(Resource):
    """One unit.

    Attributes:
        digest: Of the text that its file will have; empty where that is not followed.
        enabled: Whether it is to start at boot; ``started``: whether it is to run.
        known: Whether anything of it is ours already: then it is told in which state it is, if it does not run.
        beside: The names of all that are looked at with it, in one call.
    """

    digest: str = ""
    enabled: bool = False
    started: bool = False
    known: bool = False
    beside: Sequence[str] = ()

    undo: ClassVar[Undo] = Undo.INVERSE

    @property
    def name(self) -> str:
        return self.id.partition(":")[2]

    def desired(self) -> State:
        wanted = {"enabled": "yes"} if self.enabled else {}
        wanted |= {"active": "yes"} if self.started else {}
        return wanted | ({"text": self.digest} if self.digest else {})

    def observe(self, facts: Facts) -> State:
        unit = ask(facts, self.name, self.beside)
        if unit.get("LoadState") not in ("loaded", "bad-setting", "error", "masked"):
            return {}
        state = {"enabled": _enabled(unit), "active": _active(unit)}
        if not self.known or not self.desired():
            # what does not run is nothing that was there before us, and nothing to be stopped
            state = {key: value for key, value in state.items() if value == "yes"}
        if not self.enabled and state.get("enabled") != "yes":
            state.pop("enabled", None)
        if not self.started and state.get("active") != "yes":
            state.pop("active", None)
        text = facts.file(FOLDER / self.name) if self.digest else None
        return state | ({"text": OLDER if _is_stale(facts, unit, self.name) else text.digest} if text else {})

    def effect(self, diff: Diff) -> str:
        if "active" in diff.drop:
            return f"stops {self.name}"
        if not self.started or not ({"active", "text"} & set(diff.put)):
            return ""
        return f"{'restarts' if diff.before.get('active') == 'yes' else 'starts'} {self.name}"

    def change(self, diff: Diff, machine: Machine) -> None:
        if "active" in diff.drop:
            machine.run(["systemctl", "stop", self.name], timeout=120.0)
        if "enabled" in diff.drop:
            machine.run(["systemctl", "disable", "--quiet", self.name], check=False)
        if not diff.put:
            return
        machine.run(["systemctl", "daemon-reload"])
        if "enabled" in diff.put:
            machine.run(["systemctl", "enable", "--quiet", self.name])
        if self.started and {"active", "text"} & set(diff.put):
            machine.run(["systemctl", "reset-failed", self.name], check=False)
            machine.run(["systemctl", "restart", self.name], check=False, timeout=START_TIMEOUT)
            self._wait(machine)

    def _wait(self, machine: Machine) -> None:
        """Until it runs, and has gone on running for a moment."""
        deadline = time.monotonic() + START_TIMEOUT
        well_since: float | None = None
        while True:
            unit = ask(Facts(machine), self.name)
            now = time.monotonic()
            if _active(unit) != "yes":
                well_since = None
            elif well_since is None:
                well_since = now
            if well_since is not None and now - well_since >= SETTLED:
                return
            if unit.get("ActiveState") == "failed" or unit.get("LoadState") != "loaded" or now > deadline:
                raise self._does_not_run(unit, machine)
            time.sleep(0.05)

    def _does_not_run(self, unit: Mapping[str, str], machine: Machine) -> TljhError:
        command = ["journalctl", "-u", self.name, "-n", "15", "--no-pager", "-o", "cat"]
        said = machine.run(command, check=False, timeout=20.0).stdout
        tail = "".join(f"\n    {line}" for line in said.splitlines())
        state = unit.get("LoadError") or _active(unit)
        return TljhError(
            f"the unit {self.name} does not run: {state.strip()}" + (f"; it last said:{tail}" if tail else ""),
            whose=f"plugin {', '.join(dict.fromkeys(self.origins.values()))}",
            todo="mend what it complains of, or leave the plugin out; the hub serves all the same",
        )


def ask(facts: Facts, name: str, beside: Sequence[str] = ()) -> Mapping[str, str]:
    """What systemd says of a unit; nothing where it does not run this machine.

    Args:
        beside: Units that are asked for in the same call, itself among them.
    """
    if not systemd.is_running(facts.machine):
        return {}
    names = beside if name in beside else (name,)
    shown = parse_systemctl_show(facts.output("systemctl", "show", "-p", _ASKED, *names))
    if len(shown) == len(names):
        return shown[names.index(name)]  # in their order; an alias has another Id
    return {} if names == (name,) else ask(facts, name)  # it passes over a name that is none


def ask_together(resources: Iterable[Resource]) -> None:
    """Let the units among ``resources`` be asked for in one call: each would take some milliseconds."""
    units = [resource for resource in resources if isinstance(resource, UnitState)]
    names = tuple(unit.name for unit in units)
    for unit in units:
        unit.beside = names


def _enabled(unit: Mapping[str, str]) -> str:
    state = unit.get("UnitFileState", "")
    return "yes" if state == "enabled" else state or "no"


def _active(unit: Mapping[str, str]) -> str:
    """``yes`` of what runs, and of a oneshot that has done its work since the machine was started."""
    active, sub = unit.get("ActiveState", ""), unit.get("SubState", "")
    has_run = unit.get("InactiveExitTimestampMonotonic", "0") not in ("", "0")
    done = unit.get("Type") == "oneshot" and has_run and unit.get("Result") == "success"
    if active in ("active", "reloading") or (active in ("inactive", "activating") and done):
        return "yes"
    return f"{active} ({sub})"


def _is_stale(facts: Facts, unit: Mapping[str, str], name: str) -> bool:
    """Whether systemd has not read the file that is there, or started the unit before it was written."""
    if unit.get("NeedDaemonReload") == "yes":
        return True
    started = unit.get("InactiveExitTimestampMonotonic", "0")
    if _active(unit) != "yes" or not started.isdigit() or started == "0":
        return False
    written = facts.machine.at(FOLDER / name).stat().st_mtime
    return started_at(int(started)) + TOLERANCE < written <= time.time()


def started_at(microseconds: int) -> float:
    """A time of systemd's monotonic clock as seconds since 1970."""
    return time.time() - time.clock_gettime(time.CLOCK_MONOTONIC) + microseconds / 1e6


# ---- timers


def timer_texts(name: str, command: list[str], calendar: str, user: str) -> tuple[str, str]:
    """The texts of a timer and of the service that it starts (systemd.timer(5), systemd.service(5))."""
    words = " ".join(quoted(word) for word in command)
    timer = f"""# Written by the installer; changes here do not last.
[Unit]
Description={name}, now and then

[Timer]
OnCalendar={calendar}
Persistent=yes

[Install]
WantedBy=timers.target
"""
    service = f"""# Written by the installer; changes here do not last.
[Unit]
Description={name}

[Service]
Type=oneshot
User={user}
ExecStart={words}
"""
    return timer, service


def quoted(word: str) -> str:
    """One word of a command line as unit files have it (systemd.service(5), "Command lines")."""
    text = word.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")
    text = text.replace("%", "%%").replace("$", "$$")
    return f'"{text}"'
