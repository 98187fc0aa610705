"""``tljh_post_install``: the plugins' imperative hooks, run when the hub serves."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tljh.engine.build import Stage
from tljh.engine.machine import Machine
from tljh.engine.resource import Diff, Resource, State
from tljh.engine.store import HookRun
from tljh.plugins import recording
from tljh.plugins.calls import run_post_install
from tljh.resources.hook import Hooks
from tljh.stages.context import Context
from tljh.stages.inputs import Inputs, forced, reasons

HOOK = "tljh_post_install"
log = logging.getLogger("tljh.hooks")


class PostInstallHooks(Stage[Context]):
    """Runs what can't be described; a failing hook leaves the hub serving and runs again next time."""

    name = "plugins' hooks"
    priority = 100

    def resources(self, context: Context) -> Iterable[Resource]:
        names = [name for name in context.plugins_with(HOOK) if name not in context.left_out]
        if names:
            must = forced(context)
            yield PostInstall(f"hook:{HOOK}", HOOK, names, context.store, forced=must, context=context)


@dataclass
class PostInstall(Hooks):
    """Every plugin's ``tljh_post_install``."""

    context: Context = field(kw_only=True, repr=False)

    def desired(self) -> State:
        from tljh.settings.document import Document

        inputs = Inputs(self.context, Document(self.context.config_text).as_dict())
        return {report.name: inputs.of(report) for report in self.context.reports if report.name in self.names}

    def effect(self, diff: Diff) -> str:
        return f"will run, cannot be undone; {reasons(self.runs(), diff.put, forced=self.forced)}"

    def change(self, diff: Diff, machine: Machine) -> None:
        python = Path(sys.executable)
        failures = []
        for name, inputs in diff.put.items():
            before = machine.read(self.context.paths.config_file)
            with recording.kept(self.context.store, name, self.context.scratch):
                failure = run_post_install(
                    machine,
                    python,
                    name,
                    cwd=self.context.paths.state,
                    wrappers=[report.name for report in self.context.reports if HOOK in report.wrappers],
                    variables=self.context.plugin_variables,
                )
            if machine.read(self.context.paths.config_file) != before:
                self.context.config_changed_by.append(name)
            if failure is None:
                self.remember(name, HookRun(inputs, {}))
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
