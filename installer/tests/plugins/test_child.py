from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tljh
from plugin_fakes import messages, module, source
from tljh.hooks import hookimpl, hookspec
from tljh.plugins import child
from tljh.plugins.loading import PluginSource

APT = "tljh_extra_apt_packages"


def ask(sources: list[PluginSource], *arguments: str, text: str = "") -> list[dict[str, Any]]:
    stream = io.StringIO()
    child.run(arguments, stream, io.StringIO(text), sources)
    return messages(stream.getvalue())


def fails(*_: object, **__: object) -> None:
    raise RuntimeError("out of order")


def leaves_the_process() -> None:
    raise SystemExit(0)


def kinds(answers: list[dict[str, Any]]) -> list[str]:
    return [f"{answer['tljh']} {answer.get('plugin', '')} {answer.get('hook', '')}".strip() for answer in answers]


def test_every_step_is_announced_before_it_is_taken() -> None:
    answers = ask([source("a", module(tljh_extra_apt_packages=lambda: ["x"])), source("b", module())], "collect")
    assert kinds(answers) == [
        "found a",
        "found b",
        "begin a",
        "begin b",
        "loaded a",
        "loaded b",
        f"begin a {APT}",
        f"result a {APT}",
        "end",
    ]


def test_what_a_list_hook_returned() -> None:
    (result,) = [
        answer
        for answer in ask([source("a", module(tljh_extra_apt_packages=lambda: iter("bab")))], "collect")
        if answer["tljh"] == "result"
    ]
    assert result["values"] == ["b", "a", "b"]
    assert result["version"] == "1.0"


def test_environments_come_after_the_lists() -> None:
    wanted = {"gis": {"packages": {"pip": ["x"]}}}
    both = module(tljh_environments=lambda: wanted, tljh_extra_apt_packages=lambda: ["x"])
    answers = ask([source("a", both), source("b", module(tljh_environments=fails))], "collect")
    assert kinds(answers)[6:] == [
        f"begin a {APT}",
        f"result a {APT}",
        "begin a tljh_environments",
        "result a tljh_environments",
        "begin b tljh_environments",
        "result b tljh_environments",
        "end",
    ]
    assert [(row["name"], row["packages"]["pip"]) for row in answers[9]["values"]] == [("gis", ["x"])]
    assert answers[11]["problem"] == "plugin b (tljh-b 1.0): tljh_environments failed: RuntimeError: out of order"


@pytest.mark.parametrize(
    ("hook", "words"),
    [
        (lambda: "numpy", "returned the text 'numpy' instead of a list of texts"),
        (fails, "failed: RuntimeError: out of order"),
        (leaves_the_process, "failed: it called sys.exit(0)"),
    ],
)
def test_how_a_list_hook_failed(hook: Any, words: str) -> None:
    answers = ask(
        [source("a", module(tljh_extra_apt_packages=hook, tljh_extra_user_pip_packages=lambda: ["y"]))], "collect"
    )
    problems = [answer["problem"] for answer in answers if "problem" in answer]
    assert problems == [f"plugin a (tljh-a 1.0): {APT} {words}"]
    assert ["y"] in [answer.get("values") for answer in answers]
    assert answers[-1] == {"tljh": "end"}


def changes(answers: list[dict[str, Any]]) -> dict[str, Any]:
    return {answer["plugin"]: answer.get("changes") for answer in answers if answer["tljh"] == "result"}


def test_the_keys_that_a_plugin_changed() -> None:
    def hook(config: Any) -> None:
        config["limits"]["memory"] = "1G"
        config["mine"] = {"list": [1, 2]}
        del config["old"]

    text = "# a comment\nlimits:\n  memory: 2G\n  cpu: 1\nold: 5\n"
    found = changes(ask([source("a", module(tljh_config_post_install=hook))], "config", text=text))
    assert found == {
        "a": [
            {"path": ["limits", "memory"], "before": "2G", "after": "1G"},
            {"path": ["mine", "list"], "after": [1, 2]},
            {"path": ["old"], "before": 5},
        ]
    }


def test_an_empty_file_is_an_empty_mapping() -> None:
    plugin = module(tljh_config_post_install=lambda config: config.update(a=1))
    assert changes(ask([source("a", plugin)], "config")) == {"a": [{"path": ["a"], "after": 1}]}


def test_each_plugin_sees_what_the_earlier_ones_set_but_nothing_of_a_failed_one() -> None:
    seen: list[dict[str, Any]] = []

    def fails_late(config: Any) -> None:
        config["half"] = True
        raise ValueError("no")

    sources = [
        source("a", module(tljh_config_post_install=lambda config: config.update(a=1))),
        source("b", module(tljh_config_post_install=fails_late)),
        source("c", module(tljh_config_post_install=lambda config: seen.append(dict(config)))),
    ]
    answers = ask(sources, "config", text="x: 1\n")
    assert seen == [{"x": 1, "a": 1}]
    problems = [answer["problem"] for answer in answers if "problem" in answer]
    assert problems == ["plugin b (tljh-b 1.0): tljh_config_post_install failed: ValueError: no"]


def test_a_value_that_the_file_cannot_hold() -> None:
    plugin = module(tljh_config_post_install=lambda config: config.update(a={"b": Path("c")}))
    answers = ask([source("a", plugin)], "config")
    assert [answer["problem"] for answer in answers if "problem" in answer] == [
        "plugin a (tljh-a 1.0): tljh_config_post_install set a.b to PosixPath('c') (PosixPath), "
        "which config.yaml can't hold"
    ]


def test_dates_of_the_admin_do_no_harm() -> None:
    plugin = module(tljh_config_post_install=lambda config: config.update(a=1))
    text = "since: 2024-01-01\nat: [2024-01-01]\n"
    assert changes(ask([source("a", plugin)], "config", text=text)) == {"a": [{"path": ["a"], "after": 1}]}


def test_post_install_runs_one_plugin_only() -> None:
    ran: list[str] = []
    sources = [source(name, module(tljh_post_install=lambda name=name: ran.append(name))) for name in "ab"]
    answers = ask(sources, "post-install", "b")
    assert ran == ["b"]
    assert kinds(answers) == [
        "found b",
        "begin b",
        "loaded b",
        "begin b tljh_post_install",
        "result b tljh_post_install",
        "end",
    ]


def test_a_failing_post_install() -> None:
    answers = ask([source("a", module(tljh_post_install=fails))], "post-install", "a")
    assert answers[-2]["problem"] == "plugin a (tljh-a 1.0): tljh_post_install failed: RuntimeError: out of order"
    assert "Traceback" in answers[-2]["traceback"]


def test_ctrl_c_ends_the_process() -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ask([source("a", module(tljh_extra_apt_packages=interrupted))], "collect")


def test_an_unknown_command() -> None:
    with pytest.raises(SystemExit, match="collect"):
        ask([], "dance")


# ---- wrappers


def wrapping(hook: str, function: Any) -> Any:
    made = module()
    setattr(made, hook, hookimpl(wrapper=True)(function))
    return made


def test_what_a_wrapper_adds_to_a_list_is_its_own() -> None:
    def adds() -> Any:
        results = yield
        return [*results, ["more"]]

    sources = [source("a", module(tljh_extra_apt_packages=lambda: ["x"])), source("w", wrapping(APT, adds))]
    answers = ask(sources, "collect")
    results = [(row["plugin"], row["values"]) for row in answers if row["tljh"] == "result"]
    assert results == [("a", ["x"]), ("w", ["more"])]


def test_what_a_wrapper_does_to_the_config_is_its_own() -> None:
    def hook(config: Any) -> Any:
        config["before"] = 1
        yield
        config["after"] = config["a"]

    def fails_late(config: Any) -> Any:
        yield
        config["half"] = True
        raise ValueError("no")

    sources = [
        source("a", module(tljh_config_post_install=lambda config: config.update(a=config["before"] + 1))),
        source("v", wrapping("tljh_config_post_install", fails_late)),
        source("w", wrapping("tljh_config_post_install", hook)),
    ]
    answers = ask(sources, "config", text="x: 1\n")
    assert {name: [(c["path"], c["after"]) for c in found or ()] for name, found in changes(answers).items()} == {
        "a": [(["a"], 2)],
        "v": [],
        "w": [(["before"], 1), (["after"], 2)],
    }
    assert [row["problem"] for row in answers if "problem" in row] == [
        "plugin v (tljh-v 1.0): tljh_config_post_install failed: ValueError: no"
    ]


def test_post_install_runs_within_the_wrappers_that_are_named() -> None:
    ran: list[str] = []

    def around() -> Any:
        ran.append("in")
        yield
        ran.append("out")

    sources = [
        source("a", module(tljh_post_install=lambda: ran.append("a"))),
        source("b", module(tljh_post_install=lambda: ran.append("b"))),
        source("w", wrapping("tljh_post_install", around)),
    ]
    answers = ask(sources, "post-install", "a", "w")
    assert ran == ["in", "a", "out"]
    assert [row["plugin"] for row in answers if row["tljh"] == "loaded"] == ["a", "w"]


def test_a_typed_plugin_can_call_the_others_in_post_install() -> None:
    called: list[Any] = []

    class Asks(tljh.Plugin):
        @hookimpl
        def tljh_post_install(self) -> None:
            called.append(self.hooks.tljh_extra_apt_packages())

    ask([source("a", Asks), source("b", module(tljh_extra_apt_packages=lambda: ["x"]))], "post-install", "a")
    assert called == [[["x"]]]


# ---- the last word


def test_post_remove_loads_nobody_else_and_also_what_is_switched_off() -> None:
    ran: list[str] = []
    gone = replace(source("a", module(tljh_post_remove=lambda: ran.append("a"))), off=True)
    answers = ask([gone, source("b", SystemExit("imported"))], "post-remove", "a")
    assert ran == ["a"]
    assert kinds(answers) == [
        "found a",
        "begin a",
        "loaded a",
        "begin a tljh_post_remove",
        "result a tljh_post_remove",
        "end",
    ]


# ---- hooks that plugins bring


def test_being_asked_for_specifications_is_announced() -> None:
    class Specs:
        @hookspec
        def show(self) -> None: ...

    sources = [source("a", module(tljh_hookspecs=lambda: Specs)), source("b", module(show=lambda: None))]
    assert kinds(ask(sources, "collect"))[2:7] == [
        "begin a",
        "begin b",
        "begin a tljh_hookspecs",
        "loaded a",
        "loaded b",
    ]


def test_an_unknown_plugin_is_asked_nothing() -> None:
    assert kinds(ask([source("a", SystemExit(1))], "check", "b")) == ["end"]
