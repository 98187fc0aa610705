"""A run that fails at its end goes back by itself: when, with what, and what is said."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fakes import FakeMachine, Things, make_context, real
from tljh.engine.plan import make_plan
from tljh.engine.processes import Completed
from tljh.errors import TljhError
from tljh.stages import run
from tljh.stages.context import Context, Options
from tljh.stages.going_back import self_rollback
from tljh.stages.services import Services

ROLLBACK = "-I -m tljh.installer rollback 1 --yes --json --no-rollback"


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    return []


@pytest.fixture
def context(tmp_path: Path, said: list[str]) -> Context:
    made = make_context(real(tmp_path), at=Services.priority)
    made.reporter.warn = made.reporter.say = said.append  # type: ignore[method-assign]
    record: dict[str, Any] = {"environments": {"hub": "hub-1"}, "config": "", "memory": made.store.memory()}
    number = made.store.begin_run("tljh install")
    made.store.add_generation(number, "tljh install", record)
    made.store.end_run(number, "done")
    python = made.paths.envs / "hub-1" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.touch()
    machine(made).answers["python"] = json.dumps({"config_kept": None})
    return made


def machine(context: Context) -> FakeMachine:
    assert isinstance(context.machine, FakeMachine)
    return context.machine


def test_the_hub_environment_of_then_does_it(context: Context, said: list[str]) -> None:
    self_rollback.after_failure(context)
    assert machine(context).commands == [f"python {ROLLBACK}"]
    assert said == [
        "the hub is not as it should be: going back to generation 1",
        "generation 1 is in effect again, after 0 s",
    ]


def test_where_the_config_is_that_failed(context: Context, said: list[str]) -> None:
    machine(context).answers["python"] = json.dumps({"config_kept": "/x/config.yaml.before-rollback-1"})
    self_rollback.after_failure(context)
    assert said[-1] == (
        "generation 1 is in effect again, after 0 s; the config.yaml that failed is kept as "
        "/x/config.yaml.before-rollback-1"
    )


@pytest.mark.parametrize(
    "change",
    [
        lambda context: setattr(context, "at", Services.priority - 1),
        lambda context: setattr(context, "options", Options(no_rollback=True)),
        lambda context: setattr(context, "options", Options(rollback=1)),
    ],
    ids=["before the services", "--no-rollback", "it is what has just failed"],
)
def test_when_it_stays_as_it_is(context: Context, said: list[str], change: Callable[[Context], None]) -> None:
    change(context)
    self_rollback.after_failure(context)
    assert (machine(context).commands, said) == ([], [])


def test_a_rollback_that_fails_goes_to_what_was_in_effect(context: Context) -> None:
    context.options = Options(rollback=0)
    self_rollback.after_failure(context)
    assert machine(context).commands == [f"python {ROLLBACK}"]


def test_a_first_install(tmp_path: Path, said: list[str]) -> None:
    context = make_context(real(tmp_path), at=90)
    context.reporter.warn = said.append  # type: ignore[method-assign]
    self_rollback.after_failure(context)
    assert said == ["this is the first install, so there is no earlier generation to go back to"]


def test_after_an_uninstall_it_is_the_first_again(context: Context, said: list[str]) -> None:
    number = context.store.begin_run("tljh uninstall")
    context.store.add_generation(number, "tljh uninstall", {"uninstalled": True, "environments": {}, "locks": {}})
    self_rollback.after_failure(context)
    assert machine(context).commands == []
    assert said == ["this is the first install, so there is no earlier generation to go back to"]


def test_going_back_fails_too(context: Context, said: list[str]) -> None:
    machine(context).answers["python"] = Completed(1, "", "tljh: the disk cannot be written\n")
    self_rollback.after_failure(context)
    assert said[-1] == (
        "going back to generation 1 failed as well: tljh: the disk cannot be written; 'tljh rollback 1' tries "
        "again"
    )


def test_the_first_error_stays_the_error(
    context: Context, monkeypatch: pytest.MonkeyPatch, said: list[str]
) -> None:
    """And the stage in which it failed is known."""

    class Failing(Services):
        name = "services"

    thing = Things("x", wanted={"a": "1"}, error=TljhError("traefik does not run"), stage="services")
    plan = make_plan([thing], context.facts, {})
    monkeypatch.setattr(run, "look", lambda context: ([Failing()], plan))
    context.at = 0
    with pytest.raises(TljhError, match="traefik does not run"):
        run.install(context, "tljh install")
    assert len(said) == 2
    thing.error = KeyboardInterrupt()
    thing.there.clear()
    with pytest.raises(KeyboardInterrupt):
        run.install(replace(context), "tljh install")
    assert len(said) == 2, "what an admin interrupts goes on where it stopped"
