"""People's servers, and the accounts that we made for them: what an uninstall stops, and removes if asked to."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from tljh import systemd
from tljh.engine.facts import Facts
from tljh.engine.machine import Machine
from tljh.engine.parsers import Account, parse_systemctl_show
from tljh.engine.passwd import user_name
from tljh.engine.resource import Diff, Resource, State, Undo
from tljh.paths import Paths

PROC = Path("/proc")
TRANSIENT = "/run/systemd/transient/"
"""Where systemd keeps the units that systemd-run made, as the spawner does."""
PATIENCE = 5.0  # seconds that a process has to end by itself


@dataclass
class RunningServers(Resource):
    """People's servers; each key is a unit, or without systemd a process.

    Attributes:
        program: What the command line of a server's process has in it.
    """

    program: Path

    undo: ClassVar[Undo] = Undo.NEVER
    owns: ClassVar[bool] = False

    def desired(self) -> State:
        return {}

    def observe(self, facts: Facts) -> State:
        if systemd.is_running(facts.machine):
            return dict.fromkeys(_units(facts), "runs")
        return {f"pid {pid}": f"of {name}" for pid, name in self.processes(facts.machine).items()}

    def ours(self, facts: Facts, recorded: set[str]) -> set[str]:
        return set(self.observe(facts))

    def effect(self, diff: Diff) -> str:
        return "people's servers are stopped; what is not saved is lost"

    def change(self, diff: Diff, machine: Machine) -> None:
        units = [name for name in diff.drop if name.endswith(".service")]
        if units:
            # one that has ended by itself meanwhile is no fault
            machine.run(["systemctl", "stop", *units], check=False, timeout=120.0)
        pids = {int(name.removeprefix("pid ")) for name in diff.drop if name.startswith("pid ")}
        end(machine, pids | below(machine, pids))

    def processes(self, machine: Machine) -> dict[int, str]:
        """Process → who it belongs to."""
        found = {}
        for pid, words in _command_lines(machine).items():
            if str(self.program) in words:
                with contextlib.suppress(OSError):
                    found[pid] = user_name(machine.at(PROC / str(pid)).stat().st_uid)
        return found


def servers_of(paths: Paths) -> RunningServers:
    """People's servers of the hub that is below a prefix."""
    return RunningServers("servers", program=paths.bin / "singleuser.py")


def _units(facts: Facts) -> list[str]:
    shown = facts.output("systemctl", "show", "-p", "Id,ActiveState,FragmentPath", "jupyter-*.service")
    rows = parse_systemctl_show(shown)
    running = ("active", "activating", "reloading", "deactivating")
    return [
        row["Id"]
        for row in rows
        if row.get("ActiveState") in running and row.get("FragmentPath", "").startswith(TRANSIENT)
    ]


def _command_lines(machine: Machine) -> dict[int, list[str]]:
    found = {}
    for path in machine.at(PROC).glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            found[int(path.parent.name)] = path.read_bytes().decode(errors="replace").split("\0")
    return found


def parents(machine: Machine) -> dict[int, int]:
    """Process → the one that started it (proc(5), ``stat``)."""
    found = {}
    for path in machine.at(PROC).glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            found[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
    return found


def below(machine: Machine, pids: Iterable[int]) -> set[int]:
    """All that these processes started, and what that started."""
    above = parents(machine)
    found = set(pids)
    while more := {pid for pid, parent in above.items() if parent in found} - found:
        found |= more
    return found


def ancestors(machine: Machine, pid: int) -> set[int]:
    """The process itself, what started it, and so on."""
    above = parents(machine)
    found = {pid}
    while (pid := above.get(pid, 0)) and pid not in found:
        found.add(pid)
    return found


def end(machine: Machine, pids: Iterable[int]) -> None:
    """Ask processes to end, and kill what doesn't."""
    waiting = set(pids) - {os.getpid(), 1}
    for number in (signal.SIGTERM, signal.SIGKILL):
        deadline = time.monotonic() + PATIENCE
        for pid in waiting:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        while waiting and time.monotonic() < deadline:
            time.sleep(0.05)
            waiting = {pid for pid in waiting if _lives(machine, pid)}


def _lives(machine: Machine, pid: int) -> bool:
    """Whether it runs; one that only waits to be noticed by its parent doesn't."""
    try:
        return machine.at(PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


# ---- accounts


@dataclass
class People(Resource):
    """Accounts that we made, by name; one that has another number by now is somebody else's."""

    known: Mapping[str, Account] = field(default_factory=dict)

    undo: ClassVar[Undo] = Undo.NEVER
    owns: ClassVar[bool] = False

    def desired(self) -> State:
        return {}

    def observe(self, facts: Facts) -> State:
        there = facts.accounts
        return {n: f"uid {a.uid}" for n, a in self.known.items() if n in there and there[n].uid == a.uid}

    def ours(self, facts: Facts, recorded: set[str]) -> set[str]:
        return set(self.known)

    def change(self, diff: Diff, machine: Machine) -> None:
        numbers = {self.known[name].uid for name in diff.drop}
        end(machine, _of(machine, numbers))
        for name in diff.drop:
            machine.run(["userdel", name])


def _of(machine: Machine, numbers: set[int]) -> set[int]:
    """The processes that run as these accounts."""
    found = set()
    for path in machine.at(PROC).glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if path.stat().st_uid in numbers:
                found.add(int(path.name))
    return found


@dataclass
class MadeGroups(Resource):
    """Groups that we made."""

    names: Sequence[str] = ()

    owns: ClassVar[bool] = False

    def desired(self) -> State:
        return {}

    def observe(self, facts: Facts) -> State:
        return {name: "present" for name in self.names if name in facts.groups}

    def ours(self, facts: Facts, recorded: set[str]) -> set[str]:
        return set(self.names)

    def change(self, diff: Diff, machine: Machine) -> None:
        for name in diff.drop:
            machine.run(["groupdel", name])
