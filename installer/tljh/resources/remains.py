"""What an uninstall takes away that is no resource of an install: whole folders, services, apt's packages."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from tljh.engine.facts import Facts
from tljh.engine.machine import Machine
from tljh.engine.resource import Diff, Resource, State, Undo
from tljh.errors import CommandFailed
from tljh.resources.apt import METAPACKAGE, apt_get, simulated
from tljh.resources.service import Manager, Systemd
from tljh.resources.supervisor import Supervisor

SUDOERS_D = Path("/etc/sudoers.d")
_NOBODYS_RULES = {"README", "jupyterhub-admins"}
"""What is in sudoers.d where nobody else has rules there: the package's own file, and ours."""


@dataclass
class Gone(Resource):
    """Files, links and whole folders that go, each with all that is in it.

    Attributes:
        paths: In the order in which they go.
        ours_alone: Whether nobody but root can write in any of them.
    """

    paths: Sequence[Path]
    ours_alone: bool = False

    undo: ClassVar[Undo] = Undo.NEVER
    owns: ClassVar[bool] = False

    def desired(self) -> State:
        return {}

    def observe(self, facts: Facts) -> State:
        found = {path: facts.machine.status(path) for path in self.paths}
        words = {"directory": "folder"}
        return {str(path): words.get(row.kind, row.kind) for path, row in found.items() if row}

    def ours(self, facts: Facts, recorded: set[str]) -> set[str]:
        return {str(path) for path in self.paths}

    def change(self, diff: Diff, machine: Machine) -> None:
        remove = machine.remove_tree if self.ours_alone else machine.remove
        for name in diff.drop:
            remove(Path(name))


@dataclass
class StoppedService(Resource):
    """The hub or the proxy, which runs no more and is not started at boot."""

    manager: Manager

    undo: ClassVar[Undo] = Undo.EXACT
    owns: ClassVar[bool] = False

    @property
    def name(self) -> str:
        return self.id.partition(":")[2]

    def desired(self) -> State:
        return {}

    def observe(self, facts: Facts) -> State:
        state = self.manager.state(facts, self.name)
        there = {key: value for key, value in state.items() if value == "yes"}
        if not isinstance(self.manager, Systemd):
            there.pop("enabled", None)  # that it is listed is a file, which goes with its folder
        return there

    def ours(self, facts: Facts, recorded: set[str]) -> set[str]:
        return {"enabled", "active"}

    def effect(self, diff: Diff) -> str:
        return f"stops {self.name}" if "active" in diff.drop else ""

    def change(self, diff: Diff, machine: Machine) -> None:
        self.manager.remove(self.name)


@dataclass
class StoppedSupervisor(Resource):
    """supervisord itself, on a host without systemd."""

    manager: Manager

    owns: ClassVar[bool] = False

    def desired(self) -> State:
        return {}

    def observe(self, facts: Facts) -> State:
        runs = isinstance(self.manager, Supervisor) and self.manager.runs
        return {"supervisord": "runs"} if runs else {}

    def ours(self, facts: Facts, recorded: set[str]) -> set[str]:
        return {"supervisord"}

    def change(self, diff: Diff, machine: Machine) -> None:
        if isinstance(self.manager, Supervisor):
            self.manager.stop_all()


# ---- the system's packages


@dataclass
class BroughtPackages(Resource):
    """Packages that came with us and that nobody else needs.

    Attributes:
        names: What goes, as ``unneeded`` found out.
        purge: Whether their configuration goes too.
        tell: Told whom apt waits for.
    """

    names: Sequence[str] = ()
    purge: bool = False
    tell: Callable[[str], None] = print

    undo: ClassVar[Undo] = Undo.INVERSE
    owns: ClassVar[bool] = False
    gives_up: ClassVar[bool] = True

    def desired(self) -> State:
        return {}

    def observe(self, facts: Facts) -> State:
        found = {name: row.version for name in self.names if (row := facts.deb_packages.installed.get(name))}
        left = _with_configuration(facts) if self.purge else set()
        return found | {name: "its configuration" for name in self.names if name in left}

    def ours(self, facts: Facts, recorded: set[str]) -> set[str]:
        return set(self.names)

    def change(self, diff: Diff, machine: Machine) -> None:
        words = ["purge" if self.purge else "remove", *diff.drop]
        if simulated(machine, *words) <= set(diff.drop):
            # its package refuses to go while root has no password; ``unneeded`` saw that nobody uses it
            with _variable("SUDO_FORCE_REMOVE", "yes"):
                apt_get(machine, *words, tell=self.tell)


@contextlib.contextmanager
def _variable(name: str, value: str) -> Iterator[None]:
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        os.environ.pop(name)
        if before is not None:
            os.environ[name] = before


def _with_configuration(facts: Facts) -> set[str]:
    """Packages that are removed but for their configuration (dpkg(1), "config-files")."""
    text = facts.text(Path("/var/lib/dpkg/status"))
    return set(re.findall(r"^Package: (\S+)\nStatus: \S+ \S+ config-files$", text, re.MULTILINE))


def unneeded(machine: Machine, facts: Facts, names: Collection[str], *, purge: bool = False) -> list[str]:
    """What of ``names`` nobody but us needs: apt itself knows, because it was installed for our package alone.

    sudo stays while somebody uses it: who has no other way to become root would be locked out.
    """
    there = [name for name in names if name in facts.deb_packages.installed]
    left = _with_configuration(facts) & set(names) if purge else set()
    if not there:
        return sorted(left)
    ours = METAPACKAGE in there
    words = ["remove", METAPACKAGE] if ours else ["autoremove"]
    try:
        free = simulated(machine, "-o", "APT::Get::AutomaticRemove=true", *words)
    except CommandFailed:  # where apt can't say, all stay
        free = set()
    found = {name for name in there if name in free}
    if "sudo" in found and _uses_sudo(machine, facts):
        found.discard("sudo")
    return sorted(found | left)


def _uses_sudo(machine: Machine, facts: Facts) -> bool:
    """Whether anybody but a hub's admin may, or does at this moment."""
    rules = {path.name for path in machine.at(SUDOERS_D).glob("*")}
    return bool(rules - _NOBODYS_RULES or facts.groups.get("sudo") or os.environ.get("SUDO_USER"))
