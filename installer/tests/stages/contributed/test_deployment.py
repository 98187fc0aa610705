"""When stages' code runs, what is remembered of it, and how it is taken back."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from fakes import make_context, make_environment, real
from tljh.configurer import with_defaults
from tljh.engine.apply import Applier
from tljh.engine.build import Stage, build
from tljh.engine.plan import Change, make_plan
from tljh.errors import TljhError
from tljh.plugins import recording
from tljh.plugins.contributions import PluginReport
from tljh.plugins.stage_calls import Deployed, StageFailure
from tljh.resources.locks.lock import Lock
from tljh.stages.context import Context, Options
from tljh.stages.contributed import deployment as module
from tljh.stages.contributed import plugin_stages
from tljh.stages.inputs import BEGUN

LABEL = "plugin x (tljh-x 1.0)"


class FakeHost:
    """What the process does, told to a list.

    Attributes:
        failing: What was asked for → why it fails.
        contexts: The stages whose deploy is a context.
    """

    def __init__(self, story: list[str], python: Path, variables: Mapping[str, str]) -> None:
        self.story, self.python, self.variables = story, python, dict(variables)
        self.failing: dict[str, str] = {}
        self.left_failures: list[StageFailure] = []
        self.contexts = {"one", "two"}
        self.outputs: dict[str, dict[str, Any]] = {}
        self.note = ""

    def _ask(self, what: str, plugin: str, stage: str, outputs: Mapping[str, Any]) -> None:
        self.story.append(f"{what} {stage} {dict(outputs)}")
        if self.note:
            Path(self.variables[recording.VARIABLE]).write_text(self.note)
        problem = self.failing.get(f"{what} {stage}")
        if problem:
            raise StageFailure(problem, "Traceback", plugin=plugin, stage=stage)

    def deploy(self, plugin: str, label: str, stage: str, outputs: Mapping[str, Any]) -> Deployed:
        self._ask("deploy", plugin, stage, outputs)
        return Deployed(self.outputs.get(stage, {}), stage in self.contexts)

    def destroy(self, plugin: str, label: str, stage: str, outputs: Mapping[str, Any]) -> None:
        self._ask("destroy", plugin, stage, outputs)

    def check(self, plugin: str, label: str, stage: str, outputs: Mapping[str, Any]) -> None:
        self._ask("check", plugin, stage, outputs)

    def leave(self, error: str | None = None) -> list[StageFailure]:
        self.story.append(f"leave {error}" if error else "leave")
        return self.left_failures

    def close(self) -> None:
        self.story.append("close")


class Runs:
    """Installs of plugin x with some stages, as far as stages' code goes."""

    def __init__(self, context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
        self.context = context
        self.story: list[str] = []
        self.rows: list[dict[str, Any]] = []
        self.hosts: list[FakeHost] = []
        self.failing: dict[str, str] = {}
        self.left_failures: list[StageFailure] = []
        self.outputs: dict[str, dict[str, Any]] = {}
        self.note = ""
        self.report: dict[str, Any] = {}

        def started(code: object, python: Path, variables: Mapping[str, str]) -> FakeHost:
            host = FakeHost(self.story, python, variables)
            host.failing, host.left_failures = self.failing, self.left_failures
            host.outputs, host.note = self.outputs, self.note
            self.hosts.append(host)
            return host

        monkeypatch.setattr(module.StageCode, "_started", started)

    def add(self, name: str, priority: int = 50, has: tuple[str, ...] = ("deploy", "destroy")) -> None:
        self.rows.append({"name": name, "priority": priority, "has": list(has), "resources": [], "rendered": {}})

    def look(self) -> Any:
        context = self.context
        context.reports = (
            [PluginReport("x", "tljh-x", "1.0", stages=tuple(self.rows), label=LABEL, **self.report)]
            if self.rows
            else []
        )
        context.facts.refresh()
        context.line_up = plugin_stages.look(context, [])
        context.stage_code = module.StageCode(context)
        owned = context.store.owned()
        forgotten = {module.KIND: module.forgotten(context)}
        found = build([*context.line_up.stages, Nothing()], context, owned, forgotten)
        plan = plugin_stages.destroyed_first(make_plan(found, context.facts, owned))
        context.stage_code.leaving = module.dropped(plan)
        return plan

    def plan(self) -> list[Change]:
        return list(self.look().changes())

    def install(self, *, stops: BaseException | None = None) -> list[str]:
        """One run; returns what happened in the process."""
        self.story.clear()
        plan = self.look()
        context = self.context
        applier = Applier(context.machine, context.facts, context.store, context.store.begin_run("test"))
        with module.running(context):
            for stage in context.line_up.active:
                for step in plan.puts:
                    if step.resource.stage == stage.name:
                        applier.apply(step)
                stage.check(context)
            if stops:
                raise stops
        for step in plan.drops:
            applier.apply(step)
        return list(self.story)


class Nothing(Stage[Context]):
    name, priority = "nothing", 1000


@pytest.fixture
def context(tmp_path: Path) -> Context:
    made = make_context(real(tmp_path), config=with_defaults({}), hub_lock=Lock((), ("tljh-x==1.0",)))
    made.user_lock = Lock((), ())
    return made


@pytest.fixture
def runs(context: Context, monkeypatch: pytest.MonkeyPatch) -> Runs:
    return Runs(context, monkeypatch)


def test_deploy_runs_once_and_again_when_something_differs(runs: Runs) -> None:
    runs.add("one")
    assert runs.install() == ["deploy one {}", "leave", "close"]
    assert runs.install() == []
    runs.context.config_text = "base_url: /x\n"
    assert runs.install() == ["deploy one {}", "leave", "close"]
    assert runs.install() == []
    runs.context.options = Options(run_hooks=True)
    assert runs.install() == ["deploy one {}", "leave", "close"]
    runs.context.options = Options()
    assert runs.install() == []


def test_the_plan_says_that_it_will_run_and_why(runs: Runs) -> None:
    runs.add("one")
    runs.add("two", has=("deploy",))
    one, two = runs.plan()
    assert (one.stage, one.resource, one.key, one.action, one.origin) == ("one", "stage:one", "x", "run", "x")
    assert (one.effect, one.undo) == ("deploy() will run: it has not run yet", "removed")
    assert two.undo == "cannot be undone"
    assert runs.story == [], "a plan runs nothing"
    runs.install()
    runs.context.config_text = "base_url: /x\n"
    assert {line.effect for line in runs.plan()} == {"deploy() will run: changed: config.yaml"}
    runs.context.options = Options(run_hooks=True)
    assert {line.effect for line in runs.plan()} == {"deploy() will run: it is asked for"}


def test_stages_in_order_with_the_outputs_of_earlier_ones(runs: Runs) -> None:
    runs.add("two", 60)
    runs.add("one", 40)
    runs.outputs = {"one": {"one": {"port": 5432}}}
    assert runs.install() == ["deploy one {}", "deploy two {'one': {'port': 5432}}", "leave", "close"]
    runs.add("three", 50, has=("check",))
    assert "check three {'one': {'port': 5432}}" in runs.install(), "also when it did not run this time"
    runs.rows[1]["has"] = ["deploy", "destroy", "check"]
    assert "check one {'one': {'port': 5432}}" in runs.install(), "and its own"


def test_a_failing_deploy_stops_the_run_before_later_stages(runs: Runs) -> None:
    runs.add("one", 40)
    runs.add("two", 60)
    runs.add("three", 80)
    runs.failing = {"deploy two": f"{LABEL}: deploy of the stage two failed: KeyError: 'a'"}
    with pytest.raises(TljhError) as caught:
        runs.install()
    assert str(caught.value) == (
        "plugin x (tljh-x 1.0): deploy of the stage two failed: KeyError: 'a'\n"
        "  → the stages after it did not run; mend or update the plugin, or go on without it (--without x) "
        "or without this stage (--exclude-stage 'two')"
    )
    assert runs.story[:2] == ["deploy one {}", "deploy two {}"]
    assert runs.story[2].startswith("leave plugin x (tljh-x 1.0): deploy of the stage two failed")
    assert runs.story[3] == "close"
    runs.failing = {}
    changes = {line.resource: line.effect for line in runs.plan()}
    assert changes == {
        "stage:one": "deploy() will run: it did not finish the last time",
        "stage:two": "deploy() will run: it did not finish the last time",
        "stage:three": "deploy() will run: it has not run yet",
    }
    assert runs.install()[-2:] == ["leave", "close"]
    assert runs.install() == []


def test_contexts_see_what_stopped_the_run_and_plain_functions_need_not_run_again(runs: Runs) -> None:
    runs.add("one")
    runs.add("plain")
    with pytest.raises(TljhError, match="apt is broken"):
        runs.install(stops=TljhError("apt is broken"))
    assert runs.story[-2:] == ["leave apt is broken", "close"]
    assert [line.resource for line in runs.plan()] == ["stage:one"]


def test_contexts_see_that_the_run_was_interrupted(runs: Runs) -> None:
    runs.add("one")
    with pytest.raises(KeyboardInterrupt):
        runs.install(stops=KeyboardInterrupt())
    assert runs.story[-2:] == ["leave it was interrupted", "close"]


def test_what_fails_as_it_is_left_runs_again(runs: Runs) -> None:
    runs.add("one")
    runs.add("two")
    problem = f"{LABEL}: deploy of the stage two, as it ended, failed: OSError: full"
    runs.left_failures = [StageFailure(problem, "Traceback", plugin="x", stage="two")]
    with pytest.raises(TljhError) as caught:
        runs.install()
    assert str(caught.value) == (
        f"{problem}\n  → mend, update or leave out the plugin; it runs again when the same command is run again"
    )
    assert [line.resource for line in runs.plan()] == ["stage:two"]


def test_when_nobody_knows_what_was_left_all_runs_again(runs: Runs) -> None:
    runs.add("one")
    runs.left_failures = [StageFailure("the process that held them is gone")]
    with pytest.raises(TljhError, match="is gone"):
        runs.install()
    assert [line.resource for line in runs.plan()] == ["stage:one"]


def test_a_check_that_fails(runs: Runs) -> None:
    runs.add("one", has=("check",))
    assert runs.install() == ["check one {}", "leave", "close"]
    runs.failing = {"check one": f"{LABEL}: check of the stage one says: port 80 is closed"}
    with pytest.raises(TljhError, match="says: port 80 is closed\n  → the stages after it did not run"):
        runs.install()


def test_where_the_code_runs(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.sys, "executable", "/opt/tljh/envs/hub-2/bin/python")
    runs.context.plugin_variables = {"TLJH_PLUGINS_OFF": "y", "TLJH_IMPORT_PLUGINS": "/a.py"}
    runs.add("one")
    runs.install()
    (host,) = runs.hosts
    assert host.python == Path("/opt/tljh/envs/hub-2/bin/python")
    assert host.variables == {
        "TLJH_PLUGINS_OFF": "y",
        "TLJH_IMPORT_PLUGINS": "/a.py",
        recording.VARIABLE: str(runs.context.scratch / "stages.notes"),
    }


def test_deeds_are_kept_also_of_a_stage_that_failed_then(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[Any] = []
    monkeypatch.setattr(module.recording, "keep", lambda store, plugin, notes: kept.extend(notes))
    runs.add("one")
    runs.note = '{"kind": "group", "plugin": "x", "name": "g"}\n'
    runs.failing = {"deploy one": "it failed"}
    with pytest.raises(TljhError):
        runs.install()
    assert [note["name"] for note in kept] == ["g"]
    assert not (runs.context.scratch / "stages.notes").exists()


# ---- taking back


def test_destroy_runs_when_nobody_wants_the_stage(runs: Runs) -> None:
    runs.add("one", 40)
    runs.add("two", 60)
    runs.outputs = {"one": {"one": 1}, "two": {"two": 2}}
    runs.install()
    runs.rows.clear()
    first, second = runs.plan()
    assert (first.resource, second.resource) == ("stage:two", "stage:one")
    assert (first.action, first.effect, first.undo) == ("run", "destroy() will run", "removed")
    assert runs.install() == [
        "destroy one {'one': 1, 'two': 2}",
        "destroy two {'one': 1, 'two': 2}",
        "leave",
        "close",
    ]
    assert runs.context.store.owned() == {}
    assert runs.context.store.hook_run("x", "stage:one") is None
    assert runs.install() == []


def test_what_can_not_be_destroyed_is_told_and_goes_all_the_same(
    runs: Runs, capsys: pytest.CaptureFixture[str]
) -> None:
    runs.add("one", 40)
    runs.add("two", 60)
    runs.install()
    runs.rows.clear()
    problem = f"{LABEL}: destroy of the stage one failed: OSError: no"
    runs.failing = {"destroy one": problem}
    assert runs.install()[-3:] == ["destroy two {}", "leave", "close"]
    assert list(runs.context.not_done) == [problem]
    assert capsys.readouterr().err == f"! {problem}; it is taken out all the same\n"
    assert runs.context.store.owned() == {}


def test_a_stage_without_destroy(runs: Runs) -> None:
    runs.add("one", has=("deploy",))
    runs.install()
    runs.rows.clear()
    (line,) = runs.plan()
    assert (line.effect, line.undo) == ("nothing of it is undone: it has no destroy()", "cannot be undone")
    assert runs.install() == []
    assert runs.context.store.owned() == {}


def test_one_that_did_not_finish_is_destroyed_as_well(runs: Runs) -> None:
    runs.add("one")
    runs.failing = {"deploy one": "it failed"}
    with pytest.raises(TljhError):
        runs.install()
    run = runs.context.store.hook_run("x", "stage:one")
    assert run is not None
    assert run.inputs == BEGUN
    runs.rows.clear()
    assert runs.install() == ["destroy one {}", "leave", "close"]


def test_destroy_runs_where_the_plugin_still_is(runs: Runs) -> None:
    context = runs.context
    runs.add("one")
    runs.report = {"source": "import", "origin_path": "/root/mine.py"}
    runs.install()
    old = make_environment(context.paths.envs / "hub-3", {})
    context.store.add_generation(1, "x", {"environments": {"hub": "hub-3"}})
    context.plugin_variables = {"TLJH_PLUGINS_OFF": "x"}
    runs.rows.clear()
    runs.install()
    assert runs.hosts[-1].python == old / "bin/python"
    assert runs.hosts[-1].variables == {"TLJH_PLUGINS_OFF": "x", "TLJH_IMPORT_PLUGINS": "/root/mine.py"}


def test_without_a_generation_it_is_what_serves(context: Context) -> None:
    assert module.python_of_last_time(context) == context.paths.hub / "bin" / "python"


def test_a_stage_that_another_plugin_takes_over(runs: Runs) -> None:
    runs.add("one")
    runs.install()
    context = runs.context
    mine = context.reports[0]
    row = {"name": "one", "priority": 50, "has": ["deploy"], "resources": [], "rendered": {}}
    other = PluginReport("y", "tljh-y", "1.0", stages=(row,))
    context.line_up = plugin_stages.LineUp([plugin_stages.PluginStage(other, row)])
    context.stage_code = module.StageCode(context)
    owned = context.store.owned()
    context.reports = [other]
    plan = make_plan(build(context.line_up.stages, context, owned, {}), context.facts, owned)
    assert [(line.key, line.effect) for line in plan.changes()] == [
        ("y", "deploy() will run: it has not run yet"),
        ("x", "destroy() will run"),
    ]
    assert mine.name == "x"


# ---- what this run does without


def test_what_this_run_does_without_is_left_as_it_is(runs: Runs) -> None:
    runs.add("one", has=("deploy", "destroy", "check"))
    runs.install()
    context = runs.context
    context.left_out = {"x": context.reports[0]}
    context.config_text = "base_url: /x\n"
    context.options = Options(run_hooks=True)
    runs.rows.clear()
    assert runs.install() == []
    assert "stage:one" in context.store.owned()


def test_a_run_that_was_cut_off_before_anything_was_noted(runs: Runs) -> None:
    runs.add("one")
    (step,) = runs.look().puts
    runs.context.store.begin_change(runs.context.store.begin_run("x"), step.resource, step.diff, None)
    runs.rows.clear()
    (line,) = runs.plan()
    assert line.before == BEGUN
    assert runs.install() == []
    assert runs.context.store.owned() == {}
