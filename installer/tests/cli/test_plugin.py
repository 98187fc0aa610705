"""``tljh plugin``: what is shown, what is asked, what is said to a wrong question."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result
from fakes import Things, make_context, real
from tljh.cli import plugin as module
from tljh.cli import plugin_check, plugin_verbs, recorded
from tljh.engine.facts import Facts
from tljh.engine.machine import Machine
from tljh.engine.plan import Plan, make_plan
from tljh.engine.store import HookRun, Store
from tljh.errors import TljhError, UsageError
from tljh.paths import Paths
from tljh.plugins.contributions import PluginReport
from tljh.plugins.recorded import as_record
from tljh.resources.locks.lock import RECORD, Lock, record_of
from tljh.stages import preflight
from tljh.stages import run as stages_run
from tljh.stages.context import Context, Options
from tljh.stages.run import Outcome


def report(name: str, **more: Any) -> PluginReport:
    known: dict[str, Any] = {"distribution": f"tljh-{name}", "version": "1.0", "label": f"plugin {name} (1.0)"}
    return PluginReport(name, **{**known, **more})


QUOTA = report(
    "quota",
    hooks=("tljh_extra_apt_packages", "tljh_post_install", "tljh_subcommands"),
    contributions={"tljh_extra_apt_packages": ("quota", "quotatool")},
    resources=({"kind": "file", "path": "/etc/quota.conf"},),
    stages=({"name": "quotas", "priority": 65, "has": ["deploy"]},),
    commands=({"name": "quota", "help": "Show quotas."},),
    checks=({"name": "quotas", "sentence": "Quotas are on", "fixable": True},),
    settings={
        "properties": {
            "room": {"type": "string", "default": "5G", "description": "For each user."},
            "paths": {"type": "array", "items": {"type": "string"}, "default": []},
            "mode": {"enum": ["soft", "hard"], "default": "soft"},
            "key": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        },
        "required": ["key"],
    },
    values={"room": "9G", "paths": ["/home"], "mode": "soft", "key": "***"},
)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """What an install has left: two plugins."""
    paths = Paths(real(tmp_path) / "tljh")
    monkeypatch.setenv("TLJH_INSTALL_PREFIX", str(paths.prefix))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(preflight, "check_root", lambda: None)
    monkeypatch.delenv("TLJH_BEGAN", raising=False)
    paths.state.mkdir(parents=True)
    monkeypatch.setattr("tljh.cli.asking.is_terminal", lambda: True)
    with Store(paths.store) as opened:
        installed(opened, QUOTA, report("theme"), specs=("tljh-quota", "tljh-theme==1.0"))
        yield opened


def installed(store: Store, *reports: PluginReport, specs: Sequence[str] = ()) -> None:
    store.add_generation(1, "tljh install", {"reports": {row.name: as_record(row) for row in reports}})
    store.set_wishes("plugin", specs)


def tljh(*words: str, input: str | None = None) -> Result:
    return CliRunner().invoke(module.group, list(words), input=input)


def said(result: Result) -> str:
    assert isinstance(result.exception, TljhError), result.output
    return str(result.exception)


# ---- list


def test_list(store: Store) -> None:
    store.set_wishes("disabled", ["theme"])
    store.set_wishes("problem of quota", ["plugin quota (1.0) can't be loaded: ImportError: x\nmore"])
    result = tljh("list")
    assert result.exit_code == 0
    assert result.output.splitlines() == [
        "NAME   VERSION  STATE     FROM             HOOKS",
        "quota  1.0      failed    tljh-quota       extra_apt_packages, post_install, subcommands",
        "  ✗ plugin quota (1.0) can't be loaded: ImportError: x",
        "theme  1.0      disabled  tljh-theme==1.0  -",
    ]


def test_many_hooks_are_cut(store: Store) -> None:
    installed(store, report("a", hooks=tuple(f"tljh_{n}" for n in "abcde")), report("b", hooks=tuple("abcd")))
    lines = tljh("list").output.splitlines()
    assert lines[1].endswith("  a, b, c and 2 more")
    assert lines[2].endswith("  a, b, c, d")


def test_list_for_programs(store: Store) -> None:
    (quota, theme) = json.loads(tljh("list", "--json").output)["plugins"]
    assert theme == {
        "name": "theme",
        "package": "tljh-theme",
        "version": "1.0",
        "state": "active",
        "why": [],
        "source": "package",
        "path": "",
        "spec": "tljh-theme==1.0",
        "hooks": [],
    }
    assert quota["hooks"] == ["tljh_extra_apt_packages", "tljh_post_install", "tljh_subcommands"]


def test_no_plugins(store: Store) -> None:
    installed(store)
    assert tljh("list").output == (
        "No plugins. 'tljh plugin add SPEC' installs one, 'tljh plugin new NAME' begins one.\n"
    )


def test_a_local_one_by_the_record_of_the_environment(store: Store) -> None:
    paths = Paths.from_environment()
    environment = paths.envs / "hub-1"
    (environment / "bin").mkdir(parents=True)
    (environment / "lib/python3.11/site-packages").mkdir(parents=True)
    (environment / "pyvenv.cfg").write_text("version = 3.11.2\n")
    sources = {"/srv/q": {"requirement": "tljh-quota @ file:///x.whl"}}
    (environment / RECORD).write_text(record_of(Lock((), (), sources), {}))
    paths.hub.symlink_to(environment)
    installed(store, QUOTA, specs=("/srv/q",))
    assert "quota  1.0      active  /srv/q  " in tljh("list").output


def test_without_a_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TLJH_INSTALL_PREFIX", str(tmp_path / "none"))
    sentence = f"no hub is installed below {tmp_path}/none\n  → run the bootstrap script, which installs one"
    assert said(tljh("list")) == sentence
    assert said(tljh("remove", "x")) == sentence


def test_without_the_right_to_read(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    path = Paths.from_environment().store
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert said(tljh("list")) == f"{path} can't be read: this needs root\n  → run it as root, or with sudo"

    def refused(self: Path) -> None:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "stat", refused)
    with pytest.raises(TljhError, match="this needs root"):
        recorded.check_store(Paths.from_environment())


# ---- info


def test_info(store: Store) -> None:
    rows = [[["limits", "memory"], "2G"]]
    store.remember_hook("quota", "tljh_config_post_install", HookRun("x", {"applied": rows}))
    store.own("apt", ["quota", "quotatool"], "quota")
    store.own("file:/etc/quota.conf", ["content"], "theme, quota")
    store.own("apt", ["git"], "core")
    result = tljh("info", "tljh-quota")
    assert result.exit_code == 0
    assert result.output.splitlines() == [
        "quota 1.0",
        "  state      active",
        "  from       package tljh-quota",
        "  hooks      tljh_extra_apt_packages, tljh_post_install, tljh_subcommands",
        "  asks for",
        "    tljh_extra_apt_packages: quota",
        "    tljh_extra_apt_packages: quotatool",
        "  declares",
        "    file /etc/quota.conf",
        "  stages",
        "    quotas (priority 65, deploy)",
        "  commands",
        "    tljh quota  Show quotas.",
        "  checks",
        "    quotas: Quotas are on",
        "  settings",
        "    plugins.quota.key = ***  (string | null)",
        '    plugins.quota.mode = soft  ("soft" | "hard")',
        '    plugins.quota.paths = ["/home"]  (array of string)',
        "    plugins.quota.room = 9G  (string)  For each user.",
        "  config keys that it set",
        "    limits.memory = 2G",
        "  here because of it",
        "    apt: quota, quotatool",
        "    file:/etc/quota.conf: content",
    ]


def test_info_is_short_unless_all_is_wanted(store: Store) -> None:
    values = tuple(f"p{number}" for number in range(20))
    installed(store, report("big", contributions={"tljh_extra_apt_packages": values}))
    assert "    … and 8 more (-v shows them)\n" in tljh("info", "big").output
    assert "    tljh_extra_apt_packages: p19\n" in tljh("info", "big", "-v").output


def test_info_of_what_failed(store: Store) -> None:
    warnings = ("plugin theme: tljh_extra_apt is not a hook",)
    installed(store, report("theme", problems=("it is broken",), warnings=warnings), specs=("/srv/theme",))
    store.set_wishes("plugin", ["tljh-theme>=1"])
    lines = tljh("info", "theme").output.splitlines()
    assert lines[1:5] == [
        "  state      failed",
        "    ✗ it is broken",
        "    ! plugin theme: tljh_extra_apt is not a hook",
        "  from       package tljh-theme, asked for as tljh-theme>=1",
    ]


def test_info_of_a_file(store: Store) -> None:
    installed(
        store, PluginReport("mine", "", "ab12", source="file", origin_path="/opt/tljh/config/plugins.d/mine.py")
    )
    assert "  from       /opt/tljh/config/plugins.d/mine.py\n" in tljh("info", "mine").output


def test_info_for_programs(store: Store) -> None:
    (found,) = json.loads(tljh("info", "quota", "--json").output)["plugins"]
    assert found["settings"][-1] == {
        "name": "room",
        "type": "string",
        "default": "5G",
        "required": False,
        "value": "9G",
        "description": "For each user.",
    }
    assert found["asks_for"] == {"tljh_extra_apt_packages": ["quota", "quotatool"]}
    assert (found["owned"], found["config"], found["seconds"]) == ({}, {}, {})


def test_one_that_is_not_there(store: Store) -> None:
    sentence = "no plugin 'quoat' is installed; did you mean 'quota'?\n  → choose one of: quota, theme"
    for verb in ("info", "remove", "disable", "enable", "upgrade"):
        assert said(tljh(verb, "quoat")) == sentence


# ---- what changes the machine


class Run:
    """Stands for ``stages.run``: what was asked of it, and what it answers."""

    def __init__(self, tmp_path: Path) -> None:
        self.options: Options | None = None
        self.planning: bool | None = None
        self.command = ""
        self.thing = Things("file:/x", wanted={"content": "1"}, origins={"content": "quota"})
        self.applied = False
        self.failed: Sequence[str] = ()
        self.reports: Sequence[PluginReport] = (QUOTA, report("theme"))
        self.folder = tmp_path / "context"
        self.on_look: Callable[[Context], None] = lambda context: None
        self.on_install: Callable[[Context], None] = lambda context: None

    @contextlib.contextmanager
    def opened(self, options: Options, paths: object, reporter: object, *, planning: bool) -> Iterator[Context]:
        self.options, self.planning = options, planning
        with Store(Paths.from_environment().store, read_only=True) as store:
            yield make_context(self.folder, options=options, store=store, reports=self.reports)

    def look(self, context: Context) -> tuple[Sequence[Any], Plan]:
        self.on_look(context)
        return (), make_plan([self.thing], Facts(Machine()), {})

    def install(self, context: Context, command: str, confirm: Callable[[Plan], bool]) -> Outcome:
        self.command = command
        _, plan = self.look(context)
        if plan and not confirm(plan):
            return Outcome(context, (), refused=True)
        self.applied = bool(plan)
        self.on_install(context)
        return Outcome(context, plan.changes(), self.failed)


@pytest.fixture
def run(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    found = Run(real(tmp_path))
    for name in ("opened", "look", "install"):
        monkeypatch.setattr(stages_run, name, getattr(found, name))
    return found


def test_a_change_is_shown_and_asked(run: Run) -> None:
    result = tljh("add", "tljh-new", input="y\n")
    assert result.exit_code == 0, result.output
    assert run.applied
    assert run.planning is False
    assert run.options is not None
    assert run.options.plugins == ("tljh-new",)
    assert run.command == "tljh plugin add tljh-new"
    lines = result.output.splitlines()
    assert lines[:3] == [": file:/x", "  + content  1  [quota; undo: removed]", "1 change."]
    assert lines[3] == "Apply? [y/N]: y"
    assert lines[4].startswith("Added after 0 s")


@pytest.mark.parametrize("input", ["n\n", "\n", ""])
def test_no_is_no(run: Run, input: str) -> None:
    result = tljh("add", "tljh-new", input=input)
    assert (result.exit_code, run.applied) == (1, False)
    assert result.output.endswith("Nothing was changed.\n")


def test_yes_asks_nothing_and_shows_the_plan(run: Run) -> None:
    result = tljh("remove", "theme", "--yes")
    assert (result.exit_code, run.applied) == (0, True)
    assert "Apply?" not in result.output
    assert "  + content  1  [quota; undo: removed]\n" in result.output
    assert "Removed after 0 s: tljh-theme.\n" in result.output


def test_a_removal_that_was_killed_at_its_end_goes_on(run: Run, store: Store) -> None:
    refused = tljh("remove", "gone", "--yes")
    assert said(refused).startswith("no plugin 'gone' is installed")
    store.begin_run("tljh plugin remove gone --yes")
    result = tljh("remove", "gone", "--yes")
    assert (result.exit_code, run.applied) == (0, True)
    assert run.options is not None and run.options.remove_plugins == ()
    assert said(tljh("remove", "other", "--yes")).startswith("no plugin 'other' is installed")


def test_nobody_to_ask(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tljh.cli.asking.is_terminal", lambda: False)
    result = tljh("remove", "theme")
    assert isinstance(result.exception, UsageError)
    assert said(result) == (
        "'tljh plugin remove' asks before it changes anything, and there is nobody to ask\n"
        "  → add --yes, or --dry-run to see what would change"
    )
    assert run.options is None, "nothing was looked at"
    assert tljh("remove", "theme", "--yes").exit_code == 0
    assert "there is nobody to ask" in said(tljh("add", "x", "--json"))


def test_dry_run_only_shows(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tljh.cli.asking.is_terminal", lambda: False)
    result = tljh("disable", "theme", "--dry-run")
    assert (result.exit_code, run.applied, run.planning) == (2, False, True)
    assert "  + content  1  [quota; undo: removed]\n" in result.output
    run.thing.there = {"content": "1"}
    result = tljh("disable", "theme", "--dry-run")
    assert (result.exit_code, result.output) == (0, "Nothing to change.\n")


def test_for_programs(run: Run) -> None:
    run.failed = ["plugin quota (1.0): tljh_post_install failed: OSError: x"]
    result = tljh("add", "tljh-new", "--yes", "--json")
    assert result.exit_code == 1
    found = json.loads(result.output)
    assert (found["applied"], found["failed"]) == (True, list(run.failed))
    assert [change["key"] for change in found["changes"]] == ["content"]
    assert json.loads(tljh("add", "tljh-new", "--dry-run", "--json").output)["applied"] is False


def test_nothing_to_change(run: Run) -> None:
    run.thing.there = {"content": "1"}
    result = tljh("add", "tljh-quota", "--yes")
    assert (result.exit_code, result.output) == (0, "Nothing to change (0.0 s).\n")


def test_what_went_wrong_is_told(run: Run) -> None:
    run.failed = ["plugin quota (1.0): tljh_post_install failed: OSError: x"]
    result = tljh("upgrade", "quota", "--yes")
    assert result.exit_code == 1
    assert "! plugin quota (1.0): tljh_post_install failed: OSError: x; it runs again next time\n" in result.output
    run.failed = ()
    run.on_install = lambda context: context.not_done.append("plugin theme: tljh_post_remove failed")
    assert tljh("remove", "theme", "--yes").exit_code == 1


def test_what_can_not_be_undone_stands_above_the_question(run: Run) -> None:
    run.reports = (report("theme"),)
    result = tljh("remove", "quota", input="n\n")
    lines = result.output.splitlines()
    assert lines[-3].startswith("Not undone: quota: what tljh_post_install did beyond the functions of tljh")
    assert lines[-2:] == ["Apply? [y/N]: n", "Nothing was changed."]


def test_plugins_of_one_package_go_together(store: Store, run: Run) -> None:
    installed(
        store, report("a", distribution="tljh-two"), report("b", distribution="tljh-two"), specs=["tljh-two"]
    )
    result = tljh("remove", "b", "--yes")
    assert run.options is not None
    assert run.options.remove_plugins == ("tljh-two",)
    assert "Note: tljh-two brings a and b; all of them go.\n" in result.output
    assert tljh("disable", "b", "--yes").exit_code == 0
    assert run.options.disable_plugins == ("b",)


def test_enable_and_disable(store: Store, run: Run) -> None:
    assert tljh("enable", "theme").output == "theme: not switched off.\n"
    store.set_wishes("disabled", ["theme"])
    assert tljh("disable", "theme").output == "theme: switched off already.\n"
    assert json.loads(tljh("disable", "theme", "--json").output)["notes"] == ["theme: switched off already."]
    assert run.options is None
    result = tljh("enable", "theme", "quota", "--yes", "--without", "broken")
    assert run.options is not None
    assert (run.options.enable_plugins, run.options.without) == (("theme",), ("broken",))
    assert "Enabled after 0 s: theme 1.0.\n" in result.output
    assert run.command == "tljh plugin enable theme quota --without broken --yes"


def test_adding_does_not_switch_on(run: Run) -> None:
    run.reports = (QUOTA, report("theme", state="disabled"))
    run.on_look = lambda context: setattr(context, "hub_lock", Lock((), ("tljh-theme==2.0",)))
    note = "Note: theme is switched off, so it brings nothing; 'tljh plugin enable theme' switches it on.\n"
    assert note in tljh("add", "tljh-theme==2.0", "--yes").output
    assert note not in tljh("add", "tljh-quota", "--yes").output


def test_files_are_the_admins(store: Store, run: Run) -> None:
    place = "/opt/tljh/config/plugins.d/mine.py"
    once = PluginReport("once", "", "", source="import", origin_path="/root/once.py")
    installed(store, PluginReport("mine", "", "", source="file", origin_path=place), once)
    assert said(tljh("remove", "mine", "--yes")) == (
        f"plugin mine is a file of yours, {place}\n"
        "  → move it elsewhere and run 'tljh install', which takes away what it brought; or switch it off: "
        "tljh plugin disable mine"
    )
    assert "was imported for one run (/root/once.py)" in said(tljh("remove", "once", "--yes"))


# ---- upgrade


def test_upgrade_all(run: Run) -> None:
    assert tljh("upgrade", "--yes").exit_code == 0
    assert run.options is not None
    assert (run.options.upgrade_plugins, run.options.plugins) == (("tljh-quota",), ()), "theme keeps its version"


def test_upgrade_to_a_version(run: Run) -> None:
    assert tljh("upgrade", "tljh-theme==2.0", "quota", "--yes").exit_code == 0
    assert run.options is not None
    assert (run.options.upgrade_plugins, run.options.plugins) == (("tljh-quota",), ("tljh-theme==2.0",))
    assert run.options.argv == ("plugin", "upgrade", "tljh-theme==2.0", "quota", "--yes")


def test_one_that_was_asked_for_in_one_version(run: Run) -> None:
    assert said(tljh("upgrade", "theme", "--yes")) == (
        "theme was asked for as tljh-theme==1.0, so it stays in that version\n"
        "  → name another one (tljh plugin upgrade tljh-theme==VERSION), or let it move: "
        "tljh plugin add tljh-theme"
    )


def test_a_version_of_what_is_not_there(run: Run) -> None:
    assert "no plugin 'tljh-other' is installed" in said(tljh("upgrade", "tljh-other==2", "--yes"))


def test_paths_become_absolute(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert tljh("add", "./x", "git+https://host/y", "--yes").exit_code == 0
    assert run.options is not None
    assert run.options.plugins == (str(real(tmp_path) / "x"), "git+https://host/y")
    assert run.options.argv == ("plugin", "add", str(real(tmp_path) / "x"), "git+https://host/y", "--yes")
    editable = f"-e {real(tmp_path) / 'x'}"
    for words in (["-e", "./x"], ["--editable=x"], [editable]):  # the last is how it goes on elsewhere
        assert tljh("add", *words, "--yes").exit_code == 0
        assert run.options.plugins == (editable,)
    assert "name a plugin: a package of the index, a path or a URL" in tljh("add", "--yes").output


def test_what_goes_on_in_another_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    from tljh import cli, installer

    seen: list[list[str]] = []
    monkeypatch.setattr(cli, "main", seen.append)
    monkeypatch.setattr(sys, "argv", ["tljh.installer", "plugin", "add", "x", "--yes"])
    installer.main()
    monkeypatch.setattr(sys, "argv", ["tljh.installer", "--admin", "ada"])
    installer.main()
    assert seen == [["plugin", "add", "x", "--yes"], ["install", "--admin", "ada"]]


# ---- new and check


def test_new(tmp_path: Path) -> None:
    result = tljh("new", "demo", "-o", str(tmp_path))
    assert result.exit_code == 0
    assert f"+ {tmp_path}/tljh-demo/pyproject.toml\n" in result.output
    assert f"  tljh plugin check {tmp_path}/tljh-demo " in result.output
    found = json.loads(tljh("new", "demo", "--style", "typed", "-o", str(tmp_path / "b"), "--json").output)
    assert (found["folder"], found["style"], len(found["files"])) == (str(tmp_path / "b/tljh-demo"), "typed", 5)
    assert "tljh-demo is there already" in said(tljh("new", "demo", "-o", str(tmp_path)))


def test_new_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "  tljh plugin add ./tljh-demo " in tljh("new", "demo").output


def checked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *words: str, name: str = "tljh-demo", **more: Any
) -> Result:
    tljh("new", "demo", "-o", str(tmp_path))
    file = tmp_path / "tljh-demo" / "pyproject.toml"
    file.write_text(file.read_text().replace("tljh-demo", name))
    found = [report("demo", distribution=name, hooks=("tljh_stages",), **more)]
    monkeypatch.setattr(plugin_check, "_collect", lambda variables, config: found)
    return tljh("check", str(tmp_path / "tljh-demo"), *words)


def test_check(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    result = checked(monkeypatch, tmp_path)
    assert result.exit_code == 0
    assert result.output.splitlines() == [
        "✓ packaging  tljh-demo 0.1.0, entry point demo = tljh_demo",
        "✓ loading    demo can be loaded",
        "✓ hooks      tljh_stages",
        "All is well.",
    ]


def test_check_that_finds_something(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    result = checked(monkeypatch, tmp_path, problems=("it is wrong\nin two lines",))
    assert result.exit_code == 1
    assert "✗ hooks      it is wrong\n             in two lines\n" in result.output
    assert result.output.endswith("1 to be mended, 0 to be looked at.\n")


def test_check_that_is_strict(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    result = checked(monkeypatch, tmp_path / "a", name="demo")
    assert result.exit_code == 0
    assert "! packaging  the package is called demo\n             → call it tljh-demo" in result.output
    assert checked(monkeypatch, tmp_path / "b", "--strict", name="demo").exit_code == 1
    found = json.loads(checked(monkeypatch, tmp_path / "c", "--json", name="demo").output)
    assert found["ok"] is True
    assert found["findings"][0]["level"] == "warning"


def test_check_of_nothing(tmp_path: Path) -> None:
    assert said(tljh("check", str(tmp_path / "none"))).startswith(f"{tmp_path}/none does not exist\n")
    with pytest.raises(UsageError, match=r"--config: .*none can't be read"):
        plugin_check._collect({}, tmp_path / "none")


# ---- help


def test_help_of_all(capsys: pytest.CaptureFixture[str]) -> None:
    lines = tljh("--help").output.splitlines()
    names = [line.split()[0] for line in lines[lines.index("Commands:") + 1 :]]
    assert names == ["list", "info", "add", "upgrade", "enable", "disable", "remove", "new", "check"]
    assert not [line for line in lines if line.endswith("...") and line.startswith("  ") and "Usage" not in line]


@pytest.mark.parametrize("verb", ["info", "upgrade", "enable", "disable", "remove"])
def test_names_are_completed(store: Store, verb: str) -> None:
    command = module.group.commands[verb]
    context = click.Context(command)
    argument = next(parameter for parameter in command.params if isinstance(parameter, click.Argument))
    assert [item.value for item in argument.shell_complete(context, "q")] == ["quota"]


def test_a_plugin_that_another_one_requires(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    requires = {"tljh-theme": ["TLJH_Quota>=1", "x; extra == 'y'"]}
    monkeypatch.setattr(plugin_verbs.metadata, "requires", requires.get)
    assert said(tljh("remove", "quota", "--yes")) == (
        "plugin theme requires tljh-quota, so that can't be removed without it\n"
        "  → remove both (tljh plugin remove tljh-quota tljh-theme), or switch it off: "
        "tljh plugin disable tljh-quota"
    )
    requires["tljh-theme"] = ["tljh-quota; extra == 'more'", "tljh-quota-tools"]
    assert plugin_verbs._required("tljh-theme") == {"tljh-quota-tools"}
