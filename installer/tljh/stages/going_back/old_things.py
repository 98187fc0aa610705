"""What TLJH had and gets back when a takeover is undone; each looks whether it is back already."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from tljh.engine import sqlite
from tljh.engine.facts import Facts
from tljh.engine.machine import Machine
from tljh.engine.resource import Diff, Resource, State, Undo
from tljh.paths import Paths
from tljh.resources.hub_database import Loss, keep, revision_of, stop_server
from tljh.resources.locks.lock import RECORD
from tljh.resources.service import Manager
from tljh.stages.hub_environment import COMMANDS_FOLDER
from tljh.stages.taking_over import takeover

SERVICES = ("jupyterhub", "traefik")
OURS = COMMANDS_FOLDER / "tljh"
BACK = "as it was"


def is_folder(machine: Machine, path: Path) -> bool:
    """Whether there is a folder, and no link to one."""
    status = machine.status(path)
    return status is not None and status.kind == "directory"


@dataclass
class OldThing(Resource):
    """Something of what was here before."""

    paths: Paths = field(kw_only=True)

    undo: ClassVar[Undo] = Undo.EXACT
    owns: ClassVar[bool] = False


@dataclass
class StoppedHub(OldThing):
    """Our hub and proxy, which make way; people's servers go on."""

    manager: Manager = field(kw_only=True)

    def desired(self) -> State:
        return dict.fromkeys(SERVICES, "ours is stopped")

    def observe(self, facts: Facts) -> State:
        if is_folder(facts.machine, self.paths.hub):
            return self.desired()  # what runs from now on is the old one
        active = {name: self.manager.state(facts, name).get("active") for name in SERVICES}
        return {name: "runs" if state == "yes" else "ours is stopped" for name, state in active.items()}

    def change(self, diff: Diff, machine: Machine) -> None:
        for name in diff.put:
            self.manager.stop(name)


@dataclass
class OldDatabase(OldThing):
    """The hub's database as the old hub can read it; where its schema is the same, it stays as it is."""

    lost: Loss | None = field(kw_only=True)

    def desired(self) -> State:
        then = takeover.kept_database(self.paths)
        return {"revision": revision_of(then)} if then.exists() else {}

    def observe(self, facts: Facts) -> State:
        return {"revision": revision_of(self.paths.hub_database)}

    def effect(self, diff: Diff) -> str:
        return self.lost.in_words if self.lost else ""

    def change(self, diff: Diff, machine: Machine) -> None:
        now = self.paths.hub_database
        if machine.status(now):
            keep(now, self.paths.backups, machine)
        for server in self.lost.servers if self.lost else ():
            stop_server(machine, server)
        sqlite.remove_beside(now)
        sqlite.copy(takeover.kept_database(self.paths), now)


@dataclass
class OldFiles(OldThing):
    """config.yaml, units and what else we had written in the place of TLJH's."""

    names: Sequence[Path] = field(kw_only=True)

    def desired(self) -> State:
        return {str(path): BACK for path in self.names}

    def observe(self, facts: Facts) -> State:
        return {str(path): BACK if self._is_back(facts.machine, path) else "ours" for path in self.names}

    def _is_back(self, machine: Machine, path: Path) -> bool:
        then, now = (machine.status(name) for name in (takeover.kept_file(self.paths, path), path))
        same = machine.read(takeover.kept_file(self.paths, path)) == machine.read(path)
        # what the hub writes while it serves is its own
        return now is not None and now == then and (same or path.name == "rules.toml")

    def change(self, diff: Diff, machine: Machine) -> None:
        settings = self.paths.config_file
        if str(settings) in diff.put and machine.status(settings):
            name = f"{settings.name}.before-rollback-{time.strftime('%Y%m%d-%H%M%S')}"
            takeover.copy_file(machine, settings, settings.with_name(name))
        for name in diff.put:
            takeover.copy_file(machine, takeover.kept_file(self.paths, Path(name)), Path(name))


@dataclass
class OldHubBack(OldThing):
    """The hub environment of then, at its place."""

    def desired(self) -> State:
        return {str(self.paths.hub): BACK}

    def observe(self, facts: Facts) -> State:
        return self.desired() if is_folder(facts.machine, self.paths.hub) else {}

    def change(self, diff: Diff, machine: Machine) -> None:
        # so that this command can be run again
        machine.make_link(OURS, f"{os.path.realpath(sys.prefix)}/bin/tljh")
        aside = takeover.kept_hub(self.paths)
        if machine.status(self.paths.hub) is None:
            machine.move(aside, self.paths.hub)
        else:
            machine.exchange(aside, self.paths.hub)


@dataclass
class OldUser(OldThing):
    """The user environment of then, at its place; what runs from where it was goes on, through a link.

    Attributes:
        name: What it is called below ``envs``.
    """

    name: str = field(kw_only=True)

    def desired(self) -> State:
        return {str(self.paths.user): BACK}

    def observe(self, facts: Facts) -> State:
        there = is_folder(facts.machine, self.paths.user)
        marked = facts.machine.status(self.paths.user / RECORD)
        return self.desired() if there and marked is None else {}

    def change(self, diff: Diff, machine: Machine) -> None:
        place = self.paths.envs / self.name
        if not is_folder(machine, self.paths.user):
            if machine.status(self.paths.user) is None:
                machine.move(place, self.paths.user)
            else:
                machine.exchange(place, self.paths.user)
        machine.make_link(place, f"../{self.paths.user.name}")
        machine.remove(self.paths.user / RECORD)


@dataclass
class Serving(OldThing):
    """The old hub and proxy run again, also after a reboot."""

    manager: Manager = field(kw_only=True)

    def desired(self) -> State:
        return dict.fromkeys(SERVICES, "runs")

    def observe(self, facts: Facts) -> State:
        if not is_folder(facts.machine, self.paths.hub):
            return {}
        states = {name: self.manager.state(facts, name) for name in SERVICES}
        return {name: "runs" if state.get("active") == "yes" else "stopped" for name, state in states.items()}

    def effect(self, diff: Diff) -> str:
        return "starts the old hub"

    def change(self, diff: Diff, machine: Machine) -> None:
        for name in reversed(SERVICES):
            self.manager.start(name)
