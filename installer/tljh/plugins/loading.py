"""Loads plugins, each by itself: what is wrong with one is told and stops no other.

In phases: import → instantiate (a typed plugin gets its settings) → specifications that plugins bring → one
pluggy manager that all are registered with. So a plugin may implement a hook of one that is loaded after it.
Everything is done in the order of the names; pluggy's ``tryfirst`` and ``trylast`` move a plugin to the front or
the end for that hook. Where plugins come from is in ``sources.py``, how hooks are called with wrappers in
``calling.py``.
"""

from __future__ import annotations

import inspect
import time
import traceback
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import ModuleType
from typing import Any

import pluggy

from tljh.engine.machine import redact
from tljh.plugins.manager import (
    BRINGS,
    LIST_HOOKS,
    SPECS,
    Findings,
    HookManager,
    PluginManager,
    examine,
    marked,
    typed_module,
)
from tljh.plugins.own_settings import OwnSettings
from tljh.plugins.sources import PluginSource, find_sources, name_fault

__all__ = [
    "LIST_HOOKS",
    "SPECS",
    "HookManager",
    "LoadedPlugin",
    "Loading",
    "PluginSource",
    "call",
    "describe",
    "find_sources",
    "in_order",
    "load_plugin",
    "load_plugins",
    "traceback_of",
]

Implementations = Mapping[str, Sequence[pluggy.HookImpl]]


@dataclass(frozen=True)
class LoadedPlugin:
    """A plugin that was loaded, or why it was not.

    Attributes:
        plugin: The module or object with the hooks; ``None`` where loading failed, or it is switched off.
        hooks: The hooks that can be called, with their rank: -1 ``tryfirst``, 0, 1 ``trylast``.
        wrappers: The same for the hooks that it wraps around all plugins'.
        failure: One sentence: why it could not be loaded.
        traceback: The whole traceback of that failure, for the log.
        broken: Hooks that can't be called, each with one sentence that says why.
        warnings: What the author probably didn't mean, one sentence each.
        seconds: How long importing and making it took.
        functions: What to call, by hook; wrapping: the same of the wrappers.
    """

    source: PluginSource
    plugin: object | None = None
    hooks: Mapping[str, int] = field(default_factory=dict)
    failure: str | None = None
    traceback: str = ""
    broken: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    wrappers: Mapping[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    functions: Implementations = field(default_factory=dict, repr=False)
    wrapping: Implementations = field(default_factory=dict, repr=False)

    @property
    def problems(self) -> tuple[str, ...]:
        """The failure and the broken hooks."""
        return ((self.failure,) if self.failure else ()) + tuple(self.broken.values())


class Loading:
    """Plugins being loaded: ``add`` each, ``bring`` what those with specifications have, then ``finish``.

    Args:
        settings: What config.yaml says for plugins; that of this machine when not given.
    """

    def __init__(self, settings: OwnSettings | None = None) -> None:
        self.settings = settings or OwnSettings.of_file()
        self.manager = PluginManager()
        self._plugins: list[LoadedPlugin] = []
        self._by_name: dict[str, PluginSource] = {}
        self._by_value: dict[tuple[str, str], PluginSource] = {}
        self._by_object: dict[int, PluginSource] = {}

    def add(self, source: PluginSource) -> LoadedPlugin:
        """Import one plugin, and make an object of a class. What it can do is known after ``finish``."""
        started = time.perf_counter()
        loaded = LoadedPlugin(source)
        if not source.off:
            loaded = self._imported(source)
            loaded = replace(loaded, seconds=time.perf_counter() - started)
        self._plugins.append(loaded)
        return loaded

    def bringing(self) -> list[LoadedPlugin]:
        """The plugins that have specifications for others."""
        return [plugin for plugin in self._plugins if _brings(plugin.plugin)]

    def bring(self, loaded: LoadedPlugin) -> None:
        """Take over the specifications of one plugin; it fails where they are wrong."""
        source = loaded.source
        try:
            found = examine(loaded.plugin, self.manager.specs, pending=True)
            problems = self.manager.bring(loaded.plugin, found, source.label)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            self._fail(loaded, f"{source.label}: {BRINGS} failed: {describe(error)}", traceback_of(error))
        else:
            if problems:
                self._fail(loaded, "; ".join(problems))

    def finish(self) -> list[LoadedPlugin]:
        """Register the plugins with one manager and tell of each what can be called."""
        self._plugins.sort(key=lambda loaded: (loaded.source.name, loaded.source.distribution))
        examined = [self._examined(loaded) for loaded in self._plugins]
        # pluggy calls first what was registered last, and we call in the order of the names
        self._plugins = [self._registered(*pair) for pair in reversed(examined)][::-1]
        functions, wrapping = _by_plugin(self.manager)
        return [_with_functions(plugin, functions, wrapping) for plugin in self._plugins]

    def _imported(self, source: PluginSource) -> LoadedPlugin:
        clash = self._clash(source)
        if clash:
            return LoadedPlugin(source, failure=f"{source.label} can't be loaded: {clash}")
        try:
            plugin, warnings = self._made(source.load(), source)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # sys.exit() in a plugin is a failure of that plugin
            sentence = f"{source.label} can't be loaded: {_reason(error)}"
            return LoadedPlugin(source, failure=sentence, traceback=traceback_of(error))
        other = self._by_object.setdefault(id(plugin), source)
        if other is not source:
            failure = f"{source.label} can't be loaded: it is {other.label}, once more"
            return LoadedPlugin(source, failure=failure)
        return LoadedPlugin(source, plugin, warnings=warnings)

    def _made(self, found: object, source: PluginSource) -> tuple[object, tuple[str, ...]]:
        """An object with hooks, of what the entry point or file has; and what its author should know."""
        warnings: tuple[str, ...] = ()
        typed = typed_module()
        if typed and isinstance(found, ModuleType):
            classes = typed.class_in(found)
            names = ", ".join(cls.__name__ for cls in classes)
            if next(marked(found), None):
                warnings = (f"{source.label}: it has hooks of its own, so {names} is not used",) if names else ()
            elif len(classes) > 1:
                raise TypeError(
                    f"it has several plugins ({names}); each needs an entry point or a file of its own"
                )
            elif classes:
                found = classes[0]
        if not inspect.isclass(found):
            return found, warnings
        if not (typed and issubclass(found, typed.Plugin)):
            return found(), warnings
        own = typed.name_of(found)
        if own and own != source.name:
            warnings = (
                f"{source.label}: it calls itself {own}; its name is {source.name}, "
                f"and its settings stand under plugins.{source.name}",
            )
        return typed.instance(found, self.settings.of(source.name), source.name, self.settings), warnings

    def _clash(self, source: PluginSource) -> str | None:
        """What keeps ``source`` from being loaded: its name, or an earlier plugin that has it or is the same."""
        fault = name_fault(source.name)
        if fault:
            return f"it can't have this name: {fault}"
        other = self._by_name.setdefault(source.name, source)
        if other is not source:
            theirs = f"{other.distribution} {other.version}" if other.distribution else other.path
            return f"there is another one of this name, from {theirs}"
        other = self._by_value.setdefault((source.value, source.distribution), source)
        if other is not source:
            return f"{source.distribution} registers {source.value} twice, as {other.name} already"
        return None

    def _fail(self, loaded: LoadedPlugin, sentence: str, trace: str = "") -> None:
        failed = LoadedPlugin(loaded.source, failure=sentence, traceback=trace, seconds=loaded.seconds)
        self._plugins = [failed if plugin is loaded else plugin for plugin in self._plugins]

    def _examined(self, loaded: LoadedPlugin) -> tuple[LoadedPlugin, Findings]:
        if loaded.plugin is None:
            return loaded, Findings()
        label = loaded.source.label
        try:
            found = examine(loaded.plugin, self.manager.specs)
        except Exception as error:
            return _unloadable(loaded, error), Findings()
        if not found.marks and not found.broken and not found.warnings:
            found.warnings.append("implements no hook")
        told = tuple(f"{label}: {sentence}" for sentence in found.warnings)
        broken = {hook: f"{label}: {sentence}" for hook, sentence in found.broken.items()}
        return replace(loaded, broken=broken, warnings=(*loaded.warnings, *told)), found

    def _registered(self, loaded: LoadedPlugin, found: Findings) -> LoadedPlugin:
        if loaded.plugin is None:
            return loaded
        try:
            self.manager.admit(loaded.plugin, loaded.source.name, found)
        except Exception as error:
            return _unloadable(loaded, error)
        return loaded


def load_plugins(
    sources: Iterable[PluginSource] | None = None, settings: OwnSettings | None = None
) -> list[LoadedPlugin]:
    """Load every plugin; those that can't be loaded say why, those that are switched off do nothing.

    Args:
        sources: The plugins; those of this process when not given.
        settings: What config.yaml says for plugins; that of this machine when not given.
    """
    return loading_of(sources, settings).finish()


def loading_of(sources: Iterable[PluginSource] | None = None, settings: OwnSettings | None = None) -> Loading:
    """Plugins that were imported, with the specifications that they bring; ``finish`` is left to do."""
    loading = Loading(settings)
    for source in find_sources() if sources is None else sources:
        loading.add(source)
    for plugin in loading.bringing():
        loading.bring(plugin)
    return loading


def load_plugin(source: PluginSource) -> LoadedPlugin:
    """Load one plugin by itself. A plugin whose value is a class is instantiated."""
    return load_plugins([source])[0]


def of_manager(manager: pluggy.PluginManager) -> list[LoadedPlugin]:
    """The plugins of a manager, by name, to be called one by one."""
    functions, wrapping = _by_plugin(manager)
    found = [
        LoadedPlugin(PluginSource(name, "", "", "", lambda: None), plugin)
        for name, plugin in sorted(manager.list_name_plugin())
        if plugin is not None
    ]
    return [_with_functions(loaded, functions, wrapping) for loaded in found]


def call(loaded: LoadedPlugin, hook: str, **arguments: Any) -> list[Any]:
    """Call one hook of one plugin, by pluggy's rules (an implementation may take fewer arguments).

    Wrappers are left out: ``calling.py`` has them.

    Returns:
        What its functions returned, without ``None``. It is more than one where ``specname`` was used.

    Raises:
        BaseException: whatever the plugin raises.
    """
    returned = (start(implementation, arguments) for implementation in loaded.functions.get(hook, ()))
    return [value for value in returned if value is not None]


def start(implementation: pluggy.HookImpl, arguments: Mapping[str, Any]) -> Any:
    """Call one function with those of the arguments that it takes."""
    positional = [arguments[name] for name in implementation.argnames]
    more = {name: arguments[name] for name in implementation.kwargnames if name in arguments}
    return implementation.function(*positional, **more)


def in_order(plugins: Sequence[LoadedPlugin], hook: str) -> list[LoadedPlugin]:
    """The plugins that implement ``hook``, in the order in which they are called."""
    return sorted(
        (plugin for plugin in plugins if hook in plugin.hooks),
        key=lambda plugin: (plugin.hooks[hook], plugin.source.name),
    )


def describe(error: BaseException) -> str:
    """The last line of an error's traceback, in one line and without secrets."""
    if isinstance(error, SystemExit):
        return f"it called sys.exit({'' if error.code is None else repr(error.code)})"
    text = _wrong_values(error) or " ".join(str(error).split())
    return redact(f"{type(error).__name__}: {text}" if text else type(error).__name__)


def _wrong_values(error: BaseException) -> str:
    """What pydantic found wrong with what it was given, without its own addresses and types; else nothing."""
    if not hasattr(error, "title") or not callable(found := getattr(error, "errors", None)):
        return ""
    told = [(".".join(map(str, row["loc"])), row["msg"].removeprefix("Value error, ")) for row in found()]
    return "; ".join(f"{error.title}{f'.{place}' if place else ''}: {message}" for place, message in told)


def traceback_of(error: BaseException) -> str:
    """The whole traceback of an error, without secrets."""
    return redact("".join(traceback.format_exception(type(error), error, error.__traceback__)))


def _reason(error: BaseException) -> str:
    """Why a plugin can't be loaded; wrong settings are told in our own words."""
    sentences = getattr(error, "sentences", None)
    return "; ".join(sentences) if sentences else describe(error)


def _unloadable(loaded: LoadedPlugin, error: BaseException) -> LoadedPlugin:
    sentence = f"{loaded.source.label} can't be loaded: {describe(error)}"
    return LoadedPlugin(loaded.source, failure=sentence, traceback=traceback_of(error), seconds=loaded.seconds)


def _brings(plugin: object | None) -> bool:
    """Whether a plugin has a function for ``tljh_hookspecs``."""
    try:
        return plugin is not None and any(hook == BRINGS for _, _, hook in marked(plugin))
    except Exception:  # looking at its functions fails: ``finish`` says so
        return False


_Functions = dict[str, dict[str, list[Any]]]


def _by_plugin(manager: pluggy.PluginManager) -> tuple[_Functions, _Functions]:
    """The functions of all plugins: name → hook → functions; those of wrappers apart."""
    functions: _Functions = defaultdict(lambda: defaultdict(list))
    wrapping: _Functions = defaultdict(lambda: defaultdict(list))
    for hook, caller in vars(manager.hook).items():
        for implementation in caller.get_hookimpls():
            wraps = implementation.wrapper or implementation.hookwrapper
            (wrapping if wraps else functions)[implementation.plugin_name][hook].append(implementation)
    return functions, wrapping


def _with_functions(
    loaded: LoadedPlugin, functions: Mapping[str, Implementations], wrapping: Mapping[str, Implementations]
) -> LoadedPlugin:
    if loaded.plugin is None:
        return loaded
    own, around = functions.get(loaded.source.name, {}), wrapping.get(loaded.source.name, {})
    return replace(
        loaded,
        hooks={hook: _rank(own[hook][0]) for hook in sorted(own)},
        wrappers={hook: _rank(around[hook][0]) for hook in sorted(around)},
        functions=own,
        wrapping=around,
    )


def _rank(implementation: pluggy.HookImpl) -> int:
    return int(implementation.trylast) - int(implementation.tryfirst)
