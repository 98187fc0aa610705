"""``tljh doctor``: what checks find, what fixers mend, and that one which fails is told."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from fakes import make_context, real
from tljh.declare import HealthCheck
from tljh.errors import TljhError
from tljh.plugins.calls import CheckResult
from tljh.stages.context import Context
from tljh.stages.health import doctor as module
from tljh.stages.health.doctor import Result


class Ill:
    """Something that is wrong until it is mended."""

    def __init__(self, said: bool | str | None = False, cure: bool = True) -> None:
        self.said, self.cure, self.mended = said, cure, 0

    def look(self) -> bool | str | None:
        return None if self.mended and self.cure else self.said

    def mend(self) -> None:
        self.mended += 1


@pytest.fixture
def context(tmp_path: Path) -> Context:
    return make_context(real(tmp_path))


def examine(
    context: Context,
    monkeypatch: pytest.MonkeyPatch,
    *checks: HealthCheck,
    fix: bool = False,
    plugins: Any = (),
    after: CheckResult | None = None,
) -> list[Result]:
    health = ModuleType("tljh.stages.health.checks")
    health.core_checks = lambda context: list(checks)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "tljh.stages.health.checks", health)

    def run_checks(machine: object, python: Path) -> Any:
        if isinstance(plugins, Exception):
            raise plugins
        return plugins

    monkeypatch.setattr(module, "run_checks", run_checks)
    monkeypatch.setattr(module, "run_fix", lambda machine, python, plugin, check: after)
    return module.examine(context, fix=fix)


def check(thing: Ill, *, fixable: bool = True) -> HealthCheck:
    return HealthCheck("disk", "There is room", thing.look, thing.mend if fixable else None)


def test_what_checks_say(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    well, lines = Ill(None), Ill("only 3 MB are left\nof 9 GB")
    assert examine(context, monkeypatch, check(well), check(lines, fixable=False), check(Ill(False))) == [
        Result("disk", "There is room", fixable=True),
        Result("disk", "There is room", "core", "ill", "only 3 MB are left", ("of 9 GB",), False),
        Result("disk", "There is room", "core", "ill", "this is not so: There is room", (), True),
    ]
    assert well.mended == lines.mended == 0


def test_a_check_that_fails_is_something_wrong(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails() -> bool:
        raise ValueError("x")

    def ours() -> bool:
        raise TljhError("the file is wrong", todo="mend it")

    found = examine(context, monkeypatch, HealthCheck("a", "A", fails), HealthCheck("b", "B", ours))
    assert [(row.state, row.problem, row.more) for row in found] == [
        ("ill", "the check itself failed: ValueError: x", ()),
        ("ill", "the file is wrong", ("  → mend it",)),
    ]


def test_fix_mends_what_is_wrong_and_looks_again(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    well, ill, stubborn = Ill(True), Ill("full"), Ill("full", cure=False)
    found = examine(context, monkeypatch, check(well), check(ill), check(stubborn), fix=True)
    assert [row.state for row in found] == ["well", "mended", "ill"]
    assert (well.mended, ill.mended, stubborn.mended) == (0, 1, 1)
    assert found[2].problem == "full"


def test_a_fixer_that_fails(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails() -> None:
        raise OSError("no room")

    (found,) = examine(context, monkeypatch, HealthCheck("a", "A", Ill("full").look, fails), fix=True)
    assert (found.state, found.problem, found.more) == ("ill", "full", ("it could not be mended: no room",))


def test_checks_of_plugins(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [CheckResult("p", "a", "A", ""), CheckResult("q", "b", "B", "wrong", True)]
    found = examine(context, monkeypatch, plugins=rows)
    assert [(row.plugin, row.state, row.problem, row.fixable) for row in found] == [
        ("p", "well", "", False),
        ("q", "ill", "wrong", True),
    ]
    (_, mended) = examine(context, monkeypatch, plugins=rows, fix=True, after=CheckResult("q", "b", "B"))
    assert (mended.state, mended.problem) == ("mended", "")
    (_, still) = examine(
        context, monkeypatch, plugins=rows, fix=True, after=CheckResult("q", "b", "B", "still wrong", True)
    )
    assert (still.state, still.problem) == ("ill", "still wrong")


def test_plugins_that_can_not_be_asked(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    (found,) = examine(context, monkeypatch, plugins=TljhError("the process ended", todo="look"))
    assert (found.name, found.state, found.problem) == ("plugins", "ill", "the process ended")


def test_as_a_program_reads_it() -> None:
    row = Result("disk", "There is room", state="ill", problem="full", more=("very",))
    assert row.as_dict() == {
        "name": "disk",
        "sentence": "There is room",
        "plugin": "core",
        "state": "ill",
        "problem": "full\nvery",
        "fixable": False,
    }
