"""``tljh backup`` and ``tljh restore``: passphrases, and what is said to a wrong command."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from tljh.cli import backup as module
from tljh.cli import restore as restore_module
from tljh.errors import TljhError, UsageError
from tljh.paths import Paths
from tljh.stages import preflight
from tljh.stages.backups.backup import Made, Manifest

MANIFEST = Manifest(
    "3.0", 3, "hub1", 1.0, "debian 12", "x86_64", "3.11", "/opt/tljh", 1, 2, {"jupyter-ada": 3}, True
)


@pytest.fixture(autouse=True)
def nobody_to_ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TLJH_INSTALL_PREFIX", str(tmp_path / "tljh"))
    (tmp_path / "tljh").mkdir()
    monkeypatch.setattr(preflight, "check_root", lambda: None)
    monkeypatch.setattr(module, "_has_terminal", lambda: False)


def run(command: Any, *words: str | Path) -> Result:
    return CliRunner().invoke(command, [str(word) for word in words])


def said(result: Result) -> str:
    assert isinstance(result.exception, TljhError), result.output
    return str(result.exception)


# ---- passphrases


def test_a_passphrase_is_a_files_first_line(tmp_path: Path) -> None:
    (tmp_path / "word").write_text("correct horse\nmore\n")
    assert module.new_passphrase(tmp_path / "word") == "correct horse"
    assert module.passphrase_of(tmp_path / "word") == "correct horse"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"short\n", "a passphrase must have at least 8 signs"),
        (b"", "is empty"),
        (b"\nsecond line", "is empty"),
        (b"\xff\xfe\xfd", "cannot be read: it is not text"),
        (None, "cannot be read: No such file or directory"),
    ],
)
def test_what_is_no_passphrase(tmp_path: Path, content: bytes | None, words: str) -> None:
    if content is not None:
        (tmp_path / "word").write_bytes(content)
    with pytest.raises(UsageError, match=words):
        module.new_passphrase(tmp_path / "word")


def test_nobody_can_be_asked() -> None:
    with pytest.raises(UsageError) as caught:
        module.new_passphrase(None)
    assert str(caught.value) == (
        "the passphrase can't be asked for: there is no terminal\n"
        "  → give --passphrase-file FILE, or --without-passphrase"
    )
    with pytest.raises(UsageError, match=r"give --passphrase-file FILE$"):
        module.passphrase_of(None)


def test_it_is_asked_for_twice_where_it_is_new(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []

    def prompt(words: str, **options: Any) -> str:
        asked.append(options)
        return "correct horse"

    monkeypatch.setattr(module, "_has_terminal", lambda: True)
    monkeypatch.setattr(module.click, "prompt", prompt)
    assert module.new_passphrase(None) == module.passphrase_of(None) == "correct horse"
    assert [row["confirmation_prompt"] for row in asked] == [True, False]
    assert all(row["hide_input"] for row in asked)


# ---- wrong commands


@pytest.mark.parametrize("kind", ["pipe", "link", "dangling"])
def test_what_is_no_file_is_not_replaced(tmp_path: Path, kind: str) -> None:
    place = tmp_path / "place"
    if kind == "pipe":
        os.mkfifo(place)
    else:
        (tmp_path / "link").write_text("precious")
        place.symlink_to(tmp_path / kind)
    before = place.lstat()
    found = said(run(module.backup, place, "--without-passphrase"))
    assert f"{place} is no ordinary file, and a backup takes its place" in found
    assert "name a new file" in found
    assert place.lstat() == before


def test_not_to_the_standard_output() -> None:
    assert "can't be written to the standard output" in said(run(module.backup, "-", "--without-passphrase"))


def test_both_or_neither(tmp_path: Path) -> None:
    assert "--passphrase-file and --without-passphrase" in said(
        run(module.backup, tmp_path / "x", "--without-passphrase", "--passphrase-file", tmp_path / "word")
    )


def test_no_folder(tmp_path: Path) -> None:
    assert f"there is no folder {tmp_path}/nowhere" in said(
        run(module.backup, tmp_path / "nowhere" / "x", "--without-passphrase")
    )


def test_no_backup_to_restore(tmp_path: Path) -> None:
    assert f"{tmp_path}/x cannot be read: No such file or directory" in said(
        run(restore_module.restore, tmp_path / "x")
    )
    (tmp_path / "x").write_text("hello")
    assert f"{tmp_path}/x is no backup" in said(run(restore_module.restore, tmp_path / "x"))


# ---- what is said


def told(capsys: pytest.CaptureFixture[str], as_json: bool, left_out: Sequence[str] = ()) -> tuple[str, str]:
    module._tell(Made(MANIFEST, 2, 1_500_000, tuple(left_out)), Path("/root/x"), True, as_json)
    found = capsys.readouterr()
    return found.out, found.err


def test_what_came_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    out, err = told(capsys, False, [f"{number}: a socket" for number in range(12)])
    assert "/root/x: 1.5 MB, 2 accounts, 1 homes, encrypted" in out
    assert err.count("left out: ") == 11
    assert "! left out: 2 more (--json lists them)" in err


def test_the_same_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    out = json.loads(told(capsys, True, ["x: a socket"])[0])
    assert (out["backup"], out["encrypted"], out["homes"]) == ("/root/x", True, {"jupyter-ada": 3})
    assert out["left_out"] == ["x: a socket"]


def test_the_prefix_is_the_environments(tmp_path: Path) -> None:
    assert Paths.from_environment().prefix == tmp_path / "tljh"
