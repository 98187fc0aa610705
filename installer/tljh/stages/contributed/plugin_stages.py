"""The stages that plugins add, among the core's own: their order, their resources, and which a run leaves alone.

What a plugin's stage is comes as data (``PluginReport.stages``). When its code runs is in ``deployment``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from tljh.engine.build import Stage, one_for_each_name
from tljh.engine.plan import Plan, Step
from tljh.engine.resource import CORE, Resource
from tljh.errors import TljhError
from tljh.plugins.contributions import PluginReport
from tljh.resources.locks.lock import Lock
from tljh.stages.context import Context
from tljh.stages.contributed.deployment import KIND, Deployment, DeploymentForGood
from tljh.stages.contributed.plugin_resources import resources_from


class PluginStage(Stage[Context]):
    """One stage of a plugin, as its report describes it."""

    def __init__(self, report: PluginReport, described: Mapping[str, Any]) -> None:
        self.name = described["name"]
        self.priority = described["priority"]
        self.origin = report.name
        self.whose = report.label or f"plugin {report.name} ({report.version})"
        self.report = report
        self.described = described

    def resources(self, context: Context) -> Iterable[Resource]:
        yield from resources_from(context, [(self.origin, row) for row in self.declared])
        if self.has("deploy") or self.has("destroy"):
            kind = Deployment if self.has("destroy") else DeploymentForGood
            yield kind(f"{KIND}:{self.name}", wanted=self, context=context, origins={self.origin: self.origin})

    @property
    def declared(self) -> list[Mapping[str, Any]]:
        """What it wants on the machine; what it renders is a file."""
        rendered = [
            {"kind": "file", "path": path, "content": text, "mode": "0644", "owner": "root:root"}
            for path, text in self.described["rendered"].items()
        ]
        return [*self.described["resources"], *rendered]

    def check(self, context: Context) -> None:
        if self.has("check") and self.origin not in context.left_out:
            context.required("stage_code").check(self)

    def has(self, method: str) -> bool:
        """Whether the plugin wrote this method."""
        return method in self.described["has"]


@dataclass(frozen=True)
class LineUp:
    """The stages of a run.

    Attributes:
        stages: One for each name, in order.
        replaced: Those that another one of the same name stands in for, each with that one.
        excluded: The names of those that this run leaves alone.
    """

    stages: Sequence[Stage[Context]] = ()
    replaced: Sequence[tuple[Stage[Context], Stage[Context]]] = ()
    excluded: frozenset[str] = frozenset()

    @property
    def active(self) -> list[Stage[Context]]:
        """Those that run."""
        return [stage for stage in self.stages if stage.name not in self.excluded]

    @property
    def notes(self) -> list[str]:
        """Who stands in for whom, a sentence each."""
        return [
            f"the stage {gone.name} is that of {by.whose} (priority {by.priority}), "
            f"in the place of that of {gone.whose} (priority {gone.priority})"
            for gone, by in self.replaced
        ]

    def as_list(self) -> list[dict[str, Any]]:
        """As ``tljh plan --json`` prints it."""
        return [
            {
                "name": stage.name,
                "priority": stage.priority,
                "origin": stage.origin,
                "replaces": [
                    {"origin": gone.origin, "priority": gone.priority} for gone, by in self.replaced if by is stage
                ],
                "excluded": stage.name in self.excluded,
            }
            for stage in self.stages
        ]


def look(context: Context, core: Iterable[Stage[Context]]) -> LineUp:
    """Which stages there are in this run, and which of them it leaves alone.

    Raises:
        TljhError: two stages are equals, or ``--exclude-stage`` names none; nothing was changed.
    """
    mine = [PluginStage(report, row) for report in _reports(context) for row in report.stages]
    stages, replaced = one_for_each_name([*core, *mine])
    names = [stage.name for stage in stages]
    names += sorted(_deployed(context) - set(names))
    excluded = {name for pattern in context.options.exclude_stages for name in _matching(pattern, names)}
    if context.options.exclude_default_stages:
        excluded |= {stage.name for stage in stages if stage.origin == CORE}
    return LineUp(stages, replaced, frozenset(excluded))


def _reports(context: Context) -> list[PluginReport]:
    """The plugins of this run, and as they were recorded those that it does without: what they brought stays."""
    there = {report.name for report in context.reports}
    return [*context.reports, *(row for name, row in sorted(context.left_out.items()) if name not in there)]


def _deployed(context: Context) -> set[str]:
    """The names of stages that are deployed, whether or not anybody still has them."""
    ids = (resource.partition(":") for resource in context.store.owned())
    return {name for kind, _, name in ids if kind == KIND}


def _matching(pattern: str, names: Sequence[str]) -> list[str]:
    found = [name for name in names if fnmatchcase(name.lower(), pattern.lower())]
    if not found:
        raise TljhError(
            f"--exclude-stage {pattern}: there is no stage of this name; there are: {', '.join(names)}",
            todo="name one of them, in quotes, or a pattern such as 'user*'; nothing was changed",
        )
    return found


def of_this_run(context: Context, resources: Iterable[Resource]) -> list[Resource]:
    """Without what belongs to a stage that this run leaves alone, also where that stage speaks of it no more."""
    excluded = context.line_up.excluded
    if not excluded:
        return list(resources)
    journal = {row["resource"]: row["stage"] for row in context.store.journal() if row["action"] != "remove"}
    return [row for row in resources if _stage_of(row, journal) not in excluded]


def _stage_of(resource: Resource, journal: Mapping[str, str]) -> str:
    if isinstance(resource, Deployment):
        return resource.name
    # what nobody describes any more stands under the last stage; the journal knows whose it was
    return resource.stage if resource.desired() else journal.get(resource.id, resource.stage)


def destroyed_first(plan: Plan) -> Plan:
    """Stages that nobody wants any more are destroyed before what they use is dropped; the last one first."""
    mine = [step for step in plan.drops if isinstance(step.resource, Deployment)]
    others = [step for step in plan.drops if not isinstance(step.resource, Deployment)]
    return replace(plan, drops=[*sorted(mine, key=_priority, reverse=True), *others])


def _priority(step: Step) -> tuple[int, str]:
    resource = step.resource
    return (resource.priority if isinstance(resource, Deployment) else 0, resource.id)


# ---- environments whose stage is left alone


def keep_hub_environment(context: Context) -> None:
    """Where its stage is left alone, the hub environment that serves is the one to reckon with."""
    known = _there(context, "hub environment", context.paths.hub)
    if known:
        context.hub_lock, context.hub_target = known


def keep_user_environment(context: Context) -> bool:
    """The same of the user environment; whether it is left alone, so that nothing need be solved."""
    known = _there(context, "user environment", context.paths.user)
    if known:
        context.user_lock, context.user_target = known
    return known is not None


def _there(context: Context, stage: str, link: Path) -> tuple[Lock, Path] | None:
    fact = context.facts.environment(link) if stage in context.line_up.excluded else None
    lock = Lock.of_record(fact.record) if fact else None
    return (lock, fact.path) if fact and lock else None
