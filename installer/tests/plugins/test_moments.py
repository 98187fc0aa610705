"""Hooks at moments of the hub's life: each plugin's failure is its own."""

from __future__ import annotations

import types
from typing import Any

import pytest
import tljh.utils
from plugin_fakes import module, source
from tljh.hooks import hookimpl
from tljh.plugins import moments
from tljh.plugins.loading import loading_of
from tornado import web


def install(monkeypatch: pytest.MonkeyPatch, **plugins: object) -> None:
    loading = loading_of([source(name, plugin) for name, plugin in plugins.items()])
    loading.finish()
    monkeypatch.setattr(tljh.utils, "get_plugin_manager", lambda: loading.manager)


def fails(**_: object) -> None:
    raise RuntimeError("out of order")


def ends(username: str) -> None:
    raise SystemExit(3)


def test_a_deleted_user(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    told: list[str] = []

    def around(username: str) -> Any:
        told.append("in")
        yield
        told.append("out")

    wrapper = types.ModuleType("w")
    wrapper.tljh_user_deleted = hookimpl(wrapper=True)(around)  # type: ignore[attr-defined]
    install(
        monkeypatch,
        a=module(tljh_user_deleted=ends),
        b=module(tljh_user_deleted=lambda username: told.append(username)),
        w=wrapper,
    )
    moments.user_deleted("jupyter-ana")
    assert told == ["in", "jupyter-ana", "out"]
    assert "plugin a: its tljh_user_deleted failed for the deleted user jupyter-ana" in caplog.text


SPAWNER = types.SimpleNamespace(user=types.SimpleNamespace(name="ana"), environment={})


def test_before_a_start(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    def sets(spawner: Any) -> None:
        spawner.environment["A"] = "1"

    install(monkeypatch, a=module(tljh_pre_spawn=lambda spawner: fails()), b=module(tljh_pre_spawn=sets))
    running: list[str] = []
    moments.before_start(SPAWNER, running)
    assert SPAWNER.environment == {"A": "1"}
    assert "plugin a: its tljh_pre_spawn failed before the server of ana; it starts all the same" in caplog.text
    assert running == ["b"]


def test_a_start_can_be_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(spawner: Any) -> None:
        raise web.HTTPError(403, "not today")

    asked: list[str] = []
    last = module(tljh_pre_spawn=lambda spawner: asked.append("b"))
    install(monkeypatch, a=module(tljh_pre_spawn=refuses), b=last)
    with pytest.raises(web.HTTPError, match="not today"):
        moments.before_start(SPAWNER)
    assert asked == ["b"], "the others are asked all the same"


def test_plugins_that_cannot_be_loaded_stop_nobody(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(tljh.utils, "get_plugin_manager", fails)
    moments.before_start(SPAWNER)
    assert "the plugins could not be loaded: tljh_pre_spawn was not called before the server of ana" in caplog.text
