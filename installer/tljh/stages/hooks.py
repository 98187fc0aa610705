"""``tljh_post_install``: the plugins' imperative hooks, run when the hub serves."""

from __future__ import annotations

import hashlib
import logging
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tljh.engine.build import Stage
from tljh.engine.machine import Machine
from tljh.engine.resource import Diff, Resource, State
from tljh.engine.store import HookRun
from tljh.plugins.calls import run_post_install
from tljh.resources.hook import Hooks
from tljh.resources.lock import BY_HAND, Lock
from tljh.stages.config import inputs_of
from tljh.stages.context import Context

HOOK = "tljh_post_install"
log = logging.getLogger("tljh.hooks")


class PostInstallHooks(Stage[Context]):
    """Runs what can't be described; a failing hook leaves the hub serving and runs again next time."""

    name = "plugins' hooks"
    priority = 100

    def resources(self, context: Context) -> Iterable[Resource]:
        names = context.plugins_with(HOOK)
        if names:
            yield PostInstall(f"hook:{HOOK}", HOOK, names, context.store, context=context)


@dataclass
class PostInstall(Hooks):
    """Every plugin's ``tljh_post_install``."""

    context: Context = field(kw_only=True, repr=False)

    def desired(self) -> State:
        from tljh.settings.document import Document

        settings = Document(self.context.config_text).as_dict()
        inputs = inputs_of(self.context, settings)
        lock: Lock = self.context.required("user_lock")
        return {name: f"{inputs[name][:12]}-{hash_of(lock)}" for name in self.names}

    def effect(self, diff: Diff) -> str:
        return "will run, cannot be undone"

    def change(self, diff: Diff, machine: Machine) -> None:
        python = Path(sys.executable)
        failures = []
        for name, inputs in diff.put.items():
            failure = run_post_install(machine, python, name, cwd=self.context.paths.state)
            if failure is None:
                self.context.store.remember_hook(name, HOOK, HookRun(inputs, {}))
            else:
                log.error("%s\n%s", failure.problem, failure.traceback)
                failures.append(failure.problem)
        if failures:
            raise HookFailed(failures)


class HookFailed(Exception):
    """Hooks that failed, a sentence each; the hub serves all the same."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


def hash_of(lock: Lock) -> str:
    """A digest of what an environment was asked to hold; what an admin installed by hand doesn't count."""
    asked = (row.requirement for row in lock.requested if row.origin != BY_HAND)
    return hashlib.sha256("\n".join(asked).encode()).hexdigest()[:12]
