"""What plugins state, made into resources, and what of it is refused."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import pytest
from fakes import FakeMachine, make_context, real
from tljh.configurer import with_defaults
from tljh.declare import Account, Declared, Download, File, Folder, Group, HubService, Link, Timer, Unit
from tljh.engine.build import Stage, build
from tljh.engine.facts import Facts
from tljh.engine.plan import make_plan
from tljh.engine.processes import Completed
from tljh.engine.resource import Resource
from tljh.errors import TljhError
from tljh.plugins.contributions import PluginReport
from tljh.resources import file as files
from tljh.resources.plugin_file import FolderAbove, NoFile, PluginFile, PluginFolder, UnitFile
from tljh.resources.service import Service
from tljh.stages.context import Context
from tljh.stages.contributed import plugin_resources as module
from tljh.stages.services import Services

UNIT = "[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n"
SHA = "ab" * 32


@dataclass
class LineUp:
    """The stages of a run."""

    active: list[Any] = field(default_factory=list)


@pytest.fixture
def context(tmp_path: Path) -> Context:
    machine = FakeMachine(real(tmp_path) / "root")
    made = make_context(real(tmp_path), config=with_defaults({}))
    made.machine, made.facts = machine, Facts(machine)
    for folder in ("/srv", "/etc/systemd/system"):
        machine.at(Path(folder)).mkdir(parents=True)
    made.line_up = LineUp()  # type: ignore[assignment]
    made.hub_target = made.paths.envs / "hub-1"
    return made


def state(context: Context, **plugins: list[Declared]) -> None:
    """Let plugins state things."""
    context.reports = [
        PluginReport(
            name,
            f"tljh-{name}",
            "1.0",
            label=f"plugin {name} (1.0)",
            resources=tuple(d.as_dict() for d in declared),
        )
        for name, declared in plugins.items()
    ]


def of(context: Context, *declared: Declared, plugin: str = "a") -> dict[str, Resource]:
    state(context, **{plugin: list(declared)})
    found = module.resources_from(context, module.of_plugins(context))
    return {resource.id: resource for resource in found}


def refused(context: Context, *declared: Declared) -> str:
    with pytest.raises(TljhError) as caught:
        of(context, *declared)
    return str(caught.value)


# ---- what comes of each kind


def test_everything_in_an_order_in_which_it_can_be_put(context: Context) -> None:
    found = of(
        context,
        Link(path="/srv/l", target="f"),
        Unit(name="u", text=UNIT),
        Download(path="/srv/d", url="https://h/d", sha256=SHA),
        File(path="/srv/new/f", content="x", owner="bot:g"),
        Folder(path="/srv/box"),
        Account(name="bot", groups=["g"]),
        Group(name="g"),
    )
    assert list(found) == [
        "group:g",
        "account:bot",
        "member:g/bot",
        "directory:/srv/box",
        "directory:/srv/new",
        "file:/srv/new/f",
        "file:/srv/d",
        "link:/srv/l",
        "file:/etc/systemd/system/u.service",
        "unit:u.service",
    ]
    assert {origin for resource in found.values() for origin in resource.origins.values()} == {"a"}
    assert all(resource.desired().keys() == resource.origins.keys() for resource in found.values())


def test_a_file(context: Context) -> None:
    found = of(context, File(path="/srv/f", content=b"\xff", mode="0600"))["file:/srv/f"]
    assert isinstance(found, PluginFile)
    assert (found.content, found.mode, found.owner) == (b"\xff", "0600", "root:root")


def test_folders_above_that_are_missing_are_made_and_are_ours(context: Context) -> None:
    found = of(context, File(path="/srv/a/b/f", content=""), Folder(path="/srv/a", mode="0700"))
    assert list(found) == ["directory:/srv/a", "directory:/srv/a/b", "file:/srv/a/b/f"]
    assert type(found["directory:/srv/a"]) is PluginFolder
    assert type(found["directory:/srv/a/b"]) is FolderAbove
    context.machine.at(Path("/srv/a/b")).mkdir(parents=True)
    assert list(of(context, File(path="/srv/a/b/f", content=""))) == ["file:/srv/a/b/f"]
    context.store.own("directory:/srv/a/b", ["mode"], "a")
    assert list(of(context, File(path="/srv/a/b/f", content=""))) == ["directory:/srv/a/b", "file:/srv/a/b/f"]


def test_a_system_account_with_a_home(context: Context) -> None:
    found = of(context, Account(name="bot", home="/srv/bot"))
    home = found["directory:/srv/bot"]
    assert isinstance(home, files.Directory)
    assert (home.mode, home.owner) == ("0750", "bot:bot")
    assert found["account:bot"].desired() == {
        "account": "present",
        "home": "/srv/bot",
        "shell": "/usr/sbin/nologin",
    }


def test_accounts_without_a_home_of_their_own(context: Context) -> None:
    assert of(context, Account(name="bot"))["account:bot"].desired()["home"] == "/nonexistent"
    person = of(context, Account(name="ana", system=False, shell="/bin/bash"))
    assert list(person) == ["account:ana"]
    assert person["account:ana"].desired()["home"] == "/home/ana"


def test_a_timer_is_two_units(context: Context) -> None:
    found = of(context, Timer(name="nightly", command=["/bin/true"], calendar="daily"))
    assert list(found) == [
        "file:/etc/systemd/system/nightly.service",
        "unit:nightly.service",
        "file:/etc/systemd/system/nightly.timer",
        "unit:nightly.timer",
    ]
    assert set(found["unit:nightly.timer"].desired()) == {"enabled", "active", "text"}
    assert set(found["unit:nightly.service"].desired()) == {"text"}


def test_a_time_that_systemd_does_not_understand(context: Context) -> None:
    assert isinstance(context.machine, FakeMachine)
    said = Completed(1, "", "Failed to parse calendar specification 'offen': Invalid argument\n")
    context.machine.answers["systemd-analyze calendar offen"] = said
    assert refused(context, Timer(name="x", command=["/bin/true"], calendar="offen")) == (
        "plugin a (1.0): the timer x is to run at 'offen', which systemd does not understand: "
        "Failed to parse calendar specification 'offen': Invalid argument\n"
        "  → its author has to write it as in systemd.time(7), such as 'daily'; nothing was changed"
    )


def test_a_time_that_is_there_is_not_asked_for_again(context: Context) -> None:
    assert isinstance(context.machine, FakeMachine)
    timer = Timer(name="x", command=["/bin/true"], calendar="daily")
    found = of(context, timer)["file:/etc/systemd/system/x.timer"]
    assert isinstance(found, UnitFile)
    context.machine.put("/etc/systemd/system/x.timer", found.content or b"")
    context.facts.refresh()
    context.machine.commands.clear()
    of(context, timer)
    assert context.machine.commands == []


def test_without_systemd_units_are_left_out_with_a_warning(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(context.reporter, "warn", said.append)
    context.with_systemd = False
    assert of(context, Unit(name="u", text=UNIT), Timer(name="t", command=["/b"], calendar="daily")) == {}
    assert said == [
        "plugin a (1.0): the unit u.service is left out, because systemd does not run this machine",
        "plugin a (1.0): the timer t is left out, because systemd does not run this machine",
    ]


# ---- several plugins


def test_the_same_from_two_plugins_is_one_of_both(context: Context) -> None:
    state(context, b=[Group(name="g")], a=[Group(name="g")])
    (found,) = module.resources_from(context, module.of_plugins(context))
    assert found.origins == {"group": "a, b"}


def test_two_plugins_that_disagree(context: Context) -> None:
    state(
        context,
        a=[File(path="/srv/x", content="1", mode="0600")],
        b=[File(path="/srv/x", content="2", mode="0640")],
    )
    with pytest.raises(TljhError) as caught:
        module.resources_from(context, module.of_plugins(context))
    assert str(caught.value) == (
        "plugin a (1.0) and plugin b (1.0) state different things of the file /srv/x: "
        'mode is "0600" and "0640"; content differs\n'
        "  → leave one of the two out, or a version of it that agrees; nothing was changed"
    )


def test_two_kinds_at_one_place(context: Context) -> None:
    state(context, a=[Folder(path="/srv/x")], b=[Link(path="/srv/x", target="y")])
    with pytest.raises(TljhError, match="state different things of the folder and the link /srv/x: kind is"):
        module.resources_from(context, module.of_plugins(context))


def test_what_the_core_describes_is_not_a_plugins(context: Context) -> None:
    class Core(Stage[Context]):
        name, priority = "core's", 1

        def resources(self, context: Context) -> list[Resource]:
            return [files.File.at(Path("/etc/ours"), "x")]

    state(context, a=[File(path="/etc/ours", content="x")])
    with pytest.raises(TljhError) as caught:
        build([Core(), module.PluginFiles()], context, {}, {})
    assert str(caught.value).startswith("plugin a: file:/etc/ours is the installer's own (stage core's)\n")


def test_plugins_that_are_switched_off_and_those_that_this_run_does_without(context: Context) -> None:
    state(context, a=[Group(name="a")], b=[Group(name="b")])
    off = PluginReport("a", "tljh-a", "1.0", state="disabled", resources=context.reports[0].resources)
    context.reports, context.left_out = [off], {"b": context.reports[1]}
    assert [name for name, _ in module.of_plugins(context)] == ["b"]


# ---- places


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("{prefix}/state/x", "what is in {prefix}/state is the installer's own"),
        ("{prefix}/envs/hub-1/x", "what is in {prefix}/envs is the installer's own"),
        ("{prefix}/cache", "what is in {prefix}/cache is the installer's own"),
        ("{prefix}/hub/x", "what is in {prefix}/hub is the installer's own"),
        ("{prefix}/user/x", "what is in {prefix}/user is the installer's own"),
        ("{prefix}/config/config.yaml", "in {prefix}/config plugins may put files into jupyterhub_config.d only"),
        ("/proc/sys/x", "/proc is the kernel's"),
        ("/dev/x", "/dev is the kernel's"),
    ],
)
def test_places_that_are_no_plugins(context: Context, place: str, words: str) -> None:
    prefix = context.paths.prefix
    path = place.format(prefix=prefix)
    assert refused(context, File(path=path, content="")) == (
        f"plugin a (1.0): declares a file at {path}: {words.format(prefix=prefix)}\n"
        "  → leave the plugin out, or a version of it that uses another place; nothing was changed"
    )


def test_a_link_does_not_lead_there_either(context: Context) -> None:
    context.machine.at(Path("/srv/through")).symlink_to(context.machine.at(context.paths.state))
    context.machine.at(context.paths.state).mkdir(parents=True)
    words = refused(context, File(path="/srv/through/x", content=""))
    assert f"declares a file at /srv/through/x (which leads to {context.paths.state}/x)" in words


@pytest.mark.parametrize("path", ["/srv/../etc/x", "srv/x", "/"])
def test_what_was_never_checked_is_checked_here(context: Context, path: str) -> None:
    said = {"kind": "file", "path": path, "content": "", "mode": "0644", "owner": "root:root"}
    with pytest.raises(TljhError, match=r"declares a file at .*, which is no absolute path without '\.\.'"):
        module.resources_from(context, [("a", said)])


@pytest.mark.parametrize(
    ("declared", "words"),
    [
        (File(path="/srv", content=""), "plugin a (1.0): declares a file at /srv, where there is a directory"),
        (Folder(path="/srv/f"), "plugin a (1.0): declares a folder at /srv/f, where there is a file"),
    ],
)
def test_what_is_of_another_kind_is_not_replaced(context: Context, declared: Declared, words: str) -> None:
    assert isinstance(context.machine, FakeMachine)
    context.machine.put("/srv/f", "x")
    assert refused(context, declared).startswith(words)


@pytest.mark.parametrize(
    "declared", [Unit(name="jupyterhub", text=UNIT), Timer(name="traefik", command=["/b"], calendar="daily")]
)
def test_our_own_units(context: Context, declared: Declared) -> None:
    words = refused(context, declared)
    assert "which is the installer's own" in words
    assert "put additions into /etc/systemd/system/" in words


# ---- what the hub reads as it starts


def files_of_hub(context: Context) -> dict[str, str]:
    """Whatever the hub would be started with, of what plugins bring."""
    resources = build([module.PluginFiles(), Services()], context, context.store.owned(), {})
    hub = next(row for row in resources if isinstance(row, Service) and row.name == "jupyterhub")
    known = (str(context.paths.hub_config_d), str(context.paths.plugin_services))
    return {key: value for key, value in hub.desired().items() if key.removeprefix("with ").startswith(known)}


def test_the_hub_is_restarted_for_a_new_file_that_it_reads(context: Context) -> None:
    before = files_of_hub(context)
    path = context.paths.hub_config_d / "x.py"
    state(context, a=[File(path=path, content="c.x = 1\n")])
    assert set(files_of_hub(context)) - set(before) == {f"with {path}"}


def test_a_file_that_the_hub_reads_goes_before_the_hub_is_restarted(context: Context) -> None:
    path = context.paths.hub_config_d / "x.py"
    path.parent.mkdir(parents=True)
    path.write_text("c.x = 1\n")
    assert f"with {path}" in files_of_hub(context), "an admin's own"
    context.store.own(f"file:{path}", ["content"], "a")
    assert f"with {path}" not in files_of_hub(context)
    found = {row.id: row for row in module.PluginFiles().resources(context)}
    assert isinstance(found[f"file:{path}"], NoFile)


def services(context: Context) -> list[Mapping[str, Any]]:
    found = module.hub_services(context)
    assert isinstance(found, files.File)
    assert found.mode == "0600"
    listed: list[Mapping[str, Any]] = json.loads(found.content or b"")["services"]
    return listed


def test_hub_services_of_all_plugins_are_in_one_file(context: Context) -> None:
    assert services(context) == []
    state(
        context,
        b=[HubService(name="y", command=["/y"])],
        a=[HubService(name="z", api_token="t", admin=True), HubService(name="y", command=["/y"])],
    )
    assert [(row["name"], row["plugin"]) for row in services(context)] == [("y", "a, b"), ("z", "a")]
    assert context.written[context.paths.plugin_services]
    plan = make_plan([module.hub_services(context)], context.facts, {})
    assert {(line.origin, line.effect) for line in plan.changes()} == {("a, b", "hub services: y, z")}
    assert "api_token" not in str(plan.changes())


def test_a_hub_service_of_a_stage_is_there_before_the_hub_starts(context: Context) -> None:
    class Of(Stage[Context]):
        name, priority = "late", 95
        report = PluginReport("a", "tljh-a", "1.0")
        described: ClassVar = {"resources": [HubService(name="x", command=["/x"]).as_dict()], "rendered": {}}

    context.line_up = LineUp([Of()])  # type: ignore[assignment]
    assert [row["name"] for row in services(context)] == ["x"]
    assert module.resources_from(context, [("a", Of.described["resources"][0])]) == []


def test_two_different_hub_services_of_one_name(context: Context) -> None:
    state(context, a=[HubService(name="x", command=["/a"])], b=[HubService(name="x", command=["/b"])])
    with pytest.raises(TljhError, match="state different things of the hub service x"):
        module.hub_services(context)


def test_files_and_services_are_two_stages(context: Context) -> None:
    state(context, a=[Group(name="g"), Unit(name="u", text=UNIT)])
    early = [row.id for row in module.PluginFiles().resources(context)]
    late = [row.id for row in module.PluginServices().resources(context)]
    assert early == ["group:g", f"file:{context.paths.plugin_services}"]
    assert late == ["file:/etc/systemd/system/u.service", "unit:u.service"]
