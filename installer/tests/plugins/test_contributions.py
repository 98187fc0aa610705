from __future__ import annotations

import json
import logging
import types
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import pytest
import tljh
from plugin_fakes import ChildMachine, module, source
from pydantic import Field
from tljh import declare
from tljh.declare import HealthCheck
from tljh.errors import TljhError
from tljh.hooks import hookimpl
from tljh.plugins.contributions import (
    Contribution,
    PluginReport,
    collect,
    environments,
    first_problem_error,
    merged,
)
from tljh.plugins.recorded import as_record, from_record

PYTHON = Path("/opt/tljh/envs/hub-2/bin/python")
APT = "tljh_extra_apt_packages"
CONDA = "tljh_extra_user_conda_packages"


def gather(*sources: Any, **how: Any) -> list[PluginReport]:
    machine: Any = ChildMachine(sources, **how)
    return collect(machine, PYTHON, timeout=60)


def test_a_report_tells_what_a_plugin_is_and_wants() -> None:
    (report,) = gather(
        source(
            "a",
            module(
                tljh_extra_apt_packages=lambda: ["z", "a", "z"],
                tljh_extra_hub_pip_packages=lambda: None,
                tljh_post_install=lambda: None,
            ),
            "2.0",
        )
    )
    assert (report.name, report.distribution, report.version) == ("a", "tljh-a", "2.0")
    assert report.label == "plugin a (tljh-a 2.0)"
    assert report.hooks == (APT, "tljh_extra_hub_pip_packages", "tljh_post_install")
    assert report.contributions == {APT: ("z", "a", "z"), "tljh_extra_hub_pip_packages": ()}
    assert report.problems == report.warnings == ()
    assert first_problem_error([report]) is None


def test_attribution_order_and_duplicates() -> None:
    last = types.ModuleType("last")
    last.tljh_extra_apt_packages = hookimpl(trylast=True)(lambda: ["z"])  # type: ignore[attr-defined]
    reports = gather(
        source("a", last),
        source("b", module(tljh_extra_apt_packages=lambda: ["y", "x"]), "2.0"),
        source("c", module(tljh_extra_apt_packages=lambda: ["x"])),
        source("d", module(tljh_post_install=lambda: None)),
    )
    assert merged(reports, APT) == [
        Contribution("y", "b", "2.0"),
        Contribution("x", "b", "2.0"),
        Contribution("x", "c", "1.0"),
        Contribution("z", "a", "1.0"),
    ]
    assert merged(reports, CONDA) == []


def test_problems_stop_an_install_and_say_how_to_go_on() -> None:
    reports = gather(
        source("a", module(tljh_extra_apt_packages=lambda: ["x"])),
        source("b", module(tljh_extra_apt_packages=lambda: "x"), "2.0"),
        source("c", ImportError("gone")),
        source("d", module(tljh_new_user_create=lambda name: None)),
    )
    error = first_problem_error(reports)
    assert error is not None
    assert error.what.splitlines() == [
        "plugin b (tljh-b 2.0): tljh_extra_apt_packages returned the text 'x' instead of a list of texts",
        "also: plugin c (tljh-c 1.0) can't be loaded: ImportError: gone",
        "also: plugin d (tljh-d 1.0): tljh_new_user_create wants name, but the hook gives username",
    ]
    todo = error.todo or ""
    assert "nothing was changed" in todo
    assert "a version of tljh-b that works, or go on without it for now" in todo
    assert "the same command with --without b --without c --without d" in todo
    assert merged(reports, APT) == [Contribution("x", "a", "1.0")]


def test_where_the_traceback_is(caplog: pytest.LogCaptureFixture) -> None:
    def fails() -> None:
        raise OSError("no wish")

    said = {}
    for name, hook in {"fails": fails, "returns": lambda: 3}.items():
        error = first_problem_error(gather(source("a", module(tljh_extra_apt_packages=hook))))
        said[name] = (error and error.todo) or ""
    assert said["fails"].endswith(
        "('tljh install' changes as little, and writes the whole traceback into its log)"
    )
    assert said["returns"].endswith("the same command with --without a"), "there is none"
    caplog.set_level(logging.DEBUG, "tljh")
    error = first_problem_error(gather(source("a", module(tljh_extra_apt_packages=fails))))
    assert error is not None and (error.todo or "").endswith("(the whole traceback is in the log)")


def test_of_a_name_that_can_not_be_used_the_package_is_named() -> None:
    error = first_problem_error(gather(source("a:b", module(), distribution="tljh-x")))
    assert error is not None and "--without tljh-x" in (error.todo or "")


def test_a_plugin_that_hangs_is_named() -> None:
    sources = [source(name, module(tljh_extra_apt_packages=lambda: ["x"])) for name in "ab"]
    reports = gather(*sources, cut=9, hangs=True)
    assert [report.problems for report in reports] == [
        (),
        ("plugin b (tljh-b 1.0): tljh_extra_apt_packages did not end within 60 s",),
    ]
    assert merged(reports, APT) == [Contribution("x", "a", "1.0")]


def test_a_plugin_that_ends_the_process_while_it_is_loaded_is_named() -> None:
    reports = gather(source("a", module()), source("b", module(), "2.0"), cut=4)
    assert [(report.name, report.version, report.problems) for report in reports][1:] == [
        ("b", "2.0", ("plugin b (tljh-b 2.0): loading it ended the process (signal 9)",))
    ]


def test_the_second_of_two_plugins_of_one_name_wants_nothing() -> None:
    reports = gather(
        source("a", module(tljh_extra_apt_packages=lambda: ["x"]), distribution="one"),
        source("a", module(tljh_extra_apt_packages=lambda: ["y"]), distribution="two"),
    )
    assert merged(reports, APT) == [Contribution("x", "a", "1.0")]
    assert "another one of this name, from one 1.0" in reports[1].problems[0]


def test_warnings_stop_nothing() -> None:
    reports = gather(source("a", module(tljh_extra_apt_package=lambda: [])))
    assert "did you mean tljh_extra_apt_packages?" in reports[0].warnings[0]
    assert first_problem_error(reports) is None


# ---- environments

HOOK = "tljh_environments"


def wanting(name: str, version: str = "1.0", **wanted: Any) -> Any:
    return source(name, module(tljh_environments=lambda: wanted), version)


def test_environments_of_plugins() -> None:
    reports = gather(
        wanting("a", gis={"python": 3.12, "packages": {"conda": ("gdal",)}}, art=None),
        wanting("b", gis={"title": "gis", "python": "3.12", "packages": {"conda": ["gdal"], "pip": None}}),
        source("c", module(tljh_environments=lambda: None)),
    )
    assert [report.problems for report in reports] == [(), (), ()]
    assert [(wish.name, wish.plugin) for wish in environments(reports)] == [("art", "a"), ("gis", "a")]
    assert environments(reports)[1].values == {
        "title": "gis",
        "python": "3.12",
        "channels": [],
        "file": "",
        "packages": {"conda": ["gdal"], "pip": []},
    }
    assert reports[2].contributions == {HOOK: ()}
    assert environments(reports, settled=["gis", "other"])[0].name == "art"
    assert json.loads(json.dumps(reports[0].contributions))[HOOK][0]["name"] == "art", "plain, for the record"


def test_plugins_that_disagree_are_both_named() -> None:
    reports = gather(
        wanting("a", gis={"packages": {"pip": ["x"]}}),
        wanting("b", "2.0", gis={"title": "Maps", "file": "/e.yml"}),
    )
    with pytest.raises(TljhError) as caught:
        environments(reports)
    assert str(caught.value).splitlines()[0] == (
        "plugin a (tljh-a 1.0) and plugin b (tljh-b 2.0) ask for different environments named gis: "
        'title is "gis" and "Maps"; file is "" and "/e.yml"; '
        'packages is {"conda": [], "pip": ["x"]} and {"conda": [], "pip": []}'
    )
    assert environments(reports, settled=["gis"]) == [], "config.yaml says what it is"


def test_environments_that_are_wrong_stop_an_install() -> None:
    error = first_problem_error(gather(wanting("a", "2.0", gis={"packages": {"conda": "numpy"}})))
    assert error is not None
    assert error.what == (
        "plugin a (tljh-a 2.0): tljh_environments returned what can't be used: environments.gis.packages.conda is "
        'the text "numpy"; expected a list of conda packages, as conda takes them'
    )


# ---- all that a report holds


class Full(tljh.Plugin):
    size: int = Field(default=3, description="How many")
    token: str = "geheim"

    @hookimpl
    def tljh_resources(self, config: Any) -> Any:
        yield declare.File(path="/etc/a", content=f"{config['limits']['memory']} {self.size}")

    @hookimpl
    def tljh_subcommands(self, cli: click.Group) -> None:
        @cli.command()
        def greet() -> None:
            """Say hello."""

        cli.add_command(click.Group("more", help="Further commands."))

    @hookimpl
    def tljh_health_checks(self) -> Any:
        return (
            HealthCheck("disk", "There is room", lambda: True),
            HealthCheck("data", "The data is there", lambda: True, fix=lambda: None),
        )

    @hookimpl
    def tljh_stages(self) -> Any:
        class Database(tljh.Stage):
            name = "database"
            priority = 45

            def render(self) -> Any:
                return {"/etc/db": f"size {self.context.settings['size']}"}

            def deploy(self, stage_outputs: Any) -> None: ...

        return [Database]


def full(text: str = "") -> PluginReport:
    machine: Any = ChildMachine([source("full", Full)])
    return collect(machine, PYTHON, text=text)[0]


def test_everything_is_collected() -> None:
    report = full("limits: {memory: 2G}\nplugins: {full: {size: 5}}\n")
    assert report.problems == ()
    assert [(row["kind"], row["path"], row["content"]) for row in report.resources] == [("file", "/etc/a", "2G 5")]
    assert report.commands == (
        {"name": "greet", "help": "Say hello."},
        {"name": "more", "help": "Further commands."},
    )
    assert report.checks == (
        {"name": "disk", "sentence": "There is room", "fixable": False},
        {"name": "data", "sentence": "The data is there", "fixable": True},
    )
    (stage,) = report.stages
    assert (stage["name"], stage["priority"], stage["has"]) == ("database", 45, ["deploy"])
    assert stage["rendered"] == {"/etc/db": "size 5"}
    assert report.settings["properties"]["size"]["description"] == "How many"
    assert report.values == {"size": 5, "token": "***"}
    assert set(report.seconds) == {"", *report.hooks}
    assert report.state == "active"
    assert from_record(json.loads(json.dumps(as_record(report)))) == report


def test_wrong_settings_stop_an_install_with_file_and_line() -> None:
    error = first_problem_error([full("# mine\nplugins:\n  full:\n    size: x\n")])
    assert error is not None
    assert error.what == (
        "plugin full (tljh-full 1.0) can't be loaded: /opt/tljh/config/config.yaml line 4: "
        'plugins.full.size is the text "x"; expected a whole number (How many)'
    )


@pytest.mark.parametrize(
    ("hook", "value", "words"),
    [
        ("tljh_resources", "x", "returned 'x' instead of a list of what tljh.declare has (File, Unit …)"),
        ("tljh_resources", ["x"], "returned a list with 'x' in it, which is nothing that tljh.declare has"),
        ("tljh_health_checks", 3, "returned 3 instead of a list of tljh.declare.HealthCheck"),
        ("tljh_health_checks", [3], "returned a list with 3 in it, which is no tljh.declare.HealthCheck"),
        (
            "tljh_health_checks",
            [HealthCheck("a", "b", lambda: True), HealthCheck("a", "c", lambda: True)],
            "returned two health checks named a",
        ),
        ("tljh_stages", ["x"], "returned a list with 'x' in it, which is no subclass of tljh.Stage"),
    ],
)
def test_wrong_answers(hook: str, value: object, words: str) -> None:
    (report,) = gather(source("a", module(**{hook: lambda: value})))
    assert len(report.problems) == 1 and report.state == "failed"
    assert report.problems[0].startswith(f"plugin a (tljh-a 1.0): {hook} {words}")


def test_commands_of_a_hook_that_fails_do_not_count() -> None:
    def adds_and_fails(cli: click.Group) -> None:
        cli.add_command(click.Command("half"))
        raise RuntimeError("no")

    def adds(cli: click.Group) -> None:
        cli.add_command(click.Command("whole", help="Works."))

    one, two = gather(
        source("a", module(tljh_subcommands=adds_and_fails)), source("b", module(tljh_subcommands=adds))
    )
    assert one.commands == () and "tljh_subcommands failed: RuntimeError: no" in one.problems[0]
    assert two.commands == ({"name": "whole", "help": "Works."},)


def test_a_slow_hook_is_reported_with_its_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tljh.plugins.calls.SLOW", -1.0)
    (report,) = gather(source("a", module(tljh_extra_apt_packages=lambda: [])))
    assert report.warnings == ("plugin a (tljh-a 1.0): tljh_extra_apt_packages took 0.0 s",)


def test_what_is_switched_off_is_told_and_wants_nothing() -> None:
    off = replace(source("a", RuntimeError("imported")), off=True)
    (report,) = gather(off)
    assert report == PluginReport("a", "tljh-a", "1.0", label="plugin a (tljh-a 1.0)", state="disabled")


def test_a_file_is_told_with_its_path() -> None:
    file = replace(
        source("a", module(tljh_post_install=lambda: None)), kind="file", path="/p/a.py", distribution=""
    )
    (report,) = gather(file)
    assert (report.source, report.origin_path, report.label) == ("file", "/p/a.py", "plugin a (/p/a.py)")
    error = first_problem_error([replace(report, problems=("it is broken",))])
    assert error and "mend /p/a.py, or go on without it for now: the same command with --without a" in str(error)


def test_which_plugins_the_process_loads() -> None:
    machine: Any = ChildMachine([])
    collect(machine, PYTHON, variables={"TLJH_PLUGINS_OFF": "a"})
    assert machine.options["env"] == {"PYTHONSAFEPATH": "1", "TLJH_PLUGINS_OFF": "a"}


def test_wrong_settings_are_the_admins_to_correct() -> None:
    problem = "plugin x (1): can't be loaded: config.yaml line 3: plugins.x.size is text; expected a number"
    error = first_problem_error([PluginReport("x", "tljh-x", "1", problems=(problem,))])
    assert error is not None
    assert error.todo is not None
    assert error.todo.startswith(
        "nothing was changed; correct plugins.x (tljh config), or go on without it for now: the same command with "
    )
