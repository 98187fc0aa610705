"""The process in which stages' code runs, asked in this one."""

from __future__ import annotations

import contextlib
import io
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from plugin_fakes import module, source
from tljh.plugins import stage_host
from tljh.plugins.sources import PluginSource
from tljh.plugins.stage import Stage
from tljh.plugins.stage_host import Host, InstallFailed, Plugins

TEXT = "limits:\n  memory: 2G\nplugins:\n  x:\n    place: /srv\n"


class InMemory(Plugins):
    def __init__(self, *sources: PluginSource) -> None:
        self.there = list(sources)

    def sources(self) -> list[PluginSource]:
        return self.there


class Recorder:
    """Stages that note what happens to them."""

    def __init__(self) -> None:
        self.story: list[str] = []

    def stage(self, name: str, **methods: Any) -> type[Stage]:
        return type(name.title(), (Stage,), {"name": name, "priority": 50, **methods})

    def context(self, name: str, value: object = None, *, swallows: bool = False) -> Any:
        @contextlib.contextmanager
        def deploy(stage: Stage, stage_outputs: dict[str, Any]) -> Iterator[object]:
            self.story.append(f"enter {name}")
            try:
                yield value
            except InstallFailed as error:
                self.story.append(f"{name} sees {error}")
                if not swallows:
                    raise
            else:
                self.story.append(f"leave {name}")

        return deploy


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


def host_of(*stages: type[Stage], name: str = "x") -> Host:
    plugin = module(tljh_stages=lambda: stages)
    host = Host(InMemory(source(name, plugin)))
    assert host.answer({"do": "begin", "text": TEXT, "prefix": "/opt/tljh"}) == {}
    return host


def ask(
    host: Host, what: str, stage: str, *, plugin: str = "x", outputs: Any = None, seconds: float = 5.0
) -> dict[str, Any]:
    request = {"do": what, "plugin": plugin, "stage": stage, "outputs": outputs or {}, "seconds": seconds}
    answer = host.answer(request)
    json.dumps(answer)
    return answer


def leave(host: Host, error: str | None = None, seconds: float = 5.0) -> list[dict[str, str]]:
    found: list[dict[str, str]] = host.answer({"do": "leave", "error": error, "seconds": seconds})["failures"]
    return found


def test_contexts_are_left_in_reverse(recorder: Recorder) -> None:
    host = host_of(
        recorder.stage("one", deploy=recorder.context("one", {"port": 1})),
        recorder.stage("two", deploy=recorder.context("two")),
    )
    assert ask(host, "deploy", "one") == {"outputs": {"one": {"port": 1}}, "entered": True}
    assert ask(host, "deploy", "two") == {"outputs": {}, "entered": True}
    assert leave(host) == []
    assert recorder.story == ["enter one", "enter two", "leave two", "leave one"]
    assert leave(host) == [], "once"


def test_all_contexts_see_what_stopped_the_install(recorder: Recorder) -> None:
    host = host_of(
        recorder.stage("one", deploy=recorder.context("one")),
        recorder.stage("two", deploy=recorder.context("two", swallows=True)),
    )
    ask(host, "deploy", "one")
    ask(host, "deploy", "two")
    assert leave(host, "apt is broken") == []
    assert recorder.story[2:] == ["two sees apt is broken", "one sees apt is broken"]


def test_a_context_that_fails_as_it_is_left_keeps_no_other_from_being_left(recorder: Recorder) -> None:
    @contextlib.contextmanager
    def failing(stage: Stage, outputs: dict[str, Any]) -> Iterator[None]:
        yield
        raise OSError("disk full")

    host = host_of(recorder.stage("one", deploy=recorder.context("one")), recorder.stage("two", deploy=failing))
    ask(host, "deploy", "one")
    ask(host, "deploy", "two")
    (failure,) = leave(host)
    assert (failure["plugin"], failure["stage"]) == ("x", "two")
    assert failure["problem"] == (
        "plugin x (tljh-x 1.0): deploy of the stage two, as it ended, failed: OSError: disk full"
    )
    assert "Traceback" in failure["traceback"]
    assert recorder.story[-1] == "leave one"


def test_plain_functions_and_bare_generators(recorder: Recorder) -> None:
    def bare(stage: Stage, outputs: dict[str, Any]) -> Iterator[str]:
        recorder.story.append("before")
        yield "here"
        recorder.story.append("after")

    host = host_of(recorder.stage("plain", deploy=lambda self, outputs: 7), recorder.stage("bare", deploy=bare))
    assert ask(host, "deploy", "plain") == {"outputs": {"plain": 7}, "entered": False}
    assert ask(host, "deploy", "bare") == {"outputs": {"bare": "here"}, "entered": True}
    assert leave(host) == []
    assert recorder.story == ["before", "after"]


def test_stage_outputs_are_one_mapping(recorder: Recorder) -> None:
    seen: list[Any] = []

    def one(self: Stage, stage_outputs: dict[str, Any]) -> None:
        stage_outputs["stages/01-one"] = {"ports": (1, 2)}

    def two(self: Stage, stage_outputs: dict[str, Any]) -> None:
        seen.append(json.loads(json.dumps(stage_outputs)))
        stage_outputs["stages/01-one"]["ports"].append(3)

    host = host_of(recorder.stage("one", deploy=one), recorder.stage("two", deploy=two))
    assert ask(host, "deploy", "one")["outputs"] == {"stages/01-one": {"ports": [1, 2]}}
    answer = ask(host, "deploy", "two", outputs={"earlier": "run", "stages/01-one": "not this"})
    assert seen == [{"stages/01-one": {"ports": [1, 2]}, "earlier": "run"}]
    assert answer["outputs"] == {"stages/01-one": {"ports": [1, 2, 3]}}


def test_outputs_that_json_can_not_hold(recorder: Recorder) -> None:
    host = host_of(
        recorder.stage("one", deploy=lambda self, outputs: object()),
        recorder.stage("two", deploy=lambda self, outputs: outputs.update({1: "x"})),
    )
    assert ask(host, "deploy", "one")["problem"].startswith(
        "plugin x (tljh-x 1.0): deploy of the stage one gave for stage_outputs['one'] <object"
    )
    assert "which JSON can't hold" in ask(host, "deploy", "one")["problem"]
    assert "put 1 into stage_outputs, whose keys are texts" in ask(host, "deploy", "two")["problem"]


def test_what_a_stage_knows(recorder: Recorder) -> None:
    def deploy(self: Stage, outputs: dict[str, Any]) -> Any:
        context = self.context
        return [context.config["limits"]["memory"], str(context.prefix), dict(context.settings)]

    host = host_of(recorder.stage("one", deploy=deploy))
    assert ask(host, "deploy", "one")["outputs"]["one"] == ["2G", "/opt/tljh", {"place": "/srv"}]


def raises(error: BaseException) -> Any:
    def method(self: Stage, outputs: dict[str, Any]) -> None:
        raise error

    return method


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (KeyError("a"), "failed: KeyError: 'a'"),
        (SystemExit(3), "failed: it called sys.exit(3)"),
        (KeyboardInterrupt(), "was interrupted"),
        (RuntimeError("password=s3cr3t"), "failed: RuntimeError: password=***"),
    ],
)
def test_code_that_fails(recorder: Recorder, error: BaseException, words: str) -> None:
    host = host_of(recorder.stage("one", deploy=raises(error)))
    answer = ask(host, "deploy", "one")
    assert answer["problem"] == f"plugin x (tljh-x 1.0): deploy of the stage one {words}"
    assert leave(host) == [], "nothing was entered"


def hangs(self: Stage, outputs: dict[str, Any]) -> None:
    try:
        time.sleep(20)
    except Exception:
        pytest.fail("the plugin took it for an error of its own")


@pytest.mark.parametrize("what", ["deploy", "destroy", "check"])
def test_code_that_hangs_is_interrupted(recorder: Recorder, what: str) -> None:
    host = host_of(recorder.stage("one", **{what: hangs}))
    problem = ask(host, what, "one", seconds=0.3)["problem"]
    assert problem == f"plugin x (tljh-x 1.0): {what} of the stage one did not end within 0.3 s"


def test_code_that_catches_the_first_interruption_gets_another(recorder: Recorder) -> None:
    def stubborn(self: Stage, outputs: dict[str, Any]) -> None:
        with contextlib.suppress(BaseException):
            time.sleep(20)
        time.sleep(20)

    problem = ask(host_of(recorder.stage("one", check=stubborn)), "check", "one", seconds=0.05)["problem"]
    assert problem.endswith("check of the stage one did not end within 0.05 s")


def test_a_context_that_hangs_as_it_is_left(recorder: Recorder) -> None:
    @contextlib.contextmanager
    def deploy(stage: Stage, outputs: dict[str, Any]) -> Iterator[None]:
        yield
        time.sleep(20)

    host = host_of(recorder.stage("one", deploy=deploy))
    ask(host, "deploy", "one")
    (failure,) = leave(host, seconds=0.3)
    assert failure["problem"].endswith("deploy of the stage one, as it ended, did not end within 0.3 s")


@pytest.mark.parametrize(
    ("returned", "words"),
    [
        (None, ""),
        (True, ""),
        (" ", ""),
        (False, "check of the stage one says that it does not work"),
        ("port 80 is closed\n", "check of the stage one says: port 80 is closed"),
    ],
)
def test_checks(recorder: Recorder, returned: object, words: str) -> None:
    host = host_of(recorder.stage("one", check=lambda self, outputs: returned))
    answer = ask(host, "check", "one")
    assert answer.get("problem", "") == (f"plugin x (tljh-x 1.0): {words}" if words else "")


def test_destroy_may_be_a_context_and_yields_no_output(recorder: Recorder) -> None:
    host = host_of(recorder.stage("one", destroy=recorder.context("one", "ignored")))
    assert ask(host, "destroy", "one", outputs={"one": {"id": 7}}) == {"outputs": {}, "entered": True}
    leave(host)
    assert recorder.story == ["enter one", "leave one"]


def test_of_two_stages_of_one_name_the_one_that_counts(recorder: Recorder) -> None:
    low = recorder.stage("one", deploy=lambda self, outputs: "low", priority=1)
    host = host_of(recorder.stage("one", deploy=lambda self, outputs: "high"), low)
    assert ask(host, "deploy", "one")["outputs"] == {"one": "high"}


def test_plugins_that_can_not_be_loaded(recorder: Recorder) -> None:
    host = Host(InMemory(source("broken", ImportError("gone")), source("bare", module())))
    assert "deploy of the stage one can't be run: there is no plugin x in" in ask(host, "deploy", "one")["problem"]
    assert ask(host, "deploy", "one", plugin="broken")["problem"].endswith(
        "plugin broken (tljh-broken 1.0) can't be loaded: ImportError: gone"
    )
    problem = ask(host, "deploy", "one", plugin="bare")["problem"]
    assert problem.endswith("can't be run: the plugin has no tljh_stages any more")
    host = host_of(recorder.stage("two"))
    assert ask(host, "destroy", "one")["problem"] == (
        "plugin x: destroy of the stage one can't be run: the plugin has no such stage any more"
    )


def test_one_that_is_switched_off_can_be_destroyed(recorder: Recorder) -> None:
    off = PluginSource("x", "m", "tljh-x", "1.0", lambda: module(tljh_stages=lambda: [stage]), off=True)
    stage = recorder.stage("one", destroy=recorder.context("one"))
    assert ask(Host(InMemory(off)), "destroy", "one")["entered"]


def test_deeds_are_the_plugins_own(recorder: Recorder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from tljh.plugins import recording

    monkeypatch.setenv(recording.VARIABLE, str(tmp_path / "notes"))
    monkeypatch.setenv(recording.PLUGIN_VARIABLE, "")
    host = host_of(recorder.stage("one", deploy=lambda self, outputs: recording.note("group", name="g")))
    ask(host, "deploy", "one")
    (note,) = recording.read(tmp_path / "notes")
    assert (note["plugin"], note["name"]) == ("x", "g")


def test_line_by_line(recorder: Recorder) -> None:
    begin = {"id": 1, "do": "begin", "text": "", "prefix": "/x"}
    requests = [begin, {"id": 2, "do": "leave", "error": None, "seconds": 1}]
    stream = io.StringIO()
    stage_host.run([json.dumps(request) for request in requests], stream, InMemory())
    answers = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert answers == [{"id": 1}, {"id": 2, "failures": []}]
    deploy = {"do": "deploy", "plugin": "x", "stage": "one", "outputs": {}, "seconds": 5}
    plugin = module(tljh_stages=lambda: [recorder.stage("one", deploy=recorder.context("one"))])
    stage_host.run([json.dumps({**begin}), json.dumps(deploy)], stream, InMemory(source("x", plugin)))
    assert recorder.story == ["enter one", "one sees the installer was ended"], "it was killed, as it seems"
    with pytest.raises(ValueError, match="there is no request dance"):
        stage_host.run(['{"do": "dance"}'], stream, InMemory())
