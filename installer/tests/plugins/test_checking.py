"""What ``tljh plugin check`` finds, from what a plugin's project and the plugin itself say."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from tljh.errors import UsageError
from tljh.plugins import scaffold
from tljh.plugins.checking import ERROR, GOOD, WARNING, Finding, examine
from tljh.plugins.contributions import PluginReport


class Asked:
    """Stands for the child process."""

    def __init__(self, *reports: PluginReport) -> None:
        self.reports = reports
        self.variables: Mapping[str, str] = {}
        self.seen: list[tuple[str, str, str]] = []

    def __call__(self, variables: Mapping[str, str]) -> Sequence[PluginReport]:
        self.variables = variables
        folder = variables.get("PYTHONPATH", "").split(os.pathsep)[0]
        for found in metadata.distributions(path=[folder]) if folder else ():
            self.seen += [(found.name, entry.name, entry.value) for entry in found.entry_points]
        return self.reports


def report(**more: Any) -> PluginReport:
    known: dict[str, Any] = {"name": "demo", "distribution": "tljh-demo", "version": "0.1.0"}
    return PluginReport(**{**known, "hooks": ("tljh_extra_apt_packages",), **more})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return scaffold.write("demo", "functions", tmp_path)[0]


def of(findings: Sequence[Finding], level: str) -> list[str]:
    return [f"{finding.about}: {finding.text}" for finding in findings if finding.level == level]


def test_it_looks_installed(folder: Path) -> None:
    asked = Asked(report(contributions={"tljh_extra_apt_packages": ("graphviz",)}))
    findings = examine(folder, asked)
    assert asked.seen == [("tljh-demo", "demo", "tljh_demo")]
    assert asked.variables["PYTHONPATH"].split(os.pathsep)[1:3] == [str(folder / "src"), str(folder)]
    assert {finding.level for finding in findings} == {GOOD}
    assert of(findings, GOOD) == [
        "packaging: tljh-demo 0.1.0, entry point demo = tljh_demo",
        "loading: demo can be loaded",
        "hooks: tljh_extra_apt_packages",
        "answers: tljh_extra_apt_packages: graphviz",
    ]


def test_other_plugins_are_none_of_its_business(folder: Path) -> None:
    other = PluginReport("other", "tljh-other", "1", problems=("plugin other: it is broken",))
    assert not of(examine(folder, Asked(report(), other)), ERROR)


def test_what_is_wrong_with_a_plugin(folder: Path) -> None:
    broken = report(
        problems=(
            "plugin demo: tljh_extra_apt_packages returned 'x' instead of a list",
            "plugin demo: tljh_x wants y",
        ),
        warnings=("plugin demo: tljh_extra_apt is not a hook; it is never called", "plugin demo: it took 7 s"),
    )
    findings = examine(folder, Asked(broken))
    assert of(findings, ERROR) == [
        "answers: plugin demo: tljh_extra_apt_packages returned 'x' instead of a list",
        "hooks: plugin demo: tljh_x wants y",
        "hooks: plugin demo: tljh_extra_apt is not a hook; it is never called",
    ]
    assert of(findings, WARNING) == ["hooks: plugin demo: it took 7 s"]


def test_one_that_can_not_be_loaded(folder: Path) -> None:
    asked = Asked(report(hooks=(), problems=("plugin demo can't be loaded: ImportError: no x",)))
    assert of(examine(folder, asked), ERROR) == ["loading: plugin demo can't be loaded: ImportError: no x"]


def test_settings_without_a_description(folder: Path) -> None:
    schema = {"properties": {"a": {"type": "string", "description": "A"}, "b": {"type": "string"}}}
    findings = examine(folder, Asked(report(settings=schema)))
    assert of(findings, WARNING) == [
        "settings: the setting b has no description, so 'tljh plugin info' can't say what it is for"
    ]
    assert "settings: a, b" in of(findings, GOOD)


def test_what_else_it_answers_is_told(folder: Path) -> None:
    full = report(
        resources=({"kind": "file", "path": "/x"},),
        stages=({"name": "s", "priority": 65},),
        commands=({"name": "quota", "help": ""},),
        checks=({"name": "disk", "sentence": "x", "fixable": False},),
        contributions={"tljh_environments": ({"name": "maps", "title": "Maps"},)},
    )
    assert of(examine(folder, Asked(full)), GOOD)[3:] == [
        "answers: tljh_environments: maps",
        "answers: tljh_resources: 1 thing declared",
        "answers: tljh_stages: s, priority 65",
        "answers: tljh_subcommands: tljh quota",
        "answers: tljh_health_checks: disk",
    ]


def test_packaging_without_an_entry_point(folder: Path) -> None:
    (folder / "pyproject.toml").write_text('[project]\nname = "demo"\nversion = "1"\ndescription = "x"\n')
    findings = examine(folder, Asked())
    assert of(findings, WARNING) == ["packaging: the package is called demo"]
    assert findings[0].todo == "call it tljh-demo, so that it is found"
    assert of(findings, ERROR) == [
        "packaging: it has no entry point in the group 'tljh', so no server sees that it is a plugin"
    ]
    assert findings[1].todo == 'add to pyproject.toml: [project.entry-points.tljh] demo = "demo"'


def test_packaging_that_says_too_little_or_too_much(folder: Path) -> None:
    (folder / "pyproject.toml").write_text(
        '[project]\nrequires-python = ">=4"\n'
        'dependencies = ["the-littlest-jupyterhub @ git+https://host/tljh", "requests"]\n'
        '[project.entry-points.tljh]\ndemo = "tljh_demo"\n'
    )
    findings = examine(folder, Asked(PluginReport("demo", "unnamed", "0")))
    assert "packaging: the package has no name" in of(findings, ERROR)
    assert [text for text in of(findings, ERROR) if "it needs Python >=4, and this one is 3." in text]
    assert of(findings, WARNING)[:2] == [
        "packaging: the package has no version",
        "packaging: the package has no description",
    ]
    assert "every server that can load it has that already" in of(findings, WARNING)[2]
    (folder / "pyproject.toml").write_text('[project]\nname = "tljh-x"\nrequires-python = "three"\n')
    assert "packaging: requires-python is 'three'" in of(examine(folder, Asked()), ERROR)


def test_packaging_that_can_not_be_read(folder: Path) -> None:
    (folder / "pyproject.toml").write_text("[project")
    (finding,) = examine(folder, Asked())
    assert (finding.about, finding.level) == ("packaging", ERROR)
    assert finding.text.startswith(f"{folder}/pyproject.toml: it can't be read: ")


def test_one_file(tmp_path: Path) -> None:
    file = tmp_path / "hello.py"
    file.write_text("")
    asked = Asked(report(source="import", distribution="", name="hello"), report())
    findings = examine(file, asked)
    assert asked.variables == {"TLJH_IMPORT_PLUGINS": str(file), "TLJH_PLUGINS_OFF": ""}
    assert of(findings, GOOD)[:2] == [
        "packaging: one file, for plugins.d or --import-plugin: hello.py",
        "loading: hello can be loaded",
    ]
    with pytest.raises(UsageError, match=r"other\.py does not exist"):
        examine(tmp_path / "other.py", asked)
