"""conda's packages are put back by rattler, the others by uv."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from fakes import make_context, real
from installed_fakes import SITE, add_conda_package, add_distribution, add_record, make_virtual, put
from tljh.errors import TljhError
from tljh.resources.conda.settings import CondaSettings
from tljh.resources.environments import repair
from tljh.resources.locks.lock import Lock, Requested
from tljh.stages.context import Context
from tljh.stages.health import mending


class Done:
    """What was asked for, in order."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[tuple[str, Any]] = []
        self.channels: dict[str, str] = {}
        self.settings = CondaSettings
        monkeypatch.setattr(repair, "reinstall", self.pip)

    def pip(self, builder: object, lock: Lock, path: Path, packages: Sequence[str]) -> None:
        self.calls.append(("pip", list(packages)))

    def repair(self, lock: Lock, path: Path, packages: Sequence[str]) -> None:
        records = [entry.name for entry in sorted(path.glob("conda-meta/*.json"))]
        self.calls.append(("conda", (list(packages), [package.name for package in lock.conda], records)))


def context_with(tmp_path: Path, done: Done) -> tuple[Context, Path]:
    context = make_context(real(tmp_path))
    context.conda = done  # type: ignore[assignment]
    return context, context.paths.envs / "user-1"


def test_conda_comes_first_and_what_an_admin_installed_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = Done(monkeypatch)
    context, root = context_with(tmp_path, done)
    zlib = add_conda_package(root, "zlib")
    add_conda_package(root, "mine")
    add_distribution(root, "a")
    add_record(root, Requested("a", "core"), pip={"a": "1.0"}, conda=[zlib])
    # rattler stops at such a record
    put(root, "conda-meta/zlib-1.0-h0.json", "{")
    context.store.add_wishes("channel", ["https://me:secret@host/ours"])
    mending.reinstall(context, root, ["a", "conda:zlib"])
    assert done.channels == {"https://host/ours": "https://me:secret@host/ours"}, "a download may need them"
    assert done.calls == [("conda", (["conda:zlib"], ["mine", "zlib"], ["mine-1.0-h0.json"])), ("pip", ["a"])]


def test_without_conda(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = Done(monkeypatch)
    context, root = context_with(tmp_path, done)
    add_distribution(make_virtual(root), "a")
    add_record(root, Requested("a", "core"), pip={"a": "1.0"})
    mending.reinstall(context, root, ["a"])
    assert done.calls == [("pip", ["a"])]


def test_an_environment_without_a_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context, root = context_with(tmp_path, Done(monkeypatch))
    add_distribution(make_virtual(root), "a")
    with pytest.raises(TljhError, match=r"has no record of what it was built from\n  → 'tljh install' builds it"):
        mending.reinstall(context, root, ["a"])


@pytest.mark.parametrize("name", ["user", "hub"])
def test_the_frame_of_a_virtual_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    context, root = context_with(tmp_path, Done(monkeypatch))
    add_distribution(make_virtual(root), "a")
    mending.frame(context, name, root)
    command = "uv venv --quiet --allow-existing --relocatable --python /usr/bin/python3"
    assert context.machine.commands == [f"{command} {root}"]  # type: ignore[attr-defined]
    # people's own packages win in the user environment; the hub has no people
    assert (root / SITE / "_tljh_user_site.pth").exists() == (name == "user")
