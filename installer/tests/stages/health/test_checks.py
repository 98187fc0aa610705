"""The core's five checks: what they say, and what their fixers do."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fakes import make_context, make_environment, real
from tljh.configurer import with_defaults
from tljh.declare import HealthCheck
from tljh.engine.machine import Machine
from tljh.engine.resource import Diff
from tljh.errors import TljhError
from tljh.paths import Paths
from tljh.resources.locks.lock import Lock, Requested, record_of
from tljh.settings.reload import check_hub
from tljh.stages.context import Context
from tljh.stages.health import checks as module
from tljh.stages.health import mending


@pytest.fixture
def context(tmp_path: Path) -> Context:
    made = make_context(real(tmp_path), config=with_defaults({}))
    made.paths.config_file.write_text("limits:\n  memory: 1G\n")
    return made


@pytest.fixture
def started(context: Context, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was looked at, then started, and then waited for."""
    names: list[str] = []
    manager = SimpleNamespace(start=names.append)

    def looks(paths: Paths, machine: Machine) -> dict[str, Any]:
        settings = check_hub(paths, machine, lambda authenticator: None)  # its import starts a process
        names.append("looks")
        return settings

    monkeypatch.setattr(Context, "manager", property(lambda self: manager))
    monkeypatch.setattr(module, "check_hub", looks)
    monkeypatch.setattr(module, "wait_for_hub", lambda *waited, started: names.append("answers"))
    return names


def check(context: Context, name: str) -> HealthCheck:
    return next(found for found in module.core_checks(context) if found.name == name)


def running(monkeypatch: pytest.MonkeyPatch, **services: Diff) -> None:
    """What the services differ in."""
    found = [(SimpleNamespace(name=name), diff) for name, diff in services.items()]
    monkeypatch.setattr(module._Core, "_running", lambda self: found)


def put(before: dict[str, str] | None = None, **keys: str) -> Diff:
    return Diff(before or {}, keys, {})


def test_five_checks() -> None:
    checks = module.core_checks(SimpleNamespace())  # type: ignore[arg-type]
    assert [row.name for row in checks] == ["config", "disk space", "environments", "services", "hub"]
    assert [row.name for row in checks if row.fix is None] == ["disk space"]


# ---- config.yaml


def test_a_config_that_is_what_runs(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    running(monkeypatch, jupyterhub=put())
    assert check(context, "config").problem() == ""


def test_a_config_that_is_wrong(context: Context, started: list[str]) -> None:
    context.paths.config_file.write_text("limits:\n  memory: [1]\n")
    with pytest.raises(TljhError, match=r"config\.yaml line 2"):
        check(context, "config").problem()
    fix = check(context, "config").fix
    assert fix
    with pytest.raises(TljhError, match=r"config\.yaml line 2"):
        fix()
    assert started == []


def test_a_config_that_was_changed_since(
    context: Context, monkeypatch: pytest.MonkeyPatch, started: list[str]
) -> None:
    file = context.paths.config_file
    running(monkeypatch, traefik=put(), jupyterhub=Diff({}, {f"with {file}": "1"}, {}))
    found = check(context, "config")
    assert found.problem() == f"jupyterhub: {file} has changed since it was started"
    assert check(context, "services").problem() == "", "it is said once"
    assert found.fix
    found.fix()
    assert started == ["looks", "jupyterhub", "answers"]


def test_what_in_config_yaml_has_no_effect(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    running(monkeypatch)
    context.paths.config_file.write_text("limits:\n  memroy: 1G\n")
    assert "config.yaml line 2" in check(context, "config").problem()


# ---- disks


def disk(monkeypatch: pytest.MonkeyPatch, *, free: int, inodes: int) -> None:
    said = SimpleNamespace(f_bavail=free // 4096, f_frsize=4096, f_favail=inodes, f_files=10**6)
    monkeypatch.setattr(os, "statvfs", lambda path: said)


def test_a_disk_with_room(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    disk(monkeypatch, free=5_000_000_000, inodes=10**6)
    assert check(context, "disk space").problem() == ""


def test_a_disk_that_is_full(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    disk(monkeypatch, free=409_600_000, inodes=10)
    lines = check(context, "disk space").problem().splitlines()
    prefix = context.paths.prefix
    assert f"{prefix}: 410 MB are free, 1,000 MB are needed to be safe" in lines
    assert f"{prefix}: room for 10 more files, 20,000 are needed to be safe" in lines


# ---- environments


def environment(context: Context, name: str, *, there: dict[str, str]) -> Path:
    path = make_environment(context.paths.envs / f"{name}-1", there)
    lock = Lock((Requested("numpy", "core"),), ("numpy==2.0", "rich==13.0"))
    (path / "tljh-environment.json").write_text(record_of(lock, {"numpy": "2.0", "rich": "13.0"}))
    (context.paths.prefix / name).symlink_to(f"envs/{name}-1")
    return path


def test_environments_that_lost_something(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    environment(context, "hub", there={"numpy": "2.0", "rich": "13.0"})
    path = environment(context, "user", there={"numpy": "2.1"})
    found = check(context, "environments")
    assert found.problem() == "user: not there, or in another version: numpy, rich"
    asked: list[tuple[Path, list[str]]] = []
    monkeypatch.setattr(mending, "reinstall", lambda context, root, names: asked.append((root, names)))
    assert found.fix
    found.fix()
    assert asked == [(path, ["numpy", "rich"])]


def test_an_environment_that_is_not_complete(context: Context) -> None:
    path = environment(context, "user", there={"numpy": "2.0", "rich": "13.0"})
    (path / "bin/python").unlink()
    found = check(context, "environments")
    assert found.problem() == f"user: {path} is not complete"
    assert found.fix
    with pytest.raises(TljhError, match="the environment user can't be mended piece by piece"):
        found.fix()


# ---- services and the hub


def test_services_that_run_with_something_else(
    context: Context, monkeypatch: pytest.MonkeyPatch, started: list[str]
) -> None:
    running(
        monkeypatch,
        traefik=put({"active": "failed (failed)"}, active="yes"),
        jupyterhub=Diff({"environment": "/old"}, {"environment": "/new", "with /etc/x.conf": "1"}, {}),
    )
    found = check(context, "services")
    assert found.problem().splitlines() == [
        "traefik: active: failed (failed)",
        "jupyterhub: it runs from /old, not from /new; it was started before /etc/x.conf was changed",
    ]
    assert found.fix
    found.fix()
    assert started == ["looks", "traefik", "jupyterhub", "answers"]


def test_services_are_compared_with_what_is_on_disk(context: Context) -> None:
    environment(context, "hub", there={"numpy": "2.0"})
    context.config_text = "what an install would write"
    rows = module._Core(context)._running()
    assert [service.name for service, _ in rows] == ["traefik", "jupyterhub"]
    assert all(service.planned == {} for service, _ in rows)
    assert rows[0][1].put["environment"] == str(context.paths.envs / "hub-1")


def test_a_hub_that_runs_is_not_stopped_for_a_wrong_config(context: Context, started: list[str]) -> None:
    context.paths.config_file.write_text("limits: [1\n")
    fix = check(context, "hub").fix
    assert fix
    with pytest.raises(TljhError, match="broken YAML"):
        fix()
    assert started == []


def test_where_the_hub_is_asked_when_the_config_is_wrong(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    context.store.add_generation(1, "install", {"config": "http:\n  port: 8123\n"})
    context.paths.config_file.write_text("limits: [1\n")
    monkeypatch.setattr(module, "hub_answer", lambda config: {"error": f"port {config['http']['port']}"})
    assert check(context, "hub").problem() == "port 8123"


def test_the_hub(context: Context, monkeypatch: pytest.MonkeyPatch, started: list[str]) -> None:
    monkeypatch.setattr(module, "hub_answer", lambda config: {"error": "http://x answers 502"})
    found = check(context, "hub")
    assert found.problem() == "http://x answers 502"
    assert found.fix
    found.fix()
    assert started == ["looks", "traefik", "jupyterhub", "answers"]
    monkeypatch.setattr(module, "hub_answer", lambda config: {"version": "5"})
    assert found.problem() == ""
