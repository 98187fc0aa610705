"""How a plan is printed, and what ``tljh`` says when something is wrong."""

from __future__ import annotations

import contextlib
import json
import sys
import types
from collections.abc import Iterator
from typing import Any

import pytest
from click.testing import CliRunner, Result
from fakes import Things
from tljh import cli
from tljh.cli import plan as module
from tljh.engine.facts import Facts
from tljh.engine.machine import Machine
from tljh.engine.plan import Change, make_plan
from tljh.errors import TljhError, UsageError
from tljh.plugins.contributions import PluginReport
from tljh.stages import run as stages_run
from tljh.stages.config import Config
from tljh.stages.contributed.plugin_stages import LineUp, PluginStage
from tljh.stages.proxy import Proxy


def change(key: str = "mode", action: str = "change", **more: Any) -> Change:
    known: dict[str, Any] = {
        "stage": "proxy",
        "resource": "file:/x",
        "before": "0600",
        "after": "0644",
        "origin": "core",
        "undo": "restored",
    }
    return Change(key=key, action=action, **{**known, **more})


def printed(capsys: pytest.CaptureFixture[str], *changes: Change, verbose: bool = False) -> list[str]:
    module._print(changes, verbose)
    return capsys.readouterr().out.splitlines()


def plan(monkeypatch: pytest.MonkeyPatch, thing: Things, *words: str, line_up: LineUp | None = None) -> Result:
    """Run ``tljh plan`` on a machine with this one thing."""

    @contextlib.contextmanager
    def opened(options: object, paths: object, reporter: object, *, planning: bool) -> Iterator[object]:
        assert planning
        yield types.SimpleNamespace(line_up=line_up or LineUp())

    monkeypatch.setattr(stages_run, "opened", opened)
    monkeypatch.setattr(stages_run, "look", lambda context: ((), make_plan([thing], Facts(Machine()), {})))
    return CliRunner().invoke(module.plan, list(words))


def test_a_plan(capsys: pytest.CaptureFixture[str]) -> None:
    lines = printed(
        capsys,
        change(effect="restarts traefik"),
        change("owner", "create", before=None, after="root:root", effect="restarts traefik"),
        change(
            "sl", "remove", resource="apt", stage="system packages", after=None, undo="removed", origin="tljh-x"
        ),
        change("x", "run", resource="hook:h", before=None, after="abc", undo="cannot be undone", origin="x"),
    )
    assert lines == [
        "proxy: file:/x (restarts traefik)",
        "  ~ mode  0600 → 0644  [core; undo: restored]",
        "  + owner  root:root  [core; undo: restored]",
        "system packages: apt",
        "  - sl  0600  [tljh-x; undo: removed]",
        "proxy: hook:h",
        "  ! x  [x; cannot be undone]",
        "4 changes; 'tljh install' makes them.",
    ]


def test_long_values_and_long_lists_are_cut(capsys: pytest.CaptureFixture[str]) -> None:
    changes = [change(f"k{number}", after="y" * 64) for number in range(11)]
    lines = printed(capsys, *changes)
    assert lines[1] == f"  ~ k0  0600 → {'y' * 40}…  [core; undo: restored]"
    assert lines[9] == "    … and 3 more (-v shows them)"
    assert lines[10] == "11 changes; 'tljh install' makes them."
    assert len(printed(capsys, *changes, verbose=True)) == 13


def test_exit_status_0_means_nothing_to_change(monkeypatch: pytest.MonkeyPatch) -> None:
    result = plan(monkeypatch, Things("x", wanted={"a": "1"}, there={"a": "1"}))
    assert (result.exit_code, result.output) == (0, "Nothing to change.\n")
    result = plan(monkeypatch, Things("x"), "--json")
    assert (result.exit_code, json.loads(result.output)) == (0, {"changes": [], "stages": []})


def test_who_stands_in_for_whom(monkeypatch: pytest.MonkeyPatch) -> None:
    core = Proxy()
    row = {"name": "proxy", "priority": 71, "has": [], "resources": [], "rendered": {}}
    mine = PluginStage(PluginReport("x", "tljh-x", "1.0", label="plugin x (tljh-x 1.0)"), row)
    line_up = LineUp([Config(), mine], [(core, mine)], frozenset({"config"}))
    result = plan(monkeypatch, Things("x"), line_up=line_up)
    assert result.output == (
        "Note: the stage proxy is that of plugin x (tljh-x 1.0) (priority 71), "
        "in the place of that of the core (priority 70).\nNothing to change.\n"
    )
    result = plan(monkeypatch, Things("x"), "--json", line_up=line_up)
    assert json.loads(result.output)["stages"] == [
        {"name": "config", "priority": 20, "origin": "core", "replaces": [], "excluded": True},
        {
            "name": "proxy",
            "priority": 71,
            "origin": "x",
            "replaces": [{"origin": "core", "priority": 70}],
            "excluded": False,
        },
    ]


def test_exit_status_2_means_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    thing = Things("x", wanted={"a": "1"})
    result = plan(monkeypatch, thing)
    assert result.exit_code == 2
    assert "  + a  1  [core; undo: removed]\n" in result.output
    result = plan(monkeypatch, thing, "--json")
    assert result.exit_code == 2
    (line,) = json.loads(result.output)["changes"]
    assert (line["action"], line["key"], line["before"], line["after"]) == ("create", "a", None, "1")
    assert thing.calls == []


# ---- tljh


def tljh(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[Any, str, str]:
    with pytest.raises(SystemExit) as ended:
        cli.main(list(words))
    return (ended.value.code, *capsys.readouterr())


def test_help_names_every_command_and_imports_none(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.startswith("tljh.cli.")]:
        monkeypatch.delitem(sys.modules, name)
    code, out, _ = tljh(capsys, "--help")
    assert code == 0
    assert all(f"  {name} " in out for name in cli.COMMANDS)
    assert not [name for name in sys.modules if name.startswith("tljh.cli.")]


@pytest.mark.parametrize("name", sorted(cli.COMMANDS))
def test_every_command_has_help(capsys: pytest.CaptureFixture[str], name: str) -> None:
    code, out, _ = tljh(capsys, name, "--help")
    assert code == 0
    assert out.startswith(f"Usage: tljh {name}")


def test_a_command_that_is_misspelt(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = tljh(capsys, "instal")
    assert code == 2
    assert "there is no command 'instal'; did you mean 'install'?" in err
    assert "No such command 'xyzzy'" in tljh(capsys, "xyzzy")[2]


@pytest.mark.parametrize(
    ("error", "code"), [(TljhError("it broke", whose="tljh-x", todo="mend it"), 1), (UsageError("wrong"), 2)]
)
def test_our_errors_are_sentences(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, error: TljhError, code: int
) -> None:
    def fail(*words: object, **more: object) -> None:
        raise error

    monkeypatch.setattr(stages_run, "opened", fail)
    ended, out, err = tljh(capsys, "plan")
    assert (ended, out) == (code, "")
    assert err == f"tljh: {error}\n"
