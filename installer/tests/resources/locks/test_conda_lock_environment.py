"""conda-lock's own environment, and what its writer is told."""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from fakes import FakeMachine, make_context, real
from lock_fakes import LockUv, conda_lock, package
from tljh.engine.processes import Completed
from tljh.errors import TljhError
from tljh.resources.environments.pip_files import PipPackage
from tljh.resources.locks.conda_lock_environment import REQUIREMENT, SCRIPT, CondaLock, Locked, document
from tljh.resources.locks.lock import RECORD, Requested
from tljh.resources.locks.lock_file import PlatformLock, parse

PART = PlatformLock(
    (package("numpy", "2.1", size=7),), (PipPackage("x", "1", "https://f/x-1-py3-none-any.whl", "a" * 64),)
)
DOCUMENT = document({"linux-64": Locked(PART, [Requested("numpy", "x", "conda")])}, ["forge"], ["config.yaml"])


@pytest.fixture
def tool(tmp_path: Path) -> CondaLock:
    context = make_context(real(tmp_path), uv=LockUv({"conda-lock": "4.0.3"}))
    assert isinstance(context.machine, FakeMachine)
    conda_lock(context.machine)
    context.builder.overrides = ["jupyterhub==6"]
    return CondaLock(context.builder, context.paths.prefix / "tools/conda-lock")


def machine_of(tool: CondaLock) -> FakeMachine:
    assert isinstance(tool.builder.machine, FakeMachine)
    return tool.builder.machine


def test_what_is_told() -> None:
    (numpy, x) = DOCUMENT["packages"]
    assert numpy["url"] == "https://conda.example.org/forge/linux-64/numpy-2.1-h1_0.conda"
    assert set(numpy["hash"]) == {"md5", "sha256"}
    assert (x["manager"], x["hash"]) == ("pip", {"sha256": "a" * 64})
    assert json.loads(DOCUMENT["custom"]["tljh"]) == {"linux-64": {"sizes": {"numpy": 7}}}
    assert DOCUMENT["platforms"] == ["linux-64"]
    assert len(DOCUMENT["content_hash"]["linux-64"]) == 64


def test_it_is_made_once(tool: CondaLock) -> None:
    text = tool.text_of(DOCUMENT)
    assert parse(text, "x").platforms["linux-64"] == PART
    assert (
        json.loads((tool.path / RECORD).read_text())["requirements"][0]["requirement"] == REQUIREMENT.requirement
    )
    assert len(machine_of(tool).ran("uv venv")) == 1
    assert not machine_of(tool).ran("uv build")
    tool.text_of(DOCUMENT)
    assert len(machine_of(tool).ran("uv venv")) == 1


def test_nothing_of_the_hubs_binds_it(tool: CondaLock) -> None:
    tool.text_of(DOCUMENT)
    uv = machine_of(tool).answers["uv"]
    assert isinstance(uv, LockUv) and "jupyterhub==6" not in uv.overrides


@pytest.mark.parametrize("damage", ["python", "record", "another version"])
def test_it_is_made_anew(tool: CondaLock, damage: str) -> None:
    tool.text_of(DOCUMENT)
    if damage == "python":
        (tool.path / "bin/python").unlink()
    elif damage == "record":
        (tool.path / RECORD).unlink()
    else:
        record = (tool.path / RECORD).read_text().replace(REQUIREMENT.requirement, "conda-lock<4")
        (tool.path / RECORD).write_text(record)
    tool.text_of(DOCUMENT)
    assert len(machine_of(tool).ran("uv venv")) == 2


def test_it_fails(tool: CondaLock) -> None:
    machine_of(tool).answers[f"python -I {SCRIPT}"] = Completed(1, "", "ImportError: no v2prelim\n")
    with pytest.raises(TljhError) as caught:
        tool.text_of(DOCUMENT)
    assert str(caught.value).startswith("conda-lock did not write the lock\n    ImportError: no v2prelim\n")
    assert f"remove {tool.path} and run the same command again" in str(caught.value)


def test_the_script_uses_conda_locks_own_models_and_writer(monkeypatch: pytest.MonkeyPatch) -> None:
    told: dict[str, Any] = {}

    def write(content: Any, path: Path, choices: object, include_help_text: bool) -> None:
        told.update(content=content, help=include_help_text)
        path.write_text("version: 1\n")

    lockfile = ModuleType("conda_lock.lockfile")
    lockfile.write_conda_lock_file = write  # type: ignore[attr-defined]
    models = ModuleType("conda_lock.lockfile.v2prelim.models")
    for name in ("LockMeta", "LockedDependency", "Lockfile"):
        setattr(models, name, SimpleNamespace)
    monkeypatch.setitem(sys.modules, "conda_lock.lockfile", lockfile)
    monkeypatch.setitem(sys.modules, "conda_lock.lockfile.v2prelim.models", models)
    written = runpy.run_path(str(SCRIPT))["written"]
    text = written(DOCUMENT)
    assert text.startswith('# Written by "tljh lock"') and text.endswith("\nversion: 1\n")
    assert not told["help"], "conda-lock's own words would tell to run it on config.yaml"
    content = told["content"]
    assert [entry.name for entry in content.package] == ["numpy", "x"]
    assert content.package[0].categories == {"main"}
    assert content.metadata.custom_metadata == DOCUMENT["custom"]
    assert content.metadata.channels == ["forge"]
