from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from plugin_fakes import ChildMachine, module, source
from tljh.declare import HealthCheck
from tljh.engine.processes import Completed
from tljh.errors import TljhError
from tljh.plugins.calls import (
    CheckResult,
    HookFailure,
    call_child,
    run_checks,
    run_config_hooks,
    run_fix,
    run_post_install,
    run_post_remove,
)
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
    machine: Any = ChildMachine(sources, cut=9, hangs=True)  # the second hook has begun
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
    machine: Any = ChildMachine([source("a", module(tljh_post_install=lambda: None))], cut=4)
    failure = run_post_install(machine, PYTHON, "a", cwd=Path("/"))
    assert failure == HookFailure("plugin a (tljh-a 1.0): tljh_post_install ended the process (signal 9)")


# ---- the last word


def test_post_remove() -> None:
    ran: list[str] = []
    machine: Any = ChildMachine([source("a", module(tljh_post_remove=lambda: ran.append("a")))])
    assert run_post_remove(machine, PYTHON, "a", variables={"X": "1"}, timeout=5) is None
    assert ran == ["a"]
    assert machine.commands[0][-2:] == ["post-remove", "a"]
    assert (machine.options["timeout"], machine.options["env"]["X"]) == (5, "1")
    failing: Any = ChildMachine([source("a", module(tljh_post_remove=fails))])
    failure = run_post_remove(failing, PYTHON, "a")
    assert (
        failure and failure.problem == "plugin a (tljh-a 1.0): tljh_post_remove failed: RuntimeError: out of order"
    )
    assert run_post_remove(machine, PYTHON, "gone") is not None


def test_post_install_names_the_plugins_that_wrap_it() -> None:
    machine: Any = ChildMachine([source("a", module(tljh_post_install=lambda: None))])
    run_post_install(machine, PYTHON, "a", cwd=Path("/"), wrappers=["a", "w"])
    assert machine.commands[0][-3:] == ["post-install", "a", "w"]


# ---- health checks


def checking(*checks: HealthCheck) -> Any:
    return module(tljh_health_checks=lambda: checks)


def test_checks_of_all_plugins() -> None:
    checks = [
        HealthCheck("ok", "All is well", lambda: None),
        HealthCheck("no", "It is so", lambda: False, fix=lambda: None),
        HealthCheck("why", "It runs", lambda: "it does not run"),
        HealthCheck("bad", "It can be seen", fails),  # type: ignore[arg-type]
    ]
    sources = [source("a", checking(*checks)), source("b", module(tljh_health_checks=fails)), source("c", fails)]
    sources += [source("d", ImportError("gone")), source("e", checking(HealthCheck("ok", "Well", lambda: "")))]
    machine: Any = ChildMachine(sources)
    found = run_checks(machine, PYTHON)
    assert [(row.plugin, row.name, row.ok, row.fixable) for row in found] == [
        ("b", "checks", False, False),
        ("a", "ok", True, False),
        ("a", "no", False, True),
        ("a", "why", False, False),
        ("a", "checks", False, False),
        ("e", "ok", True, False),
        ("d", "loading", False, False),
    ]
    why = {(row.plugin, row.name): row.why for row in found}
    assert why["a", "no"] == "this is not so: It is so"
    assert why["a", "why"] == "it does not run"
    assert why["a", "checks"] == (
        "plugin a (tljh-a 1.0): tljh_health_checks, 'bad', failed: RuntimeError: out of order"
    )
    assert "can't be loaded: ImportError: gone" in why["d", "loading"]


def test_checks_of_some_plugins() -> None:
    well = checking(HealthCheck("ok", "Well", lambda: True))
    machine: Any = ChildMachine([source("a", SystemExit("imported")), source("b", well)])
    assert [row.plugin for row in run_checks(machine, PYTHON, ["b"])] == ["b"]


def test_a_check_that_hangs_costs_only_its_plugins() -> None:
    class HangsOnce(ChildMachine):
        def run(self, command: Any, **options: Any) -> Any:
            self.cut, self.hangs = (7, True) if not self.commands else (None, False)
            return super().run(command, **options)

    well = HealthCheck("ok", "Well", lambda: True)
    machine: Any = HangsOnce([source("a", checking(well)), source("b", checking(well))])
    found = run_checks(machine, PYTHON, timeout=5)
    assert [(row.plugin, row.ok) for row in found] == [("a", False), ("b", True)]
    assert found[0].why == "plugin a (tljh-a 1.0): tljh_health_checks did not end within 5 s"
    assert machine.commands[1][-2:] == ["check", "b"]


def test_mending() -> None:
    there: list[int] = []
    checks = [
        HealthCheck("data", "The data is there", lambda: bool(there), fix=lambda: there.append(1)),
        HealthCheck("no", "Never so", lambda: "still not so", fix=lambda: None),
        HealthCheck("bad", "Mending fails", lambda: False, fix=fails),  # type: ignore[arg-type]
        HealthCheck("un", "Can't be mended", lambda: False),
    ]
    machine: Any = ChildMachine([source("a", checking(*checks))])
    assert run_fix(machine, PYTHON, "a", "data") == CheckResult("a", "data", "The data is there", "", True)
    assert run_fix(machine, PYTHON, "a", "no").why == "still not so"
    bad = run_fix(machine, PYTHON, "a", "bad")
    assert bad.name == "bad"
    assert bad.why == (
        "plugin a (tljh-a 1.0): tljh_health_checks, to mend 'bad', failed: RuntimeError: out of order"
    )
    assert run_fix(machine, PYTHON, "a", "un").why == "it can't be mended by the plugin"
