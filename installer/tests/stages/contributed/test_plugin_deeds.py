"""What hooks did, on the machine: wanted from the record, and gone with its plugin."""

from __future__ import annotations

from pathlib import Path

import pytest
from fakes import FakeMachine, add_distribution, make_context, make_environment, real
from tljh.configurer import with_defaults
from tljh.engine.agreement import Agreement
from tljh.engine.facts import Facts
from tljh.engine.plugin_tables import Deed
from tljh.engine.resource import Resource
from tljh.plugins import recording
from tljh.plugins.contributions import PluginReport
from tljh.resources.file import File
from tljh.resources.locks.lock import Lock, Requested, record_of
from tljh.resources.plugin_account import PluginGroup
from tljh.stages.accounts import Accounts
from tljh.stages.context import Context
from tljh.stages.contributed import plugin_deeds as module
from tljh.stages.locks.solving import settle
from tljh.stages.system_packages import wanted_packages


@pytest.fixture
def context(tmp_path: Path) -> Context:
    made = make_context(real(tmp_path), config=with_defaults({}))
    made.reports = [PluginReport(name, f"tljh-{name}", "1.0") for name in ("a", "b")]
    return made


def did(context: Context, *notes: dict[str, object], plugin: str = "a") -> None:
    recording.keep(context.store, plugin, notes)


def ids(resources: object) -> list[str]:
    return [resource.id for resource in resources]  # type: ignore[attr-defined]


GROUP = {"kind": "group", "name": "g", "was": False}


def test_groups_accounts_and_memberships(context: Context) -> None:
    did(
        context,
        {"kind": "membership", "name": "g/ana", "was": False},
        {"kind": "user", "name": "ana", "was": False},
        GROUP,
    )
    found = list(module.accounts(context, []))
    assert ids(found) == ["group:g", "account:ana", "member:g/ana"]
    assert found[1].desired() == {"account": "present"}, "its home and shell are the hook's business"
    assert [resource.origins for resource in found] == [{"group": "a"}, {"account": "a"}, {"member": "a"}]


def test_who_did_the_same_is_named_too(context: Context) -> None:
    did(context, GROUP)
    did(context, GROUP, plugin="b")
    (found,) = module.accounts(context, [])
    assert found.origins == {"group": "a, b"}


def test_what_is_stated_counts_more(context: Context) -> None:
    did(context, GROUP)
    stated = PluginGroup("group:g", context.store, origins={"group": "b"})
    assert list(module.accounts(context, [stated])) == []
    agreement = Agreement()
    for resource in (*module.accounts(context, []), stated):
        agreement.add(resource)
    assert list(agreement.found.values()) == [stated]


def test_units_as_they_were_written_enabled_and_started(context: Context) -> None:
    did(
        context,
        {"kind": "unit", "name": "x.service", "path": "/etc/systemd/system", "text": "old", "there": None},
        {"kind": "unit", "name": "x.service", "path": "/etc/systemd/system", "text": "new", "there": None},
        {"kind": "unit", "name": "y.service", "path": "/run/x", "text": "y", "there": None},
        {"kind": "service", "name": "x", "started": True, "was": False},
    )
    found: list[Resource] = list(module.units(context, []))
    assert ids(found) == ["file:/etc/systemd/system/x.service", "file:/run/x/y.service", "unit:x.service"]
    assert isinstance(found[0], File)
    assert found[0].content == b"new"
    assert found[2].desired() == {"active": "yes"}, "the hook itself restarts what it rewrites"
    context.with_systemd = False
    assert list(module.units(context, [])) == []


def test_deeds_of_who_has_no_say_are_not_wanted(context: Context) -> None:
    did(context, GROUP)
    context.reports = [PluginReport("a", "tljh-a", "1.0", state="disabled")]
    assert list(module.accounts(context, [])) == []
    context.left_out = {"a": PluginReport("a", "tljh-a", "1.0")}
    assert ids(module.accounts(context, [])) == ["group:g"]


def test_packages_join_what_is_wanted(context: Context) -> None:
    did(
        context,
        {"kind": "apt", "name": "hello", "was": False},
        {"kind": "pip", "name": "cowsay>=5", "new": ["cowsay"]},
        {"kind": "conda", "name": "r-base", "new": ["conda:r-base"]},
    )
    assert wanted_packages(context)["hello"] == "a"
    assert module.requirements(context) == [
        Requested("cowsay>=5", "a"),
        Requested("r-base", "a", "conda"),
    ]
    assert module.brought(context.store) == {"cowsay", "conda:r-base"}
    assert len(module.packages(context)) == 3


def test_what_a_hook_installed_is_no_reason_to_run_it_again(context: Context) -> None:
    before = Lock((Requested("numpy", "core"),), ("numpy==2.0",))
    did(context, {"kind": "pip", "name": "cowsay", "new": ["cowsay"]})
    after = Lock((Requested("numpy", "core"), Requested("cowsay", "a")), ("numpy==2.0", "cowsay==1.0"))
    assert module.without_hooks(context, after).wishes == before.wishes
    other = Lock((Requested("numpy", "core"), Requested("cowsay", "config.yaml")), ())
    assert module.without_hooks(context, other).wishes != before.wishes


# ---- the user environment


@pytest.fixture
def installed(context: Context) -> Context:
    """A user environment into which a hook of ``a`` has put two packages."""
    path = context.paths.envs / "user-1"
    make_environment(path, {"numpy": "2.0"})
    lock = Lock((Requested("numpy", "core"),), ("numpy==2.0",))
    (path / "tljh-environment.json").write_text(record_of(lock, {"numpy": "2.0"}))
    context.paths.user.symlink_to("envs/user-1")
    for name in ("cowsay", "rich"):
        add_distribution(path, name, "1.1", installer="uv")
    new = ["cowsay", "rich"]
    did(context, *({"kind": "pip", "name": name, "new": new} for name in new))
    return context


def test_it_becomes_a_wish_that_is_met_already(installed: Context) -> None:
    asked = [Requested("numpy", "core"), *module.requirements(installed)]
    lock, target = settle(installed, installed.paths.user, asked, "pypi")
    assert target.name == "user-1"
    assert lock.pins == {"numpy": "==2.0", "cowsay": "==1.1", "rich": "==1.1"}, "the versions that are there stay"
    assert "by hand" not in {row.origin for row in lock.requested}


def test_without_its_plugin_it_goes(installed: Context) -> None:
    installed.reports = []
    lock, target = settle(installed, installed.paths.user, [Requested("numpy", "core")], "pypi")
    assert target.name == "user-2", "one that does not hold it"
    assert set(lock.pins) == {"numpy"}


def test_what_an_admin_installed_stays(installed: Context) -> None:
    add_distribution(installed.paths.envs / "user-1", "polars", "1.0")
    installed.reports = []
    installed.facts.refresh()
    _, target = settle(installed, installed.paths.user, [Requested("numpy", "core")], "pypi")
    assert target.name == "user-2"
    lock, _ = settle(installed, installed.paths.user, [Requested("numpy", "core"), Requested("x", "core")], "pypi")
    assert lock.pins["polars"] == "==1.0"
    assert "cowsay" not in lock.pins


# ---- the end of a run


def test_at_the_end_what_is_gone_is_forgotten(context: Context, tmp_path: Path) -> None:
    machine = FakeMachine(real(tmp_path) / "root", {"systemctl show": "LoadState=not-found\n"})
    machine.at(Path("/run/systemd/system")).mkdir(parents=True)
    machine.put("/etc/there", "x")
    machine.put("/etc/passwd", "root:x:0:0:root:/root:/bin/bash\n")
    machine.put("/etc/group", "root:x:0:\ng:x:5:ana\n")
    context.machine, context.facts = machine, Facts(machine)
    kept = ["file:/etc/there", "group:g", "account:root", "member:g/ana", "apt", "service:x", "environment:user"]
    gone = ["file:/etc/none", "link:/l", "directory:/d", "group:x", "account:x", "member:g/x", "unit:x.service"]
    for name in (*kept, *gone):
        context.store.own(name, ["x"], "a")
    did(context, GROUP)
    did(context, {"kind": "group", "name": "of-b", "was": True}, plugin="b")
    context.reports = [PluginReport("b", "tljh-b", "1.0")]
    module.finish(context)
    assert set(context.store.owned()) == set(kept)
    assert context.store.deeds() == [Deed("b", "group", "of-b", {})]


def test_an_account_of_a_hook_is_not_the_cores_to_restore(context: Context, tmp_path: Path) -> None:
    for name in ("ana", "bot"):
        context.store.remember_account(name=name, uid=1, gid=1, home=str(tmp_path), origin="core")
    did(context, {"kind": "user", "name": "bot", "was": False}, {"kind": "user", "name": "ana", "was": True})
    found = next(row for row in Accounts().resources(context) if row.id == "accounts")
    assert set(found.desired()) == {"ana"}
