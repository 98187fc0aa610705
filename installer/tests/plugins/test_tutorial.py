"""The tutorial is true: every block of code in it runs, in the order of the page."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tljh.plugins import packaging, scaffold
from tljh.plugins.loading import LoadedPlugin, load_plugins
from tljh.plugins.own_settings import OwnSettings
from tljh.plugins.sources import PluginSource

PAGE = (Path(__file__).parents[3] / "docs" / "plugins" / "first-plugin.md").read_text()
ENTRY_POINTS, TYPED_ENTRY_POINTS = re.findall(r"^```toml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
MODULE, TESTS, TYPED = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """The plugin as the first step of the page leaves it."""
    folder, _ = scaffold.write("welcome", "functions", tmp_path)
    path = list(sys.path)
    sys.path.insert(0, str(folder / "src"))
    yield folder
    sys.path[:] = path
    for name in [name for name in sys.modules if name.startswith("tljh_welcome")]:
        del sys.modules[name]


def loaded(value: str, text: str = "") -> LoadedPlugin:
    """The plugin as an installer loads it."""
    from importlib.metadata import EntryPoint

    entry = EntryPoint("welcome", value, "tljh")
    source = PluginSource("welcome", value, "tljh-welcome", "0.1.0", entry.load)
    return load_plugins([source], OwnSettings.of_text(text, "config.yaml"))[0]


def write(folder: Path, text: str) -> None:
    (folder / "src/tljh_welcome/__init__.py").write_text(text)


def test_the_files_are_those_that_new_writes(folder: Path) -> None:
    shown = re.search(r"^```text\n(tljh-welcome/.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert shown
    for line in shown[1].splitlines():
        assert (folder.parent / line).is_file(), line
    assert ENTRY_POINTS in (folder / "pyproject.toml").read_text()


def test_the_module_and_its_tests(folder: Path, tmp_path: Path) -> None:
    write(folder, MODULE)
    plugin = loaded("tljh_welcome")
    assert not plugin.problems and not plugin.warnings
    assert f"✓ hooks      {', '.join(plugin.hooks)}\n" in PAGE, "what check says of it"
    namespace: dict[str, Any] = {}
    exec(compile(TESTS, "test_welcome.py", "exec"), namespace)
    tests = [value for name, value in namespace.items() if name.startswith("test_")]
    assert len(tests) == 3
    for test in tests:
        with pytest.MonkeyPatch.context() as patch:
            fixtures = {"tmp_path": tmp_path, "monkeypatch": patch}
            test(**{name: fixtures[name] for name in inspect.signature(test).parameters})


def test_the_class_with_a_setting(folder: Path) -> None:
    file = folder / "pyproject.toml"
    file.write_text(file.read_text().replace(ENTRY_POINTS, TYPED_ENTRY_POINTS))
    value = packaging.read(folder, folder / "x").entry_points["welcome"]
    assert value == "tljh_welcome:Welcome"
    write(folder, TYPED)
    plugin = loaded(value, "plugins:\n  welcome:\n    announcement: Maintenance on Friday\n")
    assert not plugin.problems and not plugin.warnings
    assert plugin.plugin.announcement == "Maintenance on Friday"  # type: ignore[union-attr]
    wrong = loaded(value, "plugins:\n  welcome:\n    announcement: [1]\n")
    assert "plugins.welcome.announcement is" in wrong.problems[0]


def test_what_the_page_says_of_check(folder: Path) -> None:
    assert "✓ packaging  tljh-welcome 0.1.0, entry point welcome = tljh_welcome\n" in PAGE
    project = packaging.read(folder, folder / "x")
    assert (project.name, project.version) == ("tljh-welcome", "0.1.0")
