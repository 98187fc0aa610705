from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from plugin_fakes import ChildMachine, module, source
from tljh.engine.machine import Completed
from tljh.errors import TljhError
from tljh.plugins.calls import HookFailure, call_child, run_config_hooks, run_post_install
from tljh.plugins.merge import ABSENT

PYTHON = Path("/opt/tljh/envs/hub-2/bin/python")


def fails(*_: object, **__: object) -> None:
    raise RuntimeError("out of order")


def test_how_the_process_is_started() -> None:
    machine: Any = ChildMachine([])
    call_child(machine, PYTHON, ["collect"], timeout=60)
    assert machine.commands == [[str(PYTHON), "-m", "tljh.plugins.child", "collect"]]
    assert machine.options["timeout"] == 60
    assert machine.options["cwd"] == Path("/")
    assert machine.options["check"] is False


def test_a_process_that_can_not_run_our_code() -> None:
    class Broken:
        def run(self, *_: object, **__: object) -> Completed:
            return Completed(1, "", "No module named 'tljh'\n")

    machine: Any = Broken()
    with pytest.raises(
        TljhError, match=r"hub-2/bin/python\) ended the process \(status 1\)\nNo module named 'tljh'"
    ):
        call_child(machine, PYTHON, ["collect"], timeout=60)


def test_config_hooks() -> None:
    def hook(config: Any) -> None:
        config["limits"]["memory"] = "1G"
        config["new"] = 1
        del config["old"]

    sources = [
        source("a", module(tljh_config_post_install=hook), "2.0"),
        source("b", module(tljh_config_post_install=fails)),
        source("c", module(tljh_config_post_install=lambda config: None)),
        source("d", module(tljh_post_install=lambda: None)),
        source("e", ImportError("gone")),
        source("f", module(tljh_config_post_install=lambda conf: None)),
    ]
    machine: Any = ChildMachine(sources)
    found = run_config_hooks(machine, PYTHON, "limits: {memory: 2G}\nold: 1\n")
    assert [(result.plugin, result.failure) for result in found] == [
        ("a", None),
        ("b", "plugin b (tljh-b 1.0): tljh_config_post_install failed: RuntimeError: out of order"),
        ("c", None),
        ("e", "plugin e (tljh-e 1.0) can't be loaded: ImportError: gone"),
        ("f", "plugin f (tljh-f 1.0): tljh_config_post_install wants conf, but the hook gives config"),
    ]
    assert found[0].version == "2.0"
    assert found[0].changes == (
        (("limits", "memory"), "2G", "1G"),
        (("new",), ABSENT, 1),
        (("old",), 1, ABSENT),
    )
    assert "Traceback" in found[1].traceback


def test_a_config_hook_that_hangs() -> None:
    sources = [source(name, module(tljh_config_post_install=lambda config: None)) for name in "ab"]
    machine: Any = ChildMachine(sources, cut=7, hangs=True)  # the second hook has begun
    found = run_config_hooks(machine, PYTHON, "", timeout=30)
    assert [(result.plugin, result.failure) for result in found] == [
        ("a", None),
        ("b", "plugin b (tljh-b 1.0): tljh_config_post_install did not end within 30 s"),
    ]


def test_post_install_runs_in_the_given_folder() -> None:
    machine: Any = ChildMachine([source("a", module(tljh_post_install=lambda: None))])
    assert run_post_install(machine, PYTHON, "a", cwd=Path("/opt/tljh/state")) is None
    assert machine.options["cwd"] == Path("/opt/tljh/state")
    assert machine.commands[0][-2:] == ["post-install", "a"]


@pytest.mark.parametrize(
    ("plugin", "words"),
    [
        (module(tljh_post_install=fails), "tljh_post_install failed: RuntimeError: out of order"),
        (ImportError("gone"), "can't be loaded: ImportError: gone"),
        (module(tljh_post_install=lambda x: None), "tljh_post_install wants x, but the hook gives no arguments"),
    ],
)
def test_how_post_install_failed(plugin: object, words: str) -> None:
    machine: Any = ChildMachine([source("a", plugin)])
    failure = run_post_install(machine, PYTHON, "a", cwd=Path("/"))
    assert isinstance(failure, HookFailure)
    assert failure.problem.startswith("plugin a (tljh-a 1.0)")
    assert words in failure.problem


def test_post_install_of_a_plugin_without_that_hook() -> None:
    machine: Any = ChildMachine([source("a", module())])
    assert run_post_install(machine, PYTHON, "a", cwd=Path("/")) is None


def test_post_install_of_a_plugin_that_is_not_there() -> None:
    machine: Any = ChildMachine([])
    failure = run_post_install(machine, PYTHON, "a", cwd=Path("/"))
    assert failure is not None
    assert "plugin a: it is not installed" in failure.problem


def test_post_install_that_ends_the_process() -> None:
    machine: Any = ChildMachine([source("a", module(tljh_post_install=lambda: None))], cut=3)
    failure = run_post_install(machine, PYTHON, "a", cwd=Path("/"))
    assert failure == HookFailure("plugin a (tljh-a 1.0): tljh_post_install ended the process (signal 9)")
