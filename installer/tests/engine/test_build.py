"""From stages to resources."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pytest
from fakes import Things
from tljh.engine.build import Stage, build, one_for_each_name, ordered
from tljh.engine.resource import Resource
from tljh.errors import TljhError


def stage(name: str, *resources: Resource, priority: int = 0) -> Stage[object]:
    class Made(Stage[object]):
        def resources(self, context: object) -> Iterable[Resource]:
            return resources

    made = Made()
    made.name, made.priority = name, priority
    return made


def names(resources: Sequence[Resource]) -> list[tuple[str, str]]:
    return [(resource.id, resource.stage) for resource in resources]


def test_stages_by_priority_then_by_name() -> None:
    stages = [stage("b", priority=20), stage("c", priority=10), stage("a", priority=20)]
    assert [found.name for found in ordered(stages)] == ["c", "a", "b"]


def of_plugin(name: str, priority: int, plugin: str) -> Stage[object]:
    made = stage(name, priority=priority)
    made.origin, made.whose = plugin, f"plugin {plugin} (1.0)"
    return made


def test_the_highest_priority_of_one_name_counts() -> None:
    core, low, high = stage("proxy", priority=70), of_plugin("proxy", 60, "a"), of_plugin("proxy", 71, "b")
    found, replaced = one_for_each_name([core, stage("config", priority=20), high, low])
    assert [(one.name, one.origin) for one in found] == [("config", "core"), ("proxy", "b")]
    assert replaced == [(low, high), (core, high)]


def test_two_equal_stages() -> None:
    equals = [of_plugin("database", 50, "b"), of_plugin("database", 50, "a")]
    with pytest.raises(TljhError) as caught:
        one_for_each_name(equals)
    assert str(caught.value) == (
        "two stages are named database and have the priority 50, of plugin a (1.0) and plugin b (1.0)\n"
        "  → leave out one of the two plugins, or a version of it with another name or priority; "
        "nothing was changed"
    )
    found, _ = one_for_each_name([*equals, of_plugin("database", 51, "c")])
    assert [one.origin for one in found] == ["c"], "who replaces both settles it"
    with pytest.raises(TljhError, match=r"of plugin a \(1\.0\) and the core\n"):
        one_for_each_name([stage("proxy", priority=70), of_plugin("proxy", 70, "a")])


def test_resources_in_order_with_their_stage() -> None:
    stages = [stage("one", Things("x"), Things("b")), stage("two", Things("a"))]
    assert names(build(stages, None, {}, {})) == [("x", "one"), ("b", "one"), ("a", "two")]


def test_a_stage_wants_nothing_unless_it_says_so() -> None:
    assert list(Stage.resources(stage("one"), None)) == []
    stage("one").check(None)


def test_a_resource_that_is_described_twice() -> None:
    with pytest.raises(TljhError, match=r"^file:/x is described twice, by the stages one and two$"):
        build([stage("one", Things("file:/x")), stage("two", Things("file:/x"))], None, {}, {})


def test_who_asked_before_is_known_still() -> None:
    thing = Things("apt", origins={"git": "core"})
    build([stage("one", thing)], None, {"apt": {"git": "tljh-old", "sl": "tljh-x"}}, {})
    assert thing.origins == {"git": "core", "sl": "tljh-x"}


def test_what_nobody_speaks_of_any_more_is_dropped_at_the_end() -> None:
    owned = {"file:/old": {"mode": "tljh-x"}, "file:/kept": {"mode": "core"}, "strange:/x": {"a": "core"}}
    stages = [stage("one", Things("file:/kept")), stage("two")]
    found = build(stages, None, owned, {"file": Things})
    assert names(found) == [("file:/kept", "one"), ("file:/old", "clean-up")]
    assert found[1].desired() == {}
    assert found[1].origin("mode") == "tljh-x"
