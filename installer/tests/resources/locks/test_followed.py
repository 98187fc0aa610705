"""The machine's copy of a lock."""

from __future__ import annotations

from pathlib import Path

import pytest
from fakes import FakeMachine
from tljh.engine.facts import Facts
from tljh.engine.resource import difference
from tljh.resources.locks.followed import FollowedLock
from tljh.resources.locks.lock_file import digest_of


@pytest.fixture
def resource(tmp_path: Path) -> FollowedLock:
    return FollowedLock("lock", tmp_path / "lock", {"conda-lock.yml": "text"})


def mend(resource: FollowedLock) -> None:
    machine = FakeMachine()
    resource.change(difference(resource, Facts(machine), set()), machine)
    assert not difference(resource, Facts(machine), set())


def test_a_lock_that_is_taken(resource: FollowedLock) -> None:
    diff = difference(resource, Facts(FakeMachine()), set())
    assert diff.put == {"conda-lock.yml": digest_of("text")}
    assert not diff.drop
    mend(resource)
    assert (resource.folder / "conda-lock.yml").read_text() == "text"


def test_another_takes_its_place(resource: FollowedLock) -> None:
    mend(resource)
    (resource.folder / "old.conda-lock.yml").write_text("old")
    diff = difference(resource, Facts(FakeMachine()), set())
    assert set(diff.drop) == {"old.conda-lock.yml"}
    resource.files = {"conda-lock.yml": "new"}
    mend(resource)
    assert [path.name for path in resource.folder.iterdir()] == ["conda-lock.yml"]
    assert (resource.folder / "conda-lock.yml").read_text() == "new"


def test_a_copy_that_changed_behind_our_back(resource: FollowedLock) -> None:
    mend(resource)
    (resource.folder / "conda-lock.yml").write_text("other")
    assert difference(resource, Facts(FakeMachine()), set()).put == {"conda-lock.yml": digest_of("text")}
