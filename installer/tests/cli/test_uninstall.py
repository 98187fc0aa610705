"""``tljh uninstall``: what is shown, what is asked, and what is said to a wrong question."""

from __future__ import annotations

import contextlib
import json
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from tljh.cli import install
from tljh.cli import uninstall as module
from tljh.engine.plan import Change
from tljh.errors import UsageError
from tljh.stages import preflight
from tljh.stages.leaving import uninstall as stage

CHANGE = Change("services", "service:jupyterhub", "active", "remove", "yes", None, "core", "restored", "stops")


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """What was carried out."""
    commands: list[str] = []
    context = types.SimpleNamespace(not_done=[])

    @contextlib.contextmanager
    def opened(paths: object, reporter: object, *, planning: bool) -> Iterator[Any]:
        yield context

    def look(context: Any, *, purge: bool) -> Any:
        return types.SimpleNamespace(
            context=context,
            changes=lambda: [CHANGE],
            stays=["/opt/tljh/config: your settings"],
            lost=["2 homes"] if purge else [],
            servers=["jupyter-ada.service"],
        )

    monkeypatch.setenv("TLJH_INSTALL_PREFIX", str(tmp_path))
    monkeypatch.setattr(preflight, "check_root", lambda: None)
    monkeypatch.setattr(install, "told", lambda paths, reporter: contextlib.nullcontext())
    monkeypatch.setattr(stage, "opened", opened)
    monkeypatch.setattr(stage, "look", look)
    monkeypatch.setattr(stage, "carry_out", lambda found, command: commands.append(command))
    monkeypatch.setattr("tljh.cli.asking.is_terminal", lambda: True)
    return commands


def run(*words: str, input: str | None = None) -> Result:
    result = CliRunner().invoke(module.uninstall, list(words), input=input)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_a_dry_run(done: list[str]) -> None:
    said = run("--dry-run")
    assert said.exit_code == 2 and done == []
    assert "service:jupyterhub (stops)\n  - active  yes  [core]\n" in said.output
    assert "1 running server is stopped: jupyter-ada.service." in said.output
    assert "Stays: /opt/tljh/config: your settings." in said.output


@pytest.mark.parametrize(
    ("words", "answers", "expected"),
    [
        ((), "y\n", True),
        ((), "\n", False),
        ((), "", False),
        (("--purge",), "y\ny\n", True),
        (("--purge",), "y\nn\n", False),
        (("--purge",), "n\n", False),
        (("--purge", "--yes"), "", True),
    ],
)
def test_it_asks_and_before_people_lose_something_twice(
    done: list[str], words: tuple[str, ...], answers: str, expected: bool
) -> None:
    said = run(*words, input=answers)
    assert bool(done) is expected
    assert said.exit_code == (0 if expected else 1)
    assert ("Uninstalled after" if expected else "Nothing was changed.") in said.output
    assert ("Deleted for good: 2 homes." in said.output) is ("--purge" in words)


def test_nobody_can_be_asked(done: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tljh.cli.asking.is_terminal", lambda: False)
    with pytest.raises(UsageError, match="there is nobody to ask"):
        run()
    with pytest.raises(UsageError, match="asks before it changes anything"):
        run("--json")
    assert done == []


def test_for_programs(done: list[str]) -> None:
    said = json.loads(run("--purge", "--json", "--yes").output)
    assert said["changes"][0]["key"] == "active" and said["deleted"] == ["2 homes"] and said["not_done"] == []
    assert done == ["tljh uninstall --purge --yes --json"]


def test_what_a_plugin_could_not_do_is_told(done: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def carry_out(found: Any, command: str) -> None:
        found.context.not_done.append("plugin maps: tljh_post_remove failed")

    monkeypatch.setattr(stage, "carry_out", carry_out)
    said = run("--yes")
    assert said.exit_code == 1 and "plugin maps: tljh_post_remove failed" in said.output
