"""What the last install recorded of each plugin: enough to list, switch off and remove one that can't be loaded.

Nothing here imports a plugin; the store is read, and what the hub keeps of its last start is given.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from tljh.engine.parsers import canonical_name
from tljh.engine.store import Store
from tljh.errors import TljhError
from tljh.plugins.contributions import PluginReport
from tljh.plugins.recorded import from_record

if TYPE_CHECKING:
    import click
    from click.shell_completion import CompletionItem

ACTIVE, DISABLED, FAILED = "active", "disabled", "failed"
OFF = "disabled"
"""The kind of wish that names the plugins which are switched off."""
PROBLEMS = "problem of "
"""How the kind of wish begins that keeps why a plugin failed in the last run."""
NOT_YET = "asked for, but no install has brought it yet; 'tljh install' goes on"
NO_PLUGIN = "its package is installed, but it is no plugin of TLJH"


@dataclass(frozen=True)
class Known:
    """One plugin, as the last install left it.

    Attributes:
        state: ``active``, ``disabled`` or ``failed``.
        why: Why it failed; a sentence for each reason.
        spec: What was asked for to get it, as pip takes it; empty for a plugin that is a file.
    """

    report: PluginReport
    state: str = ACTIVE
    why: tuple[str, ...] = ()
    spec: str = ""

    @property
    def name(self) -> str:
        return self.report.name

    @property
    def package(self) -> str:
        """The canonical name of the package that brings it; empty for a file."""
        return canonical_name(self.report.distribution)

    @property
    def kind(self) -> str:
        """``package``, ``file`` or ``import``."""
        return self.report.source

    @property
    def place(self) -> str:
        """Where it comes from, in a word for a list."""
        if self.report.source != "package":
            return self.report.origin_path or self.report.source
        return self.spec or self.report.distribution


def _named(spec: str) -> str:
    """The canonical name of the package that a spec names; empty of a URL or a path."""
    found = re.match(r"\s*([A-Za-z0-9][\w.-]*)\s*([\[<>=!~;@(]|$)", spec)
    return canonical_name(found[1]) if found else ""


def known(
    store: Store,
    distribution_of: Callable[[str], str] = _named,
    in_hub: Mapping[str, str] = MappingProxyType({}),
) -> list[Known]:
    """Every plugin that the last install left or that was asked for since, by name.

    Args:
        distribution_of: The canonical name of the package that a spec stands for; empty where nobody knows.
        in_hub: Plugin → why it failed when the hub was last started.
    """
    newest = store.newest()
    specs = {distribution_of(spec) or spec: spec for spec in store.wishes("plugin")}
    off = set(store.wishes(OFF))
    found = [_known(report, off, specs, store, in_hub) for report in recorded_reports(newest)]
    there = {plugin.package for plugin in found}
    pinned = _distributions(newest)
    for package, spec in specs.items():
        if package not in there:
            why = NO_PLUGIN if package in pinned else NOT_YET
            found.append(Known(PluginReport(package, package, ""), FAILED, (why,), spec))
    return sorted(found, key=lambda plugin: plugin.name)


def _known(
    report: PluginReport, off: set[str], specs: dict[str, str], store: Store, in_hub: Mapping[str, str]
) -> Known:
    spec = specs.get(canonical_name(report.distribution), "") if report.source == "package" else ""
    said = [*report.problems, *store.wishes(f"{PROBLEMS}{report.name}"), in_hub.get(report.name, "")]
    why = tuple(dict.fromkeys(filter(None, said)))
    state = DISABLED if report.name in off else FAILED if why or report.state == FAILED else ACTIVE
    return Known(report, state, why, spec)


def recorded_reports(generation: Mapping[str, Any]) -> list[PluginReport]:
    """The reports of a generation, by name."""
    return [from_record(record) for _, record in sorted(generation.get("reports", {}).items())]


def newest_reports(store: Store) -> list[PluginReport]:
    """What the last install recorded of each plugin, by name."""
    return recorded_reports(store.newest())


def _distributions(generation: Any) -> set[str]:
    """The canonical names of what the hub environment holds, as its lock has them."""
    lines = generation.get("locks", {}).get("hub", {}).get("lock", ())
    return {canonical_name(line.replace(" @ ", "==").partition("==")[0].partition("[")[0]) for line in lines}


def note_problems(store: Store, reports: Iterable[PluginReport]) -> None:
    """Remember which plugins failed, and forget that of those which work now."""
    for report in reports:
        kind = f"{PROBLEMS}{report.name}"
        if store.wishes(kind) != list(report.problems):
            store.set_wishes(kind, report.problems)


def forget_problems(store: Store, name: str) -> None:
    """The plugin is gone, and so is what was wrong with it."""
    if store.wishes(f"{PROBLEMS}{name}"):
        store.set_wishes(f"{PROBLEMS}{name}", ())


def note_failed_hooks(store: Store, reports: Iterable[PluginReport], sentences: Sequence[str]) -> None:
    """Remember which plugins' hooks failed in an install that went on without them."""
    for report in reports:
        mine = [
            sentence for sentence in sentences if sentence.startswith(report.label or f"plugin {report.name} ")
        ]
        if mine:
            store.set_wishes(f"{PROBLEMS}{report.name}", [*report.problems, *mine])


def chosen(plugins: Sequence[Known], names: Iterable[str]) -> list[Known]:
    """The plugins that an admin names, by their own name or by that of their package.

    Raises:
        TljhError: there is none of such a name.
    """
    found: dict[str, Known] = {}
    for name in names:
        same = canonical_name(name)
        fitting = [plugin for plugin in plugins if plugin.name == name]
        fitting = fitting or [plugin for plugin in plugins if canonical_name(plugin.name) == same]
        fitting = fitting or [plugin for plugin in plugins if same and plugin.package == same]
        if not fitting:
            raise _unknown(name, plugins)
        found.update({plugin.name: plugin for plugin in fitting})
    return list(found.values())


def together_with(plugins: Sequence[Known], some: Iterable[Known]) -> list[Known]:
    """``some`` and the plugins that come in the same packages, by name."""
    packages = {plugin.package for plugin in some if plugin.package}
    names = {plugin.name for plugin in some}
    return [plugin for plugin in plugins if plugin.name in names or plugin.package in packages]


def in_words(words: Sequence[str]) -> str:
    """``a, b and c``."""
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))


def _unknown(name: str, plugins: Sequence[Known]) -> TljhError:
    every = dict.fromkeys(word for plugin in plugins for word in (plugin.name, plugin.package) if word)
    near = difflib.get_close_matches(name, every, n=1)
    listed = ", ".join(plugin.name for plugin in plugins)
    return TljhError(
        f"no plugin {name!r} is installed" + (f"; did you mean {near[0]!r}?" if near else ""),
        todo=f"choose one of: {listed}" if listed else "tljh plugin add SPEC installs one",
    )


def complete_name(context: click.Context, parameter: click.Parameter, begun: str) -> list[CompletionItem]:
    """Tab completion of plugins' names; what was typed already is not offered again."""
    from click.shell_completion import CompletionItem

    from tljh.paths import Paths

    given = context.params.get(parameter.name or "") or ()
    typed = {given} if isinstance(given, str) else set(given)
    try:
        with Store(Paths.from_environment().store, read_only=True) as store:
            plugins = known(store)
    except (TljhError, OSError):
        return []  # a completion has nowhere to say why
    return [
        CompletionItem(plugin.name, help=f"{plugin.report.version} {plugin.state}".strip())
        for plugin in plugins
        if plugin.name.startswith(begun) and plugin.name not in typed
    ]
