"""The process in which an install calls plugins: ``python -m tljh.plugins.child COMMAND``.

It runs with the interpreter of the environment that the plugins are in and answers in JSON, one message a line.
Before a plugin is loaded or called it is announced, so that the parent can name the one that hangs or ends the
process. Whatever plugins print goes to standard error. ``calls.py`` is the other end.

Commands: ``collect`` (all list hooks and ``tljh_environments``), ``config`` (``tljh_config_post_install`` on the
text of config.yaml that comes on standard input), ``post-install PLUGIN``.

Messages: ``{"tljh": "begin", "plugin", "version", "label", "hook"}`` (``hook`` is ``""`` while loading),
``{"tljh": "loaded", …}``, ``{"tljh": "result", …}`` and at last ``{"tljh": "end"}``.
"""

from __future__ import annotations

import copy
import io
import json
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import IO, Any

from tljh.plugins.loading import (
    LIST_HOOKS,
    LoadedPlugin,
    PluginSource,
    call,
    describe,
    find_sources,
    in_order,
    load_plugin,
    traceback_of,
)
from tljh.plugins.values import ABSENT, WrongValue, environments, leaves, lenient, plain, same, texts

Sources = Iterable[PluginSource]
ENVIRONMENTS = "tljh_environments"


class Answer:
    """Writes messages for the parent."""

    def __init__(self, stream: IO[str]) -> None:
        self.stream = stream

    def send(self, kind: str, source: PluginSource | None = None, **values: Any) -> None:
        """One message, complete and on its way before anything else happens."""
        about = {"plugin": source.name, "version": source.version, "label": source.label} if source else {}
        self.stream.write(json.dumps({"tljh": kind, **about, **values}) + "\n")
        self.stream.flush()

    def load(self, sources: Sources) -> list[LoadedPlugin]:
        """Load the plugins and tell of each what was found."""
        plugins: list[LoadedPlugin] = []
        for source in sources:
            self.send("begin", source, hook="")
            plugin = load_plugin(source, plugins)
            plugins.append(plugin)
            self.send(
                "loaded",
                source,
                distribution=source.distribution,
                hooks=dict(plugin.hooks),
                failure=plugin.failure,
                broken=dict(plugin.broken),
                warnings=plugin.warnings,
                traceback=plugin.traceback,
            )
        return plugins

    def guard(self, plugin: LoadedPlugin, hook: str, work: Callable[[], dict[str, Any]]) -> None:
        """Announce a hook, do ``work`` and send what it returns, or how it failed."""
        source = plugin.source
        self.send("begin", source, hook=hook)
        try:
            result = work()
        except KeyboardInterrupt:
            raise
        except WrongValue as error:
            self.send("result", source, hook=hook, problem=f"{source.label}: {hook} {error}")
        except BaseException as error:
            problem = f"{source.label}: {hook} failed: {describe(error)}"
            self.send("result", source, hook=hook, problem=problem, traceback=traceback_of(error))
        else:
            self.send("result", source, hook=hook, **result)


def collect(answer: Answer, sources: Sources) -> None:
    """Ask every plugin what it wants installed."""
    plugins = answer.load(sources)
    for plugin in plugins:
        for hook in LIST_HOOKS:
            if hook in plugin.hooks:
                answer.guard(plugin, hook, partial(_listed, plugin, hook))
        if ENVIRONMENTS in plugin.hooks:
            answer.guard(plugin, ENVIRONMENTS, partial(_environments, plugin))


def _listed(plugin: LoadedPlugin, hook: str) -> dict[str, Any]:
    return {"values": [text for returned in call(plugin, hook) for text in texts(returned)]}


def _environments(plugin: LoadedPlugin) -> dict[str, Any]:
    return {"values": [row for returned in call(plugin, ENVIRONMENTS) for row in environments(returned)]}


def config(answer: Answer, sources: Sources, text: str) -> None:
    """Let every plugin change a copy of config.yaml; each sees what the earlier ones did."""
    from ruamel.yaml import YAML
    from ruamel.yaml.comments import CommentedMap

    document = [YAML().load(io.StringIO(text)) or CommentedMap()]
    hook = "tljh_config_post_install"

    def run(plugin: LoadedPlugin) -> dict[str, Any]:
        mine = copy.deepcopy(document[0])  # nothing half-done of a hook that fails stays
        before = {path: lenient(value) for path, value in leaves(document[0]).items()}
        call(plugin, hook, config=mine)
        changes = _changes(before, mine)
        document[0] = mine
        return {"changes": changes}

    for plugin in in_order(answer.load(sources), hook):
        answer.guard(plugin, hook, partial(run, plugin))


def _changes(before: dict[tuple[Any, ...], Any], config: Any) -> list[dict[str, Any]]:
    """The keys that differ. A value before or after is left out where there was none."""
    after = {path: lenient(value) for path, value in leaves(config).items()}
    changes = []
    for path in [*after, *(path for path in before if path not in after)]:
        old, new = before.get(path, ABSENT), after.get(path, ABSENT)
        if same(old, new):
            continue
        change: dict[str, Any] = {"path": list(path)}
        if old is not ABSENT:
            change["before"] = old
        if new is not ABSENT:
            try:
                change["after"] = plain(new)
            except WrongValue as error:
                raise WrongValue(f"set {'.'.join(map(str, path))} to {error}") from None
        changes.append(json.loads(json.dumps(change, default=repr)))
    return changes


def post_install(answer: Answer, sources: Sources, name: str) -> None:
    """Run ``tljh_post_install`` of one plugin."""
    hook = "tljh_post_install"

    def run(plugin: LoadedPlugin) -> dict[str, Any]:
        call(plugin, hook)
        return {}

    for plugin in in_order(answer.load([source for source in sources if source.name == name]), hook):
        answer.guard(plugin, hook, partial(run, plugin))


def run(arguments: Sequence[str], stream: IO[str], stdin: IO[str], sources: Sources) -> None:
    """Do one command and say that it ended.

    Raises:
        SystemExit: there is no such command.
    """
    answer = Answer(stream)
    match list(arguments):
        case ["collect"]:
            collect(answer, sources)
        case ["config"]:
            config(answer, sources, stdin.read())
        case ["post-install", name]:
            post_install(answer, sources, name)
        case _:
            raise SystemExit("tljh.plugins.child: collect | config | post-install PLUGIN")
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
    if arguments[0] != "post-install":
        # a thread that a plugin has left running must not keep us from ending
        stream.close()
        sys.stderr.flush()
        os._exit(0)


if __name__ == "__main__":
    main()
