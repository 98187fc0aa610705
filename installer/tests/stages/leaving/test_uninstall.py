"""Taking all away: what goes, in which order, what stays, and that it goes on when it was cut off."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fakes import Things, make_context, make_environment, real
from tljh.engine.facts import Facts
from tljh.engine.machine import Machine
from tljh.engine.parsers import Account, DebPackage, Packages
from tljh.engine.plan import Plan, make_plan
from tljh.engine.resource import Diff
from tljh.errors import TljhError
from tljh.stages.context import Context
from tljh.stages.leaving import uninstall
from tljh.stages.system_packages import ARRIVED
from tljh.user import GROUPS, HOMES


@pytest.fixture
def context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Context:
    """A machine with an install on it, as far as the store and our own folder tell."""
    found = make_context(real(tmp_path))
    monkeypatch.setattr(uninstall, "unneeded", lambda machine, facts, names, purge: sorted({*names} - {"vim"}))
    monkeypatch.setattr(uninstall, "ancestors", lambda machine, pid: {pid})
    monkeypatch.setattr(uninstall, "COMMANDS_FOLDER", tmp_path / "usr-bin")
    monkeypatch.setattr(uninstall.RunningServers, "observe", lambda self, facts: {})
    paths = found.paths
    monkeypatch.setattr(type(paths), "run", tmp_path / "run")  # not that of the machine that the tests run on
    for name in ("hub-1", "user-1", "user-2"):
        make_environment(paths.envs / name, {})
    paths.hub.symlink_to("envs/hub-1")
    paths.user.symlink_to("envs/user-2")
    (tmp_path / "usr-bin").mkdir()
    (tmp_path / "usr-bin" / "tljh").symlink_to(paths.hub / "bin" / "tljh")
    (tmp_path / "usr-bin" / "tljh-config").symlink_to("/somewhere/else")
    for path in (
        paths.cache,
        paths.tools / "conda-lock",
        paths.bin,
        paths.state / "wheels",
        paths.config / "jupyterhub_config.d",
    ):
        path.mkdir(parents=True)
    paths.config_file.write_text("limits:\n  memory: 1G\n")
    paths.hub_database.write_text("people")
    found.store.add_generation(1, "tljh install", {"environments": {"hub": "hub-1"}, "reports": {}})
    return found


def own(context: Context, stage: str, name: str, *keys: str) -> None:
    """Something that an install has made."""
    thing = Things(name, stage=stage)
    diff = Diff({}, dict.fromkeys(keys or ("content",), "x"), {})
    context.store.end_change(context.store.begin_change(1, thing, diff, None), thing, diff, "done")


def ids(plan: Plan) -> list[str]:
    return [step.resource.id for step in plan.drops]


def paths_of(found: uninstall.Uninstall) -> list[str]:
    prefix = f"{found.context.paths.prefix}/"
    return [str(path).removeprefix(prefix) for path in found.last.paths]


def test_the_reverse_order_of_an_install(context: Context, tmp_path: Path) -> None:
    first, later = tmp_path / "first", tmp_path / "later"
    for path, stage in ((later, "plugins' files"), (first, "accounts")):
        path.touch()
        own(context, stage, f"file:{path}")
    own(context, "system packages", "apt", "git", "vim")
    found = uninstall.look(context, purge=False)
    order = ids(found.plan)
    assert order.index(f"file:{later}") < order.index(f"file:{first}") < order.index("files")


def test_what_lies_in_our_own_folder_goes_with_it(context: Context) -> None:
    for path in (context.paths.bin / "launch", context.paths.state / "acme.json"):
        path.touch()
        own(context, "services", f"file:{path}")
    mine = context.paths.hub_config_d / "of-a-plugin.py"
    mine.touch()
    own(context, "plugins' files", f"file:{mine}")
    own(context, "config", f"directory:{context.paths.hub_config_d}", "mode")
    assert [name for name in ids(uninstall.look(context, purge=False).plan) if ":" in name] == [f"file:{mine}"]
    assert not [name for name in ids(uninstall.look(context, purge=True).plan) if ":" in name]


def test_the_environment_that_this_runs_from_goes_last(context: Context) -> None:
    found = uninstall.look(context, purge=False)
    files = next(step for step in found.plan.drops if step.resource.id == "files").diff.drop
    names = [Path(name).name for name in files]
    assert names == ["user-1", "user-2", "user", "cache", "tools", "wheels"]
    assert paths_of(found)[:2] == ["envs/hub-1", "bin"]
    assert [Path(path).name for path in paths_of(found)] == ["hub-1", "bin", "tljh", "hub", "envs"]


def test_with_purge_settings_and_state_go_before_the_program(context: Context) -> None:
    assert paths_of(uninstall.look(context, purge=True))[:4] == ["config", "state", "envs/hub-1", "bin"]


def test_what_stays_is_said(context: Context) -> None:
    context.store.remember_account(name="jupyter-ada", uid=1, gid=1, home="/home/jupyter-ada", origin="core")
    own(context, "accounts", "groups", "jupyterhub-admins")
    (context.paths.prefix / "notes").touch()
    said = "\n".join(uninstall.look(context, purge=False).stays)
    for words in (
        f"{context.paths.config}: your settings",
        "the hub's database, passwords, certificates",
        "the accounts of jupyter-ada and their homes",
        "the groups jupyterhub-admins",
        f"{context.paths.prefix}/notes: not of an install",
    ):
        assert words in said, said


def test_packages_that_somebody_else_needs_are_said(context: Context) -> None:
    context.facts._known["dpkg"] = Packages({"vim": DebPackage("vim", "1", "")}, frozenset(), {})
    context.store.own(ARRIVED, ["vim", "git"], "core")
    said = list(uninstall.look(context, purge=False).stays)
    assert "the packages vim: something else needs them, or you do" in said


def test_homes_that_were_there_before_stay(context: Context, tmp_path: Path) -> None:
    homes = {name: tmp_path / "home" / name for name in ("ada", "bob")}
    for number, (name, home) in enumerate(homes.items()):
        home.mkdir(parents=True)
        context.store.remember_account(name=name, uid=number, gid=number, home=str(home), origin="core")
    context.store.own(HOMES, [str(homes["ada"])], "core")
    context.store.own(GROUPS, ["physics"], "core")
    found = uninstall.look(context, purge=True)
    gone = [step.diff.drop for step in found.plan.drops if step.resource.id == "homes"]
    assert gone == [{str(homes["ada"]): "folder"}]
    assert f"{homes['bob']}: there before the account was made" in found.stays
    assert f"1 home with all that is in there: {homes['ada']}" in found.lost
    assert "homes" not in ids(uninstall.look(context, purge=False).plan)


def test_after_a_takeover_only_going_back_helps(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(context.store), "generation", lambda self, number: {"id": 0} if not number else None)
    with pytest.raises(TljhError, match="there was a TLJH on this machine before") as error:
        uninstall.look(context, purge=False)
    assert "tljh rollback 0" in (error.value.todo or "")


def test_not_from_a_server_of_the_hub(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    here = b"0::/system.slice/jupyter-ada.service\n"
    monkeypatch.setattr(Machine, "read", lambda self, path: here if path == Path("/proc/self/cgroup") else None)
    with pytest.raises(TljhError, match="this runs in somebody's server of the hub"):
        uninstall.look(context, purge=False)


def test_a_broken_config_yaml_keeps_nobody(context: Context) -> None:
    context.paths.config_file.write_text("a: [\n")
    assert ids(uninstall.look(context, purge=False).plan)


# ---- doing


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uninstall, "finish_interrupted", lambda machine, say: None)


def test_it_is_carried_out(context: Context, quiet: None, tmp_path: Path) -> None:
    context.store.set_wishes("plugin", ["tljh-maps"])
    uninstall.carry_out(uninstall.look(context, purge=False), "tljh uninstall --yes")
    paths = context.paths
    assert sorted(path.name for path in paths.prefix.iterdir()) == ["config", "state"]
    assert paths.hub_database.exists() and paths.config_file.exists()
    assert sorted(path.name for path in (tmp_path / "usr-bin").iterdir()) == ["tljh-config"], (
        "that one is another's"
    )
    assert context.store.wishes("plugin") == []
    newest = context.store.generations(1)[0]
    assert newest["uninstalled"] is True and newest["environments"] == {}
    assert context.store.runs(1)[0]["outcome"] == "done"
    removed = {row["key"] for row in context.store.journal() if row["action"] == "remove"}
    assert str(paths.envs / "hub-1") in removed


def test_with_purge_nothing_is_left(context: Context, quiet: None) -> None:
    uninstall.carry_out(uninstall.look(context, purge=True), "tljh uninstall --purge --yes")
    assert not context.paths.prefix.exists()


def test_a_prefix_that_is_a_link_stays(context: Context, quiet: None, tmp_path: Path) -> None:
    moved = context.paths.prefix.rename(tmp_path / "disk")
    context.paths.prefix.symlink_to(moved)
    uninstall.carry_out(uninstall.look(context, purge=True), "tljh uninstall --purge --yes")
    assert context.paths.prefix.is_symlink() and list(moved.iterdir()) == []


def test_what_is_the_admins_in_our_folder_stays(context: Context, quiet: None) -> None:
    (context.paths.prefix / "notes").write_text("mine")
    uninstall.carry_out(uninstall.look(context, purge=True), "tljh uninstall --purge --yes")
    assert [path.name for path in context.paths.prefix.iterdir()] == ["notes"]


@pytest.mark.parametrize("after", ["half of the environments", "the state", "the program is moved away"])
def test_one_that_was_cut_off_goes_on(context: Context, quiet: None, after: str) -> None:
    paths, machine = context.paths, context.machine
    machine.remove(paths.envs / "user-1")
    if after != "half of the environments":
        machine.remove(paths.config)
        machine.remove(paths.state)
    if after == "the program is moved away":
        machine.move(paths.envs / "hub-1", paths.envs / ".tljh-new-1-hub-1")
    uninstall.carry_out(uninstall.look(context, purge=True), "tljh uninstall --purge --yes")
    assert not paths.prefix.exists()


def test_twice_finds_nothing(context: Context, quiet: None) -> None:
    uninstall.carry_out(uninstall.look(context, purge=True), "tljh uninstall --purge --yes")
    context.facts.refresh()
    assert uninstall.look(context, purge=True).changes() == []


def test_a_failure_is_in_the_history(context: Context, quiet: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any) -> None:
        raise TljhError("the disk is gone")

    monkeypatch.setattr(uninstall.Gone, "change", refuse)
    with pytest.raises(TljhError, match="the disk is gone"):
        uninstall.carry_out(uninstall.look(context, purge=False), "tljh uninstall --yes")
    assert context.store.runs(1)[0]["outcome"] == "failed: the disk is gone"


def test_accounts_of_plugins_are_theirs(context: Context) -> None:
    for name in ("jupyter-ada", "welcome-bot"):
        context.store.remember_account(name=name, uid=1, gid=1, home=f"/home/{name}", origin="core")
    own(context, "plugins' files", "account:welcome-bot", "account")
    owned = context.store.owned()
    assert uninstall._people(context, owned) == {"jupyter-ada": Account("jupyter-ada", 1, 1, "/home/jupyter-ada")}


def test_the_same_machine_has_no_plan(context: Context) -> None:
    assert make_plan([], Facts(context.machine), {}).drops == []
