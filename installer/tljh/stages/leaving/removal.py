"""Taking plugins out: which specs go, which keys of config.yaml, what they may still do, and what stays.

What a plugin contributed goes by itself, because nobody wants it any more. Here is what a diff can't know: the
keys that it set, its last word (``tljh_post_remove``), and what cannot be undone. All of it is worked out from
what the last install recorded, so a run that was cut off goes on where it stopped, and a broken plugin can go.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tljh.engine.build import Stage
from tljh.engine.machine import Machine
from tljh.engine.parsers import canonical_name
from tljh.engine.resource import Diff, Resource, State
from tljh.engine.store import HookRun
from tljh.errors import TljhError
from tljh.plugins import merge
from tljh.plugins.contributions import PluginReport
from tljh.plugins.known import DISABLED, forget_problems, in_words, newest_reports, recorded_reports
from tljh.plugins.merge import Setting
from tljh.plugins.values import ABSENT, same
from tljh.resources.environments.environment import discard
from tljh.resources.hook import Hooks
from tljh.resources.locks.lock import RECORD, Lock, Requested
from tljh.settings.document import Document
from tljh.stages.context import Context
from tljh.stages.contributed.deployment import python_of_last_time
from tljh.stages.locks.locking import folder_of

HOOK = "tljh_post_remove"
CONFIG_HOOK = "tljh_config_post_install"
IMPERATIVE = (CONFIG_HOOK, "tljh_post_install", "tljh_new_user_create", "tljh_user_deleted", "tljh_pre_spawn")
"""Hooks in which a plugin may do anything at all."""
KEPT_ENVIRONMENTS = 3
"""Of how many generations the environments are kept; older ones are built again from their locks."""
KEPT_WHEELS = 20
"""Of how many generations is kept what was built from local sources: nobody could bring it again."""
TIMEOUT = 60.0  # seconds for one plugin's last word
log = logging.getLogger("tljh.plugins")


# ---- specs


def distribution_of(spec: str, sources: Mapping[str, Mapping[str, str]], pins: Mapping[str, str]) -> str:
    """The canonical name of the package that a plugin's spec stands for; empty where nobody knows.

    Args:
        sources: Of the hub environment's lock: what local specs were built to.
        pins: Of the same lock.
    """
    requirement = sources.get(spec, {}).get("requirement", spec)
    name = Requested(requirement, "").name
    egg = re.search(r"#(?:.*&)?egg=([\w.-]+)", requirement)
    if name or egg:
        return name or canonical_name(egg[1] if egg else "")
    place = re.sub(r"(#.*)$", "", requirement)
    place = re.sub(r"(?<=[^/:])@[^/@]*$", "", place)  # the branch or tag behind the repository
    fitting = (name for name, pin in pins.items() if pin.removeprefix("@ ").startswith(place))
    return next(fitting, "")


def wished(context: Context, sources: Mapping[str, Mapping[str, str]], pins: Mapping[str, str]) -> list[str]:
    """The plugins' specs of earlier runs, without those of packages that this run takes out."""
    specs = context.store.wishes("plugin")
    removed = {canonical_name(name) for name in context.options.remove_plugins}
    if not removed:
        return specs
    # an environment that was built without them knows no more what they came from; the one that serves does
    fact = context.facts.environment(context.paths.hub)
    serving = (Lock.of_record(fact.record) if fact else None) or Lock((), ())
    sources, pins = {**serving.sources, **sources}, {**serving.pins, **pins}
    return [spec for spec in specs if distribution_of(spec, sources, pins) not in removed]


def without_gone(
    context: Context, sources: Mapping[str, Mapping[str, str]], specs: Iterable[str]
) -> dict[str, Mapping[str, str]]:
    """What local sources were built to, without those of plugins that are asked for no more."""
    gone = set(context.store.wishes("plugin")) - set(specs)
    return {spec: details for spec, details in sources.items() if spec not in gone}


def moving(context: Context, lock: Lock) -> set[str]:
    """The packages of plugins that this run upgrades.

    Raises:
        TljhError: the machine follows a lock, which says what version there is.
    """
    names = {canonical_name(name) for name in context.options.upgrade_plugins}
    if names and context.held is not None:
        raise TljhError(
            "this machine follows a lock, which says what version of each plugin it has",
            todo=f"renew the lock: tljh lock --upgrade {' '.join(sorted(names))}; then tljh install",
        )
    return names & set(lock.pins)


# ---- which plugins go


def gone(context: Context) -> list[PluginReport]:
    """The plugins that the last install left and that are no longer installed, by name."""
    there = {report.name for report in context.reports} | set(context.left_out)
    return [report for report in newest_reports(context.store) if report.name not in there]


def leaving(context: Context) -> list[PluginReport]:
    """The plugins whose effects go in this run: those that are gone, and those newly switched off."""
    off = {report.name for report in context.reports if report.state == DISABLED}
    before = {report.name: report for report in newest_reports(context.store)}
    newly = [before[name] for name in sorted(off) if name in before and before[name].state != DISABLED]
    return sorted([*gone(context), *newly], key=lambda report: report.name)


def withdrawn_names(context: Context) -> set[str]:
    """Plugins that have a recorded run of a hook and no say any more."""
    speaking = {report.name for report in context.reports if report.state != DISABLED} | set(context.left_out)
    return set(context.store.hook_plugins()) - speaking


# ---- keys of config.yaml


def withdrawn(context: Context, document: Document) -> list[Setting]:
    """The keys that plugins without a say set and nobody changed since; of a list the items that are theirs."""
    found: dict[tuple[Any, ...], Setting] = {}
    current = document.as_dict()
    for name in sorted(withdrawn_names(context)):
        run = context.store.hook_run(name, CONFIG_HOOK)
        for path, value in (merge.in_effect(run.keys, current) if run else {}).items():
            row = found.get(path)
            here = row.value if row else document.get(path, ABSENT)
            left = _without(here, value)
            if not same(left, here):
                plugin = f"{row.plugin}, {name}" if row else name
                found[path] = Setting(path, left, plugin)
    return list(found.values())


def _without(here: Any, value: Any) -> Any:
    """What is left of a key when what a plugin put there goes; it itself where somebody changed it."""
    if isinstance(here, list) and isinstance(value, list):
        left = [item for item in here if not any(same(item, mine) for mine in value)]
        return left or ABSENT
    return ABSENT if here is not ABSENT and same(here, value) else here


def together(first: Sequence[Setting], then: Sequence[Setting]) -> list[Setting]:
    """Both; where both speak of a key, what is said later counts."""
    paths = {row.path for row in then}
    return [*(row for row in first if row.path not in paths), *then]


# ---- the last word


class Removal(Stage[Context]):
    """Lets plugins that are removed say their last word, while their packages are still there."""

    name = "removed plugins"
    priority = 35

    def resources(self, context: Context) -> Iterable[Resource]:
        rows = [report for report in gone(context) if report.source == "package" and _may_say(report)]
        if rows:
            names = [report.name for report in rows]
            versions = {report.name: report.version for report in rows}
            yield PostRemove(f"hook:{HOOK}", HOOK, names, context.store, context=context, versions=versions)


def _may_say(report: PluginReport) -> bool:
    """Of one that was switched off nobody has looked at the hooks."""
    return HOOK in report.hooks or (report.state == DISABLED and not report.hooks)


@dataclass
class PostRemove(Hooks):
    """``tljh_post_remove`` of every plugin that goes; one that fails keeps nothing from going."""

    context: Context = field(kw_only=True, repr=False)
    versions: Mapping[str, str] = field(kw_only=True)

    def desired(self) -> State:
        number = self.context.store.newest().get("id", 0)
        return {name: f"{self.versions[name]} of generation {number}" for name in self.names}

    def effect(self, diff: Diff) -> str:
        return "will run, cannot be undone"

    def change(self, diff: Diff, machine: Machine) -> None:
        python = python_of_last_time(self.context)
        for name, inputs in diff.put.items():
            problem = _say(machine, python, name)
            if problem:
                self.context.reporter.warn(f"{problem}; it is removed all the same")
                self.context.not_done.append(problem)
            self.context.store.remember_hook(name, HOOK, HookRun(inputs, {}))


def _say(machine: Machine, python: Path, name: str) -> str:
    """Call a plugin for the last time; one sentence when that didn't work."""
    from tljh.plugins.calls import run_post_remove

    try:
        failure = run_post_remove(machine, python, name, timeout=TIMEOUT)
    except TljhError as error:
        return f"plugin {name}: {HOOK} could not be called: {error.what.splitlines()[0]}"
    if failure:
        log.error("%s\n%s", failure.problem, failure.traceback)
    return failure.problem if failure else ""


def finish(context: Context) -> None:
    """Forget the recorded runs of hooks of plugins without a say, so that all begins anew when one comes back."""
    for name in sorted(withdrawn_names(context)):
        context.store.forget_hooks(name)
    there = {report.name for report in context.reports} | set(context.left_out)
    for generation in context.store.generations(2):
        for report in recorded_reports(generation):
            if report.name not in there:
                forget_problems(context.store, report.name)


def drop_wheels(context: Context) -> None:
    """Remove what was built from local sources and no environment, lock or generation to go back to speaks of."""
    folders = list((context.paths.state / "wheels").glob("*"))
    if not folders:
        return
    speaking = [*(path / RECORD for path in context.paths.envs.glob("*-*")), *folder_of(context.paths).glob("*")]
    records = [context.machine.read(path) or b"" for path in speaking]
    generations = context.store.generations(KEPT_WHEELS)
    records += [json.dumps(one.get("locks", {})).encode() for one in generations]
    for folder in folders:
        if not any(str(folder).encode() in record for record in records):
            context.machine.remove(folder)


# ---- what an admin is told


def stays(context: Context) -> list[str]:
    """What is not undone when plugins go or are switched off, a sentence each."""
    found = []
    installed = {report.name for report in context.reports}
    for report in leaving(context):
        ran = [hook for hook in IMPERATIVE if hook in report.hooks]
        if ran:
            found.append(
                f"{report.name}: what {in_words(ran)} did beyond the functions of tljh (files, programs, other "
                "machines) can't be known, so it stays"
            )
        if (context.config.get("plugins") or {}).get(report.name) is not None and report.name not in installed:
            found.append(
                f"{report.name}: its settings stay in config.yaml; "
                f"'tljh config unset plugins.{report.name}' removes them"
            )
    return found


def leave_nothing(context: Context, *, candidate: bool = True) -> None:
    """Delete what was built for a change that the admin refused, or that could not be planned.

    Args:
        candidate: Also the hub environment that this runs from, where it was built for that and nothing serves
            from it. Nothing may be imported afterwards.
    """
    running = Path(os.path.realpath(sys.prefix))
    envs = context.facts.real_path(context.paths.envs)
    generations = context.store.generations(KEPT_ENVIRONMENTS)
    kept = {one.get("environments", {}).get("hub") for one in generations}
    serving = context.facts.real_path(context.paths.hub)
    # without a hub that serves, it is bootstrap's own, which the next try goes on with
    candidate = candidate and serving.parent == envs
    if candidate and running.parent == envs and running != serving and running.name not in kept:
        discard(context.machine, running)
    drop_wheels(context)
