"""The user environment of another installer: taken over with all that is in it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from fakes import (
    FakeConda,
    FakeMachine,
    FakeUv,
    add_conda_packages,
    add_distribution,
    conda_package,
    make_context,
    real,
)
from tljh.configurer import with_defaults
from tljh.engine.apply import Applier
from tljh.engine.plan import make_plan
from tljh.engine.store import Store
from tljh.errors import TljhError
from tljh.resources.environments.environment import by_hand, next_number
from tljh.resources.locks.lock import BY_HAND, Lock, Requested
from tljh.stages.context import Context
from tljh.stages.locks import provider, solving
from tljh.stages.taking_over import adoption

ASKED = [
    Requested("forge", "core", "channel"),
    Requested("python", "core", "conda"),
    Requested("jupyterlab>=4", "core", "either"),
    Requested("conda", "core", "if there"),
]


class Old:
    """A conda environment at the link's place, and what is asked for."""

    def __init__(self, folder: Path) -> None:
        self.context: Context = make_context(folder, uv=FakeUv(), config=with_defaults({}))
        assert isinstance(self.context.machine, FakeMachine)
        self.conda = FakeConda(self.context.machine, {"python": ["3.11"], "jupyterlab": ["4.1"], "r": ["1.0"]})
        machine = self.context.machine

        def answer(words: list[str]) -> Any:
            met = {"unmet": [], "machine": []}
            return (
                json.dumps(met) if json.loads(machine.options[-1]["input"])["op"] == "check" else self.conda(words)
            )

        machine.answers[next(name for name, value in machine.answers.items() if value is self.conda)] = answer
        self.user = self.context.paths.user
        mine = conda_package("r", "2.0", requested_spec="r")
        add_conda_packages(self.user, [conda_package("python", "3.11"), mine, conda_package("libr")])
        add_distribution(self.user, "jupyterlab", "3.6")
        add_distribution(self.user, "pyjokes", "0.6")
        self.asked = list(ASKED)

    def settle(self) -> tuple[Lock, Path]:
        self.context.facts.refresh()
        adoption.look(self.context, self.asked)
        return solving.settle(self.context, self.user, self.asked, "conda")


@pytest.fixture
def old(tmp_path: Path) -> Old:
    return Old(real(tmp_path))


def move(old: Old) -> None:
    """What the plan says, done."""
    resources = list(adoption.resources(old.context))
    store = Store(old.context.paths.store)
    applier = Applier(old.context.machine, old.context.facts, store, store.begin_run("tljh install"))
    for step in make_plan(resources, old.context.facts, {}).puts:
        applier.apply(step)
    assert store.owned() == {}, "what was there is never ours"


def test_it_stays_with_all_that_is_in_it(old: Old) -> None:
    lock, target = old.settle()
    assert target == old.context.paths.envs / "user-1"
    assert set(lock.pins) == {"conda:python", "conda:r", "conda:libr", "jupyterlab", "pyjokes"}
    assert lock.asks_for_the_same(ASKED), "an older jupyterlab than we would install will do"
    assert not [asked for asked in old.conda.asked if asked["op"] == "solve"]
    move(old)
    assert old.user.readlink() == Path("envs/user-1")
    assert old.user.resolve() == target
    again, there = old.settle()
    assert (there, again.pins) == (target, lock.pins)


def test_what_somebody_asked_for_is_known_as_such(old: Old) -> None:
    lock, _ = old.settle()
    mine = [row.requirement for row in lock.requested if row.origin == BY_HAND]
    assert mine == ["r ==2.0", "pyjokes==0.6"]
    move(old)
    old.context.facts.refresh()
    fact = old.context.facts.environment(old.user)
    assert fact and set(by_hand(fact)) == {"conda:r", "pyjokes"}


def test_its_number_is_taken_as_soon_as_it_is_known(old: Old) -> None:
    old.settle()
    assert next_number(old.context.facts, "user", old.context.paths.envs) == 2


def test_what_is_missing_is_added_in_another_one(old: Old) -> None:
    old.asked.append(Requested("cowsay>=6", "gallery"))
    lock, target = old.settle()
    assert target == old.context.paths.envs / "user-2"
    assert {"cowsay", "pyjokes", "conda:r", "conda:python"} <= set(lock.pins)
    assert lock.pins["conda:r"].startswith("2.0="), "the version that was there"


def test_without_a_channel_it_is_used_as_it_is(old: Old, capsys: pytest.CaptureFixture[str]) -> None:
    old.asked.append(Requested("cowsay>=6", "gallery"))
    old.conda.fault = {"fault": "channel", "text": "no route", "about": "https://conda.example.org"}
    _, target = old.settle()
    assert target == old.context.paths.envs / "user-1"
    said = capsys.readouterr().err
    assert "is used as it is: cowsay>=6 could not be added" in said
    assert "'tljh install' tries again" in said
    move(old)
    assert old.settle()[1] == target, "and again, as long as the channel is gone"
    old.asked.append(Requested("another", "--plugin"))
    with pytest.raises(TljhError):
        old.settle()  # a later wish is no part of what was taken over


def test_conda_stays_conda_though_no_channel_answers(old: Old) -> None:
    assert provider.choose(old.context, []) == "conda"
    assert old.context.provider_why == "another installer made it so"


def test_a_cut_off_move_is_made_again(old: Old) -> None:
    old.settle()
    record = old.context.facts.environment(old.user)
    assert record
    (old.user / "tljh-environment.json").write_text(json.dumps(record.record))
    (old.context.paths.envs / "user-1").symlink_to("envs/user-1")
    _, target = old.settle()
    assert target == old.context.paths.envs / "user-1"
    move(old)
    assert (old.user / "conda-meta").is_dir()
    assert old.user.is_symlink()


def test_ours_is_left_alone(old: Old) -> None:
    old.settle()
    move(old)
    old.settle()
    assert list(adoption.resources(old.context)) == []
