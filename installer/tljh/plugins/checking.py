"""What an author wants to know before publishing a plugin: is it packaged, can it be loaded, does it answer well?

The plugin is loaded in a child process, with the code that an install uses, as if it were installed: a folder with
its metadata is put before everything else on Python's path. Nothing is installed, and no hook that changes
something is called.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tljh.engine.parsers import canonical_name
from tljh.errors import TljhError, UsageError
from tljh.plugins.contributions import PluginReport
from tljh.plugins.packaging import GROUP, Project, read
from tljh.plugins.sources import IMPORT_VARIABLE, OFF_VARIABLE

ERROR, WARNING, GOOD = "error", "warning", "good"
PREFIX = "tljh-"
_OURS = ("tljh", "the-littlest-jupyterhub")


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        about: ``packaging``, ``loading``, ``hooks``, ``answers`` or ``settings``.
        level: ``good``, ``warning`` or ``error``.
        text: A sentence.
        todo: What to do about it; empty where nothing is to be done.
    """

    about: str
    level: str
    text: str
    todo: str = ""


Collect = Callable[[Mapping[str, str]], Sequence[PluginReport]]
"""Asks all plugins that a process with these variables finds; ``contributions.collect`` in the end."""


def examine(path: Path, collect: Collect) -> list[Finding]:
    """Look at a plugin's project, its wheel, or its one Python file.

    Args:
        collect: Called with the variables that make the plugin visible.

    Raises:
        UsageError: there is none at ``path``.
    """
    with tempfile.TemporaryDirectory(prefix="tljh-check-") as name:
        if path.suffix == ".py":
            return _file(path, collect)
        try:
            project = read(path, Path(name) / "wheel")
        except UsageError:
            raise
        except TljhError as error:
            return [Finding("packaging", ERROR, str(error))]
        found = list(_packaging(project))
        if not project.entry_points:
            return found
        _pretend(project, Path(name))
        paths = os.pathsep.join([name, *map(str, project.folders), os.environ.get("PYTHONPATH", "")])
        reports = collect({"PYTHONPATH": paths.rstrip(os.pathsep), OFF_VARIABLE: ""})
        mine = [
            report for report in reports if canonical_name(report.distribution) == canonical_name(_name(project))
        ]
        return [*found, *_loaded(mine)]


def _file(path: Path, collect: Collect) -> list[Finding]:
    if not path.is_file():
        raise UsageError(
            f"{path} does not exist", todo="name a plugin's folder, its wheel, or its one Python file"
        )
    reports = collect({IMPORT_VARIABLE: str(path.absolute()), OFF_VARIABLE: ""})
    mine = [report for report in reports if report.source == "import"]
    found = [Finding("packaging", GOOD, f"one file, for plugins.d or --import-plugin: {path.name}")]
    return [*found, *_loaded(mine)]


def _name(project: Project) -> str:
    return project.name or "unnamed"


def _pretend(project: Project, folder: Path) -> None:
    """Metadata that makes Python take the project for installed."""
    info = folder / f"{_name(project).replace('-', '_')}-{project.version or '0'}.dist-info"
    info.mkdir()
    version = project.version or "0"
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {_name(project)}\nVersion: {version}\n")
    lines = "".join(f"{name} = {value}\n" for name, value in project.entry_points.items())
    (info / "entry_points.txt").write_text(f"[{GROUP}]\n{lines}")


# ---- packaging


def _packaging(project: Project) -> Iterator[Finding]:
    about = "packaging"
    name = canonical_name(project.name)
    if not name:
        yield Finding(about, ERROR, "the package has no name", 'set name = "tljh-…" below [project]')
    elif not name.startswith(PREFIX):
        yield Finding(
            about, WARNING, f"the package is called {name}", f"call it {PREFIX}{name}, so that it is found"
        )
    if not project.version and "version" not in project.dynamic:
        yield Finding(about, WARNING, "the package has no version", "set version below [project]")
    if not project.about and "description" not in project.dynamic:
        yield Finding(about, WARNING, "the package has no description", "set description below [project]")
    yield from _python(project)
    for line in project.requires:
        if canonical_name(_requirement_name(line)) in _OURS:
            text = f"it requires {line}; every server that can load it has that already, in its own version"
            yield Finding(about, WARNING, text, "leave it out of the dependencies")
    if not project.entry_points:
        module = (name or "tljh-name").replace("-", "_")
        text = f"it has no entry point in the group {GROUP!r}, so no server sees that it is a plugin"
        line = f'{name.removeprefix(PREFIX) or "name"} = "{module}"'
        todo = f"add to pyproject.toml: [project.entry-points.tljh] {line}"
        yield Finding(about, ERROR, text, todo)
        return
    points = ", ".join(f"{key} = {value}" for key, value in project.entry_points.items())
    yield Finding(about, GOOD, f"{name} {project.version}".strip() + f", entry point {points}")


def _python(project: Project) -> Iterator[Finding]:
    """Whether the Python that asks is one that it runs on."""
    import platform

    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    if not project.requires_python:
        return
    here = platform.python_version()
    try:
        fits = SpecifierSet(project.requires_python).contains(here, prereleases=True)
    except InvalidSpecifier:
        yield Finding("packaging", ERROR, f"requires-python is {project.requires_python!r}", "write >=3.10")
        return
    if not fits:
        text = f"it needs Python {project.requires_python}, and this one is {here}"
        yield Finding("packaging", ERROR, text, "widen requires-python, or check it with another Python")


def _requirement_name(line: str) -> str:
    from packaging.requirements import InvalidRequirement, Requirement

    try:
        return Requirement(line).name
    except InvalidRequirement:
        return ""


# ---- what it says


def _loaded(reports: Sequence[PluginReport]) -> Iterator[Finding]:
    if not reports:
        yield Finding("loading", ERROR, "it was not found when it was loaded; this is a fault of the check")
    for report in reports:
        yield from _report(report)


def _report(report: PluginReport) -> Iterator[Finding]:
    if not report.hooks and report.problems:
        yield from (Finding("loading", ERROR, problem, _way_out(problem)) for problem in report.problems)
        return
    yield Finding("loading", GOOD, f"{report.name} can be loaded")
    for problem in report.problems:
        yield Finding(_about(problem, report), ERROR, problem)
    for warning in report.warnings:
        # it stops no install, but nobody writes a hook that is never called on purpose
        level = ERROR if "never called" in warning or "implements no hook" in warning else WARNING
        yield Finding("hooks", level, warning)
    if report.hooks:
        yield Finding("hooks", GOOD, ", ".join(report.hooks))
    if not report.problems:
        yield from (Finding("answers", GOOD, line) for line in _answers(report))
    yield from _settings(report)


def _way_out(problem: str) -> str:
    """What the author of a plugin with settings that must be given does."""
    return "give it one in a file: --config FILE" if "is missing, and has no default" in problem else ""


def _about(problem: str, report: PluginReport) -> str:
    """What a problem is about: how a hook is written, or what it answered."""
    answered = any(f"{hook} {word}" in problem for hook in report.hooks for word in ("failed", "returned"))
    return "answers" if answered else "hooks"


def _answers(report: PluginReport) -> Iterator[str]:
    for hook, values in report.contributions.items():
        said = ", ".join(value if isinstance(value, str) else str(value.get("name", value)) for value in values)
        yield f"{hook}: {said or 'nothing'}"
    if report.resources:
        yield f"tljh_resources: {_count(report.resources)} declared"
    for stage in report.stages:
        yield f"tljh_stages: {stage['name']}, priority {stage['priority']}"
    for command in report.commands:
        yield f"tljh_subcommands: tljh {command['name']}"
    for check in report.checks:
        yield f"tljh_health_checks: {check['name']}"


def _count(things: Iterable[object]) -> str:
    number = len(list(things))
    return f"{number} thing" if number == 1 else f"{number} things"


def _settings(report: PluginReport) -> Iterator[Finding]:
    rows = report.settings.get("properties", {})
    for name, row in rows.items():
        if not row.get("description"):
            text = f"the setting {name} has no description, so 'tljh plugin info' can't say what it is for"
            yield Finding("settings", WARNING, text, f'{name}: … = Field(…, description="…")')
    if rows:
        yield Finding("settings", GOOD, ", ".join(rows))
