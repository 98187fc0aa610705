"""What ``tljh plugin new`` writes: names, files, and that they are right as they are."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from tljh.errors import UsageError
from tljh.plugins import packaging, scaffold
from tljh.plugins.scaffold import STYLES, Names


@pytest.mark.parametrize(
    "name", ["shared-data", "tljh-shared-data", "Shared_Data", " shared.data ", "tljh_shared data"]
)
def test_names_follow_from_one(name: str) -> None:
    assert Names.of(name) == Names(
        "shared-data", "tljh-shared-data", "tljh_shared_data", "Shared data", "SharedData"
    )


@pytest.mark.parametrize("name", ["", "tljh", "tljh-", "core", "3d", "a/b", "größe", "../x", "a--b!"])
def test_a_name_that_is_none(name: str) -> None:
    with pytest.raises(UsageError) as caught:
        Names.of(name)
    assert str(caught.value) == (
        f"{name!r} can't be the name of a plugin\n"
        "  → take letters, digits and '-', a letter first: tljh plugin new shared-data"
    )


def test_a_class_is_no_keyword() -> None:
    assert Names.of("none").type == "NonePlugin"


@pytest.mark.parametrize("style", STYLES)
def test_the_files(tmp_path: Path, style: str) -> None:
    folder, files = scaffold.write("demo", style, tmp_path)
    assert folder == tmp_path / "tljh-demo"
    assert sorted(str(file.relative_to(folder)) for file in files) == [
        ".gitignore",
        "README.md",
        "pyproject.toml",
        "src/tljh_demo/__init__.py",
        "tests/test_demo.py",
    ]
    assert not [file for file in files if "<<" in file.read_text()]
    project = packaging.read(folder, tmp_path / "unpack")
    assert (project.name, project.version) == ("tljh-demo", "0.1.0")
    assert dict(project.entry_points) == {"demo": "tljh_demo:Demo" if style == "typed" else "tljh_demo"}
    assert project.folders == (folder / "src", folder)


def test_nothing_is_written_over(tmp_path: Path) -> None:
    folder, _ = scaffold.write("demo", "typed", tmp_path)
    with pytest.raises(UsageError, match="tljh-demo is there already\n  → choose another name, or another place"):
        scaffold.write("demo", "typed", tmp_path)
    assert "class Demo(Plugin)" in (folder / "src/tljh_demo/__init__.py").read_text()


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    (tmp_path / "tljh-demo").mkdir()
    assert len(scaffold.write("demo", "stages", tmp_path)[1]) == 5


def test_a_place_that_can_not_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="can't be written: Not a directory"):
        scaffold.write("demo", "functions", tmp_path / "file")


@pytest.fixture
def cleanly() -> Iterator[None]:
    before = set(sys.modules)
    path = list(sys.path)
    yield
    sys.path[:] = path
    for name in set(sys.modules) - before:
        if name.startswith(("tljh_demo", "test_demo")):
            del sys.modules[name]


def module_at(path: Path, name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.usefixtures("cleanly")
def test_its_own_tests_pass(tmp_path: Path, style: str) -> None:
    folder, _ = scaffold.write("demo", style, tmp_path)
    sys.path.insert(0, str(folder / "src"))
    tests = module_at(folder / "tests/test_demo.py", "test_demo")
    functions = [value for name, value in vars(tests).items() if name.startswith("test_")]
    assert len(functions) >= 2
    for function in functions:
        function()
