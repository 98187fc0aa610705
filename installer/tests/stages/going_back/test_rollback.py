"""Which generation a run goes back to, what is remembered then, and what is said before."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from fakes import FakeUv, Things, make_context, real
from tljh.engine.generation_tables import GOING_BACK
from tljh.engine.plan import make_plan
from tljh.engine.store import HookRun
from tljh.errors import TljhError
from tljh.plugins.contributions import PluginReport
from tljh.plugins.recorded import as_record
from tljh.resources.locks.lock import Lock, Requested, record_of
from tljh.stages import config, generation, plugins, run
from tljh.stages.context import Context, Options
from tljh.stages.going_back import rollback
from tljh.stages.going_back.earlier import Earlier
from tljh.stages.going_back.earlier_config import EarlierConfig
from tljh.stages.leaving import removal

CORE = (Requested("jupyterhub", "core"),)


@pytest.fixture
def context(tmp_path: Path) -> Context:
    return make_context(real(tmp_path), uv=FakeUv())


def generation_of(context: Context, text: str = "", plugins: tuple[str, ...] = (), **more: Any) -> int:
    """Record one with this config.yaml and these wishes, in a run that ended well."""
    context.store.set_wishes("plugin", plugins)
    lock = json.loads(record_of(Lock(CORE, ("jupyterhub==5.0",)), {}))
    record = {
        "config": text,
        "plugins": {},
        "reports": {},
        "environments": {"hub": "hub-1", "user": "user-1"},
        "locks": {"hub": lock, "user": lock},
        "memory": context.store.memory(),
        **more,
    }
    run = context.store.begin_run("tljh install")
    number = context.store.add_generation(run, "tljh install", record)
    context.store.end_run(run, "done")
    return number


def fail_a_run(context: Context) -> None:
    number = context.store.begin_run("tljh install")
    thing = Things("x", wanted={"a": "1"})
    context.store.begin_change(number, thing, make_plan([thing], context.facts, {}).puts[0].diff, None)
    context.store.end_run(number, "failed: no")


# ---- which one


def test_the_one_before_that_in_effect(context: Context) -> None:
    for text in ("a: 1", "a: 2", "a: 3"):
        generation_of(context, text)
    assert rollback.before_now(context.store) == 2
    generation_of(context, "a: 2", of=2)
    assert rollback.before_now(context.store) == 1, "it stands for 2"
    generation_of(context, "a: 4")
    assert rollback.before_now(context.store) == 4


def test_after_a_run_that_failed_the_one_in_effect(context: Context) -> None:
    generation_of(context)
    generation_of(context)
    fail_a_run(context)
    assert rollback.before_now(context.store) == 2


def test_nothing_to_go_back_to(context: Context) -> None:
    with pytest.raises(TljhError) as caught:
        rollback.before_now(context.store)
    assert str(caught.value) == (
        "no install has ended well yet, so there is nothing to go back to\n"
        "  → nothing was here before the first install: 'tljh uninstall' takes all away"
    )
    generation_of(context)
    with pytest.raises(TljhError) as caught:
        rollback.before_now(context.store)
    assert str(caught.value) == (
        "generation 1 is the first one, so there is none before it\n"
        "  → nothing was here before the first install: 'tljh uninstall' takes all away"
    )
    context.store._db.execute("insert into generations values (0, 1, 0, 'before', '{}')")
    with pytest.raises(TljhError, match="tljh rollback 0 brings back what was here before it"):
        rollback.before_now(context.store)


def test_there_is_no_such_one(context: Context) -> None:
    for _ in range(4):
        generation_of(context)
    context.store._db.execute("delete from generations where id = 2")
    context.options = Options(rollback=9)
    with pytest.raises(TljhError) as caught:
        rollback.look(context)
    assert str(caught.value) == "there is no generation 9\n  → there are 1, 3-4; 'tljh history' lists them"


def test_one_of_a_version_that_could_not_go_back(context: Context) -> None:
    context.store.add_generation(context.store.begin_run("x"), "x", {"config": "", "environments": {}})
    context.options = Options(rollback=1)
    with pytest.raises(TljhError, match="generation 1 was recorded by a version of this program that could not"):
        rollback.look(context)


# ---- what is remembered


def test_the_wishes_of_then_are_seen_and_written_when_it_begins(context: Context) -> None:
    generation_of(context, "a: 1", ("tljh-x",))
    generation_of(context, "a: 2", ("tljh-x", "tljh-y"))
    context.options = Options(rollback=1)
    rollback.look(context)
    going = context.earlier
    assert going
    assert (going.number, going.of, going.newest, going.remembered, going.applied) == (1, 1, False, False, "a: 2")
    assert context.document().as_dict() == {"a": 1}
    assert context.store.wishes("plugin") == ["tljh-x"]
    assert context.store._db.execute("select value from main.wishes").fetchall() == [("tljh-x",), ("tljh-y",)]
    rollback.begin(context)
    assert context.store._db.execute("select kind, value from main.wishes").fetchall() == [
        ("plugin", "tljh-x"),
        (GOING_BACK, "1"),
    ]
    assert context.went_back == 1


def test_one_that_stands_for_another(context: Context) -> None:
    generation_of(context)
    generation_of(context)
    generation_of(context, of=1)
    generation_of(context)
    context.options = Options(rollback=3)
    rollback.look(context)
    rollback.begin(context)
    assert context.went_back == 1


def test_an_install_goes_back_to_nothing(context: Context) -> None:
    generation_of(context)
    rollback.look(context)
    rollback.begin(context)
    assert (context.earlier, context.went_back) == (None, None)


def test_one_that_was_cut_off_is_gone_on_with(context: Context) -> None:
    generation_of(context, "a: 1", ("tljh-x",))
    generation_of(context, "a: 2")
    record = context.store.generation(1)
    assert record
    context.store.recall(record["memory"], going_back=1)
    context.options = Options(admins=("ana",), plugins=("tljh-x",))
    rollback.look(context)
    assert context.earlier
    assert (context.earlier.number, context.earlier.remembered) == (1, False)
    config.look(context)
    assert context.config["users"]["admin"] == ["ana"]


@pytest.mark.parametrize(
    "options",
    [Options(plugins=("tljh-y",)), Options(channels=("x",)), Options(upgrade=()), Options(remove_plugins=("x",))],
)
def test_nothing_else_is_asked_for_meanwhile(context: Context, options: Options) -> None:
    generation_of(context)
    generation_of(context)
    context.store.recall(context.store.memory(), going_back=1)
    context.options = options
    with pytest.raises(TljhError) as caught:
        rollback.look(context)
    assert str(caught.value) == (
        "a rollback to generation 1 was cut off, and is to be ended before anything else is asked for\n"
        "  → tljh rollback 1, or to another generation; then the same command again"
    )


def test_another_rollback_takes_its_place(context: Context) -> None:
    generation_of(context)
    generation_of(context)
    context.store.recall(context.store.memory(), going_back=1)
    assert rollback.before_now(context.store) == 2
    context.options = Options(rollback=2)
    rollback.look(context)
    assert context.earlier
    assert (context.earlier.number, context.earlier.newest) == (2, True)


# ---- the hub environment


@pytest.fixture
def went(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Where this process would have gone on."""
    found: list[Path] = []

    def go_on_in(context: Context, environment: Path) -> None:
        found.append(environment)
        raise SystemExit

    monkeypatch.setattr(plugins, "_go_on_in", go_on_in)
    monkeypatch.setattr(plugins, "collect", lambda machine, python, **how: [])
    return found


def build_hub(context: Context, number: int, version: str) -> Path:
    path = context.paths.envs / f"hub-{number}"
    context.builder.build(Lock(CORE, (f"jupyterhub=={version}",)), path)
    context.facts.refresh()
    return path


def test_a_run_goes_on_in_the_hub_environment_of_then(
    context: Context, went: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = build_hub(context, 1, "5.0"), build_hub(context, 2, "6.0")
    context.paths.hub.symlink_to("envs/hub-2")
    generation_of(context)
    generation_of(context)
    context.options = Options(rollback=1)
    rollback.look(context)
    monkeypatch.setattr(sys, "prefix", str(second))
    with pytest.raises(SystemExit):
        rollback.look_at_plugins(context)
    assert went == [first]
    context.machine.make_directory(context.scratch)
    monkeypatch.setattr(sys, "prefix", str(first))
    rollback.look_at_plugins(context)
    assert (context.hub_target, context.plugins_environment) == (first, first)


def test_one_that_is_gone_is_built_again(
    context: Context, went: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    second = build_hub(context, 2, "6.0")
    context.paths.hub.symlink_to("envs/hub-2")
    generation_of(context)
    context.options = Options(rollback=1)
    rollback.look(context)
    monkeypatch.setattr(sys, "prefix", str(second))
    context.planning = True
    rollback.look_at_plugins(context)
    assert context.plugins_environment == context.scratch / "hub"
    assert context.hub_target == context.paths.envs / "hub-3"
    assert not context.hub_target.exists(), "a plan builds nothing there"
    context.planning = False
    with pytest.raises(SystemExit):
        rollback.look_at_plugins(context)
    assert went == [context.paths.envs / "hub-3"]


def test_a_kept_environment_is_no_candidate(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = build_hub(context, 1, "5.0"), build_hub(context, 2, "6.0")
    context.paths.hub.symlink_to("envs/hub-2")
    generation_of(context)
    monkeypatch.setattr(sys, "prefix", str(first))
    removal.leave_nothing(context)
    assert first.exists(), "generation 1 needs it"
    third = build_hub(context, 3, "6.0")
    monkeypatch.setattr(sys, "prefix", str(third))
    removal.leave_nothing(context)
    assert (third.exists(), second.exists()) == (False, True)


# ---- the end


def test_a_rollbacks_generation_says_what_it_is_as(context: Context) -> None:
    generation_of(context, "a: 1")
    generation_of(context, "a: 2")
    context.options = Options(rollback=1)
    ready(context)
    rollback.begin(context)
    assert generation.record(context, context.store.begin_run("tljh rollback 1"), "tljh rollback 1") == 3
    assert context.store.generations(1)[0]["of"] == 1
    assert context.store.wishes(GOING_BACK) == []


def test_back_to_the_newest_is_no_new_one(context: Context) -> None:
    generation_of(context, "a: 1")
    context.options = Options(rollback=1)
    ready(context)
    rollback.begin(context)
    number = context.store.begin_run("tljh rollback 1")
    assert generation.record(context, number, "tljh rollback 1") == 1
    assert context.store.unfinished_runs(but=0) == []
    assert context.store.wishes(GOING_BACK) == []


def ready(context: Context) -> None:
    """As ``run.look`` leaves it."""
    rollback.look(context)
    config.look(context)
    context.hub_lock = context.user_lock = Lock(CORE, ("jupyterhub==5.0",))
    context.hub_target, context.user_target = context.paths.envs / "hub-1", context.paths.envs / "user-1"


def test_the_one_in_effect(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    generation_of(context, "a: 1")
    context.options = Options(rollback=1)

    def look(context: Context) -> Any:
        ready(context)
        return (), make_plan([], context.facts, {})

    monkeypatch.setattr(run, "look", look)
    assert run.install(context, "tljh rollback 1").changes == ()
    assert context.store._db.execute("select count(*) from runs").fetchone() == (1,)
    assert context.store.wishes(GOING_BACK) == []


def test_an_earlier_one_that_looks_the_same(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    generation_of(context, "a: 1", ("tljh-x",))
    generation_of(context, "a: 1")
    context.options = Options(rollback=1)

    def look(context: Context) -> Any:
        ready(context)
        context.plugin_specs = context.store.wishes("plugin")
        return (), make_plan([], context.facts, {})

    monkeypatch.setattr(run, "look", look)
    run.install(context, "tljh rollback 1")
    assert context.store.generations(1)[0]["of"] == 1
    assert context.store.wishes("plugin") == ["tljh-x"]


def test_hooks_of_config_yaml_do_not_run(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    generation_of(context, "a: 1")
    context.options = Options(rollback=1)
    context.reports = [PluginReport("x", "tljh-x", "1.0", hooks=("tljh_config_post_install",))]
    ready(context)
    rows = list(config.Config().resources(context))
    assert isinstance(rows[-1], EarlierConfig)
    assert set(rows[-1].origins.values()) == {"generation 1"}


# ---- what is said


def test_what_does_not_go_back(context: Context) -> None:
    generation_of(
        context,
        reports={name: as_record(PluginReport(name, f"tljh-{name}", "1.0")) for name in ("x", "z")},
    )
    context.store.remember_hook("x", rollback.POST_INSTALL, HookRun("i", {}))
    context.store.remember_hook("gone", rollback.POST_INSTALL, HookRun("i", {}))
    generation_of(context)
    context.options = Options(rollback=1)
    ready(context)
    assert rollback.stays(context) == [
        "x: what tljh_post_install has done since generation 1 beyond the functions of tljh can't be known, so it "
        "stays",
    ]


def test_what_is_good_to_know(context: Context) -> None:
    generation_of(context, "users: {admin: [ana]}")
    generation_of(context, "users: {admin: [ana, ben]}")
    context.options = Options(rollback=1)
    ready(context)
    assert isinstance(context.earlier, Earlier)
    context.earlier.built["user"] = "the environment user is built again"
    context.user_lock = Lock(CORE, ("jupyterhub==5.0", "isodate==0.7"))
    assert rollback.notes(context) == [
        "the environment user is built again",
        "installed by hand and carried over: isodate (--exact gives it up)",
        "no admins any more, so that their running servers are ended: ben",
    ]


# ---- wheels


def test_wheels_stay_as_long_as_a_generation_speaks_of_them(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(removal, "KEPT_WHEELS", 2)
    folders = [context.paths.state / "wheels" / name for name in ("aaa", "bbb")]
    for folder in folders:
        folder.mkdir(parents=True)
    lock = Lock(CORE, (f"tljh-x @ {(folders[0] / 'x.whl').as_uri()}",), {"/srv/x": {"wheel": str(folders[0])}})
    generation_of(context, locks={"hub": json.loads(record_of(lock, {}))})
    generation_of(context)
    removal.drop_wheels(context)
    assert [folder.exists() for folder in folders] == [True, False]
    generation_of(context)
    removal.drop_wheels(context)
    assert not folders[0].exists()
    assert os.listdir(context.paths.state / "wheels") == []  # noqa: PTH208
