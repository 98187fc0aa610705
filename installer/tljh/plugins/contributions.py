"""What the hooks of all plugins ask for, each thing under the name and version of its plugin."""

from __future__ import annotations

import json
import logging
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tljh.engine.machine import Machine
from tljh.errors import TljhError
from tljh.plugins.calls import call_child, problems_of, slow
from tljh.plugins.sources import name_fault

LIST_HOOKS = (
    "tljh_extra_user_conda_packages",
    "tljh_extra_user_conda_channels",
    "tljh_extra_user_pip_packages",
    "tljh_extra_hub_pip_packages",
    "tljh_extra_apt_packages",
)
ENVIRONMENTS = "tljh_environments"
log = logging.getLogger("tljh.plugins")


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
        wrappers: The hooks that it wraps around all other plugins' (``wrapper`` or ``hookwrapper``).
        source: Where it comes from: a ``package``, a ``file`` of plugins.d, or an ``import`` of this run.
        origin_path: The file or module of the latter two.
        state: ``active``; ``disabled``: known, but not loaded; ``failed``: it has problems.
        resources: What ``tljh_resources`` declared, each as ``tljh.declare`` makes it a mapping.
        stages: Of each stage ``name``, ``priority``, what it ``has`` (deploy, destroy, check), its ``resources``
            and the files that it ``rendered``.
        commands: ``name`` and ``help`` of each command that it adds.
        settings: The JSON schema of a typed plugin's settings; values: as they are, secrets as ``***``.
        checks: ``name``, ``sentence`` and ``fixable`` of each health check.
        seconds: How long each hook took; loading it is under ``""``.
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
    wrappers: tuple[str, ...] = ()
    source: str = "package"
    origin_path: str = ""
    state: str = "active"
    resources: tuple[Mapping[str, Any], ...] = ()
    stages: tuple[Mapping[str, Any], ...] = ()
    commands: tuple[Mapping[str, str], ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    values: Mapping[str, Any] = field(default_factory=dict)
    checks: tuple[Mapping[str, Any], ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Contribution:
    """One thing that one plugin asked for."""

    value: str
    plugin: str
    version: str


def collect(
    machine: Machine,
    python: Path,
    *,
    text: str = "",
    variables: Mapping[str, str] | None = None,
    timeout: float = 60.0,
) -> list[PluginReport]:
    """Ask all plugins in an environment what they want. Changes nothing.

    Args:
        python: The environment's interpreter.
        text: What stands in config.yaml.
        variables: Which plugins are loaded (``sources.variables``); otherwise all that are switched on.
        timeout: Seconds for all plugins together.

    Returns:
        One report for each plugin, by name; of one that is switched off only what it is. When one of them hangs or
        ends the process, that is its problem, and what the later ones would have said is missing.

    Raises:
        TljhError: the environment can't run our code at all.
    """
    answer = call_child(machine, python, ["collect"], input=text, variables=variables, timeout=timeout)
    said: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for message in (*answer.results, *answer.settings):
        said[message["plugin"]].append(message)
    loaded = {_which(message): message for message in answer.loaded}
    reports: list[PluginReport] = []
    for found in answer.found:
        # of two plugins of one name the first was asked; the second is a problem
        reports.append(_report(found, loaded.get(_which(found)), said.pop(found["plugin"], [])))
    if answer.stopped:
        reports = _with_problem(reports, answer.stopped.plugin, answer.stopped.version, answer.stopped.problem)
    return reports


def _which(message: Mapping[str, Any]) -> tuple[str, str]:
    return message["plugin"], message["label"]


def _report(
    found: Mapping[str, Any], loaded: Mapping[str, Any] | None, said: Sequence[Mapping[str, Any]]
) -> PluginReport:
    """One plugin's report, of what the child said when it found it, when it loaded it, and of its hooks."""
    values = {message["hook"]: message["values"] for message in said if "values" in message and "hook" in message}
    report = PluginReport(
        name=found["plugin"],
        distribution=found["distribution"],
        version=found["version"],
        label=found["label"],
        source=found["source"],
        origin_path=found["origin_path"],
        state=found["state"],
    )
    if loaded is None:
        return report
    problems = [*problems_of(dict(loaded)), *(message["problem"] for message in said if "problem" in message)]
    typed = next((message for message in said if "settings" in message), {})
    seconds = {message["hook"]: message["seconds"] for message in said if "hook" in message}
    return replace(
        report,
        hooks=tuple(loaded["hooks"]),
        wrappers=tuple(loaded["wrappers"]),
        ranks={hook: rank for hook, rank in loaded["hooks"].items() if rank},
        contributions={hook: tuple(values[hook]) for hook in (*LIST_HOOKS, ENVIRONMENTS) if hook in values},
        resources=tuple(values.get("tljh_resources", ())),
        stages=tuple(values.get("tljh_stages", ())),
        commands=tuple(values.get("tljh_subcommands", ())),
        checks=tuple(values.get("tljh_health_checks", ())),
        settings=typed.get("settings", {}),
        values=typed.get("values", {}),
        problems=tuple(problems),
        warnings=(*loaded["warnings"], *filter(None, (slow(message) for message in said))),
        state="failed" if problems else "active",
        seconds={"": loaded["seconds"], **seconds},
    )


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
    """The error that stops an install because of a plugin, before anything is changed; how to go on is told."""
    found = [(report, problem) for report in reports for problem in report.problems]
    if not found:
        return None
    report, problem = found[0]
    others = [f"also: {problem}" for _, problem in found[1:]]
    package = report.distribution or report.name
    mend = f"mend {report.origin_path}" if report.origin_path else f"install a version of {package} that works"
    # a name that can't be used can't be given to a flag either
    names = dict.fromkeys(
        (report.distribution or report.name) if name_fault(report.name) else report.name for report, _ in found
    )
    without = "the same command with " + " ".join(f"--without {name}" for name in names)
    settings = f"plugins.{report.name}"
    wrong = f" {settings}." in problem or f" {settings} " in problem
    way = f"correct {settings} (tljh config)" if wrong else mend
    return TljhError(
        "\n".join([problem, *others]),
        todo=f"nothing was changed; {way}, or go on without it for now: {without}"
        + _where_the_traceback_is([problem for _, problem in found]),
    )


def _where_the_traceback_is(problems: Iterable[str]) -> str:
    """A plan keeps no log."""
    if not any(words in problem for problem in problems for words in (" failed: ", " can't be loaded: ")):
        return ""
    if log.isEnabledFor(logging.DEBUG):
        return " (the whole traceback is in the log)"
    return " ('tljh install' changes as little, and writes the whole traceback into its log)"


def _with_problem(reports: list[PluginReport], name: str, version: str, problem: str) -> list[PluginReport]:
    """``reports`` with one more problem; a plugin that was not loaded yet gets a report for it."""
    if not any(report.name == name for report in reports):
        return [*reports, PluginReport(name, "", version, problems=(problem,), label=name, state="failed")]
    return [
        replace(report, problems=(*report.problems, problem), state="failed") if report.name == name else report
        for report in reports
    ]
