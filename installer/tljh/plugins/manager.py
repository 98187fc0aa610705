"""pluggy's manager with our specifications and those that plugins bring: ``tljh.PluginManager``.

For tests and embedding, plugins are registered here directly; ``loading.py`` registers those that are installed.
What is wrong with one function leaves out that function, not (as in pluggy) the whole plugin.
"""

from __future__ import annotations

import difflib
import inspect
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, cast

import pluggy

from tljh import hooks
from tljh.errors import TljhError

BRINGS = "tljh_hookspecs"
CORE_OWNER = "the core"
# how alike two names must be for the one to be taken for a misspelling of the other (difflib's ratio)
_ALIKE = 0.85


@dataclass(frozen=True)
class Spec:
    """What a hook gives to the functions that implement it, and who says so."""

    arguments: tuple[str, ...]
    firstresult: bool = False
    owner: str = CORE_OWNER

    def like(self, other: Spec) -> bool:
        """Whether both say the same."""
        return (self.arguments, self.firstresult) == (other.arguments, other.firstresult)

    def __str__(self) -> str:
        return f"({', '.join(self.arguments)})" + (" with one result" if self.firstresult else "")


def specs_of(namespace: object, owner: str) -> dict[str, tuple[Spec, object]]:
    """The functions of a module, class or object that are marked with ``@hookspec``, by name."""
    found = {}
    for name in dir(namespace):
        function = getattr(namespace, name)
        marks = getattr(function, "tljh_spec", None)
        if marks is None:
            continue
        arguments = list(inspect.signature(function).parameters)
        if inspect.isclass(namespace) and arguments[:1] == ["self"]:
            del arguments[0]
        found[name] = (Spec(tuple(arguments), bool(marks.get("firstresult")), owner), function)
    return found


CORE = {name: spec for name, (spec, _) in specs_of(hooks, CORE_OWNER).items()}
SPECS: Mapping[str, tuple[str, ...]] = {name: spec.arguments for name, spec in CORE.items()}
"""Every hook of the core with the names of its arguments."""

LIST_HOOKS = tuple(name for name in SPECS if name.startswith("tljh_extra_"))
"""The hooks that return what to install."""


@dataclass
class Findings:
    """What a look at the functions of a plugin brought.

    Attributes:
        marks: Of the functions that can be called, by the names that they have in the plugin.
        broken: Hooks that can't be called, each with what is wrong.
        warnings: What the author probably didn't mean.
    """

    marks: dict[str, pluggy.HookimplOpts] = field(default_factory=dict)
    broken: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


class PluginManager(pluggy.PluginManager):
    """Plugins and their hooks: ``manager.hook.tljh_extra_apt_packages()``.

    Args:
        plugins: Modules, classes or objects, called in this order (``tryfirst`` and ``trylast`` aside).
        settings: Of typed plugins (``tljh.Plugin``), by the plugins' names; as ``plugins:`` in config.yaml.

    Raises:
        TljhError: one of the plugins can't be used.
    """

    def __init__(
        self, plugins: Iterable[object] = (), *, settings: Mapping[str, Mapping[str, Any]] | None = None
    ) -> None:
        super().__init__(hooks.PROJECT)
        self.settings = dict(settings or {})
        self.specs: dict[str, Spec] = dict(CORE)
        self._marks: Mapping[str, pluggy.HookimplOpts] = {}
        self.add_hookspecs(hooks)
        # pluggy calls first what was registered last
        for plugin in reversed(list(plugins)):
            self.register(plugin)

    @property
    def plugins(self) -> dict[str, object]:
        """The plugins by name, in the order in which they are called."""
        return {name: plugin for name, plugin in reversed(self.list_name_plugin()) if plugin is not None}

    def register(self, plugin: object, name: str | None = None, overwrite: bool = False) -> str | None:
        """Add a plugin. A class is instantiated; a typed one gets its settings.

        Args:
            plugin: A module, class or object with functions that are marked with ``@hookimpl``.
            name: What it is called; otherwise its own ``name``, or that of its module or class.
            overwrite: Take out the one that has this name.

        Returns:
            What it is called.

        Raises:
            TljhError: its settings or one of its functions are wrong, or there is one of this name.
        """
        typed = typed_module()
        name = name or (typed and typed.name_of(plugin)) or self.get_canonical_name(plugin)
        there = self.get_plugin(name)
        if there is not None and not overwrite:
            raise TljhError(
                f"there is a plugin named {name} already: {there!r}",
                todo="register(…, overwrite=True) replaces it",
            )
        if inspect.isclass(plugin):
            plugin = typed.made(plugin, self.settings.get(name, {}), name) if typed else plugin()
        found = examine(plugin, self.specs, pending=True)
        problems = [f"plugin {name}: {sentence}" for sentence in found.broken.values()]
        problems += self.bring(plugin, found, f"plugin {name}")
        if problems:
            raise TljhError("\n".join(problems))
        if there is not None:
            self.unregister(there)
        return self.admit(plugin, name, found)

    def admit(self, plugin: object, name: str, found: Findings) -> str | None:
        """Register a plugin that was examined."""
        self._marks = found.marks
        try:
            done = super().register(plugin, name)
        finally:
            self._marks = {}
        if is_typed(plugin):
            plugin._manager = self  # type: ignore[attr-defined]
        return done

    def parse_hookimpl_opts(self, plugin: object, name: str) -> pluggy.HookimplOpts | None:
        """The marks of one function of the plugin that is being registered."""
        marks = self._marks.get(name)
        return marks.copy() if marks else None

    def bring(self, plugin: object, found: Findings, owner: str) -> list[str]:
        """Take over the specifications that a plugin brings, if it does.

        Returns:
            What is wrong with them, a sentence each; then none is taken over.
        """
        problems: list[str] = []
        taken: dict[str, tuple[Spec, object]] = {}
        for namespace in brought_by(plugin, found):
            specs = specs_of(namespace, owner)
            if not specs:
                problems.append(
                    f"{owner}: {BRINGS} returned {_called(namespace)}, which has no function with @hookspec"
                )
            for name, (spec, function) in specs.items():
                there = self.specs.get(name)
                if there is None:
                    taken[name] = spec, function
                elif there.owner == CORE_OWNER:
                    problems.append(f"{owner}: {BRINGS} brings {name}, which is a hook of the core")
                elif not there.like(spec):
                    problems.append(
                        f"{owner} and {there.owner} bring the hook {name} differently: "
                        f"{name}{spec} and {name}{there}"
                    )
        if taken and not problems:
            self.specs.update({name: spec for name, (spec, _) in taken.items()})
            module = ModuleType("tljh_specs")
            vars(module).update({name: function for name, (_, function) in taken.items()})
            self.add_hookspecs(module)
        return problems

    def unknown(self) -> list[str]:
        """A sentence for each function that is marked as a hook that nobody specifies; it is never called."""
        return [
            f"plugin {implementation.plugin_name}: {name} is not a hook{suggestion(name, self.specs)}"
            for name, caller in sorted(vars(self.hook).items())
            if name not in self.specs
            for implementation in caller.get_hookimpls()
            if not implementation.optionalhook
        ]


HookManager = PluginManager
"""The name that it had before it was public."""


def brought_by(plugin: object, found: Findings) -> Iterator[object]:
    """What ``tljh_hookspecs`` of a plugin returns: modules, classes or objects."""
    for attribute, marks in found.marks.items():
        if hook_of(attribute, marks) == BRINGS:
            returned = getattr(plugin, attribute)()
            single = isinstance(returned, ModuleType) or inspect.isclass(returned)
            if isinstance(returned, Iterable) and not single and not isinstance(returned, (str, bytes)):
                yield from returned
            elif returned is not None:
                yield returned


def examine(plugin: object, specs: Mapping[str, Spec], *, pending: bool = False) -> Findings:
    """Look at the functions of a plugin.

    Args:
        specs: The hooks that there are.
        pending: Keep functions for hooks that nobody specifies: the specification may come later.
    """
    found = Findings()
    for name in _candidates(plugin):
        if name.startswith("tljh_"):
            _unmarked(plugin, name, specs, found)
    for name, marks, hook in marked(plugin):
        spec = specs.get(hook)
        if spec is None and not pending:
            if not marks.get("optionalhook"):
                found.warnings.append(f"{hook} is not a hook{suggestion(hook, specs)}; it is never called")
            continue
        fault = _fault(hook, getattr(plugin, name), marks, spec)
        if fault:
            found.broken[hook] = fault
        else:
            found.marks[name] = marks
    return found


def typed_module() -> Any:
    """``tljh.plugins.typed``, which imports pydantic, where whoever has a typed plugin has imported it."""
    return sys.modules.get("tljh.plugins.typed")


def is_typed(plugin: object) -> bool:
    """Whether a plugin is an object of a class below ``tljh.Plugin``."""
    typed = typed_module()
    return typed is not None and isinstance(plugin, typed.Plugin)


def marked(plugin: object) -> Iterator[tuple[str, pluggy.HookimplOpts, str]]:
    """The functions of a plugin that are marked with ``@hookimpl``: name, marks and hook."""
    for name in _candidates(plugin):
        function = getattr(plugin, name)
        marks: Any = getattr(function, "tljh_impl", None) if inspect.isroutine(function) else None
        if isinstance(marks, dict):
            yield name, cast(pluggy.HookimplOpts, marks), marks.get("specname") or name


def hook_of(name: str, marks: pluggy.HookimplOpts) -> str:
    """The hook that a marked function of this name implements."""
    return marks.get("specname") or name


def suggestion(name: str, known: Iterable[str]) -> str:
    """ " (did you mean …?)" where one of ``known`` is like ``name``."""
    close = difflib.get_close_matches(name, list(known), 1)
    return f" (did you mean {close[0]}?)" if close else ""


def _candidates(plugin: object) -> Sequence[str]:
    """The names of a plugin that can be hooks; of a typed one without all that pydantic gives it."""
    typed = typed_module()
    if not is_typed(plugin):
        return dir(plugin)
    own = type(plugin).__mro__[: type(plugin).__mro__.index(typed.Plugin)]
    names = {name for kind in own for name, value in vars(kind).items() if inspect.isroutine(value)}
    return sorted(name for name in names if not name.startswith("__"))


def _fault(hook: str, function: Callable[..., Any], marks: pluggy.HookimplOpts, spec: Spec | None) -> str:
    """Why a marked function can't be called; empty where it can."""
    wraps = marks.get("wrapper") or marks.get("hookwrapper")
    if wraps and hook == BRINGS:
        return f"{hook} can't be wrapped"
    if wraps and not inspect.isgeneratorfunction(function):
        return f"{hook} is marked as a wrapper but has no yield"
    if marks.get("wrapper") and marks.get("hookwrapper"):
        return f"{hook} is marked as wrapper and as hookwrapper, which are two things"
    if spec and spec.owner == CORE_OWNER and _is_async(function):
        return f"{hook} is async, and hooks are plain functions: nobody would await it"
    by_keyword = _keyword_only(function)
    if by_keyword:
        return f"{hook} wants {', '.join(by_keyword)} by keyword (after *), and hooks are given plain arguments"
    surplus = _surplus_arguments(function, spec.arguments) if spec else []
    if spec and surplus:
        gives = ", ".join(spec.arguments) or "no arguments"
        return f"{hook} wants {', '.join(surplus)}, but the hook gives {gives}"
    return ""


def _unmarked(plugin: object, name: str, specs: Mapping[str, Spec], found: Findings) -> None:
    """Report a function that is named like a hook but isn't marked as one."""
    function = inspect.getattr_static(plugin, name, None)
    if not inspect.isroutine(function) or hasattr(function, "tljh_spec") or hasattr(function, "tljh_impl"):
        return
    if name in specs:
        found.warnings.append(f"{name} is named like a hook but has no @hookimpl; it is never called")
    elif difflib.get_close_matches(name, list(specs), 1, _ALIKE):
        found.warnings.append(f"{name} has no @hookimpl{suggestion(name, specs)}; it is never called")


def _is_async(function: Callable[..., Any]) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)


def _keyword_only(function: Callable[..., Any]) -> list[str]:
    """The arguments that a function must have and that pluggy can't give: it calls with plain ones."""
    return [
        parameter.name
        for parameter in _parameters(function)
        if parameter.kind is parameter.KEYWORD_ONLY and parameter.default is parameter.empty
    ]


def _parameters(function: Callable[..., Any]) -> Sequence[inspect.Parameter]:
    try:
        return list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return []  # a builtin without a signature: the call itself will tell


def _surplus_arguments(function: Callable[..., Any], given: Sequence[str]) -> list[str]:
    """The arguments that a function must have and the hook doesn't give."""
    needed = (
        parameter.name
        for parameter in _parameters(function)
        if parameter.default is parameter.empty
        and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    )
    return [name for name in needed if name not in given]


def _called(namespace: object) -> str:
    return getattr(namespace, "__name__", None) or repr(namespace)
