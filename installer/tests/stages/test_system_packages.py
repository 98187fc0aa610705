"""What apt was about to do when it was cut off, and what of it is ours afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes import FakeMachine, make_context, real
from tljh.engine.store import Store
from tljh.errors import TljhError
from tljh.stages.context import Context
from tljh.stages.system_packages import ARRIVED, BEFORE, MARKS, finish, marks_kept, restore_marks


@pytest.fixture
def context(tmp_path: Path) -> Context:
    made = make_context(real(tmp_path))
    made.machine = FakeMachine(tmp_path)
    made.machine.put("/var/lib/apt/extended_states", states("git-man", "liberror-perl"))
    return made


@pytest.fixture
def store(context: Context) -> Iterator[Store]:
    yield context.store


def states(*names: str) -> str:
    """The text of ``extended_states``; one package was marked once and is not any more."""
    auto = "".join(f"Package: {name}\nArchitecture: all\nAuto-Installed: 1\n\n" for name in names)
    return f"{auto}Package: vim\nArchitecture: amd64\nAuto-Installed: 0\n\n"


def installed(context: Context, *names: str) -> None:
    text = "".join(f"Package: {name}\nStatus: install ok installed\nVersion: 1\n\n" for name in names)
    assert isinstance(context.machine, FakeMachine)
    context.machine.put("/var/lib/dpkg/status", text)


def marked(context: Context) -> list[str]:
    assert isinstance(context.machine, FakeMachine)
    return context.machine.ran("apt-mark")


def test_what_a_killed_removal_has_taken_is_ours_no_more(context: Context, store: Store) -> None:
    store.own("apt", ["hello", "git"], "x")
    store.own(ARRIVED, ["git", "git-man", "hello"], "core")
    store.own("groups", ["hello"], "core")
    store.set_wishes(BEFORE, ["git git-man hello"])
    installed(context, "git", "git-man")
    finish(context)
    assert store.owned() == {
        "apt": {"git": "x"},
        ARRIVED: {"git": "core", "git-man": "core"},
        "groups": {"hello": "core"},
    }
    assert store.wishes(BEFORE) == []


def test_what_a_killed_install_has_brought_is_ours(context: Context, store: Store) -> None:
    store.own("apt", ["git"], "core")
    store.set_wishes(BEFORE, ["vim"])
    installed(context, "git", "git-man", "vim")
    finish(context)
    assert store.owned()[ARRIVED] == {"git": "core", "git-man": "core"}


def test_marks_are_remembered_while_apt_is_at_work(context: Context, store: Store) -> None:
    with marks_kept(store, context.machine):
        assert store.wishes(MARKS) == ["git-man liberror-perl"]
    assert store.wishes(MARKS) == []
    assert marked(context) == []


def test_marks_come_back_after_a_failure(context: Context, store: Store) -> None:
    installed(context, "git-man", "vim")
    with pytest.raises(TljhError, match="no space"), marks_kept(store, context.machine):
        context.machine.put("/var/lib/apt/extended_states", states())  # type: ignore[attr-defined]
        raise TljhError("no space")
    assert marked(context) == ["apt-mark auto git-man"], "what is gone has none"
    assert store.wishes(MARKS) == []


def test_marks_come_back_after_a_kill(context: Context, store: Store) -> None:
    store.set_wishes(MARKS, ["git-man liberror-perl sudo"])
    installed(context, "git-man", "liberror-perl", "sudo", "vim")
    restore_marks(store, context.machine)
    assert marked(context) == ["apt-mark auto sudo"], "the others have theirs"
    restore_marks(store, context.machine)
    assert len(marked(context)) == 1


def test_a_failure_to_put_marks_back_hides_nothing(context: Context, store: Store) -> None:
    installed(context, "git-man")
    context.machine.answers["apt-mark"] = TljhError("apt-mark fails")  # type: ignore[attr-defined]
    with pytest.raises(TljhError, match="no space"), marks_kept(store, context.machine):
        context.machine.put("/var/lib/apt/extended_states", states())  # type: ignore[attr-defined]
        raise TljhError("no space")
    assert store.wishes(MARKS) == ["git-man liberror-perl"], "the next run does"
