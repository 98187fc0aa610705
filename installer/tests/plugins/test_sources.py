"""Where plugins come from, and which of them are switched off. Nothing is imported to find out."""

from __future__ import annotations

import sys
from importlib import metadata
from pathlib import Path

import pytest
from tljh.paths import Paths
from tljh.plugins import sources
from tljh.plugins.sources import IMPORT_VARIABLE, OFF_VARIABLE, PluginSource, find_sources


@pytest.fixture
def prefix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Paths:
    """An installation without packages that are plugins."""
    monkeypatch.setenv("TLJH_INSTALL_PREFIX", str(tmp_path))
    monkeypatch.setattr(metadata, "entry_points", lambda group: [])
    paths = Paths(tmp_path)
    paths.plugins_d.mkdir(parents=True)
    paths.state.mkdir()
    return paths


def named(found: list[PluginSource]) -> list[str]:
    return [source.name for source in found]


def test_files_of_plugins_d(prefix: Paths) -> None:
    for name in ("b.py", "a-b.py", "_helper.py", ".#a.py", "notes.txt"):
        (prefix.plugins_d / name).write_text("raise SystemExit\n")
    (prefix.plugins_d / "folder").mkdir()
    a, b = find_sources()
    assert (a.name, a.kind, a.path, a.distribution) == ("a-b", "file", str(prefix.plugins_d / "a-b.py"), "")
    assert a.label == f"plugin a-b ({prefix.plugins_d}/a-b.py)"
    assert b.name == "b" and b.version == a.version and len(a.version) == 8
    (prefix.plugins_d / "b.py").write_text("other = 1\n")
    assert find_sources()[1].version != b.version, "the content is the version"


def test_a_file_is_loaded_as_a_module_of_its_own(prefix: Paths) -> None:
    (prefix.plugins_d / "a-b.py").write_text("from __future__ import annotations\nvalue = __name__\n")
    (source,) = find_sources()
    module = source.load()
    assert module.value == "tljh_file_a_b"  # type: ignore[attr-defined]
    assert sys.modules.pop("tljh_file_a_b") is module


def test_a_file_that_fails_leaves_no_module_behind(prefix: Paths) -> None:
    (prefix.plugins_d / "bad.py").write_text("1 / 0\n")
    with pytest.raises(ZeroDivisionError):
        find_sources()[0].load()
    assert "tljh_file_bad" not in sys.modules


def test_what_one_run_imports(prefix: Paths, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text("x = 1\n")
    monkeypatch.setenv(IMPORT_VARIABLE, f"{file}:json.decoder")
    first, second = find_sources()
    assert (first.name, first.kind, first.path) == ("json.decoder", "import", "json.decoder")
    assert (second.name, second.kind, second.path) == ("mine", "import", str(file))
    assert first.load().__name__ == "json.decoder"  # type: ignore[attr-defined]
    (only,) = sources.imports(["json:decoder.JSONDecoder"])
    assert only.load().__name__ == "JSONDecoder"  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ["a", "A", "tljh_a", "tljh-a"])
def test_switched_off_by_its_name_or_its_packages(
    prefix: Paths, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    source = PluginSource("a", "m", "tljh-a", "1.0", lambda: None)
    other = PluginSource("b", "m", "tljh-b", "1.0", lambda: None)
    monkeypatch.setattr(sources, "packages", lambda: [other, source])
    monkeypatch.setenv(OFF_VARIABLE, name)
    assert [(found.name, found.off) for found in find_sources()] == [("a", True), ("b", False)]


def test_without_the_variable_the_installed_list_holds(prefix: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(OFF_VARIABLE, raising=False)
    assert sources.switched_off(prefix) == ()
    prefix.plugins_disabled.write_text("# written by the installer\na\n\nb\n")
    assert sources.switched_off(prefix) == ["a", "b"]
    monkeypatch.setenv(OFF_VARIABLE, "")
    assert sources.switched_off(prefix) == [], "who says it knows better"


def test_a_process_is_told_what_to_load(monkeypatch: pytest.MonkeyPatch, prefix: Paths) -> None:
    for name, value in sources.variables(["a", "b"], ["/x/c.py", "d"]).items():
        monkeypatch.setenv(name, value)
    assert sources.switched_off(prefix) == ["a", "b"]
    assert [(found.name, found.off) for found in find_sources()] == [("c", False), ("d", False)]


class Distribution:
    def __init__(self, text: str | None) -> None:
        self.text = text
        self.name, self.version = "by-parsing", "0"

    def read_text(self, name: str) -> str | None:
        return self.text if name == "METADATA" else None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Metadata-Version: 2.1\nName: tljh_A.b\nVersion: 1.0\n\nVersion: of the text\n", ("tljh_A.b", "1.0")),
        ("Name: x\n", ("by-parsing", "0")),
        (None, ("by-parsing", "0")),
    ],
)
def test_name_and_version_are_read_without_parsing_everything(text: str | None, expected: tuple[str, str]) -> None:
    assert sources._name_and_version(Distribution(text)) == expected  # type: ignore[arg-type]


@pytest.mark.parametrize("value", ["1 + 2", "", "a b"])
def test_an_entry_point_that_names_no_module(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    entry = metadata.EntryPoint("a", value, "tljh")
    monkeypatch.setattr(metadata, "entry_points", lambda group: [entry])
    with pytest.raises(ValueError, match=r"its entry point is '.*', and should be a module, or module:object"):
        sources.packages()[0].load()
