"""When the code of plugins' stages runs, and what is remembered of it.

``deploy`` runs when something that it could depend on has changed (``inputs``); what was deployed is owned, and
``destroy`` runs when nobody wants it any more. All of it runs in one other process (``tljh.plugins.stage_host``).
"""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from tljh.engine.facts import Facts
from tljh.engine.machine import Machine
from tljh.engine.plan import Plan
from tljh.engine.resource import Diff, Resource, State, Undo
from tljh.engine.store import HookRun
from tljh.errors import TljhError
from tljh.plugins import recording
from tljh.plugins.sources import IMPORT_VARIABLE
from tljh.plugins.stage_calls import StageFailure, StageHost
from tljh.settings.document import Document
from tljh.stages.context import Context
from tljh.stages.inputs import BEGUN, Inputs, forced, why

if TYPE_CHECKING:
    from tljh.stages.contributed.plugin_stages import PluginStage

KIND = "stage"
"""What the id of a deployment begins with; the store keeps its last run under that id."""
log = logging.getLogger("tljh.hooks")


@dataclass
class Deployment(Resource):
    """That a stage's ``deploy`` has run well; its state is a digest of all that it could depend on, by plugin.

    Attributes:
        wanted: The stage; ``None`` when nobody wants it any more, and ``destroy`` runs.
    """

    wanted: PluginStage | None = None
    context: Context = field(kw_only=True, repr=False)

    undo: ClassVar[Undo] = Undo.INVERSE
    imperative: ClassVar[bool] = True

    @property
    def name(self) -> str:
        return self.id.partition(":")[2]

    @property
    def priority(self) -> int:
        """Where it stood when it was deployed."""
        runs = [self.run_of(plugin) for plugin in self.origins]
        return max((int(run.keys.get("priority", 0)) for run in runs if run), default=0)

    def desired(self) -> State:
        if self.wanted is None:
            return {}
        if self.wanted.origin in self.context.left_out:
            return self._recorded(self.wanted.origin)
        return {self.wanted.origin: self._code.inputs.of(self.wanted.report)}

    def observe(self, facts: Facts) -> State:
        found: dict[str, str] = {}
        for plugin in self.origins:
            found.update({} if self._must_run(plugin) else self._recorded(plugin))
        return {**found, **self._code.deployed.get(self.id, {})}

    def run_of(self, plugin: str) -> HookRun | None:
        """Its last run for this plugin."""
        return self.context.store.hook_run(plugin, self.id)

    @property
    def _code(self) -> StageCode:
        code: StageCode = self.context.required("stage_code")
        return code

    def _must_run(self, plugin: str) -> bool:
        mine = self.wanted is not None and self.wanted.origin == plugin
        return mine and forced(self.context) and plugin not in self.context.left_out

    def _recorded(self, plugin: str) -> dict[str, str]:
        run = self.run_of(plugin)
        if run is None and (self.id, plugin) not in self._code.gone:
            begun = plugin in self.context.store.owned().get(self.id, {})
            return {plugin: BEGUN} if begun else {}  # killed before anything else could be noted
        return {plugin: run.inputs} if run else {}

    def effect(self, diff: Diff) -> str:
        told = []
        for plugin, inputs in diff.put.items():
            run = self.run_of(plugin)
            reason = why(run.inputs if run else diff.before.get(plugin), inputs, forced=self._must_run(plugin))
            told.append(f"deploy() will run: {reason}")
        for plugin in diff.drop:
            takes_back = "destroy" in _has(self.run_of(plugin))
            told.append("destroy() will run" if takes_back else "nothing of it is undone: it has no destroy()")
        return "; ".join(told)

    def change(self, diff: Diff, machine: Machine) -> None:
        for plugin, inputs in diff.put.items():
            self._deploy(plugin, inputs)
        for plugin in diff.drop:
            problem = self._code.destroyed(self.id, plugin)
            if problem:
                self.context.not_done.append(problem)
                self.context.reporter.warn(f"{problem}; it is taken out all the same")
            self.context.store.forget_hook(plugin, self.id)
            self._code.gone.add((self.id, plugin))

    def _deploy(self, plugin: str, inputs: str) -> None:
        stage, store = self.wanted, self.context.store
        if stage is None:
            raise RuntimeError(f"{self.id} is to be deployed, but nobody wants it")
        before = self.run_of(plugin)
        keys: dict[str, Any] = {
            "priority": stage.priority,
            "label": stage.whose,
            "has": list(stage.described["has"]),
            "path": stage.report.origin_path if stage.report.source == "import" else "",
            "outputs": before.keys.get("outputs", {}) if before else {},
        }
        # it has only begun until it is done, so a run that is cut off or fails runs it again
        store.remember_hook(plugin, self.id, HookRun(BEGUN, keys))
        if stage.has("deploy"):
            keys["outputs"], entered = self._code.deploy(stage)
        else:
            entered = False
        store.remember_hook(plugin, self.id, HookRun(BEGUN if entered else inputs, keys))
        self._code.deployed.setdefault(self.id, {})[plugin] = inputs


@dataclass
class DeploymentForGood(Deployment):
    """One without ``destroy``."""

    undo: ClassVar[Undo] = Undo.NEVER


def forgotten(context: Context) -> Callable[[str], Resource]:
    """How to make a deployment that nobody wants any more (see ``forgotten``)."""

    def make(name: str) -> Resource:
        runs = (context.store.hook_run(plugin, name) for plugin in context.store.owned().get(name, {}))
        takes_back = any("destroy" in _has(run) for run in runs)
        return (Deployment if takes_back else DeploymentForGood)(name, context=context)

    return make


def _has(run: HookRun | None) -> list[str]:
    return list(run.keys.get("has", ())) if run else []


class StageCode:
    """The code of plugins' stages in one run: the processes, and what they came to.

    Attributes:
        deployed: What was deployed in this run, as it will be remembered: id → plugin → inputs.
        leaving: Id and plugin of the stages that are to be destroyed; gone: of those that were.
    """

    def __init__(self, context: Context) -> None:
        self.context = context
        self.deployed: dict[str, dict[str, str]] = {}
        self._host: StageHost | None = None
        self._outputs: dict[str, dict[str, Any]] = {}
        self.leaving: list[tuple[str, str]] = []
        self.gone: set[tuple[str, str]] = set()
        self._not_destroyed: dict[tuple[str, str], str] | None = None

    @cached_property
    def inputs(self) -> Inputs:
        """What code could depend on."""
        return Inputs(self.context, Document(self.context.config_text).as_dict())

    @property
    def host(self) -> StageHost:
        """The process in which ``deploy`` and ``check`` run."""
        if self._host is None:
            notes = {recording.VARIABLE: str(self._notes)}
            self._host = self._started(Path(sys.executable), {**self.context.plugin_variables, **notes})
        return self._host

    @property
    def _notes(self) -> Path:
        return self.context.scratch / "stages.notes"

    def _started(self, python: Path, variables: dict[str, str]) -> StageHost:
        context = self.context
        return StageHost(
            context.machine,
            python,
            context.config_text,
            context.paths.prefix,
            variables=variables,
            cwd=context.paths.state,
        )

    def deploy(self, stage: PluginStage) -> tuple[dict[str, Any], bool]:
        """Run a stage's ``deploy``.

        Returns:
            What it put into ``stage_outputs``, and whether it goes on when all stages are done.

        Raises:
            TljhError: it failed; the plugin and the stage are named.
        """
        try:
            done = self.host.deploy(stage.origin, stage.whose, stage.name, self._outputs_until(stage))
        except StageFailure as failure:
            raise _error(failure, stage) from failure
        finally:
            self._keep_notes()
        self._outputs[stage.name] = done.outputs
        return done.outputs, done.entered

    def check(self, stage: PluginStage) -> None:
        """Let a stage look whether it works.

        Raises:
            TljhError: it does not.
        """
        try:
            self.host.check(stage.origin, stage.whose, stage.name, self._outputs_until(stage, its_own=True))
        except StageFailure as failure:
            raise _error(failure, stage) from failure

    def _outputs_until(self, stage: PluginStage, *, its_own: bool = False) -> dict[str, Any]:
        """What earlier stages gave when they last ran, and the stage itself."""
        found: dict[str, Any] = {}
        stages = self.context.line_up.stages
        until = next(number for number, one in enumerate(stages) if one is stage)
        for one in stages[: until + its_own]:
            if one.name not in self._outputs:
                run = self.context.store.hook_run(one.origin, f"{KIND}:{one.name}")
                self._outputs[one.name] = run.keys.get("outputs", {}) if run else {}
            found.update(self._outputs[one.name])
        return found

    def _keep_notes(self) -> None:
        """What was done through the contract's functions is the plugin's own, also when it failed then."""
        notes = recording.read(self._notes)
        if notes:
            recording.keep(self.context.store, "", notes)
            self._notes.unlink()

    # ---- the end

    def end(self) -> None:
        """Leave what was entered, the last one first; what ended well need not run again.

        Raises:
            TljhError: something failed there.
        """
        failures = self._left(None)
        failed = {(failure.plugin, f"{KIND}:{failure.stage}") for failure in failures}
        for name, plugins in self.deployed.items():
            for plugin, inputs in plugins.items():
                run = self.context.store.hook_run(plugin, name)
                nobody_knows = any(not failure.plugin for failure in failures)
                if run and (plugin, name) not in failed and not nobody_knows:
                    self.context.store.remember_hook(plugin, name, HookRun(inputs, run.keys))
        if failures:
            raise TljhError(
                "\n".join(failure.problem for failure in failures),
                todo="mend, update or leave out the plugin; it runs again when the same command is run again",
            )

    def fail(self, error: BaseException) -> None:
        """Leave what was entered, with what stopped the run."""
        told = error.what if isinstance(error, TljhError) else str(error)
        if isinstance(error, KeyboardInterrupt):
            told = "it was interrupted"
        for failure in self._left(told or type(error).__name__):
            self.context.reporter.warn(failure.problem)

    def _left(self, error: str | None) -> list[StageFailure]:
        failures = self._host.leave(error) if self._host else []
        for failure in failures:
            log.error("%s\n%s", failure.problem, failure.traceback)
        if self._host:
            self._keep_notes()
        return failures

    def close(self) -> None:
        """End the process, if there is one."""
        if self._host:
            self._host.close()
            self._host = None

    # ---- taking back

    def destroyed(self, name: str, plugin: str) -> str:
        """Destroy a stage that nobody wants, and in the same go all others of this run.

        Returns:
            What could not be done; empty where all was.
        """
        if self._not_destroyed is None:
            self._not_destroyed = self._destroy()
        return self._not_destroyed.get((name, plugin), "")

    def _destroy(self) -> dict[tuple[str, str], str]:
        """Enter all in stage order, then leave them; what failed, by id and plugin."""
        store = self.context.store
        found = [(name, plugin, store.hook_run(plugin, name)) for name, plugin in self.leaving]
        rows = [(name, plugin, run) for name, plugin, run in found if run and "destroy" in _has(run)]
        rows.sort(key=lambda row: (row[2].keys.get("priority", 0), row[0]))
        if not rows:
            return {}
        paths = [str(run.keys["path"]) for _, _, run in rows if run.keys.get("path")]
        imported = ":".join(dict.fromkeys(paths))
        variables = {**self.context.plugin_variables, IMPORT_VARIABLE: imported}
        host = self._started(python_of_last_time(self.context), variables)
        failures: list[StageFailure] = []
        outputs = {key: value for *_, run in rows for key, value in run.keys.get("outputs", {}).items()}
        try:
            for name, plugin, run in rows:
                failures += _attempt(host, plugin, str(run.keys.get("label", plugin)), name, outputs)
            failures += host.leave()
        finally:
            host.close()
        for failure in failures:
            log.error("%s\n%s", failure.problem, failure.traceback)
        return {(f"{KIND}:{failure.stage}", failure.plugin): failure.problem for failure in failures}


def _attempt(host: StageHost, plugin: str, label: str, name: str, outputs: dict[str, Any]) -> list[StageFailure]:
    stage = name.partition(":")[2]
    try:
        host.destroy(plugin, label, stage, outputs)
    except StageFailure as failure:
        return [StageFailure(failure.problem, failure.traceback, plugin=plugin, stage=stage)]
    except TljhError as error:
        return [StageFailure(f"{label}: destroy of the stage {stage}: {error.what}", plugin=plugin, stage=stage)]
    return []


def dropped(plan: Plan) -> list[tuple[str, str]]:
    """Id and plugin of the stages that a plan destroys."""
    steps = (step for step in plan.drops if isinstance(step.resource, Deployment))
    return [(step.resource.id, plugin) for step in steps for plugin in step.diff.drop]


@contextlib.contextmanager
def running(context: Context) -> Iterator[None]:
    """While stages run: what their code entered is left at the end, and the process with it."""
    code = context.stage_code or StageCode(context)
    try:
        yield
    except BaseException as error:
        code.fail(error)
        raise
    else:
        code.end()
    finally:
        code.close()


def python_of_last_time(context: Context) -> Path:
    """The interpreter of the hub environment that the last good install left: plugins that go are still in it."""
    name = context.store.newest().get("environments", {}).get("hub", "")
    python = context.paths.envs / str(name) / "bin" / "python"
    if context.machine.at(python).exists():
        return python
    return context.paths.hub / "bin" / "python"


def _error(failure: StageFailure, stage: PluginStage) -> TljhError:
    log.error("%s\n%s", failure.problem, failure.traceback)
    return TljhError(
        failure.problem,
        todo="the stages after it did not run; mend or update the plugin, or go on without it "
        f"(--without {stage.origin}) or without this stage (--exclude-stage '{stage.name}')",
    )
