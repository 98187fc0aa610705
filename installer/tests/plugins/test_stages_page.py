"""The examples of docs/plugins/stages.md run."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tljh.plugins.stage import StageContext
from tljh.stages import core_stages

PAGE = Path(__file__).parents[3] / "docs" / "plugins" / "stages.md"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(), re.DOTALL)


def test_the_examples(monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[list[str]] = []

    def run(command: list[str], **how: Any) -> Any:
        ran.append(command)
        return SimpleNamespace(returncode=1)

    monkeypatch.setattr(subprocess, "run", run)
    plugin, test = blocks("python")
    names: dict[str, Any] = {}
    exec(plugin, names)
    exec(test, names)
    names["test_limits"]()
    stage = names["tljh_stages"]()[0](StageContext({"limits": {"memory": None}}))
    with stage.deploy({}) as outputs:
        assert outputs == {"port": 5432}
    assert stage.check({}) == "the database does not answer"
    stage.destroy({})
    assert [command[0] for command in ran] == ["/usr/bin/createdb", "/usr/bin/pg_isready", "/usr/bin/dropdb"]


def test_the_order_is_told_as_it_is() -> None:
    told = re.findall(r"^\| ([a-z' ]+) \| (\d+) \|", PAGE.read_text(), re.MULTILINE)
    assert told == [(stage.name, str(stage.priority)) for stage in core_stages()]
