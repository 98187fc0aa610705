"""What a project's packaging says, read without running anything of it."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
from tljh.errors import TljhError, UsageError
from tljh.plugins.packaging import Project, read

PYPROJECT = """
[project]
name = "tljh-demo"
version = "1.2"
description = "Demo"
requires-python = ">=3.10"
dependencies = ["requests>=2"]
[project.entry-points.tljh]
demo = "tljh_demo"
[project.entry-points.other]
x = "y"
"""
SETUP_PY = """
from setuptools import setup
raise SystemExit("never run")
setup(name="tljh-demo", version=open("v").read(), description="Demo", python_requires=">=3.10",
      install_requires="requests>=2", entry_points={"tljh": ["demo = tljh_demo"], "other": ["x = y"]})
"""
SETUP_CFG = """
[metadata]
name = tljh-demo
version = 1.2
description = Demo
[options]
python_requires = >=3.10
install_requires =
    requests>=2
[options.entry_points]
tljh =
    demo = tljh_demo
"""


def project(tmp_path: Path, **files: str) -> Project:
    for name, text in files.items():
        (tmp_path / name.replace("_dot_", ".")).write_text(text)
    return read(tmp_path, tmp_path / "unpack")


@pytest.mark.parametrize(
    ("file", "text", "version"),
    [
        ("pyproject_dot_toml", PYPROJECT, "1.2"),
        ("setup_dot_cfg", SETUP_CFG, "1.2"),
        ("setup_dot_py", SETUP_PY, ""),  # worked out while it runs
    ],
)
def test_each_way_to_package(tmp_path: Path, file: str, text: str, version: str) -> None:
    found = project(tmp_path, **{file: text})
    assert (found.name, found.version, found.about) == ("tljh-demo", version, "Demo")
    assert dict(found.entry_points) == {"demo": "tljh_demo"}
    assert (found.requires_python, found.requires) == (">=3.10", ("requests>=2",))
    assert found.folders == (tmp_path,)


def test_pyproject_wins_where_it_says_something(tmp_path: Path) -> None:
    found = project(tmp_path, pyproject_dot_toml='[project]\nname = "tljh-new"', setup_dot_py=SETUP_PY)
    assert (found.name, found.about) == ("tljh-new", "Demo")


def test_poetry(tmp_path: Path) -> None:
    text = '[tool.poetry]\nname = "tljh-p"\nversion = "3"\n[tool.poetry.plugins.tljh]\np = "tljh_p"\n'
    found = project(tmp_path, pyproject_dot_toml=text)
    assert (found.name, found.version, dict(found.entry_points)) == ("tljh-p", "3", {"p": "tljh_p"})


def test_a_wheel(tmp_path: Path) -> None:
    wheel = tmp_path / "tljh_demo-1.2-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        info = "tljh_demo-1.2.dist-info"
        archive.writestr(f"{info}/METADATA", "Name: tljh-demo\nVersion: 1.2\nSummary: Demo\nRequires-Dist: a>=1\n")
        archive.writestr(f"{info}/entry_points.txt", "[tljh]\nDemo = tljh_demo:X\n")
    found = read(wheel, tmp_path / "unpack")
    assert (found.name, found.version, found.about, found.requires) == ("tljh-demo", "1.2", "Demo", ("a>=1",))
    assert dict(found.entry_points) == {"Demo": "tljh_demo:X"}
    assert found.folders == (tmp_path / "unpack",)


def test_what_is_no_plugin(tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match="nothing does not exist\n  → name a plugin's folder, its wheel, or its one"
    ):
        read(tmp_path / "nothing", tmp_path)
    with pytest.raises(
        UsageError, match=r"neither pyproject.toml nor setup.py\n  → tljh plugin new NAME writes one"
    ):
        read(tmp_path, tmp_path)
    (tmp_path / "x.txt").write_text("")
    with pytest.raises(UsageError, match="is neither a folder nor a wheel nor a Python file"):
        read(tmp_path / "x.txt", tmp_path)


@pytest.mark.parametrize(
    ("file", "text"),
    [("pyproject_dot_toml", "[project"), ("setup_dot_py", "setup("), ("setup_dot_cfg", "name = x")],
)
def test_what_can_not_be_read(tmp_path: Path, file: str, text: str) -> None:
    with pytest.raises(TljhError) as caught:
        project(tmp_path, **{file: text})
    assert str(caught.value).startswith(f"{tmp_path}/{file.replace('_dot_', '.')}: it can't be read: ")


def test_a_broken_wheel(tmp_path: Path) -> None:
    wheel = tmp_path / "x.whl"
    wheel.write_text("no zip")
    with pytest.raises(TljhError, match="it can't be read: File is not a zip file"):
        read(wheel, tmp_path / "unpack")
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("x.py", "")
    with pytest.raises(TljhError, match="it has no metadata, so it is no wheel"):
        read(wheel, tmp_path / "unpack")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("project = 3", "[project] should be a table, not 3"),
        ('[project.entry-points]\ntljh = "x"', "[project.entry-points.tljh] should be a table, not 'x'"),
        ('[tool]\npoetry = "x"', "[tool.poetry] should be a table, not 'x'"),
        ('[project]\ndependencies = "x"', "project.dependencies should be a list, not 'x'"),
    ],
)
def test_a_pyproject_of_another_form(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "pyproject.toml").write_text(text)
    with pytest.raises(TljhError) as caught:
        read(tmp_path, tmp_path / "unpacked")
    assert str(caught.value) == f"{tmp_path}/pyproject.toml: {words}"


def test_a_name_that_is_a_number(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 3\n[project.entry-points.tljh]\na = 3\n")
    found = read(tmp_path, tmp_path / "unpacked")
    assert (found.name, found.entry_points) == ("3", {"a": "3"})
