"""Plugins' ``tljh_custom_jupyterhub_config`` inside the hub, at each start.

``tljh_new_user_create`` is called where accounts are made (``tljh.user``).

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

import json
import logging
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path
from typing import Any

from tljh.engine.machine import Machine
from tljh.errors import TljhError
from tljh.plugins.loading import LoadedPlugin, PluginSource, call, describe, in_order, load_plugins, traceback_of
from tljh.plugins.snapshot import Snapshot, recorded

log = logging.getLogger("tljh.plugins")

CONFIG_HOOK = "tljh_custom_jupyterhub_config"
RECORD = "plugin-traits.json"

# the traits that decide who may log in and how servers are started
_GUARDED = re.compile(r"(^|\.)(authenticator_class|spawner_class)$|(Authenticator|Spawner)\.")
# the same in a source text
_MENTIONED = re.compile(r"\b(authenticator_class|spawner_class|\w*(Authenticator|Spawner))\b")


@dataclass(frozen=True)
class GoodRun:
    """What a plugin set when it last ran well."""

    version: str
    traits: tuple[str, ...]


def run_hub_hooks(
    c: Any,
    *,
    state_dir: Path,
    plugins: Iterable[LoadedPlugin] | None = None,
    machine: Machine | None = None,
    sources: Callable[[PluginSource], list[str]] | None = None,
) -> None:
    """Let every plugin change the hub's configuration; one that fails leaves it as it was.

    Args:
        c: The configuration, changed in place.
        state_dir: Where what each plugin sets is recorded.
        plugins: Those that are installed when not given.
        machine: Writes the record.
        sources: Finds the source texts of a plugin.

    Raises:
        TljhError: a plugin failed whose settings concern logging in or spawning.
    """
    loaded = load_plugins() if plugins is None else list(plugins)
    record = _read(state_dir / RECORD)
    runs: dict[str, GoodRun] = {}
    for plugin in [*in_order(loaded, CONFIG_HOOK), *(p for p in loaded if CONFIG_HOOK not in p.hooks)]:
        source = plugin.source
        if source.name in runs:  # the one of two plugins of this name that could be loaded has run
            log.error("%s", plugin.failure)
            continue
        run = _run(plugin, c, record.get(source.name), sources or _source_texts)
        if run:
            runs[source.name] = run
    _write(state_dir / RECORD, record, runs, machine or Machine())


def _run(
    plugin: LoadedPlugin, c: Any, last: GoodRun | None, sources: Callable[[PluginSource], list[str]]
) -> GoodRun | None:
    """Run one plugin's hook, or do what its failure asks for. Returns what is to be recorded."""
    source = plugin.source
    problem = plugin.failure or plugin.broken.get(CONFIG_HOOK)
    if problem:
        return _failed(source, problem, plugin.traceback, set(), last, sources)
    if CONFIG_HOOK not in plugin.hooks:
        return GoodRun(source.version, ())
    before = Snapshot(c)
    with recorded(c) as assigned:
        try:
            call(plugin, CONFIG_HOOK, c=c)
            problem = trace = ""
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            problem, trace = f"{source.label}: {CONFIG_HOOK} failed: {describe(error)}", traceback_of(error)
    traits = assigned | before.changed()
    if not problem:
        return GoodRun(source.version, tuple(sorted(traits)))
    before.restore()
    return _failed(source, problem, trace, traits, last, sources)


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
            todo=f"install a version of {source.distribution or source.name} that works, or uninstall it and "
            "choose another authenticator (tljh-config set auth.type CLASS); then tljh-config reload hub",
        )
    log.error("%s; the hub starts without this plugin's settings\n%s", problem, trace)
    return last


def _suspicion(texts: list[str]) -> str:
    """Why a plugin of which nothing is known might be one that decides about logging in or spawning."""
    if not texts:
        return "it has never run well, and what it would set is not known"
    mentioned = sorted({found[1] for text in texts for found in _MENTIONED.finditer(text)})
    return f"it has never run well in this version, and its source mentions {mentioned[0]}" if mentioned else ""


def _source_texts(source: PluginSource) -> list[str]:
    """The Python sources of a plugin, found without importing it."""
    files: list[Path] = []
    try:
        listed = metadata.distribution(source.distribution).files or ()
        files = [Path(str(file.locate())) for file in listed if file.suffix == ".py"]
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


def _read(path: Path) -> dict[str, GoodRun]:
    """The record; empty where there is none or it can't be read (then nothing is known of any plugin)."""
    try:
        found: Mapping[str, Any] = json.loads(path.read_text())["plugins"]
        return {name: GoodRun(run["version"], tuple(run["traits"])) for name, run in found.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        log.warning("%s can't be read, so it is written anew: %s", path, describe(error))
        return {}


def _write(path: Path, before: dict[str, GoodRun], runs: dict[str, GoodRun], machine: Machine) -> None:
    if runs == before and path.exists():
        return
    plugins = {name: {"version": run.version, "traits": list(run.traits)} for name, run in sorted(runs.items())}
    text = json.dumps({"format": 1, "plugins": plugins}, indent=1) + "\n"
    machine.write_file(path, text.encode(), mode=0o600)
