"""The public Stage, and how stages are described as data."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
import tljh
from tljh.declare import File
from tljh.engine import build
from tljh.plugins.stage import Stage, StageContext, StageFailed, describe_stages
from tljh.plugins.values import WrongValue

CONTEXT = StageContext({"limits": {"memory": "1G"}}, Path("/opt/tljh"), {"place": "/srv"})


class Database(Stage):
    name = "database"
    priority = 45

    def resources(self, context: StageContext) -> Any:
        assert context is self.context
        yield File(path=f"{context.settings['place']}/a.conf", content="a\n")

    def render(self) -> Any:
        return {Path("/etc/b.conf"): f"memory={self.context.config['limits']['memory']}\n"}

    def deploy(self, stage_outputs: dict[str, Any]) -> Any:
        raise AssertionError("describing runs nothing")

    def check(self, stage_outputs: dict[str, Any]) -> Any:
        raise AssertionError("describing runs nothing")


def test_it_is_public_and_of_the_class_that_the_cores_stages_are_of() -> None:
    assert tljh.Stage is Stage
    assert issubclass(Stage, build.Stage)


def test_a_stage_as_data() -> None:
    (found,) = describe_stages([[Database]], CONTEXT)
    assert found == {
        "name": "database",
        "priority": 45,
        "has": ["deploy", "check"],
        "resources": [
            {"kind": "file", "path": "/srv/a.conf", "content": "a\n", "mode": "0644", "owner": "root:root"}
        ],
        "rendered": {"/etc/b.conf": "memory=1G\n"},
    }


def test_the_smallest_stage() -> None:
    class Nothing(Stage):
        name = "nothing"

    assert describe_stages([None, (Nothing,)]) == [
        {"name": "nothing", "priority": 50, "has": [], "resources": [], "rendered": {}}
    ]
    assert Nothing(CONTEXT).deploy({}) is None
    assert Nothing(CONTEXT).destroy({}) is None
    assert Nothing(CONTEXT).check({}) is None


def a_stage(**members: Any) -> type[Stage]:
    return type("Made", (Stage,), {"name": "made", **members})


@pytest.mark.parametrize(
    ("returned", "words"),
    [
        (Database, r"returned <class .*Database'> \(.*\) instead of a list of tljh\.Stage classes"),
        ("database", "returned 'database' instead of a list"),
        (5, "returned 5 instead of a list"),
        ([Database(CONTEXT)], "which is no subclass of tljh.Stage"),
        ([str], "which is no subclass of tljh.Stage"),
        ([a_stage(name="")], "whose name is ''; it is a text in one line without a colon"),
        ([a_stage(name="a:b")], "whose name is 'a:b'"),
        ([a_stage(name="a\nb")], "in one line"),
        ([a_stage(priority="50")], "stage made, whose priority is '50'; it is a whole number"),
        ([a_stage(priority=True)], "whose priority is True; it is a whole number"),
        ([a_stage(resources=lambda self, context: ["/etc/x"])], r"resources\(\) yields '/etc/x'; it yields what"),
        ([a_stage(resources=lambda self, context: [File])], r"resources\(\) yields"),
        ([a_stage(render=lambda self: ["/etc/x"])], r"render\(\) returns \['/etc/x'\]; it returns a mapping"),
        ([a_stage(render=lambda self: {"x": "y"})], r"render\(\) returns the path 'x'; it is absolute"),
        ([a_stage(render=lambda self: {"/x": b"y"})], r"render\(\) returns b'y' for /x; it is a text \(for bytes"),
    ],
)
def test_what_is_no_stage(returned: object, words: str) -> None:
    with pytest.raises(WrongValue, match=words):
        describe_stages([returned], CONTEXT)


def broken(*arguments: object) -> Any:
    raise KeyError("x")


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({"__init__": broken}, "stage made, making it: KeyError: 'x'"),
        ({"resources": broken}, "stage made, resources(): KeyError: 'x'"),
        ({"render": broken}, "stage made, render(): KeyError: 'x'"),
    ],
)
def test_a_stage_that_fails(members: dict[str, Any], words: str) -> None:
    with pytest.raises(StageFailed) as caught:
        describe_stages([[a_stage(**members)]], CONTEXT)
    assert str(caught.value) == words
    assert isinstance(caught.value.__cause__, KeyError)


def test_an_iterator_without_an_end_is_cut() -> None:
    endless = a_stage(resources=lambda self, context: (File(path="/x", content="") for _ in itertools.count()))
    assert len(describe_stages([[endless]])[0]["resources"]) == 10_000
