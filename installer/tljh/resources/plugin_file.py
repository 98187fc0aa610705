"""Files, folders and links that plugins state: what they replace is put back when nobody wants them any more.

What stood there is kept in the store (``Replaced``). It is put back only where what is there now is still what we
wrote; otherwise somebody has made it his own, and it stays.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from tljh import systemd
from tljh.engine.facts import Facts
from tljh.engine.machine import Machine
from tljh.engine.plugin_tables import Replaced
from tljh.engine.resource import Diff, Resource, State
from tljh.errors import TljhError
from tljh.resources.file import Directory, File, Link

Say = Callable[[str], None]


def _silent(text: str) -> None:
    """Nobody wants to know."""


@dataclass
class _Replacing(Resource):
    """What the kinds have in common.

    Attributes:
        earlier: What stood there before us; ``None`` where nothing did, or it never became ours.
        say: Told what stays because somebody else has changed it.
    """

    earlier: Replaced | None = field(default=None, kw_only=True, repr=False)
    say: Say = field(default=_silent, kw_only=True, repr=False)

    gives_up: ClassVar[bool] = True
    _compared: ClassVar[tuple[str, ...]]
    """The keys that say whether something is still what we wrote."""

    @property
    def path(self) -> Path:
        return Path(self.id.partition(":")[2])

    def _of_ours(self, state: State) -> State:
        """What of it is to go when it is no longer wanted: nothing where all is as it was before us."""
        before = self.earlier.before if self.earlier else {}
        as_before = bool(before) and all(before.get(key) == value for key, value in state.items())
        return {} if as_before else state

    def _is_as_written(self, state: State) -> bool:
        written = self.earlier.written if self.earlier else {}
        return all(state.get(key) == written.get(key, state.get(key)) for key in self._compared)

    def effect(self, diff: Diff) -> str:
        if not diff.drop or self.earlier is None:
            return ""
        if not self._is_as_written(diff.before):
            return "stays: somebody has changed it since"
        return "puts back what was there before"

    def _undo(self, diff: Diff, machine: Machine) -> bool:
        """Put back what stood there, if anything did; returns whether there is nothing left to do."""
        if self.earlier is None:
            return False
        if self._is_as_written(diff.before):
            put_back(machine, self.path, self.earlier)
        else:
            self.say(f"{self.path} stays as it is: it has been changed since a plugin put it there")
        return True


@dataclass
class PluginFile(_Replacing, File):
    """A file of a plugin."""

    _compared: ClassVar[tuple[str, ...]] = ("content",)

    @property
    def wanted(self) -> bool:
        """Whether it is to be there."""
        return self.content is not None

    def observe(self, facts: Facts) -> State:
        state = File.observe(self, facts)
        if self.wanted:
            return state
        # what is no file is not what we put there
        return {} if state.get("content", "").startswith("a ") else self._of_ours(state)

    def change(self, diff: Diff, machine: Machine) -> None:
        if self.wanted:
            with naming(self):
                self._put(diff, machine)
        elif not self._undo(diff, machine):
            machine.remove(self.path)

    def _put(self, diff: Diff, machine: Machine) -> None:
        machine.write_file(self.path, self.content or b"", mode=int(self.mode, 8), owner=self.owner)

    def replaced(self, machine: Machine) -> Mapping[str, str] | None:
        return what_is_at(machine, self.path) if self.wanted else None


@dataclass
class UnitFile(PluginFile):
    """The file of a systemd unit: systemd reads its units again whenever it changes."""

    def change(self, diff: Diff, machine: Machine) -> None:
        super().change(diff, machine)
        if not systemd.is_running(machine):
            return
        machine.run(["systemctl", "daemon-reload"])
        if not self.wanted and self.earlier is not None and not self.path.parent.name.endswith(".d"):
            machine.run(["systemctl", "try-restart", self.path.name], check=False, timeout=120.0)


@dataclass
class NoFile(File):
    """A file that is to go before what reads it is restarted, not at the end with all others.

    Its only key says what is there; so that it is gone is something to put, not something to drop.
    """

    owns: ClassVar[bool] = False
    gives_way: ClassVar[bool] = True

    def desired(self) -> State:
        return {"content": "nothing"}

    def observe(self, facts: Facts) -> State:
        found = facts.file(self.path)
        return {"content": found.digest or f"a {found.status.kind}" if found else "nothing"}

    def change(self, diff: Diff, machine: Machine) -> None:
        machine.remove(self.path)


@dataclass
class PluginLink(_Replacing, Link):
    """A symbolic link of a plugin."""

    _compared: ClassVar[tuple[str, ...]] = ("target",)

    def observe(self, facts: Facts) -> State:
        state = Link.observe(self, facts)
        if self.target:
            return state
        return {} if state.get("target", "").startswith("a ") else self._of_ours(state)

    def change(self, diff: Diff, machine: Machine) -> None:
        if self.target:
            with naming(self):
                machine.make_link(self.path, self.target)
        elif not self._undo(diff, machine):
            machine.remove(self.path)

    def saved(self, machine: Machine) -> bytes | None:
        status = machine.status(self.path)
        return machine.read(self.path) if status and status.kind == "file" else None

    def replaced(self, machine: Machine) -> Mapping[str, str] | None:
        return what_is_at(machine, self.path) if self.target else None


@dataclass
class PluginFolder(_Replacing, Directory):
    """A folder of a plugin; one that is not empty stays."""

    _compared: ClassVar[tuple[str, ...]] = ("mode", "owner")

    def observe(self, facts: Facts) -> State:
        found = facts.machine.status(followed(facts.machine, self.path))
        if found is None or found.kind != "directory":
            return {}
        state = {"mode": found.mode, "owner": found.owner}
        return state if self.wanted else self._of_ours(state)

    def change(self, diff: Diff, machine: Machine) -> None:
        if self.wanted:
            with naming(self):
                Directory.change(self, diff, machine)
            return
        if self._undo(diff, machine):
            return
        if any(machine.at(self.path).iterdir()):
            self.say(f"{self.path} stays: it is not empty")
        else:
            machine.remove(self.path)

    def replaced(self, machine: Machine) -> Mapping[str, str] | None:
        found = machine.status(followed(machine, self.path))
        if not self.wanted or found is None:
            return None
        return {"mode": found.mode, "owner": found.owner}


@dataclass
class FolderAbove(PluginFolder):
    """A folder that was missing above something else; whoever states it itself is heard instead."""

    gives_way: ClassVar[bool] = True


@contextlib.contextmanager
def naming(resource: Resource) -> Iterator[None]:
    """Say whose thing it was, and what account is missing, where something can't be put in place."""
    whose = f"plugin {', '.join(dict.fromkeys(resource.origins.values()))}"
    try:
        yield
    except LookupError as error:
        raise TljhError(
            f"{resource.id} is to belong to {getattr(resource, 'owner', '')}, which this machine does not know",
            whose=whose,
            todo="declare the account beside it (tljh.declare.Account), then run the same command again",
        ) from error
    except OSError as error:
        raise TljhError(f"{resource.id} could not be put in place: {error.strerror}", whose=whose) from error


def followed(machine: Machine, path: Path) -> Path:
    """``path`` with every link followed, as the machine names it."""
    real = Path(os.path.realpath(machine.at(path)))
    root = Path(os.path.realpath(machine.root))
    return Path("/") / real.relative_to(root) if root in real.parents or real == root else real


def what_is_at(machine: Machine, path: Path) -> dict[str, str] | None:
    """A file or link as ``put_back`` needs it; ``None`` where there is nothing."""
    status = machine.status(path)
    if status is None:
        return None
    found = {"kind": status.kind, "mode": status.mode, "owner": status.owner}
    if status.kind == "link":
        return {**found, "target": status.target, "content": "a link"}
    return {**found, "content": machine.digest(path), "target": f"a {status.kind}"}


def put_back(machine: Machine, path: Path, earlier: Replaced) -> None:
    """Make what is at ``path`` what it was before us."""
    before = earlier.before
    mode, owner = int(before["mode"], 8), before["owner"]
    if before.get("kind") == "link":
        machine.make_link(path, before["target"])
    elif before.get("kind") == "file":
        machine.write_file(path, earlier.content or b"", mode=mode, owner=owner)
    else:
        machine.make_directory(path, mode=mode, owner=owner)


def digest_of(content: bytes) -> str:
    """As ``Facts.file`` gives it."""
    return hashlib.sha256(content).hexdigest()
