"""What a backup says of environments holds until an install has built them so."""

from __future__ import annotations

import json
import platform
import sys
from pathlib import Path
from typing import Any

import pytest
from fakes import make_context, real
from tljh.resources.locks.lock import BY_HAND, Lock, Requested, record_of
from tljh.stages.backups import restored
from tljh.stages.context import Context

HERE = f"{sys.version_info[0]}.{sys.version_info[1]}"
ASKED = (Requested("numpy", "core"),)
USER = Lock((*ASKED, Requested("humanize==4.0", BY_HAND)), ("numpy==1.26", "humanize==4.0"))
HUB = Lock((), ("the-littlest-jupyterhub==2.0", "jupyterhub==5.4"), {"/root/x": {"wheel": "/w"}})


@pytest.fixture
def context(tmp_path: Path) -> Context:
    return make_context(real(tmp_path))


def put(context: Context, python: str = HERE, machine: str = platform.machine(), **locks: Lock) -> None:
    said: dict[str, Any] = {
        name: json.loads(record_of(lock, {})) for name, lock in {"hub": HUB, "user": USER, **locks}.items()
    }
    restored.file_of(context.paths).write_text(restored.as_text(said, python, machine))


def test_without_a_backup_nothing_is_said(context: Context) -> None:
    assert restored.settle(context, context.paths.user, ASKED, "pypi") is None
    assert restored.provider(context) == ""
    assert restored.hub_pins(context) == {}
    assert restored.with_sources(context, HUB) is HUB
    assert not restored.differs_from(context, {"jupyterhub": "==6.1"})


def test_an_environment_is_what_it_was(context: Context) -> None:
    put(context)
    assert restored.provider(context) == "pypi"
    assert restored.settle(context, context.paths.user, ASKED, "pypi") == (USER, context.paths.envs / "user-1")
    assert context.machine.ran("uv") == [], "nothing is solved"  # type: ignore[attr-defined]
    assert restored.settle(context, context.paths.envs / "teaching", ASKED, "pypi") is None


@pytest.mark.parametrize(
    ("asked", "python", "machine"),
    [
        ([*ASKED, Requested("pandas", "config.yaml")], HERE, platform.machine()),
        (ASKED, "3.7", platform.machine()),
        (ASKED, HERE, "another"),
    ],
)
def test_where_that_can_not_be_the_versions_are_kept(
    context: Context, asked: list[Requested], python: str, machine: str
) -> None:
    put(context, python, machine)
    found = restored.settle(context, context.paths.user, asked, "pypi")
    assert found is not None
    lock = found[0]
    assert lock.pins["numpy"] == "==1.26"
    assert [row.requirement for row in lock.requested if row.origin == BY_HAND] == ["humanize==4.0"]
    assert lock.pins["humanize"] == "==4.0"


def test_the_hub_environment(context: Context) -> None:
    put(context)
    assert restored.hub_pins(context) == {"jupyterhub": "==5.4"}, "this program is as new as what runs"
    assert restored.differs_from(context, {"jupyterhub": "==6.1"})
    assert not restored.differs_from(context, {"jupyterhub": "==5.4", "the-littlest-jupyterhub": "==3.0"})
    running = Lock((), (), {"/root/y": {"wheel": "/v"}})
    assert set(restored.with_sources(context, running).sources) == {"/root/x", "/root/y"}


def test_it_ends_with_a_good_install(context: Context) -> None:
    put(context)
    restored.finish(context)
    context.facts.refresh()
    assert restored.provider(context) == ""
    restored.finish(context)
