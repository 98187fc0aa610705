"""The process in which an install calls plugins: ``python -m tljh.plugins.child COMMAND``.

It runs with the interpreter of the environment that the plugins are in and answers in JSON, one message a line.
Before a plugin is loaded or called it is announced, so that the parent can name the one that hangs or ends the
process. Whatever plugins print goes to standard error. ``calls.py`` is the other end, ``collecting.py`` what all
plugins are asked for.

Commands:

* ``collect``: everything that plugins want; config.yaml's text comes on standard input;
* ``config``: ``tljh_config_post_install`` on the text of config.yaml that comes on standard input;
* ``post-install PLUGIN [WRAPPER …]``: ``tljh_post_install`` of one, within the wrappers of the others;
* ``post-remove PLUGIN``: ``tljh_post_remove`` of one, also of one that is switched off;
* ``check [PLUGIN …]``: health checks; ``fix PLUGIN CHECK``: mend what one looks at, and look again.

Messages: ``{"tljh": "found", …}`` for each plugin, ``{"tljh": "begin", "plugin", "version", "label", "hook"}``
(``hook`` is ``""`` while loading), ``{"tljh": "loaded", …}``, ``{"tljh": "result", …}`` and at last
``{"tljh": "end"}``.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from typing import IO, Any

from tljh.plugins import recording
from tljh.plugins.calling import Guard, Share, call_all
from tljh.plugins.loading import LoadedPlugin, Loading, PluginSource, describe, find_sources, traceback_of
from tljh.plugins.manager import is_typed
from tljh.plugins.own_settings import OwnSettings
from tljh.plugins.values import WrongValue

Sources = Iterable[PluginSource]


class Answer:
    """Writes messages for the parent.

    Attributes:
        seconds: How long each hook of each plugin took: (plugin, hook) → seconds.
    """

    def __init__(self, stream: IO[str]) -> None:
        self.stream = stream
        self.seconds: dict[tuple[str, str], float] = defaultdict(float)

    def send(self, kind: str, about: PluginSource | None = None, /, **values: Any) -> None:
        """One message, complete and on its way before anything else happens."""
        who = {"plugin": about.name, "version": about.version, "label": about.label} if about else {}
        self.stream.write(json.dumps({"tljh": kind, **who, **values}) + "\n")
        self.stream.flush()

    def load(self, sources: Sources, settings: OwnSettings | None = None, only: Collection[str] = ()) -> Loaded:
        """Load plugins and tell of each what was found.

        Args:
            only: Names; all when empty. A typed plugin may call others' hooks, so with one all are loaded anyway.
        """
        listed = list(sources)
        loading = Loading(settings)
        for source in listed:
            if not only or source.name in only:
                self._found(source)
        added = [self._add(loading, source) for source in listed if not only or source.name in only]
        if only and any(is_typed(plugin.plugin) for plugin in added):
            for source in listed:
                if source.name not in only:
                    self._add(loading, source)
        for plugin in loading.bringing():
            self.send("begin", plugin.source, hook="tljh_hookspecs")
            loading.bring(plugin)
        plugins = loading.finish()
        for plugin in plugins:
            if not plugin.source.off and (not only or plugin.source.name in only):
                self._loaded(plugin)
        return plugins

    def _found(self, source: PluginSource) -> None:
        about = {"distribution": source.distribution, "source": source.kind, "origin_path": source.path}
        self.send("found", source, **about, state="disabled" if source.off else "active")

    def _add(self, loading: Loading, source: PluginSource) -> LoadedPlugin:
        if not source.off:
            self.send("begin", source, hook="")
        return loading.add(source)

    def _loaded(self, plugin: LoadedPlugin) -> None:
        self.send(
            "loaded",
            plugin.source,
            distribution=plugin.source.distribution,
            hooks=dict(plugin.hooks),
            wrappers=list(plugin.wrappers),
            failure=plugin.failure,
            broken=dict(plugin.broken),
            warnings=plugin.warnings,
            traceback=plugin.traceback,
            seconds=round(plugin.seconds, 6),
        )

    def guard(self, hook: str) -> Guard:
        """What announces each call of a hook, does it, and tells how it failed."""

        def guarded(plugin: LoadedPlugin, work: Callable[[], None]) -> bool:
            source = plugin.source
            self.send("begin", source, hook=hook)
            if recording.is_on():
                recording.about(source.name)
            started = time.perf_counter()
            failed: dict[str, Any] = {}
            try:
                work()
            except KeyboardInterrupt:
                raise
            except WrongValue as error:
                failed = {"problem": f"{source.label}: {hook} {error}"}
            except BaseException as error:
                problem = f"{source.label}: {hook} failed: {describe(error)}"
                failed = {"problem": problem, "traceback": traceback_of(error)}
            self.seconds[source.name, hook] += time.perf_counter() - started
            if failed:
                self.result(plugin, hook, **failed)
            return not failed

        return guarded

    def result(self, plugin: LoadedPlugin, hook: str, **values: Any) -> None:
        """What one hook of one plugin came to."""
        seconds = round(self.seconds[plugin.source.name, hook], 6)
        self.send("result", plugin.source, hook=hook, **values, seconds=seconds)


Loaded = list[LoadedPlugin]


def of_one(plugins: Loaded, name: str) -> Loaded:
    """The same plugins, of which only one has functions to call; the others' wrappers stay."""
    return [plugin if plugin.source.name == name else replace(plugin, hooks={}) for plugin in plugins]


def run_one(answer: Answer, plugins: Loaded, name: str, hook: str) -> None:
    """Run one imperative hook of one plugin, within the wrappers of those that are loaded."""

    def then(share: Share) -> None:
        answer.result(share.plugin, hook)

    call_all(of_one(plugins, name), hook, {}, answer.guard(hook), then=then)


def post_install(answer: Answer, sources: Sources, name: str, wrappers: Sequence[str]) -> None:
    """Run ``tljh_post_install`` of one plugin."""
    run_one(answer, answer.load(sources, only=(name, *wrappers)), name, "tljh_post_install")


def post_remove(answer: Answer, sources: Sources, name: str) -> None:
    """Run ``tljh_post_remove`` of one plugin, and of no other: who may be broken is not asked for anything."""
    mine = [replace(source, off=False) for source in sources if source.name == name]
    run_one(answer, answer.load(mine), name, "tljh_post_remove")


def run(arguments: Sequence[str], stream: IO[str], stdin: IO[str], sources: Sources) -> None:
    """Do one command and say that it ended.

    Raises:
        SystemExit: there is no such command.
    """
    from tljh.plugins import collecting, config_hooks, health

    answer = Answer(stream)
    match list(arguments):
        case ["collect"]:
            collecting.collect(answer, sources, stdin.read())
        case ["config"]:
            config_hooks.run(answer, sources, stdin.read())
        case ["post-install", name, *wrappers]:
            post_install(answer, sources, name, wrappers)
        case ["post-remove", name]:
            post_remove(answer, sources, name)
        case ["check", *names]:
            health.check(answer, sources, names)
        case ["fix", name, check]:
            health.fix(answer, sources, name, check)
        case _:
            raise SystemExit(
                "tljh.plugins.child: collect | config | post-install PLUGIN [WRAPPER …] | post-remove PLUGIN | "
                "check [PLUGIN …] | fix PLUGIN CHECK"
            )
    answer.send("end")


def _take_stdout() -> IO[str]:
    """Standard output for ourselves; what plugins and their programs print goes to standard error."""
    stream = os.fdopen(os.dup(1), "w", encoding="utf-8")  # not inherited by what plugins start
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    return stream


def main() -> None:
    """The process."""
    # meant for this interpreter (calls.py), not for the scripts that plugins start
    os.environ.pop("PYTHONSAFEPATH", None)
    stream = _take_stdout()
    arguments = sys.argv[1:]
    run(arguments, stream, sys.stdin, find_sources())
    if arguments[0] not in ("post-install", "post-remove"):
        # a thread that a plugin has left running must not keep us from ending
        stream.close()
        sys.stderr.flush()
        os._exit(0)


if __name__ == "__main__":
    main()
