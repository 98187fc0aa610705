"""When imperative code has to run, and the reasons that an admin is given."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fakes import make_context, real
from tljh.engine.store import HookRun
from tljh.plugins.contributions import PluginReport
from tljh.resources.locks.lock import BY_HAND, Lock, Requested
from tljh.stages.context import Context, Options
from tljh.stages.environments import NamedEnvironment
from tljh.stages.inputs import BEGUN, FIRST, Inputs, forced, reasons, why

X = PluginReport("x", "tljh-x", "1.0")
Y = PluginReport("y", "tljh-y", "1.0")
SETTINGS: dict[str, Any] = {"limits": {"memory": "1G"}, "plugins": {"x": {"size": 1}, "y": {"size": 1}}}


@pytest.fixture
def context(tmp_path: Path) -> Context:
    made = make_context(real(tmp_path), hub_lock=Lock((), ("jupyterhub==5.2.1", "tljh-x==1.0", "tljh-y==1.0")))
    made.reports = [X, Y]
    made.user_lock = Lock((Requested("numpy", "core"),), ("numpy==2.0",))
    return made


def inputs_of(context: Context, report: PluginReport, settings: dict[str, Any]) -> str:
    return Inputs(context, settings).of(report)


def differs(context: Context, before: str, settings: dict[str, Any] = SETTINGS, report: PluginReport = X) -> str:
    return why(before, inputs_of(context, report, settings))


def test_the_same_is_the_same(context: Context) -> None:
    before = inputs_of(context, X, SETTINGS)
    assert inputs_of(context, X, {**SETTINGS}) == before
    context.reports = [Y, X]
    assert inputs_of(context, X, SETTINGS) == before


def test_what_is_different(context: Context) -> None:
    before = inputs_of(context, X, SETTINGS)
    settings = {**SETTINGS, "plugins": {"x": {"size": 2}, "y": {"size": 1}}}
    assert differs(context, before, settings) == "changed: its settings"
    assert differs(context, before, {**SETTINGS, "base_url": "/x"}) == "changed: config.yaml"
    other = {**SETTINGS, "plugins": {"x": {"size": 1}, "y": {"size": 2}}}
    assert differs(context, before, other) == "changed: config.yaml"
    context.user_lock = Lock((Requested("pandas", "core"),), ("pandas==2.0",))
    assert differs(context, before) == "changed: the user environment"


def test_the_plugin_itself(context: Context) -> None:
    before = inputs_of(context, X, SETTINGS)
    newer = replace(X, version="1.1")
    context.reports = [newer, Y]
    assert differs(context, before, report=newer) == "changed: the plugin, what is asked for"
    context.reports = [X, Y]
    wheel = "tljh-x @ file:///opt/tljh/state/wheels/abc/tljh_x-1.0-py3-none-any.whl"
    context.hub_lock = Lock((), ("jupyterhub==5.2.1", wheel, "tljh-y==1.0"))
    assert differs(context, before) == "changed: the plugin", "the same version, but other content"
    context.hub_lock = Lock((), ("jupyterhub==5.3.0", "tljh-x==1.0", "tljh-y==1.0"))
    assert differs(context, before) == "changed: the hub environment"


def test_a_plugin_that_is_a_file(context: Context, tmp_path: Path) -> None:
    path = real(tmp_path) / "mine.py"
    path.write_text("a = 1\n")
    report = PluginReport("mine", "", "", source="file", origin_path=str(path))
    context.reports = [report]
    before = inputs_of(context, report, SETTINGS)
    path.write_text("a = 2\n")
    assert differs(context, before, report=report) == "changed: the plugin"


def test_what_any_plugin_or_flag_asks_for(context: Context) -> None:
    before = inputs_of(context, X, SETTINGS)
    context.reports = [X, replace(Y, contributions={"tljh_extra_apt_packages": ("sl",)})]
    assert differs(context, before) == "changed: what is asked for"
    context.reports = [X, replace(Y, resources=({"kind": "group", "name": "g"},))]
    assert differs(context, before) == "changed: what is asked for"
    context.reports = [X]
    assert differs(context, before) == "changed: what is asked for"
    context.left_out = {"y": Y}
    assert differs(context, before) == FIRST, "what this run does without is still asked for"
    context.channels = ["bioconda"]
    assert differs(context, before) == "changed: what is asked for"


def test_other_environments(context: Context) -> None:
    before = inputs_of(context, X, SETTINGS)
    lock = Lock((Requested("nbgrader", "x"),), ())
    context.environments = [NamedEnvironment("teaching", "T", "x", Path("/a"), lock, Path("/a-1"))]
    assert differs(context, before) == "changed: the user environment"


def test_what_an_admin_installs_by_hand_is_none_of_their_business(context: Context) -> None:
    before = inputs_of(context, X, SETTINGS)
    rows = (Requested("numpy", "core"), Requested("mine==1", BY_HAND))
    context.user_lock = Lock(rows, ("numpy==2.1", "mine==1"))
    assert inputs_of(context, X, SETTINGS) == before


def test_while_config_is_being_made_what_users_get_is_not_known(context: Context) -> None:
    context.user_lock = None
    before = Inputs(context, SETTINGS, with_environments=False).of(X)
    assert "user:" not in before
    context.channels = ["bioconda"]
    assert Inputs(context, SETTINGS, with_environments=False).of(X) == before


def test_other_reasons(context: Context) -> None:
    now = inputs_of(context, X, SETTINGS)
    assert why(None, now) == "it has not run yet"
    assert why("3fa9c1", now) == "it has not run yet", "as an earlier release wrote it"
    assert why(BEGUN, now) == "it did not finish the last time"
    assert why(now, now, forced=True) == "it is asked for"


def test_reasons_of_several() -> None:
    runs = {"a": HookRun("config:1", {}), "b": HookRun("config:2", {})}
    assert reasons(runs, {"a": "config:2", "b": "config:3"}) == "changed: config.yaml"
    assert reasons(runs, {"a": "config:2", "c": "config:3"}) == "a: changed: config.yaml; c: it has not run yet"


def test_when_it_runs_though_the_same_is_wanted(context: Context) -> None:
    assert not forced(context)
    context.options = Options(run_hooks=True)
    assert forced(context)
    context.options = Options(upgrade=())
    (context.paths.envs / "user-1").mkdir()
    context.paths.user.symlink_to(context.paths.envs / "user-1")
    context.user_target = context.paths.envs / "user-1"
    assert not forced(context), "an upgrade that found nothing newer"
    context.user_target = context.paths.envs / "user-2"
    assert forced(context)
