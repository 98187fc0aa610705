"""What a good install leaves in the store, so that it can be shown, compared and gone back to."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tljh.engine.facts import Facts
from tljh.plugins.recorded import as_record
from tljh.resources.environments.environment import discard, unused
from tljh.resources.locks.lock import Lock, record_of
from tljh.resources.plugin_account import PluginAccount, PluginGroup
from tljh.stages import environments, plugins, system_packages
from tljh.stages.backups import restored
from tljh.stages.context import Context
from tljh.stages.contributed import plugin_deeds
from tljh.stages.leaving import removal
from tljh.stages.leaving.removal import KEPT_ENVIRONMENTS
from tljh.stages.locks import locking
from tljh.stages.taking_over import takeover


def record(context: Context, run: int, command: str) -> int:
    """Record what is there now as a generation, and clean up what only earlier ones needed; returns its number."""
    removal.finish(context)
    plugin_deeds.finish(context)
    system_packages.finish(context)
    owned = context.store.owned()
    for resource in context.resources:
        context.store.attribute(resource)
        if isinstance(resource, PluginAccount | PluginGroup) and resource.wanted and resource.id in owned:
            resource.remember(context.machine)
    # what is called done must not be gone when the power fails now
    context.machine.sync(*(Path(name) for name in ("/etc", "/usr", "/var")), context.paths.prefix)
    if context.earlier and context.earlier.newest and is_recorded(context):
        number = context.store.gone_back()  # the newest generation, after a run that failed
    else:
        number = context.store.add_generation(run, command, _what_is_there(context))
    _remove_unused(context)
    removal.drop_wheels(context)
    context.conda.prune(context.machine.at(context.paths.envs).glob("*-*"))
    restored.finish(context)
    context.store.end_run(run, "done")  # last: after a kill before this, the next run cleans up
    _copy_store(context)
    return number


def _copy_store(context: Context) -> None:
    try:
        context.store.copy()
    except (OSError, sqlite3.Error) as error:  # all else is done, and the copy before this one is still there
        context.reporter.warn(f"the state database could not be copied: {error}")


def is_recorded(context: Context) -> bool:
    """Whether the newest generation is what is there now.

    It is not when a run was cut off at its end, or when the admin has changed something that is no resource.
    """
    return _compared(context.store.newest()) == _compared(_what_is_there(context))


def _compared(record: Mapping[str, Any]) -> dict[str, Any]:
    found = {key: record.get(key) for key in ("config", "plugins", "environments", "locks")}
    found["followed"] = record.get("followed", {})
    # how long a hook took says nothing of what is there, and is another each time
    reports = {
        name: {key: value for key, value in report.items() if key != "seconds"}
        for name, report in record.get("reports", {}).items()
    }
    return {**found, "reports": reports}


def _what_is_there(context: Context) -> dict[str, Any]:
    reports = plugins.to_record(context)
    locks = {"hub": context.required("hub_lock"), "user": context.required("user_lock")}
    targets = {"hub": context.required("hub_target"), "user": context.required("user_target")}
    for environment in context.environments:
        locks[environment.name] = environment.lock
        targets[environment.name] = environment.target
    found: dict[str, Any] = {
        "config": context.config_text,
        "plugins": {report.name: report.version for report in reports},
        "reports": {report.name: as_record(report) for report in reports},
        "environments": {name: path.name for name, path in targets.items()},
        "locks": {name: _as_json(lock) for name, lock in locks.items()},
        "memory": context.store.memory(),
        "followed": locking.texts(context),
    }
    if context.went_back is not None:
        found["of"] = context.went_back
    return dict(json.loads(json.dumps(found)))


def _as_json(lock: Lock) -> Any:
    return json.loads(record_of(lock, {}))


def lock_of(record: Mapping[str, Any], name: str) -> Lock | None:
    """The lock of one environment of a generation; ``None`` where it has none."""
    return Lock.of_record(record.get("locks", {}).get(name, {}))


def _remove_unused(context: Context) -> None:
    kept = {name for g in context.store.generations(KEPT_ENVIRONMENTS) for name in g["environments"].values()}
    facts = Facts(context.machine)
    kept |= takeover.kept_environments(context.paths, context.store)
    links = (context.paths.hub, context.paths.user, *environments.named_links(context).values())
    kept |= {facts.real_path(link).name for link in links}  # what a stage that was left alone still uses
    for path in unused(facts, context.paths.envs, kept):
        discard(context.machine, path)
