"""What the hooks of all plugins ask for, each thing under the name and version of its plugin."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tljh.engine.machine import Machine
from tljh.errors import TljhError
from tljh.plugins.calls import call_child, problems_of


@dataclass(frozen=True)
class PluginReport:
    """One installed plugin: what it is, what it asks for, and what is wrong with it.

    Attributes:
        name: Of its entry point; what ``tljh`` calls the plugin.
        label: What messages call it: name, package and version.
        hooks: All hooks that it implements.
        contributions: By list hook, what it returned, order and duplicates kept; by ``tljh_environments`` a
            mapping for each environment, with its ``name`` and all its keys.
        problems: Sentences that each stop an install.
        warnings: Sentences about what its author probably didn't mean.
        ranks: Of the hooks marked ``tryfirst`` (-1) or ``trylast`` (1).
    """

    name: str
    distribution: str
    version: str
    hooks: tuple[str, ...] = ()
    contributions: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    label: str = ""
    ranks: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Contribution:
    """One thing that one plugin asked for."""

    value: str
    plugin: str
    version: str


def collect(machine: Machine, python: Path, *, timeout: float = 60.0) -> list[PluginReport]:
    """Ask all plugins in an environment what they want installed. Changes nothing.

    Args:
        python: The environment's interpreter.
        timeout: Seconds for all plugins together.

    Returns:
        One report for each plugin, by name. When one of them hangs or ends the process, that is its problem,
        and what the later ones would have said is missing.

    Raises:
        TljhError: the environment can't run our code at all.
    """
    answer = call_child(machine, python, ["collect"], timeout=timeout)
    reports: list[PluginReport] = []
    for message in answer.loaded:
        results = [result for result in answer.results if result["plugin"] == message["plugin"]]
        if any(report.name == message["plugin"] for report in reports):
            results = []  # two plugins of one name: the first was asked, the second is a problem
        problems = [*problems_of(message), *(result["problem"] for result in results if "problem" in result)]
        reports.append(
            PluginReport(
                name=message["plugin"],
                distribution=message["distribution"],
                version=message["version"],
                hooks=tuple(message["hooks"]),
                contributions={r["hook"]: tuple(r["values"]) for r in results if "values" in r},
                problems=tuple(problems),
                warnings=tuple(message["warnings"]),
                label=message["label"],
                ranks={hook: rank for hook, rank in message["hooks"].items() if rank},
            )
        )
    if answer.stopped:
        reports = _with_problem(reports, answer.stopped.plugin, answer.stopped.version, answer.stopped.problem)
    return reports


def merged(reports: Iterable[PluginReport], hook: str) -> list[Contribution]:
    """What all plugins returned for one hook, in calling order, duplicates kept."""
    asked = [report for report in reports if hook in report.contributions]
    asked.sort(key=lambda report: (report.ranks.get(hook, 0), report.name))
    return [
        Contribution(value, report.name, report.version)
        for report in asked
        for value in report.contributions[hook]
    ]


@dataclass(frozen=True)
class EnvironmentWish:
    """One environment that a plugin asks for.

    Attributes:
        values: As ``tljh.settings.schema.named_environment`` gives them.
    """

    name: str
    values: Mapping[str, Any]
    plugin: str


def environments(reports: Iterable[PluginReport], settled: Collection[str] = ()) -> list[EnvironmentWish]:
    """The environments that plugins ask for, by name; the same from two plugins is one.

    Args:
        settled: Names that config.yaml decides about; what plugins say of them does not count.

    Raises:
        TljhError: two plugins ask for different ones of the same name; both are named, and how they differ.
    """
    found: dict[str, tuple[PluginReport, Mapping[str, Any]]] = {}
    for report in reports:
        for values in report.contributions.get("tljh_environments", ()):
            name = values["name"]
            first, there = found.setdefault(name, (report, values))
            if name not in settled and there != values:
                raise _disagreement(name, (first, there), (report, values))
    return [
        EnvironmentWish(name, {key: value for key, value in values.items() if key != "name"}, report.name)
        for name, (report, values) in sorted(found.items())
        if name not in settled
    ]


def _disagreement(
    name: str, one: tuple[PluginReport, Mapping[str, Any]], other: tuple[PluginReport, Mapping[str, Any]]
) -> TljhError:
    """The error for two plugins that want different environments of one name."""
    (first, there), (second, values) = one, other
    differing = [
        f"{key} is {json.dumps(there[key])} and {json.dumps(values[key])}"
        for key in there
        if there[key] != values[key]
    ]
    return TljhError(
        f"{first.label} and {second.label} ask for different environments named {name}: {'; '.join(differing)}",
        todo=f"leave out one of the two, or say in config.yaml what environments.{name} is, which wins over both; "
        "nothing was changed",
    )


def first_problem_error(reports: Iterable[PluginReport]) -> TljhError | None:
    """The error that stops an install because of a plugin, before anything is changed."""
    found = [(report, problem) for report in reports for problem in report.problems]
    if not found:
        return None
    report, problem = found[0]
    others = [f"also: {problem}" for _, problem in found[1:]]
    package = report.distribution or report.name
    return TljhError(
        "\n".join([problem, *others]),
        todo=f"nothing was changed; install a version of {package} that works, or leave the plugin out, "
        "and run the same command again (the whole traceback is in the log)",
    )


def _with_problem(reports: list[PluginReport], name: str, version: str, problem: str) -> list[PluginReport]:
    """``reports`` with one more problem; a plugin that was not loaded yet gets a report for it."""
    if not any(report.name == name for report in reports):
        return [*reports, PluginReport(name, "", version, problems=(problem,), label=name)]
    return [
        replace(report, problems=(*report.problems, problem)) if report.name == name else report
        for report in reports
    ]
