"""Finds the installed plugins and loads each by itself: what is wrong with one is told and stops no other.

Plugins are entry points of the group ``tljh``. Everything is done in the order of their names; pluggy's
``tryfirst`` and ``trylast`` move a plugin to the front or the end for that hook. Calling hooks for a purpose
(during an install, inside the hub) is not here.
"""

from __future__ import annotations

import difflib
import inspect
import re
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from typing import Any

import pluggy

from tljh import hooks
from tljh.engine.machine import redact

SPECS: Mapping[str, tuple[str, ...]] = {
    name: tuple(inspect.signature(function).parameters)
    for name, function in vars(hooks).items()
    if name.startswith("tljh_")
}
"""Every hook with the names of its arguments."""

LIST_HOOKS = tuple(name for name in SPECS if name.startswith("tljh_extra_"))
"""The hooks that return what to install."""

# how alike two names must be for the one to be taken for a misspelling of the other (difflib's ratio)
_ALIKE = 0.85


@dataclass(frozen=True)
class PluginSource:
    """One entry point of the group ``tljh``, not loaded yet."""

    name: str
    value: str
    distribution: str
    version: str
    load: Callable[[], object]

    @property
    def label(self) -> str:
        """What a message calls it: its name, and the version of the package that brings it."""
        package = "" if _canonical(self.distribution) == _canonical(self.name) else f"{self.distribution} "
        return f"plugin {self.name} ({package}{self.version})"


@dataclass(frozen=True)
class LoadedPlugin:
    """A plugin that was loaded, or why it was not.

    Attributes:
        plugin: The module or object with the hooks; ``None`` where loading failed.
        hooks: The hooks that can be called, with their rank: -1 ``tryfirst``, 0, 1 ``trylast``.
        failure: One sentence: why it could not be loaded.
        traceback: The whole traceback of that failure, for the log.
        broken: Hooks that can't be called, each with one sentence that says why.
        warnings: What the author probably didn't mean, one sentence each.
    """

    source: PluginSource
    plugin: object | None = None
    hooks: Mapping[str, int] = field(default_factory=dict)
    failure: str | None = None
    traceback: str = ""
    broken: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    @property
    def problems(self) -> tuple[str, ...]:
        """The failure and the broken hooks."""
        return ((self.failure,) if self.failure else ()) + tuple(self.broken.values())


@dataclass
class _Findings:
    """What a look at the functions of a plugin brought."""

    broken: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


class HookManager(pluggy.PluginManager):
    """pluggy's manager with our specifications.

    A function that can't be called leaves out that function, not (as in pluggy) the whole plugin; ``findings``
    says which and why.
    """

    def __init__(self) -> None:
        super().__init__(hooks.PROJECT)
        self.findings = _Findings()
        self.add_hookspecs(hooks)

    def parse_hookimpl_opts(self, plugin: object, name: str) -> pluggy.HookimplOpts | None:
        """The marks of one function, or ``None`` where it isn't a hook that we can call."""
        opts = super().parse_hookimpl_opts(plugin, name)
        if opts is None:
            self._unmarked(plugin, name)
            return None
        hook = opts.get("specname") or name
        if hook not in SPECS:
            if not opts.get("optionalhook"):
                self.findings.warnings.append(f"{hook} is not a hook{_suggestion(hook)}; it is never called")
            return None
        if opts.get("wrapper") or opts.get("hookwrapper"):
            self.findings.warnings.append(f"{hook} is a hook wrapper; it is never called")
            return None
        surplus = _surplus_arguments(getattr(plugin, name), SPECS[hook])
        if surplus:
            gives = ", ".join(SPECS[hook]) or "no arguments"
            self.findings.broken[hook] = f"{hook} wants {', '.join(surplus)}, but the hook gives {gives}"
            return None
        return opts

    def _unmarked(self, plugin: object, name: str) -> None:
        """Report a function that is named like a hook but isn't marked as one."""
        if not name.startswith("tljh_"):
            return
        function = inspect.getattr_static(plugin, name, None)
        if not inspect.isroutine(function) or hasattr(function, "tljh_spec"):
            return
        if name in SPECS:
            self.findings.warnings.append(f"{name} is named like a hook but has no @hookimpl; it is never called")
        elif difflib.get_close_matches(name, SPECS, 1, _ALIKE):
            self.findings.warnings.append(f"{name} has no @hookimpl{_suggestion(name)}; it is never called")


def find_sources() -> list[PluginSource]:
    """The plugins that are installed in this interpreter's environment, by name."""
    found = [
        PluginSource(
            name=entry.name,
            value=entry.value,
            distribution=entry.dist.name if entry.dist else "",
            version=entry.dist.version if entry.dist else "",
            load=entry.load,
        )
        for entry in metadata.entry_points(group=hooks.PROJECT)
    ]
    return sorted(found, key=lambda source: (source.name, source.distribution))


def load_plugins(sources: Iterable[PluginSource] | None = None) -> list[LoadedPlugin]:
    """Load every plugin; those that can't be loaded say why.

    Args:
        sources: The plugins; those that are installed when not given.
    """
    loaded: list[LoadedPlugin] = []
    for source in find_sources() if sources is None else sources:
        loaded.append(load_plugin(source, loaded))
    return loaded


def load_plugin(source: PluginSource, before: Sequence[LoadedPlugin] = ()) -> LoadedPlugin:
    """Import one plugin and look at its functions. A plugin whose value is a class is instantiated.

    Args:
        before: Those that were loaded already; another one of the same name is refused.
    """
    clash = _clash(source, before)
    if clash:
        return LoadedPlugin(source, failure=f"{source.label} can't be loaded: {clash}")
    try:
        plugin = source.load()
        if inspect.isclass(plugin):
            plugin = plugin()
        manager = manager_of(plugin, source.name)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # sys.exit() in a plugin is a failure of that plugin
        sentence = f"{source.label} can't be loaded: {describe(error)}"
        return LoadedPlugin(source, failure=sentence, traceback=traceback_of(error))
    ranks = {}
    for caller in manager.get_hookcallers(plugin) or ():
        implementation = caller.get_hookimpls()[0]
        ranks[caller.name] = int(implementation.trylast) - int(implementation.tryfirst)
    findings = manager.findings
    if not ranks and not findings.broken and not findings.warnings:
        findings.warnings.append("implements no hook")
    return LoadedPlugin(
        source,
        plugin,
        dict(sorted(ranks.items())),
        broken={hook: f"{source.label}: {sentence}" for hook, sentence in findings.broken.items()},
        warnings=tuple(f"{source.label}: {sentence}" for sentence in findings.warnings),
    )


def manager_of(plugin: object, name: str) -> HookManager:
    """A manager that holds this one plugin."""
    manager = HookManager()
    manager.register(plugin, name)
    return manager


def call(loaded: LoadedPlugin, hook: str, **arguments: Any) -> list[Any]:
    """Call one hook of one plugin, by pluggy's rules (an implementation may take fewer arguments).

    Returns:
        What its functions returned, without ``None``. It is more than one where ``specname`` was used.

    Raises:
        BaseException: whatever the plugin raises.
    """
    manager = manager_of(loaded.plugin, loaded.source.name)
    results: list[Any] = getattr(manager.hook, hook)(**arguments)
    return results


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
    text = " ".join(str(error).split())
    return redact(f"{type(error).__name__}: {text}" if text else type(error).__name__)


def traceback_of(error: BaseException) -> str:
    """The whole traceback of an error, without secrets."""
    return redact("".join(traceback.format_exception(type(error), error, error.__traceback__)))


def _clash(source: PluginSource, before: Sequence[LoadedPlugin]) -> str | None:
    """What keeps ``source`` from being loaded, where an earlier plugin has its name or is the same object."""
    for other in (plugin.source for plugin in before):
        if other.name == source.name:
            return f"there is another one of this name, from {other.distribution} {other.version}"
        if (other.value, other.distribution) == (source.value, source.distribution):
            return f"{source.distribution} registers {source.value} twice, as {other.name} already"
    return None


def _surplus_arguments(function: object, given: Sequence[str]) -> list[str]:
    """The arguments that a function must have and the hook doesn't give."""
    try:
        parameters = inspect.signature(function).parameters  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return []  # a builtin without a signature: the call itself will tell
    needed = (
        parameter.name
        for parameter in parameters.values()
        if parameter.default is parameter.empty
        and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    )
    return [name for name in needed if name not in given]


def _suggestion(name: str) -> str:
    close = difflib.get_close_matches(name, SPECS, 1)
    return f" (did you mean {close[0]}?)" if close else ""


def _canonical(name: str) -> str:
    """A distribution's name as PyPA's name normalisation has it."""
    return re.sub(r"[-_.]+", "-", name).lower()
