"""The machine's copy of the lock that it follows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from tljh.engine.facts import Facts
from tljh.engine.machine import Machine
from tljh.engine.resource import Diff, Resource, State, Undo
from tljh.resources.locks.lock_file import digest_of


@dataclass
class FollowedLock(Resource):
    """Files in a folder of ours. Which lock an environment is of is in its own record.

    Attributes:
        folder: Where the files are.
        files: Name → text.
    """

    folder: Path
    files: Mapping[str, str]

    undo: ClassVar[Undo] = Undo.EXACT
    owns: ClassVar[bool] = False

    def desired(self) -> State:
        return {name: digest_of(text) for name, text in self.files.items()}

    def observe(self, facts: Facts) -> State:
        there = sorted(facts.machine.at(self.folder).glob("*"))
        return {path.name: digest_of(facts.text(self.folder / path.name)) for path in there}

    def ours(self, facts: Facts, recorded: set[str]) -> set[str]:
        return {path.name for path in facts.machine.at(self.folder).glob("*")}

    def change(self, diff: Diff, machine: Machine) -> None:
        machine.make_directory(self.folder)
        for name in diff.put:
            machine.write_file(self.folder / name, self.files[name].encode())
        for name in diff.drop:
            machine.remove(self.folder / name)
        if not self.files:
            machine.remove(self.folder)  # as long as it is there, the machine follows what is in it
