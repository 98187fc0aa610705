"""Environments as they were: taken where they are still there, built again from their locks where they aren't."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from fakes import FakeUv, add_distribution, conda_package, make_context, real
from tljh.errors import TljhError
from tljh.resources.locks.lock import BY_HAND, CondaPackage, Lock, Requested, record_of
from tljh.stages.context import Context, Options
from tljh.stages.going_back import earlier
from tljh.stages.going_back.earlier import Earlier
from tljh.stages.locks import locking

ASKED = (Requested("numpy", "core"),)
OLD, NEW = Lock(ASKED, ("numpy==1.0",)), Lock(ASKED, ("numpy==2.0", "scipy==1.0"))


@pytest.fixture
def context(tmp_path: Path) -> Context:
    """A machine whose user environment was ``OLD`` in ``user-1``, and is ``NEW`` in ``user-2``."""
    made = make_context(real(tmp_path), uv=FakeUv())
    for number, lock in enumerate((OLD, NEW), 1):
        made.builder.build(lock, made.paths.envs / f"user-{number}")
    made.paths.user.symlink_to("envs/user-2")
    made.facts.refresh()
    going_back(made)
    return made


def going_back(context: Context, lock: Lock = OLD, **more: Any) -> None:
    locks = {"user": json.loads(record_of(lock, {}))}
    context.earlier = Earlier(3, 3, {"locks": locks, "environments": {"user": "user-1"}}, **more)


def settled(context: Context) -> tuple[Lock, str]:
    context.facts.refresh()
    found = earlier.settle(context, context.paths.user)
    assert found
    return found[0], found[1].name


def install_by_hand(context: Context, name: str, version: str, environment: str = "user-2") -> None:
    add_distribution(context.paths.envs / environment, name, version)


def notes(context: Context) -> Sequence[str]:
    assert context.earlier
    return list(context.earlier.built.values())


def test_one_that_is_still_there_is_taken(context: Context) -> None:
    assert settled(context) == (OLD, "user-1")
    assert notes(context) == []


def test_one_that_is_gone_is_built_again(context: Context) -> None:
    context.machine.remove(context.paths.envs / "user-1")
    assert settled(context) == (OLD, "user-3")
    assert notes(context) == ["the environment user is built again, as user-3: 1 package may be downloaded"]


def test_what_is_there_need_not_be_downloaded(context: Context) -> None:
    context.machine.remove(context.paths.envs / "user-1")
    going_back(context, Lock(ASKED, ("numpy==2.0", "tljh-x @ file:///opt/tljh/state/wheels/a/x.whl")))
    settled(context)
    assert notes(context) == ["the environment user is built again, as user-3: nothing has to be downloaded"]


def test_what_was_installed_by_hand_is_carried_over(context: Context) -> None:
    install_by_hand(context, "isodate", "0.7")
    lock, name = settled(context)
    assert name == "user-3"
    assert lock.lines == ("numpy==1.0", "isodate==0.7")
    assert lock.requested == (*ASKED, Requested("isodate==0.7", BY_HAND))
    install_by_hand(context, "isodate", "0.7", "user-1")
    assert settled(context)[1] == "user-1", "it was there then, too"


def test_his_version_counts(context: Context) -> None:
    install_by_hand(context, "numpy", "3.0")
    lock, name = settled(context)
    assert (lock.lines, name) == (("numpy==3.0",), "user-3")


def test_exactly_as_it_was(context: Context) -> None:
    install_by_hand(context, "isodate", "0.7")
    going_back(context, exact=True)
    assert settled(context) == (OLD, "user-1")
    install_by_hand(context, "isodate", "0.7", "user-1")
    assert settled(context) == (OLD, "user-3"), "without what was installed by hand then and not recorded"


def test_what_a_hook_brought_is_not_by_hand(context: Context) -> None:
    install_by_hand(context, "isodate", "0.7")
    going_back(context, brought=frozenset({"isodate"}))
    assert settled(context) == (OLD, "user-1")


def test_conda_by_hand_and_no_conda_then(context: Context) -> None:
    package = CondaPackage.of(conda_package("gdal", "3.9"))
    lock = Lock(ASKED, (), conda=(package,))
    meta = context.paths.envs / "user-2" / "conda-meta"
    meta.mkdir()
    for name in ("gdal", "proj"):
        said = conda_package(name, "3.9")
        (meta / f"{name}-3.9-h1_0.json").write_text(json.dumps({**said, "requested_specs": [name]}))
    (context.paths.envs / "user-2" / "tljh-environment.json").write_text(record_of(lock, {"numpy": "2.0"}))
    with pytest.raises(TljhError) as caught:
        settled(context)
    assert str(caught.value) == (
        f"{context.paths.user} was made of PyPI's packages then, and proj is installed by hand with conda\n"
        "  → give up what was installed by hand: the same command with --exact; nothing was changed"
    )
    going_back(context, lock)
    found, _ = settled(context)
    assert [package.name for package in found.conda] == ["gdal", "proj"]


def test_an_environment_that_was_not_there_then(context: Context) -> None:
    assert earlier.settle(context, context.paths.envs / "teaching") is None


def test_nothing_is_solved(context: Context) -> None:
    assert locking.settle(context, context.paths.user, [Requested("pandas", "core")], "pypi")[0] == OLD
    assert locking.choose_provider(context, []) == "pypi"
    assert not [command for command in context.machine.commands if "compile" in command]  # type: ignore[attr-defined]


# ---- a lock that was followed


def test_the_lock_of_then_is_followed_again(context: Context) -> None:
    going_back(context)
    assert context.earlier
    folder = locking.folder_of(context.paths)
    context.machine.make_directory(folder)
    (folder / "conda-lock.yml").write_text("now")
    (row,) = locking.Locking().resources(context)
    assert row.desired() == {}
    row.change(_difference(context, row), context.machine)
    assert not folder.exists(), "it followed none then"
    record = {**context.earlier.record, "followed": {"conda-lock.yml": "then"}}
    context.earlier = Earlier(3, 3, record)
    (row,) = locking.Locking().resources(context)
    row.change(_difference(context, row), context.machine)
    assert locking.texts(context) == {"conda-lock.yml": "then"}
    context.options = Options()
    locking.look(context)
    assert context.held
    assert context.held.text("conda-lock.yml") == "then"


def _difference(context: Context, row: Any) -> Any:
    from tljh.engine.resource import difference

    context.facts.refresh()
    return difference(row, context.facts, set())
