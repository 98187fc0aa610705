"""Compare, change, look again; own before acting and never what was there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fakes import FakeMachine, NotOwned, Things, store_in_memory
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tljh.engine.apply import Applier
from tljh.engine.facts import Facts
from tljh.engine.plan import Plan, make_plan
from tljh.engine.resource import Diff, Resource, Undo, difference
from tljh.engine.store import Store
from tljh.errors import TljhError


@pytest.fixture
def store() -> Store:
    return store_in_memory()


def applier(store: Store) -> Applier:
    machine = FakeMachine()
    return Applier(machine, Facts(machine), store, store.begin_run("tljh install"))


def plan_of(store: Store, *resources: Resource) -> Plan:
    return make_plan(resources, Facts(FakeMachine()), store.owned())


def converge(store: Store, *resources: Resource) -> list[Any]:
    plan = plan_of(store, *resources)
    carry_out = applier(store)
    return [line for step in (*plan.puts, *plan.drops) for line in carry_out.apply(step)]


# ---- comparing


def test_what_is_as_wanted_is_no_difference() -> None:
    thing = Things("things", wanted={"a": "1"}, there={"a": "1", "the admin's": "x"})
    assert not difference(thing, Facts(FakeMachine()), set())
    assert not make_plan([thing], Facts(FakeMachine()), {})


def test_create_change_and_remove() -> None:
    thing = Things("things", wanted={"a": "1", "b": "2"}, there={"b": "1", "mine": "x", "the admin's": "y"})
    found = difference(thing, Facts(FakeMachine()), {"mine", "gone already"})
    assert found.put == {"a": "1", "b": "2"}
    assert found.drop == {"mine": "x"}
    assert found.before == {"b": "1", "mine": "x", "the admin's": "y"}
    assert found


def test_puts_come_in_order_and_drops_in_reverse(store: Store) -> None:
    for name in ("one", "two"):
        converge(store, Things(name, wanted={"old": "1"}))
    both = [Things(name, wanted={"new": "1"}, there={"old": "1"}) for name in ("one", "two")]
    found = plan_of(store, *both)
    assert [(step.resource.id, dict(step.diff.put), dict(step.diff.drop)) for step in found.puts] == [
        ("one", {"new": "1"}, {}),
        ("two", {"new": "1"}, {}),
    ]
    assert [(step.resource.id, dict(step.diff.put), dict(step.diff.drop)) for step in found.drops] == [
        ("two", {}, {"old": "1"}),
        ("one", {}, {"old": "1"}),
    ]
    assert [(line.resource, line.action) for line in found.changes()] == [
        ("one", "create"),
        ("two", "create"),
        ("two", "remove"),
        ("one", "remove"),
    ]


def test_a_line_says_everything() -> None:
    class Careful(Things):
        undo = Undo.EXACT

        def effect(self, diff: Diff) -> str:
            return f"restarts {len(diff.put)}"

    thing = Careful("things", wanted={"a": "2"}, there={"a": "1"}, origins={"a": "tljh-x"}, stage="proxy")
    (line,) = make_plan([thing], Facts(FakeMachine()), {}).changes()
    assert line.as_dict() == {
        "stage": "proxy",
        "resource": "things",
        "key": "a",
        "action": "change",
        "before": "1",
        "after": "2",
        "origin": "tljh-x",
        "undo": "restored",
        "effect": "restarts 1",
    }


def test_a_hook_is_run_whatever_was_there() -> None:
    class Hook(Things):
        imperative = True
        undo = Undo.NEVER

    hook = Hook("hook:x", wanted={"plugin": "2", "other": "1"}, there={"plugin": "1"})
    lines = make_plan([hook], Facts(FakeMachine()), {}).changes()
    assert [(line.key, line.action, line.undo) for line in lines] == [
        ("plugin", "run", "cannot be undone"),
        ("other", "run", "cannot be undone"),
    ]


# ---- carrying out


def test_a_change_is_made_owned_and_journaled(store: Store) -> None:
    thing = Things("things", wanted={"a": "1", "b": "2"}, there={"b": "1"}, origins={"a": "tljh-x"}, stage="proxy")
    lines = converge(store, thing)
    assert thing.there == {"a": "1", "b": "2"}
    assert [(line.key, line.action) for line in lines] == [("a", "create"), ("b", "change")]
    assert store.owned() == {"things": {"a": "tljh-x"}}, "b was there before: it is not ours"
    journal = [
        {k: row[k] for k in ("key", "action", "before", "after", "origin", "stage", "result")}
        for row in store.journal()
    ]
    assert journal == [
        {
            "key": "a",
            "action": "create",
            "before": None,
            "after": "1",
            "origin": "tljh-x",
            "stage": "proxy",
            "result": "done",
        },
        {
            "key": "b",
            "action": "change",
            "before": "1",
            "after": "2",
            "origin": "core",
            "stage": "proxy",
            "result": "done",
        },
    ]
    assert not plan_of(store, thing)


def test_ownership_is_recorded_before_the_change(store: Store) -> None:
    seen: list[dict[str, dict[str, str]]] = []
    thing = Things("things", wanted={"a": "1"}, on_change=lambda: seen.append(store.owned()))
    converge(store, thing)
    assert seen == [{"things": {"a": "core"}}]


def test_a_kill_between_owning_and_changing_loses_nothing(store: Store) -> None:
    thing = Things("things", wanted={"a": "1", "b": "1"}, error=KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        converge(store, thing)
    assert thing.there == {"a": "1"}
    thing.error = None
    converge(store, thing)
    assert thing.there == {"a": "1", "b": "1"}
    assert store.owned() == {"things": {"a": "core", "b": "core"}}
    thing.wanted = {}
    converge(store, thing)
    assert thing.there == {}


def test_what_a_failed_change_did_not_bring_is_not_ours(store: Store) -> None:
    """There is no b, so that apt fails; the plugin goes, and an admin brings b himself."""
    thing = Things("things", wanted={"a": "1", "b": "1"}, error=TljhError("there is no b"))
    with pytest.raises(TljhError):
        converge(store, thing)
    assert (thing.there, store.owned()) == ({"a": "1"}, {"things": {"a": "core"}})
    thing.error, thing.wanted, thing.there["b"] = None, {}, "1"
    converge(store, thing)
    assert thing.there == {"b": "1"}


def test_what_was_ours_before_a_failed_change_stays_ours(store: Store) -> None:
    thing = Things("things", wanted={"a": "1", "b": "1"})
    converge(store, thing)
    thing.there, thing.error = {}, TljhError("no room")
    with pytest.raises(TljhError):
        converge(store, thing)
    assert store.owned() == {"things": {"a": "core", "b": "core"}}


def test_what_was_there_is_never_removed(store: Store) -> None:
    thing = Things("things", wanted={"a": "2"}, there={"a": "1"})
    converge(store, thing)
    thing.wanted = {}
    assert not plan_of(store, thing)
    converge(store, thing)
    assert thing.there == {"a": "2"}


def test_what_is_ours_is_removed_and_then_forgotten(store: Store) -> None:
    thing = Things("things", wanted={"a": "1"}, there={"the admin's": "x"})
    converge(store, thing)
    thing.wanted = {}
    (line,) = converge(store, thing)
    assert (line.action, line.before, line.after) == ("remove", "1", None)
    assert thing.there == {"the admin's": "x"}
    assert store.owned() == {}
    thing.there["a"] = "made by the admin since"
    assert not plan_of(store, thing)


def test_what_of_ours_is_gone_since_the_plan_is_forgotten(store: Store) -> None:
    thing = Things("things", wanted={"a": "1"})
    converge(store, thing)
    thing.wanted = {}
    (step,) = plan_of(store, thing).drops
    thing.there = {}
    assert applier(store).apply(step) == []
    assert store.owned() == {}, "or it would be taken for ours when somebody else makes one"


def test_who_wants_what_is_ours_may_change(store: Store) -> None:
    thing = Things("things", wanted={"a": "1", "b": "1"})
    thing.origins = {"a": "tljh-x, tljh-y", "b": "tljh-x"}
    converge(store, thing)
    thing.wanted, thing.origins = {"a": "1"}, {"a": "tljh-y", "c": "tljh-z"}
    store.attribute(thing)
    assert store.owned() == {"things": {"a": "tljh-y", "b": "tljh-x"}}


def test_what_is_not_ours_to_own(store: Store) -> None:
    thing = NotOwned("accounts", wanted={"a": "1"})
    converge(store, thing)
    assert store.owned() == {}


def test_what_was_mended_since_the_plan_is_left_alone(store: Store) -> None:
    thing = Things("things", wanted={"a": "1", "b": "1"})
    (step,) = plan_of(store, thing).puts
    thing.there = {"a": "1", "b": "1"}
    assert applier(store).apply(step) == []
    assert thing.calls == []
    assert store.owned() == {}
    assert store.journal() == []


def test_only_what_is_still_different_is_changed(store: Store) -> None:
    thing = Things("things", wanted={"a": "1", "b": "1"})
    (step,) = plan_of(store, thing).puts
    thing.there["a"] = "1"
    (line,) = applier(store).apply(step)
    assert line.key == "b"
    assert dict(thing.calls[0].put) == {"b": "1"}
    assert store.owned() == {"things": {"b": "core"}}, "somebody else made a"


def test_a_step_that_puts_drops_nothing(store: Store) -> None:
    converge(store, Things("things", wanted={"old": "1"}))
    thing = Things("things", wanted={"new": "1"}, there={"old": "1"})
    plan = plan_of(store, thing)
    applier(store).apply(plan.puts[0])
    assert thing.there == {"old": "1", "new": "1"}


def test_a_failing_change_is_journaled_and_raised(store: Store) -> None:
    thing = Things("things", wanted={"a": "1", "b": "1"}, error=TljhError("the disk is full", whose="/dev/sda1"))
    with pytest.raises(TljhError, match="the disk is full"):
        converge(store, thing)
    results = {row["result"] for row in store.journal()}
    assert results == {"failed: /dev/sda1: the disk is full"}
    assert store.owned() == {"things": {"a": "core"}}


def test_a_change_that_changes_nothing_has_failed(store: Store) -> None:
    thing = Things("apt", wanted={"git": "installed", "sudo": "2"}, there={"sudo": "1"}, stubborn={"git", "sudo"})
    with pytest.raises(TljhError) as caught:
        converge(store, thing)
    assert str(caught.value) == (
        "apt is not as wanted after the change: "
        "git is missing and should be installed; sudo is 1 and should be 2\n"
        "  → see the end of installer.log, then run the same command again"
    )
    assert {row["result"] for row in store.journal()} == {"failed: not as wanted after the change"}


def test_a_removal_that_removes_nothing_has_failed(store: Store) -> None:
    thing = Things("apt", wanted={"sl": "installed"})
    converge(store, thing)
    thing.wanted, thing.stubborn = {}, {"sl"}
    with pytest.raises(TljhError, match="apt is not as wanted after the change: sl is still there"):
        converge(store, thing)
    assert store.owned() == {"apt": {"sl": "core"}}, "it is still ours to remove"


def test_a_long_list_of_what_is_left_is_cut(store: Store) -> None:
    names = [f"package-{number}" for number in range(9)]
    thing = Things("apt", wanted=dict.fromkeys(names, "installed"), stubborn=set(names))
    with pytest.raises(TljhError) as caught:
        converge(store, thing)
    assert "package-4 is missing" in str(caught.value)
    assert "package-5" not in str(caught.value)


def test_the_machine_is_read_anew_after_the_change(store: Store, tmp_path: Path) -> None:
    machine = FakeMachine(tmp_path)
    machine.put("/etc/motd", "old")
    facts = Facts(machine)

    class Motd(Things):
        def observe(self, facts: Facts) -> dict[str, str]:
            return {"text": facts.text(Path("/etc/motd"))}

        def change(self, diff: Diff, machine: Any) -> None:
            machine.put("/etc/motd", diff.put["text"])

    (step,) = make_plan([Motd("motd", wanted={"text": "new"})], facts, {}).puts
    machine.put("/etc/motd", "changed by somebody else")
    (line,) = Applier(machine, facts, store, store.begin_run("x")).apply(step)
    assert (line.before, line.after) == ("changed by somebody else", "new")


def test_what_was_there_is_kept_with_the_journal(store: Store) -> None:
    class Keeping(Things):
        def saved(self, machine: Any) -> bytes:
            return b"before: %d" % len(self.there)

    converge(store, Keeping("things", wanted={"a": "1"}))
    (row,) = store.journal()
    assert store._db.execute("select content from blobs where digest = ?", (row["saved"],)).fetchone() == (
        b"before: 0",
    )


# ---- whatever happens

states = st.dictionaries(st.sampled_from("abcd"), st.sampled_from(["1", "2"]), max_size=4)


@settings(deadline=None, database=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(at_first=states, wishes=st.lists(states, min_size=1, max_size=5), mischief=states)
def test_every_run_converges_and_takes_only_what_it_brought(
    at_first: dict[str, str], wishes: list[dict[str, str]], mischief: dict[str, str]
) -> None:
    store = store_in_memory()
    thing = Things("things", there=dict(at_first))
    for number, wanted in enumerate(wishes):
        thing.wanted = wanted
        converge(store, thing)
        assert not plan_of(store, thing), "a second run would change something"
        assert wanted.items() <= thing.there.items()
        assert set(at_first) <= set(thing.there), "what was there before has been removed"
        assert not set(store.owned().get("things", {})) & set(at_first), "what was there before is called ours"
        assert set(thing.there) == set(at_first) | set(wanted), "something of ours was left behind"
        if number == 0:
            # somebody breaks what we made; it is only mended
            thing.there.update({key: value for key, value in mischief.items() if key in thing.there})
    assert {row["result"] for row in store.journal()} <= {"done"}


@settings(deadline=None, database=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(at_first=states, wanted=states, then=states)
def test_after_an_interrupted_run_the_next_one_converges(
    at_first: dict[str, str], wanted: dict[str, str], then: dict[str, str]
) -> None:
    store = store_in_memory()
    thing = Things("things", wanted=wanted, there=dict(at_first), error=KeyboardInterrupt())
    try:
        converge(store, thing)
    except KeyboardInterrupt:
        thing.error = None
    thing.error, thing.wanted = None, then
    converge(store, thing)
    assert not plan_of(store, thing)
    assert set(thing.there) == set(at_first) | set(then)
