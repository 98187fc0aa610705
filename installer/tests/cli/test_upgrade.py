"""``tljh upgrade``: what its words come to; how it is shown and asked is every verb's."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from click.shell_completion import CompletionItem, ShellComplete
from click.testing import CliRunner
from fakes import make_context, real
from tljh import cli, installer
from tljh.cli import upgrade as module
from tljh.stages.context import Options
from tljh.stages.locks import locking, renewing

VERBS: list[module.Upgrade] = []


@pytest.fixture(autouse=True)
def verbs(monkeypatch: pytest.MonkeyPatch) -> list[module.Upgrade]:
    VERBS.clear()
    monkeypatch.setattr(module.Upgrade, "run", lambda verb: VERBS.append(verb))
    return VERBS


@pytest.mark.parametrize(
    ("words", "named", "argv"),
    [
        ([], (), ("upgrade",)),
        (["user", "numpy", "user", "--yes"], ("user", "numpy"), ("upgrade", "user", "numpy", "--yes")),
        (
            ["hub", "--i-have-a-backup", "--without", "x"],
            ("hub",),
            ("upgrade", "hub", "--i-have-a-backup", "--without", "x"),
        ),
    ],
)
def test_words(words: list[str], named: tuple[str, ...], argv: tuple[str, ...]) -> None:
    shown = CliRunner().invoke(module.upgrade, words)
    assert shown.exit_code == 0, shown.output
    (verb,) = VERBS
    assert verb.options == Options(upgrade=named, own_backup="--i-have-a-backup" in words)
    assert verb.argv == argv


def test_it_is_checked_before_anything_is_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[Any] = []
    monkeypatch.setattr(locking, "look", lambda context: called.append("the lock"))
    monkeypatch.setattr(renewing, "refuse", lambda context: called.append("the names"))
    CliRunner().invoke(module.upgrade, [])
    VERBS[0].check(make_context(real(tmp_path)))
    assert called == ["the lock", "the names"]


def test_completion(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context = make_context(real(tmp_path))
    monkeypatch.setenv("TLJH_INSTALL_PREFIX", str(context.paths.prefix))
    (context.paths.envs / "user-1" / "lib/python3.11/site-packages/numpy-2.1.dist-info").mkdir(parents=True)
    context.paths.user.symlink_to("envs/user-1")
    completion = ShellComplete(cli.cli, {}, "tljh", "_TLJH_COMPLETE")

    def found(word: str) -> list[tuple[str, str | None]]:
        items: list[CompletionItem] = completion.get_completions(["upgrade"], word)
        return [(item.value, item.help) for item in items]

    assert ("user", "environment") in found("")
    assert found("u") == [("user", "environment")]


@pytest.mark.parametrize("name", installer.GO_ON)
def test_it_goes_on_in_another_hub_environment(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[Sequence[str]] = []
    monkeypatch.setattr(cli, "main", called.append)
    monkeypatch.setattr(sys, "argv", ["tljh.installer", name, "--yes"])
    installer.main()
    assert called == [[name, "--yes"]]
