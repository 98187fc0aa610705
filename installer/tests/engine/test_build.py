"""From stages to resources."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pytest
from fakes import Things
from tljh.engine.build import Stage, build, ordered
from tljh.engine.resource import Resource
from tljh.errors import TljhError


def stage(name: str, *resources: Resource, priority: int = 0) -> Stage[object]:
    class Made(Stage[object]):
        def resources(self, context: object) -> Iterable[Resource]:
            return resources

    made = Made()
    made.name, made.priority = name, priority  # type: ignore[misc]
    return made


def names(resources: Sequence[Resource]) -> list[tuple[str, str]]:
    return [(resource.id, resource.stage) for resource in resources]


def test_stages_by_priority_then_by_name() -> None:
    stages = [stage("b", priority=20), stage("c", priority=10), stage("a", priority=20)]
    assert [found.name for found in ordered(stages)] == ["c", "a", "b"]


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
    assert names(found) == [("file:/kept", "one"), ("file:/old", "two")]
    assert found[1].desired() == {}
    assert found[1].origin("mode") == "tljh-x"
