"""config.yaml: admins are added, plugins' keys are put in, and hooks run when something differs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from fakes import make_context, real
from tljh.engine.apply import Applier
from tljh.engine.plan import make_plan
from tljh.engine.resource import difference
from tljh.errors import TljhError
from tljh.plugins import sources
from tljh.plugins.contributions import PluginReport
from tljh.plugins.merge import Change, ConfigHookResult, Setting
from tljh.plugins.values import ABSENT
from tljh.resources.file import File
from tljh.resources.locks.lock import Lock
from tljh.settings.document import Document
from tljh.stages import config as module
from tljh.stages.context import Context, Options
from tljh.stages.contributed.plugin_stages import LineUp
from tljh.stages.leaving import removal

FILES = ("directory:", "file:")


@pytest.fixture
def context(tmp_path: Path) -> Context:
    return make_context(real(tmp_path), hub_lock=Lock((), ("jupyterhub==5.2.1", "tljh-x==1.0")))


def write(context: Context, text: str) -> None:
    context.paths.config_file.write_text(text)
    context.facts.refresh()


def keys(context: Context, settings: Sequence[Setting] = (), admins: Sequence[str] = ()) -> module.ConfigKeys:
    return module.ConfigKeys("config.yaml", path=context.paths.config_file, settings=settings, admins=admins)


# ---- keys and admins


def test_admins_are_added_not_replaced(context: Context) -> None:
    write(context, "users:\n  admin:\n  - ana  # the boss\n")
    context.options = Options(admins=("bo", "ana", "bo"))
    module.look(context)
    assert context.new_admins == ["bo"]
    resource = keys(context, admins=context.new_admins)
    diff = difference(resource, context.facts, set())
    assert diff.put == {"users.admin: bo": "present"}
    resource.change(diff, context.machine)
    assert context.paths.config_file.read_text() == "users:\n  admin:\n  - ana  # the boss\n  - bo\n"
    assert context.config_text == context.paths.config_file.read_text()
    context.facts.refresh()
    assert not difference(resource, context.facts, set())


def test_the_first_admin_on_a_new_machine(context: Context) -> None:
    context.options = Options(admins=("ana",))
    module.look(context)
    assert Document(context.config_text).get("users.admin") == ["ana"]
    assert context.config["users"]["admin"] == ["ana"]
    assert not context.paths.config_file.exists(), "looking writes nothing"


def test_keys_of_plugins(context: Context) -> None:
    write(context, "# ours\nlimits:\n  memory: 1G\nuser_environment:\n  default_app: classic\n")
    settings = [
        Setting(("limits", "memory"), "2G", "x"),
        Setting(("limits", "cpu"), 2, "x"),
        Setting(("user_environment", "default_app"), ABSENT, "y"),
        Setting(("base_url",), ABSENT, "y"),
    ]
    resource = keys(context, settings)
    diff = difference(resource, context.facts, set())
    assert diff.put == {
        "limits.memory": '"2G"',
        "limits.cpu": "2",
        "user_environment.default_app": "removed",
    }
    assert diff.before["limits.memory"] == '"1G"'
    resource.change(diff, context.machine)
    assert context.paths.config_file.read_text().startswith("# ours\nlimits:\n  memory: 2G\n  cpu: 2\n")
    assert resource.saved(context.machine) == context.paths.config_file.read_bytes()
    context.facts.refresh()
    assert not difference(resource, context.facts, set())


def test_a_secret_of_a_plugin_is_in_no_plan(context: Context) -> None:
    settings = [Setting(("auth", "GitHubOAuthenticator", "client_secret"), "s3cr3t-value", "x")]
    plan = make_plan([keys(context, settings)], context.facts, {})
    assert plan
    assert "s3cr3t-value" not in str([line.as_dict() for line in plan.changes()])


def test_a_wrong_file_stops_before_anything(context: Context) -> None:
    write(context, "limits: 3\n")
    with pytest.raises(TljhError, match=r"config\.yaml"):
        module.look_first(context)


def test_a_strange_key_is_only_a_warning(context: Context, capsys: pytest.CaptureFixture[str]) -> None:
    write(context, "limit:\n  memory: 1G\n")
    module.look_first(context)
    assert "limit" in capsys.readouterr().err
    assert context.config["limits"]["memory"] is None


def test_folders_that_only_root_reads(context: Context) -> None:
    found = {resource.id: resource.desired() for resource in module.Config().resources(context)}
    paths = context.paths
    folders = (paths.hub_config_d, paths.traefik_config_d, paths.plugins_d)
    for path in (paths.state, paths.config, paths.rules, *folders):
        assert found[f"directory:{path}"]["mode"] == "0700"
    assert found[f"directory:{paths.envs}"]["mode"] == "0755"
    assert next(iter(found)) == f"directory:{paths.prefix}"


def test_the_hub_is_told_which_plugins_are_switched_off(context: Context) -> None:
    context.disabled = ["b", "a"]
    path = context.paths.plugins_disabled
    (file,) = [r for r in module.Config().resources(context) if r.id == f"file:{path}"]
    assert isinstance(file, File) and file.content is not None
    assert file.content.decode().splitlines()[1:] == ["b", "a"]
    assert context.written[path] == file.content, "so that the hub is restarted in the same run"
    path.write_bytes(file.content)
    assert sources.switched_off(context.paths) == ["b", "a"]


# ---- hooks


class Hooks:
    """One plugin whose hook sets ``limits.memory``."""

    def __init__(self, context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
        self.context = context
        self.value: object = "1G"
        self.failure: str | None = None
        self.runs = 0
        context.reports = [PluginReport("x", "tljh-x", "1.0", hooks=(module.HOOK,))]
        monkeypatch.setattr(module, "run_config_hooks", self.run)

    def run(self, machine: object, python: Path, text: str, **how: object) -> list[ConfigHookResult]:
        self.runs += 1
        before = Document(text).get("limits.memory", ABSENT)
        changes = (Change(("limits", "memory"), before, self.value),) if before != self.value else ()
        return [ConfigHookResult("x", "1.0", "plugin x 1.0", changes, self.failure)]

    def install(self, *, killed: str = "") -> list[str]:
        """A whole pass of the config stage; returns the keys that were changed.

        Args:
            killed: ``before`` or ``after`` config.yaml is written.
        """
        context = self.context
        context.settings, context.hook_runs = (), {}
        context.facts.refresh()
        module.look(context)
        plan = make_plan(list(module.Config().resources(context)), context.facts, context.store.owned())
        applier = Applier(context.machine, context.facts, context.store, context.store.begin_run("test"))
        for step in plan.puts if killed else ():
            if isinstance(step.resource, module.ConfigKeys):
                (step.resource.begin if killed == "before" else partial(applier.apply, step))()
                return []
        return [
            line.key for step in plan.puts for line in applier.apply(step) if not line.resource.startswith(FILES)
        ]


@pytest.fixture
def hooks(context: Context, monkeypatch: pytest.MonkeyPatch) -> Hooks:
    return Hooks(context, monkeypatch)


def test_a_hooks_keys_hold_and_the_hook_does_not_run_again(hooks: Hooks) -> None:
    assert hooks.install() == ["limits.memory", "x"]
    assert Document.load(hooks.context.paths.config_file).get("limits.memory") == "1G"
    assert hooks.context.config["limits"]["memory"] == "1G"
    assert hooks.install() == []
    assert hooks.runs == 1


def test_a_hook_runs_when_something_that_it_could_depend_on_differs(hooks: Hooks) -> None:
    hooks.install()
    write(hooks.context, hooks.context.paths.config_file.read_text() + "base_url: /hub2\n")
    hooks.install()
    assert hooks.runs == 2
    hooks.context.hub_lock = Lock((), ("jupyterhub==5.2.1", "tljh-x==1.1"))
    hooks.install()
    assert hooks.runs == 3
    hooks.context.hub_lock = Lock((), ("jupyterhub==5.3.0", "tljh-x==1.1"))
    hooks.install()
    assert hooks.runs == 4, "another version of the hub: something was changed"


@pytest.mark.parametrize("killed", ["before", "after"])
def test_what_a_killed_run_put_in_is_the_plugins(hooks: Hooks, killed: str) -> None:
    hooks.install(killed=killed)
    there = hooks.context.paths.config_file.exists()
    assert there is (killed == "after")
    assert hooks.install() == ([] if there else ["limits.memory"]) + ["x"]
    assert Document.load(hooks.context.paths.config_file).get("limits.memory") == "1G"
    hooks.context.reports = []
    document = hooks.context.document()
    assert removal.withdrawn(hooks.context, document) == [Setting(("limits", "memory"), ABSENT, "x")]


@pytest.mark.parametrize("killed", ["before", "after"])
def test_a_plugin_comes_back_after_a_removal_that_was_killed(hooks: Hooks, killed: str) -> None:
    hooks.install()
    reports, hooks.context.reports = hooks.context.reports, []
    hooks.install(killed=killed)
    hooks.context.reports = reports
    hooks.install()
    assert Document.load(hooks.context.paths.config_file).get("limits.memory") == "1G"


def test_a_hook_runs_when_it_is_asked_for(hooks: Hooks) -> None:
    hooks.install()
    hooks.context.options = Options(run_hooks=True)
    assert hooks.install() == ["x"]
    assert hooks.runs == 2
    hooks.context.options = Options()
    assert hooks.install() == []


def test_a_config_stage_that_is_left_alone_changes_nothing(hooks: Hooks) -> None:
    write(hooks.context, "base_url: /other\n")
    hooks.context.options = Options(admins=("ana",), run_hooks=True)
    hooks.context.line_up = LineUp(excluded=frozenset({"config"}))
    module.look(hooks.context)
    assert hooks.runs == 0
    assert hooks.context.config_text == "base_url: /other\n"
    assert (list(hooks.context.new_admins), list(hooks.context.settings)) == ([], [])


def test_the_admins_value_wins(hooks: Hooks) -> None:
    hooks.install()
    write(hooks.context, "limits:\n  memory: 4G\n")
    hooks.value = "2G"
    hooks.install()
    assert Document.load(hooks.context.paths.config_file).get("limits.memory") == "4G"


def test_no_hook_runs_while_planning(hooks: Hooks) -> None:
    hooks.context.planning = True
    module.look(hooks.context)
    assert hooks.runs == 0
    resources = list(module.Config().resources(hooks.context))
    (line,) = make_plan([r for r in resources if r.id.startswith("hook:")], hooks.context.facts, {}).changes()
    assert (line.action, line.key, line.origin) == ("run", "x", "x")
    assert line.effect == "will run, cannot be undone; it has not run yet"


def test_a_plan_names_what_a_hook_set_the_last_time(hooks: Hooks) -> None:
    hooks.install()
    write(hooks.context, "base_url: /other\n")
    hooks.context.planning = True
    module.look(hooks.context)
    resources = list(module.Config().resources(hooks.context))
    (line,) = make_plan([r for r in resources if r.id.startswith("hook:")], hooks.context.facts, {}).changes()
    assert line.effect == "will run, cannot be undone; changed: config.yaml; last time it set limits.memory"


def test_a_hook_that_fails_changes_nothing(hooks: Hooks) -> None:
    hooks.failure = "plugin x 1.0: tljh_config_post_install raised KeyError: 'limits'"
    with pytest.raises(TljhError) as caught:
        hooks.install()
    assert str(caught.value) == (
        "plugin x 1.0: tljh_config_post_install raised KeyError: 'limits'\n"
        "  → config.yaml is as it was; update the plugin, or go on without it for now: the same command with "
        "--without x"
    )
    assert not hooks.context.paths.config_file.exists()
    assert hooks.context.store.hook_run("x", module.HOOK) is None


@pytest.mark.parametrize("value", [["1G"], {"at most": "1G"}])
def test_a_wrong_value_of_a_hook_is_refused_before_anything_is_changed(hooks: Hooks, value: object) -> None:
    hooks.value = value
    with pytest.raises(TljhError) as caught:
        hooks.install()
    text = str(caught.value)
    assert text.startswith("plugin x 1.0: tljh_config_post_install set what can't be used: limits.memory is a ")
    assert 'expected text like "1G", a number of bytes, or nothing' in text and "--without x" in text
    assert not hooks.context.paths.config_file.exists()
    assert hooks.context.store.hook_run("x", module.HOOK) is None


def test_a_hook_is_remembered_with_what_plugins_want_in_the_end(hooks: Hooks) -> None:
    module.look(hooks.context)
    late = {"name": "s", "priority": 50, "has": [], "resources": [], "rendered": {"/etc/x": "memory=1G\n"}}
    hooks.context.reports = [replace(hooks.context.reports[0], stages=(late,))]  # they were asked again
    plan = make_plan(list(module.Config().resources(hooks.context)), hooks.context.facts, {})
    applier = Applier(hooks.context.machine, hooks.context.facts, hooks.context.store, 1)
    for step in plan.puts:
        applier.apply(step)
    hooks.install()
    assert hooks.runs == 1, "the next run finds nothing that is different"
