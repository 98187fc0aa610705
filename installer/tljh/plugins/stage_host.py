"""The process that runs the code of plugins' stages: ``python -m tljh.plugins.stage_host``.

One such process lives as long as a run, because it holds the ``deploy`` contexts that were entered. It reads
requests from standard input and answers each on standard output, both as a line of JSON; what plugins print goes
to standard error. ``stage_calls.py`` is the other end.

Requests (``do``): ``begin`` with ``text`` (of config.yaml) and ``prefix`` · ``deploy``, ``check`` and ``destroy``
with ``plugin``, ``stage``, ``outputs``, ``seconds`` · ``leave`` with ``error`` (a text, or null) and ``seconds``.
Answers: ``outputs`` (what a stage put into ``stage_outputs``) and ``entered``, or ``problem`` and ``traceback``;
of ``leave`` ``failures``, each with ``plugin``, ``stage``, ``problem``, ``traceback``. An answer has its request's
``id``.
"""

from __future__ import annotations

import contextlib
import inspect
import json
import os
import signal
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import IO, Any

from tljh.plugins import recording
from tljh.plugins.collecting import settings_of
from tljh.plugins.loading import Loading, call, describe, find_sources, traceback_of
from tljh.plugins.own_settings import OwnSettings
from tljh.plugins.sources import PluginSource
from tljh.plugins.stage import Stage, StageContext, instance, stage_classes
from tljh.plugins.values import WrongValue, plain, shown

HOOK = "tljh_stages"


class InstallFailed(Exception):
    """What a ``deploy`` that is entered sees after its ``yield`` when the install failed."""


class OutOfTime(BaseException):
    """A plugin's code took too long; no ``Exception``, so that the plugin doesn't take it for one of its own."""


@dataclass
class _Entered:
    """A context that was entered and is to be left."""

    plugin: str
    stage: str
    what: str
    manager: AbstractContextManager[Any]


class Host:
    """Does what the parent asks; one for each process.

    Args:
        plugins: How to load one plugin: name → what to call it, its stages, its settings.
    """

    def __init__(self, plugins: Plugins) -> None:
        self.plugins = plugins
        self.settings = OwnSettings.of_text("")
        self.prefix = Path("/")
        self.outputs: dict[str, Any] = {}
        self.entered: list[_Entered] = []
        self.stages: dict[tuple[str, str], tuple[str, Stage]] = {}

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Do one thing; how it ended."""
        match request["do"]:
            case "begin":
                self.settings, self.prefix = OwnSettings.of_text(request["text"]), Path(request["prefix"])
                return {}
            case "deploy" | "destroy" | "check" as what:
                return self._guarded(what, request)
            case "leave":
                return {"failures": self._leave(request.get("error"), request["seconds"])}
            case other:
                raise ValueError(f"there is no request {other}")

    def _guarded(self, what: str, request: dict[str, Any]) -> dict[str, Any]:
        """Run one method of one stage; whatever it raises is the answer."""
        name = request["stage"]
        label = f"plugin {request['plugin']}"
        for key, value in request["outputs"].items():
            self.outputs.setdefault(key, value)
        recording.about(request["plugin"])
        try:
            with limited(request["seconds"]):
                label, stage = self._stage(request["plugin"], name)
                before = {key: _copied(value) for key, value in self.outputs.items()}
                entered = self._run(what, request["plugin"], stage)
                return {"outputs": _new(before, self.outputs), "entered": entered}
        except WrongValue as error:
            return {"problem": f"{label}: {what} of the stage {name} {error}"}
        except BaseException as error:
            return _failure(f"{label}: {what} of the stage {name}", error)

    def _run(self, what: str, plugin: str, stage: Stage) -> bool:
        """Call one method; whether there is a context to be left now."""
        returned = getattr(stage, what)(self.outputs)
        if what == "check":
            _refuse(returned)
            return False
        manager = _manager(returned)
        if manager is not None:
            value = manager.__enter__()
            self.entered.append(_Entered(plugin, stage.name, what, manager))
        else:
            value = returned
        if what == "deploy" and value is not None:
            self.outputs[stage.name] = value
        return manager is not None

    def _leave(self, error: str | None, seconds: float) -> list[dict[str, str]]:
        """Leave all contexts, the last one first; one that fails keeps no other from being left."""
        failures = []
        while self.entered:
            one = self.entered.pop()
            label = self.stages[one.plugin, one.stage][0]
            recording.about(one.plugin)
            failure = InstallFailed(error) if error is not None else None
            try:
                with limited(seconds):
                    one.manager.__exit__(type(failure) if failure else None, failure, None)
            except BaseException as raised:
                if raised is failure:
                    continue
                told = _failure(f"{label}: {one.what} of the stage {one.stage}, as it ended,", raised)
                failures.append({"plugin": one.plugin, "stage": one.stage, **told})
        return failures

    def _stage(self, plugin: str, name: str) -> tuple[str, Stage]:
        """What to call a plugin, and its stage, made once."""
        if (plugin, name) not in self.stages:
            loaded = self.plugins.load(plugin, self.settings)
            context = StageContext(self.settings.config, self.prefix, loaded.settings)
            found = [one for one in loaded.stages if one.name == name]
            if not found:
                raise WrongValue("can't be run: the plugin has no such stage any more")
            best = max(found, key=lambda one: one.priority)
            self.stages[plugin, name] = (loaded.label, instance(best, context))
        return self.stages[plugin, name]


@dataclass(frozen=True)
class LoadedStages:
    """One plugin as this process needs it."""

    label: str
    stages: list[type[Stage]]
    settings: Mapping[str, Any]


class Plugins:
    """The plugins of this interpreter's environment, each loaded when it is asked for."""

    def sources(self) -> list[PluginSource]:
        """All that there are."""
        return find_sources()

    def load(self, name: str, settings: OwnSettings) -> LoadedStages:
        """Load one, also one that is switched off: what it deployed is taken back by itself.

        Raises:
            WrongValue: there is no such plugin, or it can't be loaded, or its hook returns something else.
        """
        sources = self.sources()
        mine = next((replace(source, off=False) for source in sources if source.name == name), None)
        if mine is None:
            raise WrongValue(f"can't be run: there is no plugin {name} in {sys.prefix}")
        loading = Loading(settings)
        added = loading.add(mine)
        if hasattr(type(added.plugin), "model_fields"):  # a typed one may call the others' hooks
            for source in sources:
                if source.name != name:
                    loading.add(source)
        for plugin in loading.bringing():
            loading.bring(plugin)
        loaded = next(plugin for plugin in loading.finish() if plugin.source is mine)
        if loaded.failure or HOOK not in loaded.hooks:
            raise WrongValue(f"can't be run: {loaded.failure or f'the plugin has no {HOOK} any more'}")
        return LoadedStages(mine.label, stage_classes(call(loaded, HOOK)), settings_of(loaded, settings))


@contextlib.contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Interrupt what is inside after so many seconds, or by Ctrl-C; in the main thread, where signals come."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def over(number: int, frame: FrameType | None) -> None:
        raise OutOfTime(f"{seconds:g}")

    before = signal.signal(signal.SIGALRM, over)
    ignored = signal.signal(signal.SIGINT, signal.default_int_handler)
    # again each second: what is raised while Python clears away an object is lost, and so may be what code catches
    signal.setitimer(signal.ITIMER_REAL, seconds, 1.0)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        signal.signal(signal.SIGINT, ignored)


def _manager(returned: object) -> AbstractContextManager[Any] | None:
    """What a method returned as a context manager; a generator that nobody made one of is taken for one."""
    if isinstance(returned, AbstractContextManager):
        return returned
    if inspect.isgenerator(returned):
        generator = returned
        return contextlib.contextmanager(lambda: generator)()
    return None


def _refuse(returned: object) -> None:
    """What ``check`` returned, where it says that something is wrong."""
    if returned is False:
        raise WrongValue("says that it does not work")
    if isinstance(returned, str) and returned.strip():
        raise WrongValue(f"says: {returned.strip()}")


def _new(before: dict[str, Any], outputs: dict[str, Any]) -> dict[str, Any]:
    """What was put into ``stage_outputs``, made plain there as well: a later run gets what this one had."""
    found = {}
    for key, value in list(outputs.items()):
        if not isinstance(key, str):
            raise WrongValue(f"put {shown(key)} into stage_outputs, whose keys are texts")
        if key in before and before[key] == value:
            continue
        try:
            outputs[key] = found[key] = plain(value)
        except WrongValue as error:
            del outputs[key]
            what = str(error).replace("which config.yaml can't hold", "which JSON can't hold")
            raise WrongValue(f"gave for stage_outputs[{key!r}] {what}") from None
    return found


def _copied(value: Any) -> Any:
    return json.loads(json.dumps(value, default=repr))


def _failure(what: str, error: BaseException) -> dict[str, str]:
    if isinstance(error, KeyboardInterrupt):
        return {"problem": f"{what} was interrupted", "traceback": traceback_of(error)}
    if isinstance(error, OutOfTime):
        return {"problem": f"{what} did not end within {error} s", "traceback": traceback_of(error)}
    return {"problem": f"{what} failed: {describe(error)}", "traceback": traceback_of(error)}


def run(lines: Iterable[str], stream: IO[str], plugins: Plugins | None = None) -> None:
    """Answer requests until there are no more."""
    host = Host(plugins or Plugins())
    for line in lines:
        request = json.loads(line)
        stream.write(json.dumps({"id": request.get("id"), **host.answer(request)}) + "\n")
        stream.flush()
    # nothing is left to do, unless the installer was killed
    host.answer({"do": "leave", "error": "the installer was ended", "seconds": 300.0})


def _take_streams() -> tuple[IO[str], IO[str]]:
    """Both ends of the conversation for ourselves: plugins read nothing, and what they print is standard error."""
    requests = os.fdopen(os.dup(0), encoding="utf-8")
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")  # not inherited by what plugins start
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - for the whole process
    sys.stdout = sys.stderr
    return requests, answers


def main() -> None:
    """The process."""
    # meant for this interpreter (stage_calls.py), not for the scripts that plugins start
    os.environ.pop("PYTHONSAFEPATH", None)
    requests, answers = _take_streams()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # but for the time that a plugin's code runs
    run(requests, answers)
    # a thread that a plugin has left running must not keep us from ending
    answers.close()
    sys.stderr.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
