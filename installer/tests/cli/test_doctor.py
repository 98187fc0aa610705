"""``tljh doctor``: what is printed, and the exit status."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import Any

import pytest
from click.testing import CliRunner, Result
from tljh.cli import doctor as module
from tljh.stages import doctor as stage
from tljh.stages import run
from tljh.stages.doctor import Result as Found

WELL = Found("hub", "The hub answers")
ILL = Found("disk space", "There is room", state="ill", problem="3 MB are left", more=("of 9 GB",), fixable=True)
OF_PLUGIN = Found("quota", "Quotas are on", "quota", "ill", "they are off")
MENDED = Found("disk space", "There is room", state="mended", fixable=True)


def doctor(monkeypatch: pytest.MonkeyPatch, *words: str, found: Any = (), fix: bool = False) -> Result:
    @contextlib.contextmanager
    def opened(options: object, paths: object, reporter: object, *, planning: bool) -> Iterator[None]:
        assert planning is not fix, "mending holds the install lock, looking does not"
        yield None

    def examine(context: object, *, fix: bool = False) -> Any:
        return found

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
