from __future__ import annotations

import copy
import io
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML
from tljh.errors import TljhError
from tljh.plugins.merge import (
    ABSENT,
    Applied,
    Change,
    ConfigHookResult,
    MergeOutcome,
    applied_to_json,
    apply,
    in_effect,
    merge,
)
from tljh.plugins.values import leaves, same

Hook = Callable[[dict[str, Any]], object]

MEMORY = ("limits", "memory")
GROUPS = ("users", "admin")


def results(current: dict[str, Any], **hooks: Hook) -> list[ConfigHookResult]:
    """What plugins do to a copy, each seeing what the earlier ones did."""
    seen = copy.deepcopy(current)
    found = []
    for name, hook in hooks.items():
        before = leaves(copy.deepcopy(seen))
        hook(seen)
        after = leaves(copy.deepcopy(seen))
        changes = tuple(
            Change(path, before.get(path, ABSENT), after.get(path, ABSENT))
            for path in dict.fromkeys([*after, *before])
            if not same(before.get(path, ABSENT), after.get(path, ABSENT))
        )
        found.append(ConfigHookResult(name, "1.0", f"plugin {name} (1.0)", changes))
    return found


def install(current: dict[str, Any], last: Applied | None = None, **hooks: Hook) -> MergeOutcome:
    """One install: the outcome is done to ``current``."""
    outcome = merge(current, last or {}, results(current, **hooks))
    apply(outcome.set, current)
    return outcome


def sets(path: tuple[str, ...], value: object) -> Hook:
    def hook(config: dict[str, Any]) -> None:
        for key in path[:-1]:
            config = config.setdefault(key, {})
        config[path[-1]] = value

    return hook


def adds(item: str) -> Hook:
    def hook(config: dict[str, Any]) -> None:
        items = config.setdefault("users", {}).setdefault("admin", [])
        if item not in items:
            items.append(item)

    return hook


def nothing(config: dict[str, Any]) -> None:
    pass


def test_a_key_that_nobody_set_is_set() -> None:
    config: dict[str, Any] = {}
    outcome = install(config, a=sets(MEMORY, "1G"))
    assert outcome.set == ((MEMORY, "1G", "a"),)
    assert outcome.applied == {"a": {MEMORY: "1G"}}
    assert config == {"limits": {"memory": "1G"}}


@pytest.mark.parametrize("config", [{"limits": {}}, {"limits": None}])
def test_an_empty_place_is_no_value(config: dict[str, Any]) -> None:
    install(config, a=lambda c: c.update(limits={"memory": "1G"}))
    assert config == {"limits": {"memory": "1G"}}


@pytest.mark.parametrize("value", ["2G", None, 0, False])
def test_what_the_admin_set_stays(value: object) -> None:
    config = {"limits": {"memory": value}}
    outcome = install(config, a=sets(MEMORY, "1G"))
    assert outcome.set == ()
    assert outcome.kept == ((MEMORY, value, "a"),)
    assert config == {"limits": {"memory": value}}
    assert outcome.applied == {}


def test_the_second_run_changes_nothing() -> None:
    config: dict[str, Any] = {"users": {"admin": ["me"]}}
    hooks = {"a": sets(MEMORY, "1G"), "b": adds("bob"), "c": adds("carol")}
    first = install(config, **hooks)
    second = install(config, first.applied, **hooks)
    assert second.set == second.kept == ()
    assert second.applied == first.applied


def test_a_plugin_may_change_what_it_set_itself() -> None:
    config: dict[str, Any] = {}
    first = install(config, a=sets(MEMORY, "1G"))
    second = install(config, first.applied, a=sets(MEMORY, "3G"))
    assert config == {"limits": {"memory": "3G"}}
    assert second.applied == {"a": {MEMORY: "3G"}}


def test_but_not_when_the_admin_changed_it_since() -> None:
    config: dict[str, Any] = {}
    first = install(config, a=sets(MEMORY, "1G"))
    config["limits"]["memory"] = "2G"
    second = install(config, first.applied, a=sets(MEMORY, "3G"))
    assert config == {"limits": {"memory": "2G"}}
    assert second.kept == ((MEMORY, "2G", "a"),)


def test_nor_when_the_admin_removed_it_since_now_and_ever_after() -> None:
    config: dict[str, Any] = {}
    outcome = install(config, a=sets(MEMORY, "1G"))
    del config["limits"]["memory"]
    for value in ("1G", "3G"):
        outcome = install(config, outcome.applied, a=sets(MEMORY, value))
        assert outcome.set == ()
        assert outcome.kept == ((MEMORY, ABSENT, "a"),)


def test_a_plugin_may_remove_what_it_set_itself_and_nothing_else() -> None:
    config: dict[str, Any] = {"limits": {"cpu": 2}}
    first = install(config, a=sets(MEMORY, "1G"))
    second = install(config, first.applied, a=lambda c: c["limits"].clear())
    assert config == {"limits": {"cpu": 2}}
    assert second.set == ((MEMORY, ABSENT, "a"),)
    assert second.kept == ((("limits", "cpu"), 2, "a"),)
    assert second.applied == {}


def test_replacing_a_whole_section_leaves_the_admins_keys_in_it() -> None:
    config: dict[str, Any] = {"limits": {"cpu": 2}}
    outcome = install(config, a=lambda c: c.update(limits={"memory": "1G"}))
    assert config == {"limits": {"cpu": 2, "memory": "1G"}}
    assert outcome.kept == ((("limits", "cpu"), 2, "a"),)


def test_a_value_does_not_replace_a_section_of_the_admin_nor_the_other_way_round() -> None:
    config: dict[str, Any] = {"limits": {"cpu": 2}, "flat": 1}
    outcome = install(config, a=lambda c: c.update(limits=5, flat={"deep": 1}))
    assert config == {"limits": {"cpu": 2}, "flat": 1}
    assert outcome.set == ()


def test_a_plugin_may_turn_its_own_value_into_a_section() -> None:
    config: dict[str, Any] = {}
    first = install(config, a=sets(("quota",), 5))
    second = install(config, first.applied, a=lambda c: c.update(quota={"soft": 4}))
    assert config == {"quota": {"soft": 4}}
    assert second.applied == {"a": {("quota", "soft"): 4}}


def test_two_plugins_that_disagree() -> None:
    with pytest.raises(TljhError) as error:
        install({}, a=sets(MEMORY, "1G"), b=sets(MEMORY, "2G"))
    assert error.value.what == (
        "two plugins disagree about limits.memory in config.yaml: plugin a (1.0) set it to '1G', "
        "plugin b (1.0) wants '2G'"
    )
    assert "tljh-config set limits.memory" in (error.value.todo or "")


def test_a_new_plugin_that_disagrees_with_one_that_was_there() -> None:
    config: dict[str, Any] = {}
    first = install(config, a=sets(MEMORY, "1G"))
    with pytest.raises(TljhError, match=r"plugin a \(1.0\) set it to '1G', plugin b \(1.0\) wants to remove it"):
        install(config, first.applied, a=sets(MEMORY, "1G"), b=lambda c: c["limits"].pop("memory"))
    assert config == {"limits": {"memory": "1G"}}


def test_two_plugins_that_agree() -> None:
    config: dict[str, Any] = {}
    install(config, a=sets(MEMORY, "1G"), b=sets(MEMORY, "1G"))
    assert config == {"limits": {"memory": "1G"}}


def test_two_plugins_may_disagree_where_the_admin_decided() -> None:
    config: dict[str, Any] = {"limits": {"memory": "5G"}}
    outcome = install(config, a=sets(MEMORY, "1G"), b=sets(MEMORY, "2G"))
    assert outcome.set == ()
    assert [kept.plugin for kept in outcome.kept] == ["a", "b"]


def test_what_a_removed_plugin_set_may_be_changed() -> None:
    config: dict[str, Any] = {}
    first = install(config, a=sets(MEMORY, "1G"))
    second = install(config, first.applied, b=sets(MEMORY, "2G"))
    assert config == {"limits": {"memory": "2G"}}
    assert second.applied == {"b": {MEMORY: "2G"}}


def test_a_failed_plugin_keeps_what_it_set() -> None:
    config: dict[str, Any] = {}
    first = install(config, a=sets(MEMORY, "1G"))
    failed = ConfigHookResult("a", "1.0", "plugin a (1.0)", failure="it failed")
    assert merge(config, first.applied, [failed]).applied == first.applied


def test_items_are_added_to_the_admins_list() -> None:
    config: dict[str, Any] = {"users": {"admin": ["me", "you"]}}
    outcome = install(config, a=adds("ana"), b=adds("bob"))
    assert config == {"users": {"admin": ["me", "you", "ana", "bob"]}}
    assert outcome.set == ((GROUPS, ["me", "you", "ana", "bob"], "a, b"),)
    assert outcome.applied == {"a": {GROUPS: ["ana"]}, "b": {GROUPS: ["bob"]}}


def test_a_list_that_is_replaced_keeps_the_admins_items() -> None:
    config: dict[str, Any] = {"users": {"admin": ["me"]}}
    outcome = install(config, a=sets(GROUPS, ["ana"]))
    assert config == {"users": {"admin": ["me", "ana"]}}
    assert outcome.kept == ((GROUPS, ["me"], "a"),)


def test_an_item_that_the_admin_took_out_stays_out() -> None:
    config: dict[str, Any] = {"users": {"admin": ["me"]}}
    first = install(config, a=adds("ana"))
    config["users"]["admin"].remove("ana")
    second = install(config, first.applied, a=adds("ana"))
    assert config == {"users": {"admin": ["me"]}}
    assert second.kept == ((GROUPS, ["me"], "a"),)
    assert second.applied == first.applied


def test_a_plugin_takes_out_its_own_items_only() -> None:
    config: dict[str, Any] = {"users": {"admin": ["me"]}}
    first = install(config, a=adds("ana"))
    second = install(config, first.applied, a=lambda c: c["users"]["admin"].clear())
    assert config == {"users": {"admin": ["me"]}}
    assert [setting.value for setting in second.set] == [["me"]]


def test_the_item_of_a_blocked_plugin_is_not_taken_for_that_of_the_next() -> None:
    config: dict[str, Any] = {"users": {"admin": []}}
    first = install(config, a=adds("ana"))
    config["users"]["admin"].remove("ana")
    second = install(config, first.applied, a=adds("ana"), b=adds("bob"))
    assert config == {"users": {"admin": ["bob"]}}
    assert second.applied["b"] == {GROUPS: ["bob"]}


def test_comments_and_order_stay() -> None:
    yaml = YAML()
    config = yaml.load("# mine\nusers:\n  admin:\n  - me # myself\nhttp:\n  port: 80\n")
    install(config, a=adds("ana"), b=sets(MEMORY, "1G"))
    text = io.StringIO()
    yaml.dump(config, text)
    assert text.getvalue() == (
        "# mine\nusers:\n  admin:\n  - me # myself\n  - ana\nhttp:\n  port: 80\nlimits:\n  memory: 1G\n"
    )


def test_what_was_applied_goes_through_json() -> None:
    applied = {"a": {MEMORY: "1G", ("x", 5): [1]}}
    assert in_effect({"applied": applied_to_json(applied)["a"]}, {}) == applied["a"]


# ---- a run that was cut off


def test_what_was_begun_counts_where_it_is_in_the_file() -> None:
    keys = {"applied": [[["a"], 1], [["l"], ["x"]]], "begun": [[["a"], 2], [["b"], 3], [["l"], ["x", "y"]]]}
    before = {"a": 1, "l": ["mine", "x"]}
    assert in_effect(keys, before) == {("a",): 1, ("l",): ["x"]}
    assert in_effect(keys, {"a": 2, "b": 3, "l": ["mine", "x", "y"]}) == {("a",): 2, ("b",): 3, ("l",): ["x", "y"]}
    assert in_effect(keys, {"a": 2, "b": "admin's"})[("a",)] == 2


def test_what_was_to_be_taken_out_counts_while_it_is_there() -> None:
    keys = {"applied": [], "begun": [[["a"], 1], [["l"], ["x"]]]}
    assert in_effect(keys, {"a": 1, "l": ["x", "mine"]}) == {("a",): 1, ("l",): ["x"]}
    assert in_effect(keys, {"l": ["mine"]}) == {}


VALUES = st.one_of(st.integers(0, 2), st.lists(st.sampled_from("abc"), unique=True, max_size=3))
CONFIGS = st.dictionaries(
    st.sampled_from("pq"), st.one_of(VALUES, st.dictionaries(st.sampled_from("xy"), VALUES, min_size=1))
)


@settings(max_examples=150, deadline=None, database=None, derandomize=True)
@given(admin=CONFIGS, wishes=CONFIGS)
def test_whatever_a_plugin_wants_the_admins_values_stay_and_a_second_run_is_quiet(
    admin: dict[str, Any], wishes: dict[str, Any]
) -> None:
    def hook(config: dict[str, Any]) -> None:
        config.clear()
        config.update(copy.deepcopy(wishes))

    config = copy.deepcopy(admin)
    first = install(config, a=hook)
    after = leaves(config)
    for path, value in leaves(admin).items():
        if isinstance(value, list):
            assert [item for item in after[path] if item in value] == value
        else:
            assert after[path] == value
    second = install(config, first.applied, a=hook)
    assert second.set == ()
    assert second.applied == first.applied
