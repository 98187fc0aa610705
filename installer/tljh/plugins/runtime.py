"""Plugins' ``tljh_custom_jupyterhub_config`` inside the hub, at each start.

Their other hooks inside the hub are in ``moments.py``.

A plugin that fails costs only its own settings, unless those settings decide who may log in or how servers are
started. Without them another authenticator would answer, one that may let strangers take accounts; then the hub
does not start. How that is decided for a failing plugin:

* the traits that it set when it last ran well are recorded in ``state/plugin-traits.json``; any of them that
  concerns logging in or spawning is reason enough;
* so is any that it had set this time before it failed;
* if it never ran well in this version, its source is looked at, without running it: where it says the name of
  such a trait, or where no source is found, the hub does not start.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Mapping
from importlib import metadata, util
from pathlib import Path
from typing import Any

from tljh.engine.machine import Machine
from tljh.errors import TljhError
from tljh.plugins import hub_record
from tljh.plugins.calling import call_all
from tljh.plugins.hub_record import GoodRun, HubRecord
from tljh.plugins.loading import LoadedPlugin, PluginSource, describe, load_plugins, traceback_of
from tljh.plugins.snapshot import Snapshot, recorded

log = logging.getLogger("tljh.plugins")

CONFIG_HOOK = "tljh_custom_jupyterhub_config"

# the traits that decide who may log in and how servers are started
_GUARDED = re.compile(r"(^|\.)(authenticator_class|spawner_class)$|(Authenticator|Spawner)\.")
# the same in a source text
_MENTIONED = re.compile(r"\b(authenticator_class|spawner_class|\w*(Authenticator|Spawner))\b")


def run_hub_hooks(
    c: Any,
    *,
    state_dir: Path,
    record: bool = True,
    plugins: Iterable[LoadedPlugin] | None = None,
    machine: Machine | None = None,
    sources: Callable[[PluginSource], list[str]] | None = None,
) -> None:
    """Let every plugin change the hub's configuration; one that fails leaves it as it was.

    Args:
        c: The configuration, changed in place.
        state_dir: Where what each plugin sets is recorded.
        record: Whether it is recorded anew; the hub that serves does so.
        plugins: Those that are installed when not given.
        machine: Writes the record.
        sources: Finds the source texts of a plugin.

    Raises:
        TljhError: a plugin failed whose settings concern logging in or spawning.
    """
    loaded = load_plugins() if plugins is None else list(plugins)
    before = hub_record.read(state_dir)
    start = _Start(c, before.runs, sources or _source_texts)

    def keep(runs: Mapping[str, GoodRun]) -> None:
        after = HubRecord(runs, start.failed)
        if record and (after != before or not (state_dir / hub_record.NAME).exists()):
            hub_record.write(state_dir, after, machine or Machine())

    try:
        start.call([plugin for plugin in loaded if not plugin.source.off])
    except TljhError:
        keep(before.runs)  # of the others nothing new is known
        raise
    keep(start.runs)


class _Start:
    """One start of the hub: the plugins' hooks on ``c``, each kept apart.

    Attributes:
        runs: What is to be recorded of each plugin.
        failed: Why plugins failed.
    """

    def __init__(
        self, c: Any, record: Mapping[str, GoodRun], sources: Callable[[PluginSource], list[str]]
    ) -> None:
        self.c = c
        self.record = record
        self.sources = sources
        self.runs: dict[str, GoodRun] = {}
        self._traits: dict[str, set[str]] = {}
        self.failed: dict[str, str] = {}
        self._now = Snapshot(c)

    def call(self, loaded: list[LoadedPlugin]) -> None:
        """Call the hook of all plugins, and do what the failures ask for."""
        working = [plugin for plugin in loaded if not self._problem(plugin)]
        call_all(working, CONFIG_HOOK, {"c": self.c}, self._guard)
        for plugin in loaded:
            name, problem = plugin.source.name, self._problem(plugin)
            if name in self.runs and problem:  # the one of two plugins of this name that could be loaded has run
                log.error("%s", problem)
            elif problem:
                self._fail(plugin.source, problem, plugin.traceback)
            elif name not in self.failed:
                self.runs[name] = GoodRun(plugin.source.version, tuple(sorted(self._traits.get(name, ()))))

    def _problem(self, plugin: LoadedPlugin) -> str | None:
        return plugin.failure or plugin.broken.get(CONFIG_HOOK)

    def _guard(self, plugin: LoadedPlugin, work: Callable[[], None]) -> bool:
        """Run one plugin's function, or half of its wrapper; what a failing one did to ``c`` is taken back."""
        source = plugin.source
        before = self._now
        problem = trace = ""
        with recorded(self.c) as assigned:
            try:
                work()
            except KeyboardInterrupt:
                raise
            except BaseException as error:
                problem, trace = f"{source.label}: {CONFIG_HOOK} failed: {describe(error)}", traceback_of(error)
        now = Snapshot(self.c)
        traits = self._traits.setdefault(source.name, set())
        traits |= assigned | before.until(now)
        self._now = before if problem else now
        if problem:
            before.restore()
            self._fail(source, problem, trace)
        return not problem

    def _fail(self, source: PluginSource, problem: str, trace: str) -> None:
        self.failed[source.name] = problem
        last = self.record.get(source.name)
        kept = _failed(source, problem, trace, self._traits.get(source.name, set()), last, self.sources)
        self.runs.pop(source.name, None)
        if kept:
            self.runs[source.name] = kept


def _failed(
    source: PluginSource,
    problem: str,
    trace: str,
    traits: set[str],
    last: GoodRun | None,
    sources: Callable[[PluginSource], list[str]],
) -> GoodRun | None:
    """Say that the hub starts without the plugin's settings, or refuse to start it."""
    guarded = sorted(trait for trait in traits.union(last.traits if last else ()) if _GUARDED.search(trait))
    if guarded:
        why = f"it sets {', '.join(guarded)}"
    elif last is None or last.version != source.version:
        why = _suspicion(sources(source))
    else:
        why = ""
    if why:
        log.error("%s\n%s", problem, trace)
        raise TljhError(
            f"{problem}\nThe hub does not start without this plugin's settings, because {why}: "
            "strangers could log in, or servers run with other rights, with what would be in its place.",
            todo=f"{_way_out(source)} and choose another authenticator (tljh-config set auth.type CLASS); "
            "then tljh-config reload hub",
        )
    log.error("%s; the hub starts without this plugin's settings\n%s", problem, trace)
    return last


def _way_out(source: PluginSource) -> str:
    if source.path:
        return f"mend {source.path}, or move it away"
    return f"install a version of {source.distribution or source.name} that works, or uninstall it"


def _suspicion(texts: list[str]) -> str:
    """Why a plugin of which nothing is known might be one that decides about logging in or spawning."""
    if not texts:
        return "it has never run well, and what it would set is not known"
    mentioned = sorted({found[1] for text in texts for found in _MENTIONED.finditer(text)})
    return f"it has never run well in this version, and its source mentions {mentioned[0]}" if mentioned else ""


def _source_texts(source: PluginSource) -> list[str]:
    """The Python sources of a plugin, found without importing it."""
    files = [Path(source.path)] if source.kind == "file" else []
    try:
        listed = metadata.distribution(source.distribution).files or ()
        files += [Path(str(file.locate())) for file in listed if file.suffix == ".py"]
    except (metadata.PackageNotFoundError, ValueError):
        log.debug("%s: no such distribution", source.label)
    if not files:  # an editable install lists none of its own
        files = _module_files(source.value.partition(":")[0].partition(".")[0].strip())
    return [file.read_text(errors="replace") for file in files if file.is_file()]


def _module_files(name: str) -> list[Path]:
    """The files of a top-level module or package, which finding does not import."""
    try:
        spec = util.find_spec(name)
    except (ImportError, ValueError):
        return []
    if spec is None:
        return []
    folders = [Path(folder) for folder in spec.submodule_search_locations or ()]
    if folders:
        return sorted(file for folder in folders for file in folder.rglob("*.py"))
    return [Path(spec.origin)] if spec.origin else []
