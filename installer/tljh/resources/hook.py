"""Plugins' imperative hooks as resources: what is observed of one is its last good run, which the store keeps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from tljh.engine.facts import Facts
from tljh.engine.resource import Resource, State, Undo
from tljh.engine.store import Store


@dataclass
class Hooks(Resource):
    """One hook of every plugin that has it; the state of each is a digest of all that it could depend on.

    Attributes:
        store: Where good runs are recorded.
        hook: Its name.
        names: The plugins that implement it.
    """

    hook: str
    names: Sequence[str]
    store: Store = field(repr=False)

    undo: ClassVar[Undo] = Undo.NEVER
    owns: ClassVar[bool] = False
    imperative: ClassVar[bool] = True

    def __post_init__(self) -> None:
        self.origins = {name: name for name in self.names}

    def observe(self, facts: Facts) -> State:
        runs = {name: self.store.hook_run(name, self.hook) for name in self.names}
        return {name: run.inputs for name, run in runs.items() if run}
