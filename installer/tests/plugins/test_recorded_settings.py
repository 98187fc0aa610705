"""What tljh-config says of a plugin's settings, from what the last install recorded."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import pytest
from pydantic import Field
from tljh.engine.store import Store
from tljh.plugins.contributions import PluginReport
from tljh.plugins.recorded import as_record
from tljh.plugins.recorded_settings import problems
from tljh.plugins.typed import Plugin, schema_of
from tljh.settings.change import change


class Quota(Plugin):
    soft: str = "1G"
    inodes: int = Field(1000, description="How many files", ge=1)
    share: float | None = None
    unit: Literal["user", "group"] = "user"
    needed: bool = Field(...)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    report = PluginReport("quota", "tljh-quota", "1.0", settings=schema_of(Quota(needed=True)))
    path = tmp_path / "tljh.sqlite"
    with Store(path) as opened:
        opened.add_generation(opened.begin_run("test"), "test", {"reports": {"quota": as_record(report)}})
    return path


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"inodes": "many"}, 'plugins.quota.inodes is the text "many"; expected a whole number (How many files)'),
        ({"share": "x"}, 'plugins.quota.share is the text "x"; expected a number or none'),
        ({"softt": "2G"}, "there is no setting plugins.quota.softt; did you mean plugins.quota.soft?"),
        ({"x": 1}, "there is no setting plugins.quota.x; the plugin has inodes, needed, share, soft, unit"),
        ({"inodes": 0}, "plugins.quota.inodes is the number 0; 0 is less than the minimum of 1 (How many files)"),
        ({"unit": "all"}, "plugins.quota.unit is the text \"all\"; 'all' is not one of ['user', 'group']"),
    ],
)
def test_what_is_wrong(store: Path, settings: dict[str, Any], said: str) -> None:
    found = problems({"plugins": {"quota": {"needed": True, **settings}}}, store)
    assert [problem.text for problem in found] == [said]


def test_what_is_right_or_not_known(store: Path, tmp_path: Path) -> None:
    right = {"soft": "3G", "inodes": 5, "share": None, "unit": "group", "needed": False}
    assert problems({"plugins": {"quota": right, "unknown": {"x": 1}}}, store) == []
    assert problems({"plugins": {"quota": {"x": 1}}}, tmp_path / "no store") == []
    assert problems({"plugins": None}, store) == []
    (missing,) = problems({"plugins": {"quota": {}}}, store)
    assert missing.text == "plugins.quota.needed is missing, and has no default"
    (mapping,) = problems({"plugins": {"quota": "3G"}}, store)
    assert mapping.text == 'plugins.quota is the text "3G"; expected a mapping'


def test_the_file_stays_as_it_was(store: Path, tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("plugins:\n  quota:\n    needed: true\n")
    before = path.read_text()
    with pytest.raises(Exception, match=r"plugins\.quota\.inodes is the text"):
        change(path, lambda document: document.set("plugins.quota.inodes", "x"), more=lambda s: problems(s, store))
    assert path.read_text() == before
    change(path, lambda document: document.set("plugins.quota.inodes", 7), more=lambda s: problems(s, store))
    assert "inodes: 7" in path.read_text()
