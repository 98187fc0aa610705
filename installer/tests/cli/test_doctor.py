"""``tljh doctor``: what is printed, and the exit status."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from tljh.cli import doctor as module
from tljh.engine.database import Damaged
from tljh.stages import preflight, run
from tljh.stages.health import doctor as stage
from tljh.stages.health import state_database
from tljh.stages.health.doctor import Result as Found

WELL = Found("hub", "The hub answers")
ILL = Found("disk space", "There is room", state="ill", problem="3 MB are left", more=("of 9 GB",), fixable=True)
OF_PLUGIN = Found("quota", "Quotas are on", "quota", "ill", "they are off")
MENDED = Found("disk space", "There is room", state="mended", fixable=True)


def doctor(
    monkeypatch: pytest.MonkeyPatch, *words: str, found: Any = (), fix: bool = False, first: Found | None = None
) -> Result:
    @contextlib.contextmanager
    def opened(options: object, paths: object, reporter: object, *, planning: bool) -> Iterator[None]:
        assert planning is not fix, "mending holds the install lock, looking does not"
        if first and first.state == "ill":
            raise Damaged(Path("/state/tljh.sqlite"), "it broke")
        yield None

    def examine(context: object, *, fix: bool = False) -> Any:
        return found[1:]

    monkeypatch.setattr(preflight, "check_root", lambda: None)
    monkeypatch.setattr(state_database, "examine", lambda paths, reporter, *, fix: first or found[0])
    monkeypatch.setattr(run, "opened", opened)
    monkeypatch.setattr(stage, "examine", examine)
    return CliRunner().invoke(module.doctor, list(words))


def test_all_is_well(monkeypatch: pytest.MonkeyPatch) -> None:
    result = doctor(monkeypatch, found=[WELL])
    assert (result.exit_code, result.output) == (0, "✓ hub  The hub answers\nAll is well.\n")


def test_something_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    result = doctor(monkeypatch, found=[WELL, ILL, OF_PLUGIN])
    assert result.exit_code == 1
    assert result.output.splitlines() == [
        "✓ hub         The hub answers",
        "✗ disk space  3 MB are left",
        "              of 9 GB",
        "✗ quota       they are off  [quota]",
        "2 of 3 checks find something wrong; 'tljh doctor --fix' can mend it.",
    ]
    assert doctor(monkeypatch, found=[OF_PLUGIN]).output.endswith("1 of 1 checks finds something wrong.\n")


def test_fix(monkeypatch: pytest.MonkeyPatch) -> None:
    result = doctor(monkeypatch, "--fix", found=[MENDED], fix=True)
    assert result.exit_code == 0
    assert result.output.splitlines() == ["✓ disk space  There is room: mended", "All is well."]
    result = doctor(monkeypatch, "--fix", found=[ILL], fix=True)
    assert result.exit_code == 1
    assert result.output.endswith("1 of 1 checks finds something wrong.\n")


def test_for_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    result = doctor(monkeypatch, "--json", found=[WELL, ILL])
    said = json.loads(result.output)
    assert (result.exit_code, said["ok"]) == (1, False)
    assert said["checks"][1] == {
        "name": "disk space",
        "sentence": "There is room",
        "plugin": "core",
        "state": "ill",
        "problem": "3 MB are left\nof 9 GB",
        "fixable": True,
    }


DAMAGED = Found("state database", "It is whole", "core", "ill", "it is damaged", ("a copy",), fixable=True)


def test_without_the_state_database_nothing_else_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    result = doctor(monkeypatch, found=[DAMAGED, WELL], first=DAMAGED)
    assert result.exit_code == 1
    assert result.output.splitlines() == [
        "✗ state database  it is damaged",
        "                  a copy",
        "1 of 1 checks finds something wrong; 'tljh doctor --fix' can mend it.",
    ]


def test_what_was_lost_is_told_when_it_is_mended(monkeypatch: pytest.MonkeyPatch) -> None:
    mended = Found("state database", "It is whole", state="mended", more=("put back: a copy",), fixable=True)
    result = doctor(monkeypatch, "--fix", found=[mended, WELL], fix=True, first=mended)
    assert result.exit_code == 0
    assert result.output.splitlines()[:2] == [
        "✓ state database  It is whole: mended",
        "                  put back: a copy",
    ]
