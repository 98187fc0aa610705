"""What the list hooks of all plugins ask for, each thing under the name and version of its plugin."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

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
        contributions: By list hook, what it returned, order and duplicates kept.
        problems: Sentences that each stop an install.
        warnings: Sentences about what its author probably didn't mean.
        ranks: Of the hooks marked ``tryfirst`` (-1) or ``trylast`` (1).
    """

    name: str
    distribution: str
    version: str
    hooks: tuple[str, ...] = ()
    contributions: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
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


def conda_request_error(reports: Iterable[PluginReport], provider: str) -> TljhError | None:
    """The error for plugins that want conda packages where the user environment comes from elsewhere.

    Channels alone are no request: they would say only where packages come from.

    Args:
        provider: Of the user environment: ``pypi`` or ``conda``.
    """
    asked = merged(reports, "tljh_extra_user_conda_packages")
    if provider == "conda" or not asked:
        return None
    by_plugin: dict[str, list[str]] = {}
    for request in asked:
        by_plugin.setdefault(f"plugin {request.plugin} {request.version}", []).append(request.value)
    wishes = "; ".join(f"{plugin} wants {', '.join(values)}" for plugin, values in by_plugin.items())
    return TljhError(
        f"conda packages can't be installed, because the user environment comes from PyPI: {wishes}",
        todo="nothing was changed; leave the plugin out, or use a version of it that asks for packages of "
        "PyPI (tljh_extra_user_pip_packages)",
    )


def _with_problem(reports: list[PluginReport], name: str, version: str, problem: str) -> list[PluginReport]:
    """``reports`` with one more problem; a plugin that was not loaded yet gets a report for it."""
    if not any(report.name == name for report in reports):
        return [*reports, PluginReport(name, "", version, problems=(problem,), label=name)]
    return [
        replace(report, problems=(*report.problems, problem)) if report.name == name else report
        for report in reports
    ]
