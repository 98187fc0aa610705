"""What two generations differ in."""

from __future__ import annotations

from typing import Any

from tljh.resources.environments.generations import (
    Difference,
    compared,
    environments,
    packages,
    plugins,
    things,
    turned,
)


def record(*lines: str, **more: Any) -> dict[str, Any]:
    lock = {"requirements": [], "packages": {}, "lock": list(lines)}
    return {"locks": {"hub": lock}, **more}


def row(resource: str, key: str, before: str | None, after: str | None, result: str = "done") -> dict[str, Any]:
    return {"resource": resource, "key": key, "before": before, "after": after, "result": result}


def test_mappings() -> None:
    assert compared({"a": "1", "b": "1", "c": "1"}, {"b": "2", "c": "1", "d": "1"}) == [
        Difference("a", "1", None),
        Difference("b", "1", "2"),
        Difference("d", None, "1"),
    ]


def test_packages_of_environments() -> None:
    before = record("attrs==1.0", "maps @ file:///state/wheels/one/maps-1.0.whl", "gone==1")
    after = record("attrs==2.0", "maps @ file:///state/wheels/two/maps-1.0.whl")
    assert environments(before, after) == {
        "hub": [
            Difference("attrs", "1.0", "2.0"),
            Difference("gone", "1", None),
            Difference("maps", "maps-1.0.whl", "maps-1.0.whl (another build)"),
        ]
    }
    assert packages(after)["hub"] == {"attrs": "2.0", "maps": "maps-1.0.whl"}


def test_an_environment_that_is_in_one_only() -> None:
    assert environments({}, record("attrs==1.0")) == {"hub": [Difference("attrs", None, "1.0")]}


def test_a_plugin_that_was_switched_off() -> None:
    found = plugins({"plugins": {"maps": "1.0"}, "reports": {"maps": {"state": "disabled"}}})
    assert found == {"maps": "1.0 (switched off)"}


def test_things_by_the_journal() -> None:
    journal = [
        row("file:/etc/a", "content", None, "one"),
        row("file:/etc/a", "content", "one", "two"),
        row("file:/etc/b", "content", None, "one"),
        row("file:/etc/b", "content", "one", None),
        row("file:/etc/c", "content", None, "one", "failed: no room"),
        row("environment:hub", "attrs", None, "==1.0"),
    ]
    found = things(journal)
    assert found == {"file:/etc/a": [Difference("content", None, "two")]}
    assert turned(found) == {"file:/etc/a": [Difference("content", "two", None)]}
