"""config.yaml as an earlier generation had it, whole: with its comments, whatever is in the file now."""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from tljh.engine.facts import Facts
from tljh.engine.machine import Machine
from tljh.engine.resource import Diff, Resource, State, Undo
from tljh.errors import TljhError
from tljh.settings.document import Document, locked, own_account
from tljh.settings.hidden import in_words

TEXT = "(text)"
"""The key that stands for all that is written in it, also what is no setting; no setting has this name."""
KEPT = "before-rollback"
GONE = "removed"


@dataclass
class EarlierConfig(Resource):
    """The file; what was in it and not yet put into effect is kept beside it.

    Attributes:
        text: What is to be in it.
        now: What was in it when the run began.
        applied: What it said when it was last put into effect.
        kept: Where what was in it is kept; filled by the change.
    """

    path: Path
    text: str
    now: str
    applied: str
    kept: list[Path] = field(default_factory=list)

    undo: ClassVar[Undo] = Undo.EXACT
    owns: ClassVar[bool] = False  # the file is the admin's

    def desired(self) -> State:
        wanted = _shown(self.text)
        return {**dict.fromkeys(_shown(self.now).keys() - wanted.keys(), GONE), **wanted}

    def observe(self, facts: Facts) -> State:
        found = facts.file(self.path)
        there = _shown(facts.text(self.path)) if found or not self.text else {}
        return {**{key: value for key, value in self.desired().items() if value == GONE}, **there}

    def effect(self, diff: Diff) -> str:
        before = diff.before.get(TEXT)
        unapplied = before is not None and before != _shown(self.applied)[TEXT]
        return f"what is in it and not in effect is kept as {self.path.name}.{KEPT}-…" if unapplied else ""

    def saved(self, machine: Machine) -> bytes | None:
        return machine.read(self.path)

    def change(self, diff: Diff, machine: Machine) -> None:
        with locked(self.path):
            now = machine.read(self.path)
            status = machine.status(self.path)
            owner = status.owner if status and status.kind == "file" else own_account()
            mode = int(status.mode, 8) if status and status.kind == "file" else 0o600
            if now is not None and now != self.applied.encode():
                self.kept.append(_keep(machine, self.path, now, owner))
            # a link of the admin's stays: the file that it leads to is written
            path = self.path.resolve() if status and status.kind == "link" else self.path
            machine.write_file(path, self.text.encode(), mode=mode, owner=owner)


def _keep(machine: Machine, path: Path, content: bytes, owner: str) -> Path:
    """Keep a copy beside the file, unless a run that was cut off has kept it already."""
    for there in sorted(machine.at(path.parent).glob(f"{path.name}.{KEPT}-*")):
        if machine.read(path.with_name(there.name)) == content:
            return path.with_name(there.name)
    copy = path.with_name(f"{path.name}.{KEPT}-{time.strftime('%Y%m%d-%H%M%S')}")
    machine.write_file(copy, content, mode=0o600, owner=owner)
    return copy


def _shown(text: str) -> dict[str, str]:
    """Each setting in words, secrets hidden, and a digest of the whole; of a broken file that alone."""
    found = {TEXT: hashlib.sha256(text.encode()).hexdigest()[:12]}
    with contextlib.suppress(TljhError):
        found.update({".".join(path): in_words(path, value) for path, value in _leaves(Document(text).as_dict())})
    return found


def _leaves(values: Mapping[str, Any], above: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, value in values.items():
        path = (*above, str(name))
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, path)
        else:
            yield path, value
