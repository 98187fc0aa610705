"""The stages of a run: plugins' among the core's, who stands in for whom, what is left alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from fakes import Things, make_context, make_environment, real
from tljh.configurer import with_defaults
from tljh.engine.build import Stage, build
from tljh.engine.plan import make_plan
from tljh.engine.resource import Diff
from tljh.engine.store import HookRun
from tljh.errors import TljhError
from tljh.plugins.contributions import PluginReport
from tljh.resources.locks.lock import Lock, Requested, record_of
from tljh.stages import core_stages
from tljh.stages.context import Context, Options
from tljh.stages.contributed import deployment
from tljh.stages.contributed import plugin_stages as module
from tljh.stages.contributed.plugin_stages import LineUp, PluginStage


def row(name: str, priority: int = 50, has: tuple[str, ...] = (), **more: Any) -> Mapping[str, Any]:
    return {"name": name, "priority": priority, "has": list(has), "resources": [], "rendered": {}, **more}


def report(plugin: str, *rows: Mapping[str, Any]) -> PluginReport:
    return PluginReport(plugin, f"tljh-{plugin}", "1.0", stages=rows, label=f"plugin {plugin} (tljh-{plugin} 1.0)")


@pytest.fixture
def context(tmp_path: Path) -> Context:
    return make_context(real(tmp_path), config=with_defaults({}))


def names(line_up: LineUp) -> list[str]:
    return [stage.name for stage in line_up.stages]


def test_plugins_stages_are_before_between_and_after_the_cores(context: Context) -> None:
    context.reports = [report("x", row("first", 5), row("last", 200), row("middle", 75))]
    found = names(module.look(context, core_stages()))
    assert (found[0], found[-1]) == ("first", "last")
    assert found[found.index("proxy") + 1] == "middle"
    assert len(found) == len(core_stages()) + 3


def test_one_that_stands_in_for_the_cores(context: Context) -> None:
    context.reports = [report("x", row("proxy", 71)), report("y", row("proxy", 10))]
    found = module.look(context, core_stages())
    (proxy,) = [stage for stage in found.stages if stage.name == "proxy"]
    assert proxy.origin == "x"
    assert found.notes == [
        "the stage proxy is that of plugin x (tljh-x 1.0) (priority 71), "
        "in the place of that of plugin y (tljh-y 1.0) (priority 10)",
        "the stage proxy is that of plugin x (tljh-x 1.0) (priority 71), "
        "in the place of that of the core (priority 70)",
    ]


def test_two_equals(context: Context) -> None:
    context.reports = [report("x", row("database")), report("y", row("database"))]
    with pytest.raises(TljhError, match=r"named database .* of plugin x \(tljh-x 1\.0\) and plugin y"):
        module.look(context, core_stages())


def test_stages_of_a_plugin_that_this_run_does_without_are_there(context: Context) -> None:
    context.left_out = {"x": report("x", row("database"))}
    assert "database" in names(module.look(context, core_stages()))


# ---- what is left alone


def test_stages_that_are_left_alone(context: Context) -> None:
    context.reports = [report("x", row("database"))]
    context.options = Options(exclude_stages=("USER*", "Data?ase"))
    found = module.look(context, core_stages())
    assert found.excluded == {"user environment", "database"}
    assert "database" not in [stage.name for stage in found.active]
    assert "proxy" in [stage.name for stage in found.active]
    context.options = Options(exclude_default_stages=True)
    assert [stage.name for stage in module.look(context, core_stages()).active] == ["database"]


def test_a_default_stage_that_a_plugin_replaced_is_none(context: Context) -> None:
    context.reports = [report("x", row("proxy", 71))]
    context.options = Options(exclude_default_stages=True)
    assert [stage.name for stage in module.look(context, core_stages()).active] == ["proxy"]


def test_a_pattern_that_fits_nothing(context: Context) -> None:
    context.options = Options(exclude_stages=("prxy",))
    with pytest.raises(TljhError) as caught:
        module.look(context, core_stages()[:2])
    assert str(caught.value) == (
        "--exclude-stage prxy: there is no stage of this name; there are: takeover, config\n"
        "  → name one of them, in quotes, or a pattern such as 'user*'; nothing was changed"
    )


def test_a_stage_that_is_still_deployed_can_be_named(context: Context) -> None:
    own(context, "stage:gone", "x")
    context.options = Options(exclude_stages=("gone",))
    assert module.look(context, core_stages()).excluded == {"gone"}


def own(context: Context, name: str, key: str, *, stage: str = "") -> None:
    """Own something, as an earlier run did."""
    thing = Things(name, origins={key: "x"}, stage=stage)
    run = context.store.begin_run("tljh install")
    context.store.end_change(
        context.store.begin_change(run, thing, Diff({}, {key: "1"}, {}), None), thing, Diff({}, {}, {}), "done"
    )


class One(Stage[Context]):
    """A stage with one thing."""

    def __init__(self, name: str, *things: Things) -> None:
        self.name, self.priority, self.things = name, 50, things

    def resources(self, context: Context) -> Any:
        return self.things


def test_what_is_left_alone_is_neither_put_nor_dropped(context: Context) -> None:
    put = Things("file:/put", wanted={"a": "1"})
    kept = Things("file:/kept", wanted={}, there={"a": "1"})
    other = Things("file:/other", wanted={"a": "1"})
    own(context, "file:/kept", "a", stage="one")
    own(context, "file:/nobody", "a", stage="one")
    own(context, "stage:one", "x")
    context.line_up = LineUp([One("one", put, kept), One("two", other)], excluded=frozenset({"one"}))
    owned = context.store.owned()
    forgotten = {
        "file": lambda name: Things(name, there={"a": "1"}),
        deployment.KIND: deployment.forgotten(context),
    }
    found = build(context.line_up.stages, context, owned, forgotten)
    assert {resource.id for resource in found} == {
        "file:/put",
        "file:/kept",
        "file:/other",
        "file:/nobody",
        "stage:one",
    }
    assert [resource.id for resource in module.of_this_run(context, found)] == ["file:/other"]
    context.line_up = LineUp(context.line_up.stages)
    assert len(module.of_this_run(context, found)) == 5


def test_environments_of_stages_that_are_left_alone_stay(context: Context) -> None:
    lock = Lock((Requested("numpy", "core"),), ("numpy==2.0",))
    for link in (context.paths.hub, context.paths.user):
        path = make_environment(context.paths.envs / f"{link.name}-3", {"numpy": "2.0"})
        (path / "tljh-environment.json").write_text(record_of(lock, {"numpy": "2.0"}))
        link.symlink_to(path)
    assert not module.keep_user_environment(context)
    module.keep_hub_environment(context)
    assert (context.hub_target, context.user_target) == (None, None)
    context.line_up = LineUp(excluded=frozenset({"hub environment", "user environment"}))
    assert module.keep_user_environment(context)
    module.keep_hub_environment(context)
    assert context.user_lock == context.hub_lock == lock
    assert context.user_target == context.paths.envs / "user-3"
    assert context.hub_target == context.paths.envs / "hub-3"


def test_an_environment_that_is_not_there_yet_has_to_be_known_all_the_same(context: Context) -> None:
    context.line_up = LineUp(excluded=frozenset({"user environment"}))
    assert not module.keep_user_environment(context)


# ---- what a stage wants


def test_what_a_stage_declares_and_renders_is_its_plugins(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(
        module,
        "resources_from",
        lambda context, rows: asked.extend(rows) or [Things("file:/a"), Things("file:/b")],
    )
    declared = {"kind": "file", "path": "/a", "content": "a", "mode": "0600", "owner": "root:root"}
    described = row("database", has=("deploy",), resources=[declared], rendered={"/b": "b\n"})
    stage = PluginStage(report("x", described), described)
    found = list(stage.resources(context))
    assert [resource.id for resource in found] == ["file:/a", "file:/b", "stage:database"]
    rendered = {"kind": "file", "path": "/b", "content": "b\n", "mode": "0644", "owner": "root:root"}
    assert asked == [("x", declared), ("x", rendered)]


@pytest.mark.parametrize(
    ("has", "undo"),
    [((), []), (("check",), []), (("deploy",), ["cannot be undone"]), (("deploy", "destroy"), ["removed"])],
)
def test_what_can_be_taken_back(context: Context, has: tuple[str, ...], undo: list[str]) -> None:
    described = row("database", has=has)
    found = list(PluginStage(report("x", described), described).resources(context))
    assert [resource.undo.value for resource in found] == undo


# ---- the order of what is taken back


def test_stages_are_destroyed_first_and_the_last_one_first(context: Context) -> None:
    for name, priority in (("one", 10), ("two", 90), ("three", 50)):
        own(context, f"stage:{name}", "x")
        context.store.remember_hook("x", f"stage:{name}", HookRun("a:1", {"priority": priority}))
    own(context, "file:/x", "a")
    owned = context.store.owned()
    context.stage_code = deployment.StageCode(context)
    forgotten = {
        "file": lambda name: Things(name, there={"a": "1"}),
        deployment.KIND: deployment.forgotten(context),
    }
    plan = make_plan(build([One("one")], context, owned, forgotten), context.facts, owned)
    found = [step.resource.id for step in module.destroyed_first(plan).drops]
    assert found == ["stage:two", "stage:three", "stage:one", "file:/x"]
