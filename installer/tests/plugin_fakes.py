"""Plugins that live in memory, for the tests of everything that deals with plugins."""

from __future__ import annotations

import io
import json
import types
from collections.abc import Sequence
from typing import Any

from tljh.engine.processes import Completed
from tljh.errors import CommandFailed
from tljh.hooks import hookimpl
from tljh.plugins import child
from tljh.plugins.loading import LoadedPlugin, PluginSource, load_plugin


def module(name: str = "plugin", **functions: Any) -> types.ModuleType:
    """A module whose functions are hooks."""
    made = types.ModuleType(name)
    for key, function in functions.items():
        setattr(made, key, hookimpl(function))
    return made


def source(name: str, plugin: object, version: str = "1.0", distribution: str | None = None) -> PluginSource:
    """An entry point whose value is ``plugin``; an exception is raised when it is loaded."""

    def load() -> object:
        if isinstance(plugin, BaseException):
            raise plugin
        return plugin

    return PluginSource(name, f"tljh_{name}", distribution or f"tljh-{name}", version, load)


def loaded(name: str, plugin: object, version: str = "1.0") -> LoadedPlugin:
    return load_plugin(source(name, plugin, version))


class ChildMachine:
    """A machine on which ``tljh.plugins.child`` runs in this process.

    Args:
        sources: The plugins that are installed.
        cut: How many messages arrive before the process ends.
        hangs: Whether the time is over then.
    """

    def __init__(self, sources: Sequence[PluginSource], *, cut: int | None = None, hangs: bool = False) -> None:
        self.sources = sources
        self.cut = cut
        self.hangs = hangs
        self.commands: list[list[str]] = []
        self.options: dict[str, Any] = {}

    def run(self, command: Sequence[object], **options: Any) -> Completed:
        words = [str(word) for word in command]
        self.commands.append(words)
        self.options = options
        stream = io.StringIO()
        child.run(
            words[words.index("tljh.plugins.child") + 1 :],
            stream,
            io.StringIO(options["input"] or ""),
            self.sources,
        )
        lines = stream.getvalue().splitlines(keepends=True)
        output = "".join(lines if self.cut is None else lines[: self.cut])
        if self.hangs:
            raise CommandFailed(words, None, output + "what it printed\n")
        return Completed(0 if self.cut is None else -9, output, "what it printed\n")


def messages(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]
