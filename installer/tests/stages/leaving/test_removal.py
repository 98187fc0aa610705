"""Taking plugins out: specs, keys of config.yaml, their last word, what stays."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fakes import make_context, make_environment, real
from tljh.engine.apply import Applier
from tljh.engine.plan import make_plan
from tljh.engine.store import HookRun
from tljh.errors import TljhError
from tljh.plugins import calls
from tljh.plugins.calls import HookFailure
from tljh.plugins.contributions import PluginReport
from tljh.plugins.merge import Setting
from tljh.plugins.recorded import as_record
from tljh.plugins.values import ABSENT
from tljh.resources.locks.lock import RECORD, Lock, Requested, record_of
from tljh.settings.document import Document
from tljh.stages import config, core_stages, run
from tljh.stages.context import Context, Options
from tljh.stages.leaving import removal

CONFIG_HOOK = "tljh_config_post_install"


@pytest.fixture
def context(tmp_path: Path) -> Context:
    return make_context(real(tmp_path))


def report(name: str, *hooks: str, **more: Any) -> PluginReport:
    return PluginReport(name, f"tljh-{name}", "1.0", hooks=hooks, label=f"plugin {name} (1.0)", **more)


def installed(context: Context, *reports: PluginReport) -> None:
    """What the last install left."""
    record = {"reports": {row.name: as_record(row) for row in reports}, "environments": {"hub": "hub-1"}}
    (context.paths.envs / "hub-1" / "bin").mkdir(parents=True, exist_ok=True)
    (context.paths.envs / "hub-1" / "bin" / "python").touch()
    context.store.add_generation(1, "tljh install", record)


def applied(context: Context, plugin: str, keys: Mapping[str, Any]) -> None:
    """What a plugin's config hook set."""
    rows = [[key.split("."), value] for key, value in keys.items()]
    context.store.remember_hook(plugin, CONFIG_HOOK, HookRun("inputs", {"applied": rows}))


# ---- specs


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        ("tljh_X==1.0", "tljh-x"),
        ("tljh-x[a] >=1", "tljh-x"),
        ("/srv/x", "tljh-local"),
        ("git+https://host/z", "tljh-z"),
        ("git+https://host/z@main", "tljh-z"),
        ("git+https://me@host/w@v1#subdirectory=x", "tljh-w"),
        ("git+https://host/q#egg=tljh_q", "tljh-q"),
        ("https://host/tljh_v-1-py3-none-any.whl", "tljh-v"),
        ("git+https://host/unknown", ""),
    ],
)
def test_the_package_of_a_spec(spec: str, name: str) -> None:
    sources = {"/srv/x": {"requirement": "tljh-local @ file:///opt/tljh/state/wheels/ab/x.whl"}}
    pins = {
        "requests": "==2",
        "tljh-z": "@ git+https://host/z@0123abcd",
        "tljh-w": "@ git+https://me@host/w@0123abcd#subdirectory=x",
        "tljh-v": "@ https://host/tljh_v-1-py3-none-any.whl",
    }
    assert removal.distribution_of(spec, sources, pins) == name


def test_specs_of_removed_packages_go(context: Context) -> None:
    context.store.add_wishes("plugin", ["tljh-a==1", "/srv/b", "tljh-c"])
    sources = {"/srv/b": {"requirement": "tljh-b @ file:///x.whl"}}
    assert removal.wished(context, sources, {}) == ["tljh-a==1", "/srv/b", "tljh-c"]
    context.options = Options(remove_plugins=("TLJH_a", "tljh-b"))
    assert removal.wished(context, sources, {}) == ["tljh-c"]


def test_an_environment_without_a_plugin_does_not_bring_it_back(context: Context) -> None:
    serving = make_environment(context.paths.envs / "hub-1", {})
    sources = {"/srv/b": {"requirement": "tljh-b @ file:///x.whl"}}
    lock = Lock((), ("tljh-z @ git+https://host/z@0123",), sources)
    (serving / RECORD).write_text(record_of(lock, {}))
    context.paths.hub.symlink_to(serving)
    context.store.add_wishes("plugin", ["/srv/b", "git+https://host/z", "tljh-c"])
    context.options = Options(remove_plugins=("tljh-b", "tljh-z"))
    assert removal.wished(context, {}, {}) == ["tljh-c"]


def test_what_moves(context: Context) -> None:
    lock = Lock((Requested("tljh-a", "--plugin"),), ("tljh-a==1.0", "requests==2"))
    assert removal.moving(context, lock) == set()
    context.options = Options(upgrade_plugins=("tljh_a", "tljh-unknown"))
    assert removal.moving(context, lock) == {"tljh-a"}


def test_a_lock_that_is_followed_says_which_version(context: Context) -> None:
    context.options = Options(upgrade_plugins=("tljh-b", "tljh-a"))
    context.held = SimpleNamespace()  # type: ignore[assignment]
    with pytest.raises(TljhError) as caught:
        removal.moving(context, Lock((), ()))
    assert str(caught.value) == (
        "this machine follows a lock, which says what version of each plugin it has\n"
        "  → renew the lock: tljh lock --upgrade tljh-a tljh-b; then tljh install"
    )


# ---- which


def test_who_is_gone_and_who_leaves(context: Context) -> None:
    installed(context, report("a"), report("b"), report("c"), report("d", state="disabled"), report("e"))
    context.reports = [report("b"), report("c", state="disabled"), report("d", state="disabled")]
    context.left_out = {"e": report("e")}
    assert [row.name for row in removal.gone(context)] == ["a"]
    assert [row.name for row in removal.leaving(context)] == ["a", "c"]


def test_nobody_is_gone_before_the_first_install(context: Context) -> None:
    assert removal.gone(context) == []


# ---- keys


def withdrawn(context: Context, text: str) -> dict[str, Any]:
    return {".".join(row.path): row.value for row in removal.withdrawn(context, Document(text))}


def test_keys_that_nobody_changed_go(context: Context) -> None:
    applied(context, "gone", {"limits.memory": "2G", "limits.cpu": 2, "quota.path": "/srv"})
    text = "limits:\n  memory: 2G\n  cpu: 4 # mine\n"
    assert withdrawn(context, text) == {"limits.memory": ABSENT}


def test_only_its_own_items_leave_a_list(context: Context) -> None:
    applied(context, "gone", {"users.admin": ["bot"], "users.allowed": ["x"], "users.banned": ["y"]})
    text = "users:\n  admin: [ada, bot]\n  allowed: [x]\n"
    assert withdrawn(context, text) == {"users.admin": ["ada"], "users.allowed": ABSENT}


def test_plugins_with_a_say_keep_theirs(context: Context) -> None:
    for name in ("active", "off", "left"):
        applied(context, name, {f"key.{name}": 1})
    context.reports = [report("active"), report("off", state="disabled")]
    context.left_out = {"left": report("left")}
    assert withdrawn(context, "key: {active: 1, off: 1, left: 1}\n") == {"key.off": ABSENT}


def test_two_that_go_at_once(context: Context) -> None:
    applied(context, "a", {"users.admin": ["x"]})
    applied(context, "b", {"users.admin": ["y"]})
    (row,) = removal.withdrawn(context, Document("users:\n  admin: [x, y, z]\n"))
    assert row == Setting(("users", "admin"), ["z"], "a, b")


def test_what_another_plugin_sets_again_is_set() -> None:
    gone = [Setting(("a",), ABSENT, "x"), Setting(("b",), ABSENT, "x")]
    assert removal.together(gone, [Setting(("a",), 2, "y")]) == [gone[1], Setting(("a",), 2, "y")]


def test_the_config_stage_takes_the_keys_out(context: Context) -> None:
    context.paths.config_file.write_text("limits:\n  memory: 2G\n# kept\nusers: {admin: [ada]}\n")
    applied(context, "gone", {"limits.memory": "2G"})
    context.hub_lock = Lock((), ("jupyterhub==5.4",))
    config.look(context)
    assert context.config_text == "# kept\nusers: {admin: [ada]}\n"
    (row,) = context.settings
    assert (row.path, row.value, row.plugin) == (("limits", "memory"), ABSENT, "gone")
    keys = next(found for found in config.Config().resources(context) if found.id == "config.yaml")
    (step,) = make_plan([keys], context.facts, {}).puts
    assert [(line.key, line.before, line.origin) for line in step.changes()] == [("limits.memory", '"2G"', "gone")]
    Applier(context.machine, context.facts, context.store, 1).apply(step)
    assert context.paths.config_file.read_text() == "# kept\nusers: {admin: [ada]}\n"
    assert not make_plan([keys], context.facts, {})


# ---- the last word


def last_words(
    context: Context, monkeypatch: pytest.MonkeyPatch, answer: HookFailure | TljhError | None
) -> list[str]:
    """Apply the stage; returns what was called."""
    called: list[str] = []

    def run(machine: object, python: Path, plugin: str, *, timeout: float) -> HookFailure | None:
        assert timeout == 60.0
        called.append(f"{python} {plugin}")
        if isinstance(answer, TljhError):
            raise answer
        return answer

    monkeypatch.setattr(calls, "run_post_remove", run)
    applier = Applier(context.machine, context.facts, context.store, context.store.begin_run("x"))
    for step in make_plan(removal.Removal().resources(context), context.facts, {}).puts:
        applier.apply(step)
    return called


def test_plugins_that_go_say_their_last_word(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    installed(
        context,
        report("a", "tljh_post_remove"),
        report("b"),
        report("c", state="disabled"),
        report("d", "tljh_post_remove"),
        report("f", "tljh_post_remove", source="file"),
    )
    context.reports = [report("d", state="disabled")]
    hub = context.paths.envs / "hub-1"
    assert last_words(context, monkeypatch, None) == [f"{hub}/bin/python a", f"{hub}/bin/python c"]
    assert context.not_done == []
    assert last_words(context, monkeypatch, None) == [], "once"


def test_the_plan_says_so(context: Context) -> None:
    installed(context, report("a", "tljh_post_remove"))
    (step,) = make_plan(removal.Removal().resources(context), context.facts, {}).puts
    (line,) = step.changes()
    assert (line.resource, line.key, line.action) == ("hook:tljh_post_remove", "a", "run")
    assert (line.undo, line.effect) == ("cannot be undone", "will run, cannot be undone")


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (HookFailure("plugin a (1.0): tljh_post_remove failed: ValueError: x"), None),
        (
            TljhError("the process ended\nmore"),
            "plugin a: tljh_post_remove could not be called: the process ended",
        ),
    ],
)
def test_a_last_word_that_fails_keeps_nothing(
    context: Context,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    answer: Any,
    said: str | None,
) -> None:
    installed(context, report("a", "tljh_post_remove"))
    assert len(last_words(context, monkeypatch, answer)) == 1
    sentence = said or answer.problem
    assert context.not_done == [sentence]
    assert capsys.readouterr().err == f"! {sentence}; it is removed all the same\n"
    assert not make_plan(removal.Removal().resources(context), context.facts, {})


def test_it_is_said_before_the_package_goes() -> None:
    names = [stage.name for stage in core_stages()]
    assert names.index("removed plugins") < names.index("hub environment")


def test_in_the_end_nothing_is_remembered(context: Context) -> None:
    for name in ("gone", "off", "active", "left"):
        applied(context, name, {"a": 1})
    context.reports = [report("active"), report("off", state="disabled")]
    context.left_out = {"left": report("left")}
    installed(context, report("gone"), report("active"))
    installed(context, report("active"))
    for name in ("gone", "active"):
        context.store.set_wishes(f"problem of {name}", ["x"])
    removal.finish(context)
    assert context.store.hook_plugins() == ["active", "left"]
    assert context.store.wishes("problem of gone") == []
    assert context.store.wishes("problem of active") == ["x"]


# ---- what stays


def test_what_can_not_be_undone_is_told(context: Context) -> None:
    installed(
        context,
        report("a", "tljh_config_post_install", "tljh_post_install", "tljh_extra_apt_packages"),
        report("b", "tljh_extra_apt_packages"),
        report("c", "tljh_post_install"),
    )
    context.reports = [report("c", state="disabled")]
    context.config = {"plugins": {"a": {"x": 1}, "c": {}}}
    assert removal.stays(context) == [
        "a: what tljh_config_post_install and tljh_post_install did beyond the functions of tljh (files, "
        "programs, other machines) can't be known, so it stays",
        "a: its settings stay in config.yaml; 'tljh config unset plugins.a' removes them",
        "c: what tljh_post_install did beyond the functions of tljh (files, programs, other machines) can't be "
        "known, so it stays",
    ]


def test_a_candidate_that_was_refused_goes(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("hub-1", "hub-2"):
        (context.paths.envs / name).mkdir()
    context.paths.hub.symlink_to(context.paths.envs / "hub-1")
    monkeypatch.setattr(sys, "prefix", str(context.paths.envs / "hub-1"))
    removal.leave_nothing(context)
    monkeypatch.setattr(sys, "prefix", str(context.paths.envs / "hub-2"))
    removal.leave_nothing(context)
    assert [path.name for path in context.paths.envs.iterdir()] == ["hub-1"]


@pytest.mark.parametrize(("serves", "again", "left"), [(True, "1", False), (True, "0", True), (False, "1", True)])
def test_a_change_that_can_not_be_planned_leaves_nothing(
    context: Context, monkeypatch: pytest.MonkeyPatch, serves: bool, again: str, left: bool
) -> None:
    """But for the environment of bootstrap's, which this run has not built."""

    def look(context: Context) -> None:
        raise TljhError("two plugins state different things")

    for name in ("hub-1", "hub-2"):
        (context.paths.envs / name).mkdir()
    if serves:
        context.paths.hub.symlink_to(context.paths.envs / "hub-1")
    (context.paths.state / "wheels" / "aa").mkdir(parents=True)
    monkeypatch.setattr(sys, "prefix", str(context.paths.envs / "hub-2"))
    monkeypatch.setenv("TLJH_STARTED_AGAIN", again)
    monkeypatch.setattr(run, "look", look)
    with pytest.raises(TljhError):
        run.install(context, "tljh plugin add")
    assert (context.paths.envs / "hub-2").exists() is left
    assert not (context.paths.state / "wheels" / "aa").exists()


def test_what_was_built_for_plugins_that_are_gone_goes(context: Context) -> None:
    wheels = context.paths.state / "wheels"
    for name in ("aa", "bb", "cc"):
        (wheels / name).mkdir(parents=True)
    for name, wheel in (("hub-1", "aa"), ("user-1", "bb")):
        (context.paths.envs / name).mkdir()
        record = f'{{"sources": {{"/srv/x": {{"wheel": "{wheels}/{wheel}/x.whl"}}}}}}'
        (context.paths.envs / name / RECORD).write_text(record)
    removal.drop_wheels(context)
    assert sorted(path.name for path in wheels.iterdir()) == ["aa", "bb"]


def test_sources_of_plugins_that_are_gone_are_forgotten(context: Context) -> None:
    context.store.add_wishes("plugin", ["/srv/a", "/srv/b"])
    sources = {"/srv/a": {"wheel": "a"}, "/srv/b": {"wheel": "b"}, "/srv/project": {"wheel": "p"}, "lock": {}}
    assert set(removal.without_gone(context, sources, ["/srv/b"])) == {"/srv/b", "/srv/project", "lock"}
