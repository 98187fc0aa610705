from __future__ import annotations

import types
from pathlib import Path
from typing import Any

from plugin_fakes import ChildMachine, module, source
from tljh.hooks import hookimpl
from tljh.plugins.contributions import (
    Contribution,
    PluginReport,
    collect,
    conda_request_error,
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


def test_conda_packages_need_a_conda_environment() -> None:
    reports = gather(
        source("a", module(tljh_extra_user_conda_packages=lambda: ["r-base", "octave"]), "2.0"),
        source("b", module(tljh_extra_user_conda_channels=lambda: ["bioconda"])),
    )
    error = conda_request_error(reports, "pypi")
    assert error is not None
    assert "plugin a 2.0 wants r-base, octave" in error.what
    assert "comes from PyPI" in error.what
    assert "tljh_extra_user_pip_packages" in (error.todo or "")
    assert conda_request_error(reports, "conda") is None
    assert conda_request_error(reports[1:], "pypi") is None
