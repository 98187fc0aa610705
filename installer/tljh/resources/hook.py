"""Plugins' imperative hooks as resources: what is observed of one is its last good run, which the store keeps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from tljh.engine.facts import Facts
from tljh.engine.resource import Resource, State, Undo
from tljh.engine.store import HookRun, Store


@dataclass
class Hooks(Resource):
    """One hook of every plugin that has it; the state of each is a digest of all that it could depend on.

    Attributes:
        store: Where good runs are recorded.
        hook: Its name.
        names: The plugins that implement it.
        forced: Whether it runs though nothing that it could depend on has changed.
    """

    hook: str
    names: Sequence[str]
    store: Store = field(repr=False)
    forced: bool = field(default=False, kw_only=True)
    _done: set[str] = field(default_factory=set, kw_only=True, repr=False)

    undo: ClassVar[Undo] = Undo.NEVER
    owns: ClassVar[bool] = False
    imperative: ClassVar[bool] = True

    def __post_init__(self) -> None:
        self.origins = {name: name for name in self.names}

    def observe(self, facts: Facts) -> State:
        must = set(self.names) - self._done if self.forced else set()
        return {name: run.inputs for name, run in self.runs().items() if name not in must}

    def runs(self) -> dict[str, HookRun]:
        """The last good run of each plugin that had one."""
        found = {name: self.store.hook_run(name, self.hook) for name in self.names}
        return {name: run for name, run in found.items() if run}

    def remember(self, name: str, run: HookRun) -> None:
        """One plugin's hook ran well."""
        self.store.remember_hook(name, self.hook, run)
        self._done.add(name)
