"""Files, folders and symbolic links with their mode and owner."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from tljh.engine.facts import Facts
from tljh.engine.machine import Machine
from tljh.engine.resource import Diff, Resource, State, Undo


@dataclass
class File(Resource):
    """A file with a content that we know.

    Attributes:
        content: What is to be in it; ``None`` when the file is no longer wanted.
        mode: As in ``0644``.
        owner: As in ``root:root``.
    """

    content: bytes | None = None
    mode: str = "0644"
    owner: str = "root:root"

    undo: ClassVar[Undo] = Undo.EXACT

    @classmethod
    def at(cls, path: Path, content: str | bytes, *, mode: str = "0644", origin: str = "core") -> File:
        """A file at ``path``, owned by root."""
        data = content.encode() if isinstance(content, str) else content
        origins = dict.fromkeys(("content", "mode", "owner"), origin)
        return cls(f"file:{path}", origins=origins, content=data, mode=mode)

    @property
    def path(self) -> Path:
        return Path(self.id.partition(":")[2])

    def desired(self) -> State:
        if self.content is None:
            return {}
        return {"content": hashlib.sha256(self.content).hexdigest(), "mode": self.mode, "owner": self.owner}

    def observe(self, facts: Facts) -> State:
        found = facts.file(self.path)
        if found is None:
            return {}
        content = found.digest if found.status.kind == "file" else f"a {found.status.kind}"
        return {"content": content, "mode": found.status.mode, "owner": found.status.owner}

    def change(self, diff: Diff, machine: Machine) -> None:
        if self.content is None:
            machine.remove(self.path)
            return
        if diff.before.get("content", "").startswith("a "):
            machine.move(self.path, self.path.with_name(f"{self.path.name}.before-tljh"))
        machine.write_file(self.path, self.content, mode=int(self.mode, 8), owner=self.owner)

    def saved(self, machine: Machine) -> bytes | None:
        return machine.read(self.path)


@dataclass
class Secret(File):
    """A file whose content is made once and then kept, whatever it is."""

    def desired(self) -> State:
        return {"content": "a secret", "mode": self.mode, "owner": self.owner}

    def observe(self, facts: Facts) -> State:
        found = facts.file(self.path)
        if found is None or found.status.kind != "file":
            return {}
        there = bool(facts.text(self.path).strip())
        return {
            "content": "a secret" if there else "empty",
            "mode": found.status.mode,
            "owner": found.status.owner,
        }

    def change(self, diff: Diff, machine: Machine) -> None:
        kept = None if "content" in diff.put else machine.read(self.path)
        content = kept or self.content or b""
        machine.write_file(self.path, content, mode=int(self.mode, 8), owner=self.owner)

    def saved(self, machine: Machine) -> bytes | None:
        return None


@dataclass
class Directory(Resource):
    """A folder; what is in it is not this resource's business."""

    mode: str = "0755"
    owner: str = "root:root"
    wanted: bool = True

    undo: ClassVar[Undo] = Undo.EXACT
    gives_up: ClassVar[bool] = True  # a folder that somebody put something into stays

    @classmethod
    def at(cls, path: Path, mode: str = "0755") -> Directory:
        """A folder at ``path``, owned by root."""
        return cls(f"directory:{path}", mode=mode)

    @property
    def path(self) -> Path:
        return Path(self.id.partition(":")[2])

    def desired(self) -> State:
        return {"mode": self.mode, "owner": self.owner} if self.wanted else {}

    def observe(self, facts: Facts) -> State:
        # the folder itself may be a link that the admin made, to another disk
        found = facts.machine.status(facts.real_path(self.path))
        return {"mode": found.mode, "owner": found.owner} if found and found.kind == "directory" else {}

    def change(self, diff: Diff, machine: Machine) -> None:
        if self.wanted:
            machine.make_directory(self.path, mode=int(self.mode, 8), owner=self.owner)
        elif not any(machine.at(self.path).iterdir()):
            machine.remove(self.path)


@dataclass
class Link(Resource):
    """A symbolic link."""

    target: str = ""

    undo: ClassVar[Undo] = Undo.EXACT

    @classmethod
    def at(cls, path: Path, target: str) -> Link:
        """A link at ``path`` that points to ``target``."""
        return cls(f"link:{path}", target=target)

    @property
    def path(self) -> Path:
        return Path(self.id.partition(":")[2])

    def desired(self) -> State:
        return {"target": self.target} if self.target else {}

    def observe(self, facts: Facts) -> State:
        found = facts.machine.status(self.path)
        if found is None:
            return {}
        return {"target": found.target if found.kind == "link" else f"a {found.kind}"}

    def change(self, diff: Diff, machine: Machine) -> None:
        if not self.target:
            machine.remove(self.path)
        else:
            machine.make_link(self.path, self.target)
