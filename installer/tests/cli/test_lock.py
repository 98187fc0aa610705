"""``tljh lock``: its flags, and what it says."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner, Result
from tljh.cli import lock as module
from tljh.errors import UsageError
from tljh.stages import run
from tljh.stages.context import Options
from tljh.stages.locks import lock_writing, locking
from tljh.stages.locks.lock_writing import Move, Wanted, Written

COUNTS = {
    "conda-lock.yml": {"linux-64": {"conda": 130, "pip": 2}, "linux-aarch64": {"conda": 0, "pip": 0}},
    "requirements-hub.lock": {"linux-64": {"pip": 57}},
}
WRITTEN = Written({"conda-lock.yml": "a", "requirements-hub.lock": "b"}, COUNTS)
MOVES = [Move("user", "numpy", "conda", "2.0=h_0", "2.1=h_0"), Move("hub", "x", "pip", None, "1")]


class Seen:
    """What the command did."""

    def __init__(self) -> None:
        self.options: Options | None = None
        self.done: list[str] = []
        self.platforms: list[str] = []
        self.folder: Path | None = None
        self.follows = False
        self.moves: list[Move] = []


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> Seen:
    seen = Seen()

    @contextlib.contextmanager
    def opened(options: Options, paths: object, reporter: object, *, planning: bool) -> Iterator[Any]:
        assert planning, "nothing but locks is written"
        seen.options = options
        yield SimpleNamespace(options=options, held="held" if seen.follows else None)

    def note(word: str, value: Any = None) -> Any:
        def noted(*arguments: Any) -> Any:
            seen.done.append(word)
            return value

        return noted

    def texts_of(context: object, wanted: object, platforms: list[str]) -> Written:
        seen.platforms = list(platforms)
        return WRITTEN

    def write(context: object, written: Written, folder: Path) -> list[Path]:
        seen.folder = folder
        return [folder / name for name in written.texts]

    monkeypatch.setattr(run, "opened", opened)
    monkeypatch.setattr(locking, "look", note("look"))
    monkeypatch.setattr(lock_writing, "as_it_is", note("as it is", Wanted(None, {})))  # type: ignore[arg-type]
    monkeypatch.setattr(
        lock_writing,
        "renewal",
        lambda context: seen.done.append("renewal") or Wanted(None, {}, seen.moves),  # type: ignore[arg-type, func-returns-value]
    )
    monkeypatch.setattr(lock_writing, "platforms_of", lambda held: ["linux-64"] if held else [])
    monkeypatch.setattr(lock_writing, "texts_of", texts_of)
    monkeypatch.setattr(lock_writing, "write", write)
    monkeypatch.setattr(lock_writing, "keep", note("keep"))
    monkeypatch.setattr(lock_writing, "release", lambda context: seen.follows)
    return seen


def lock(*words: str) -> Result:
    result = CliRunner().invoke(module.lock, list(words))
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def test_what_this_machine_has(seen: Seen) -> None:
    result = lock("-o", "/root/lock", "--platform", "linux-aarch64")
    assert seen.done == ["look", "as it is"]
    assert seen.options is not None and seen.options.upgrade is None
    assert seen.platforms == ["linux-aarch64"] and seen.folder == Path("/root/lock")
    assert result.output.splitlines() == [
        "/root/lock/conda-lock.yml: linux-64 130 conda and 2 pip packages, linux-aarch64 no packages",
        "/root/lock/requirements-hub.lock: linux-64 57 pip packages",
    ]


def test_the_folder_is_the_current_one(seen: Seen) -> None:
    lock()
    assert seen.folder == Path.cwd()


def test_everything_moves(seen: Seen) -> None:
    seen.moves = MOVES
    result = lock("--upgrade", "-o", "/root/lock")
    assert seen.options is not None and seen.options.upgrade == ()
    assert seen.done == ["look", "renewal"], "a machine that follows no lock gets none"
    assert result.output.splitlines()[:2] == ["  user: numpy  2.0=h_0 → 2.1=h_0", "  hub: x  nothing → 1"]
    assert result.output.endswith("'tljh install --lock /root/lock' makes it follow the lock.\n")


def test_a_machine_that_follows_a_lock_gets_the_new_one(seen: Seen) -> None:
    seen.follows, seen.moves = True, MOVES
    result = lock("--upgrade", "numpy", "--plugin", "./x", "tljh-y", "--channel", "bio", "-o", "/root/lock")
    assert seen.options is not None and seen.options.upgrade == ("numpy",)
    assert seen.options.plugins == (str(Path("x").resolve()), "tljh-y")
    assert seen.options.channels == ("bio",)
    assert seen.done == ["look", "renewal", "keep"]
    assert seen.platforms == ["linux-64"], "those that the lock had before"
    assert result.output.endswith("This machine is to follow the new lock; 'tljh install' makes it so.\n")


def test_nothing_moves(seen: Seen) -> None:
    assert lock("--upgrade").output.endswith("Nothing moves.\n")


def test_json(seen: Seen) -> None:
    seen.moves = MOVES
    said = json.loads(lock("--upgrade", "--json", "-o", "/l").output)
    assert said["files"]["conda-lock.yml"] == {"path": "/l/conda-lock.yml", "packages": COUNTS["conda-lock.yml"]}
    assert said["moves"][1] == {"environment": "hub", "name": "x", "manager": "pip", "before": None, "after": "1"}
    assert said["follows"] is False


def test_following_none_any_more(seen: Seen) -> None:
    assert lock("--release").output == "This machine follows no lock.\n"
    seen.follows = True
    assert lock("--release").output == "This machine follows no lock any more.\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("numpy",), "numpy can only be given with --upgrade"),
        (
            ("--plugin", "x"),
            "--plugin, --channel and --user-requirements-txt-url can only be given with --upgrade",
        ),
        (("--release", "--upgrade"), "--release goes with no other flag"),
    ],
)
def test_flags_that_make_no_sense(seen: Seen, words: tuple[str, ...], said: str) -> None:
    result = CliRunner().invoke(module.lock, list(words))
    assert isinstance(result.exception, UsageError)
    assert said in str(result.exception) and "tljh lock" in str(result.exception)
    assert seen.done == []


def test_an_unknown_platform(seen: Seen) -> None:
    result = CliRunner().invoke(module.lock, ["--platform", "win-64"])
    assert result.exit_code == 2 and "linux-aarch64" in result.output
