from __future__ import annotations

import logging
import subprocess
from typing import Any

import pytest
from plugin_fakes import module, source
from tljh import utils
from tljh.plugins import loading


@pytest.fixture
def process(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What was asked of ``subprocess.run``, which fails for the program ``false``."""
    asked: list[dict[str, Any]] = []

    def run(cmd: list[str], *args: object, **options: Any) -> subprocess.CompletedProcess[bytes]:
        asked.append({"cmd": cmd, **options})
        return subprocess.CompletedProcess(cmd, 3 if cmd[0] == "false" else 0, b"said token=abc\n")

    monkeypatch.setattr(subprocess, "run", run)
    return asked


def test_output_is_logged_and_returned(process: list[dict[str, Any]], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    assert utils.run_subprocess(["echo", "x"], input=b"y", cwd="/srv") == "said token=abc\n"
    assert process[0]["cwd"] == "/srv"
    assert process[0]["input"] == b"y"
    assert process[0]["stderr"] == subprocess.STDOUT
    assert [record.levelname for record in caplog.records] == ["DEBUG"]
    assert "abc" not in caplog.text


def test_a_failure_is_logged_as_an_error(process: list[dict[str, Any]], caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(subprocess.CalledProcessError) as error:
        utils.run_subprocess(["false", "x"])
    assert error.value.returncode == 3
    assert error.value.output == "said token=abc\n"
    assert "false x ended with status 3\nsaid token=***" in caplog.text


def test_the_plugin_manager(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    called: list[str] = []
    sources = [
        source("a", module(tljh_new_user_create=lambda username: called.append(f"a {username}"))),
        source("b", ImportError("gone")),
        source("c", module(tljh_new_user_create=lambda user: None, tljh_extra_apt_packages=lambda: ["x"])),
        source("d", module(tljh_new_user_create=lambda username: called.append(f"d {username}"))),
    ]
    monkeypatch.setattr(loading, "find_sources", lambda: sources)
    utils.get_plugin_manager.cache_clear()
    manager = utils.get_plugin_manager()
    manager.hook.tljh_new_user_create(username="jupyter-ana")
    assert called == ["a jupyter-ana", "d jupyter-ana"]
    assert manager.hook.tljh_extra_apt_packages() == [["x"]]
    assert "plugin b (tljh-b 1.0) can't be loaded: ImportError: gone" in caplog.text
    assert "wants user, but the hook gives username" in caplog.text
    assert manager.list_name_plugin()
    assert utils.get_plugin_manager() is manager
    utils.get_plugin_manager.cache_clear()


def test_versions() -> None:
    assert utils.parse_version("1.10.2") == (1, 10, 2)
    with pytest.raises(ValueError, match="invalid literal"):
        utils.parse_version("1.x")
