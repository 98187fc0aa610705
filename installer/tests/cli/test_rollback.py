"""``tljh rollback``: which generation it is about, what is shown and said."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from fakes import Things, make_context, real
from tljh.cli import rollback as module
from tljh.engine.plan import Plan, make_plan
from tljh.engine.store import Store
from tljh.errors import TljhError, UsageError
from tljh.stages import preflight
from tljh.stages import run as stages_run
from tljh.stages.context import Context, Options
from tljh.stages.going_back import rollback as stage
from tljh.stages.going_back.earlier_config import EarlierConfig
from tljh.stages.run import Outcome


class Run:
    """The command, with a plan of one line and an install that does nothing."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.things = [Things("config.yaml", wanted={"limits.memory": '"1G"'})]
        self.options = Options()
        self.refused = False

    @contextlib.contextmanager
    def opened(self, options: Options, *arguments: object, planning: bool) -> Iterator[Context]:
        self.options = options
        self.context.planning = planning
        yield self.context

    def look(self, context: Context) -> tuple[tuple[()], Plan]:
        return (), make_plan(self.things, context.facts, {})

    def install(self, context: Context, command: str, confirm: Callable[[Plan], bool]) -> Outcome:
        _, plan = self.look(context)
        if plan and not confirm(plan):
            return Outcome(context, (), refused=True)
        return Outcome(context, plan.changes())

    def __call__(self, *words: str, input: str = "") -> Result:
        return CliRunner().invoke(module.rollback, list(words), input=input)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    context = make_context(real(tmp_path))
    context.store = Store(context.paths.store)
    for text in ("a: 1", "a: 2"):
        number = context.store.begin_run("tljh install")
        context.store.add_generation(number, "tljh install", {"config": text, "memory": {}})
        context.store.end_run(number, "done")
    made = Run(context)
    monkeypatch.setenv("TLJH_INSTALL_PREFIX", str(context.paths.prefix))
    monkeypatch.setattr(stages_run, "opened", made.opened)
    monkeypatch.setattr(stages_run, "look", made.look)
    monkeypatch.setattr(stages_run, "install", made.install)
    monkeypatch.setattr(preflight, "check_root", lambda: None)
    monkeypatch.setattr("tljh.cli.asking.is_terminal", lambda: True)
    monkeypatch.setattr(stage, "notes", lambda context: ["the environment user is built again"])
    monkeypatch.setattr(stage, "stays", lambda context: ["x: what it did stays"])
    return made


def test_without_a_number_the_one_before(run: Run) -> None:
    shown = run("--dry-run")
    assert shown.exit_code == 2, shown.output
    assert run.options == Options(rollback=1, argv=("rollback", "1", "--dry-run"))
    assert "limits.memory" in shown.output
    assert "Note: the environment user is built again.\n" in shown.output
    assert "Not undone: x: what it did stays.\n" in shown.output


def test_all_flags_go_on_in_another_environment(run: Run) -> None:
    run("2", "--exact", "--i-have-a-backup", "--yes", "--no-rollback", "--without", "y")
    assert run.options.argv == (
        *("rollback", "2", "--exact", "--i-have-a-backup"),
        *("--without", "y", "--yes", "--no-rollback"),
    )
    assert replace(run.options, argv=()) == Options(
        rollback=2, exact=True, own_backup=True, no_rollback=True, without=("y",)
    )


def test_it_is_asked(run: Run) -> None:
    no = run("1", input="n\n")
    assert (no.exit_code, no.output.splitlines()[-1]) == (1, "Nothing was changed.")
    yes = run("1", input="y\n")
    assert yes.exit_code == 0
    assert re.fullmatch(r"Back to generation 1 after \d+ s\.", yes.output.splitlines()[-1])


def test_where_the_config_is_kept(run: Run) -> None:
    kept = EarlierConfig("config.yaml", path=Path("/x"), text="", now="", applied="", kept=[Path("/x/kept")])
    run.context.resources = [kept]
    done = run("1", "--yes")
    assert done.output.splitlines()[-1] == "What was in config.yaml and not in effect is kept as /x/kept."
    said: dict[str, Any] = json.loads(run("1", "--yes", "--json").output)
    assert (said["generation"], said["config_kept"], said["applied"]) == (1, "/x/kept", True)
    assert said["not_undone"] == ["x: what it did stays"]


def test_the_one_in_effect(run: Run) -> None:
    run.things = []
    done = run("2", "--yes")
    assert (done.exit_code, done.output.startswith("Generation 2 is in effect (")) == (0, True)


def test_nobody_to_ask(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tljh.cli.asking.is_terminal", lambda: False)
    error = run("1").exception
    assert isinstance(error, UsageError)
    assert str(error) == (
        "'tljh rollback' asks before it changes anything, and there is nobody to ask\n"
        "  → add --yes, or --dry-run to see what would change"
    )


def test_nothing_is_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TLJH_INSTALL_PREFIX", str(tmp_path / "none"))
    error = CliRunner().invoke(module.rollback, ["--yes"]).exception
    assert isinstance(error, TljhError)
    assert "no hub is installed below" in str(error)
