from __future__ import annotations

import json
import types
from pathlib import Path
from typing import Any

import pytest
from plugin_fakes import ChildMachine, module, source
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
    assert "a version of tljh-b that works, or leave the plugin out" in todo
    assert merged(reports, APT) == [Contribution("x", "a", "1.0")]


def test_a_plugin_that_hangs_is_named() -> None:
    sources = [source(name, module(tljh_extra_apt_packages=lambda: ["x"])) for name in "ab"]
    reports = gather(*sources, cut=7, hangs=True)
    assert [report.problems for report in reports] == [
        (),
        ("plugin b (tljh-b 1.0): tljh_extra_apt_packages did not end within 60 s",),
    ]
    assert merged(reports, APT) == [Contribution("x", "a", "1.0")]


def test_a_plugin_that_ends_the_process_while_it_is_loaded_is_named() -> None:
    reports = gather(source("a", module()), source("b", module(), "2.0"), cut=3)
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
