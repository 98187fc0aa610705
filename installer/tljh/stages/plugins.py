"""Which plugins there are and what they ask for; the hub environment that holds them all.

The hub environment is solved once, with this project, every plugin and what the plugins want beside the hub. A
new plugin is looked at in a candidate environment, which becomes the next one or is deleted.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn

from tljh.engine.parsers import canonical_name
from tljh.errors import TljhError
from tljh.plugins.commands import clash
from tljh.plugins.contributions import PluginReport, collect, first_problem_error, merged
from tljh.plugins.known import DISABLED, OFF, newest_reports, note_problems
from tljh.plugins.manager import suggestion
from tljh.plugins.sources import variables
from tljh.resources.environments.environment import choose_target, discard, number_of
from tljh.resources.locks.lock import Lock, Requested
from tljh.settings.document import Document
from tljh.stages import hub_database
from tljh.stages.backups import restored
from tljh.stages.context import Context
from tljh.stages.contributed.plugin_sources import PLUGIN, Source, sources_of
from tljh.stages.leaving import removal
from tljh.stages.locks import locking, renewing
from tljh.stages.taking_over import takeover

AGAIN_VARIABLE = "TLJH_STARTED_AGAIN"


@dataclass(frozen=True)
class Asked:
    """What plugins have been asked beforehand, by another thread.

    Attributes:
        question: The interpreter, the text of config.yaml, and what says which plugins are loaded.
    """

    question: tuple[Path, str, Mapping[str, str]]
    answer: Future[list[PluginReport]]


def begin(context: Context) -> None:
    """Begin to ask the plugins that are there what they want, while config.yaml is checked. Fills ``asked``.

    Most runs come to the same question (``_collect``); others ask anew, and this one was in vain.
    """
    if context.earlier or context.options.remove_plugins:
        return  # the question will be another one
    choose(context)
    python = Path(os.path.realpath(sys.prefix)) / "bin" / "python"
    text, chosen = context.document().dumps(), context.plugin_variables
    worker = ThreadPoolExecutor(1, thread_name_prefix="plugins")
    answer = worker.submit(collect, context.machine, python, text=text, variables=chosen)
    worker.shutdown(wait=False)
    context.asked = Asked((python, text, chosen), answer)


def look(context: Context) -> None:
    """Find out what the hub environment is to hold and what every plugin asks for.

    Fills ``hub_lock``, ``hub_target``, ``reports``, ``plugin_specs`` and what says which plugins are loaded. While
    planning nothing outside the scratch folder is written; otherwise a candidate environment is built, and this
    process goes on in it.

    Raises:
        TljhError: a spec is wrong, there is no solution, or a plugin fails; nothing that serves was changed.
    """
    running = Path(os.path.realpath(sys.prefix))
    lock = restored.with_sources(context, _lock_of(context, running))
    context.builder.overrides = _overrides(lock)
    sources = sources_of(context, lock.sources, lock.pins)
    asked = [row for row in lock.requested if row.origin == "core"]
    asked += [Requested(source.requirement, PLUGIN) for source in sources]
    known = removal.without_gone(context, lock.sources, [source.spec for source in sources])
    details = {**known, **{source.spec: dict(source.details) for source in sources if source.details}}
    was, lock = lock, _settled(context, lock, asked, details)
    environment = running if lock is was else _candidate(context, lock, running)
    built = lock is not was
    choose(context)
    try:
        reports = _collect(context, environment)
        everything = asked + _extras(reports)
        if not lock.asks_for_the_same(everything):
            lock = _resolved(context, everything, lock, details)
            environment = _candidate(context, lock, running, environment if built else None)
            built = True
        hub_database.look(context, environment, lock)
    except BaseException:
        if built and environment != running:
            discard(context.machine, environment)
        raise
    if built and not context.planning:
        _go_on_in(context, environment)
    _warn_of_others(context, sources, reports)
    _warn_of_settings(context, reports)
    context.plugin_specs = [source.spec for source in sources]
    context.reports = reports
    context.plugins_environment = environment
    context.hub_lock = lock
    context.hub_target = choose_target(context.facts, context.paths.hub, context.paths.envs, lock.pins)


def look_in(context: Context, environment: Path, lock: Lock, target: Path) -> None:
    """The same of a hub environment that is as it is to be: this process goes on in it, and asks its plugins."""
    if environment != Path(os.path.realpath(sys.prefix)) and environment.name == target.name:
        _go_on_in(context, environment)
    choose(context)
    hub_database.look(context, environment, lock)
    context.plugin_specs = context.store.wishes("plugin")
    context.reports = _collect(context, environment)
    context.plugins_environment = environment
    context.hub_lock, context.hub_target = lock, target
    _warn_of_settings(context, context.reports)


def _settled(
    context: Context, lock: Lock, asked: Sequence[Requested], details: Mapping[str, Mapping[str, str]]
) -> Lock:
    """What the hub environment is to hold before its plugins are asked; ``lock`` itself where it holds that."""
    held = locking.of_hub(context)
    renewed = held is not None and not held.agrees_with(lock.pins)
    renewed = renewed or (not started_again() and restored.differs_from(context, lock.pins))
    if renewed or [row for row in lock.requested if row.origin in ("core", PLUGIN)] != asked:
        return _resolved(context, asked, lock, details)
    if started_again() or not _moving(context, lock):  # the environment that this goes on in has the newest
        return lock
    found = _resolved(context, lock.requested, lock, details)
    return found if found.lines != lock.lines else lock


def _resolved(
    context: Context, asked: Sequence[Requested], lock: Lock, details: Mapping[str, Mapping[str, str]]
) -> Lock:
    """What the hub environment comes to: as a lock that is followed has it, else what is there is preferred."""
    held = locking.of_hub(context)
    moving = _moving(context, lock)
    there = {**takeover.versions(context), **lock.pins}
    pins = {name: pin for name, pin in there.items() if name not in moving}
    found = context.builder.resolve(asked, locking.preferred(context, pins), refresh=moving)
    return replace(held.applied(found) if held else found, sources=details)


def _moving(context: Context, lock: Lock) -> set[str]:
    """The packages of the hub environment that are to be looked for anew."""
    return removal.moving(context, lock) | {name for name in lock.pins if renewing.moves(context, "hub", name)}


def _warn_of_others(context: Context, sources: Sequence[Source], reports: Sequence[PluginReport]) -> None:
    """A package without an entry point of ours is installed as asked for, but surely not what was meant."""
    known = {canonical_name(report.distribution) for report in reports}
    for source in sources:
        name = Requested(source.requirement, PLUGIN).name
        if name and name not in known:
            context.reporter.warn(f"--plugin {source.spec}: {name} is installed, but it is no plugin of TLJH")


def _lock_of(context: Context, environment: Path) -> Lock:
    fact = context.facts.environment(environment)
    lock = Lock.of_record(fact.record) if fact else None
    if lock is None:
        raise TljhError(
            f"{environment} has no record of how it was built",
            todo="run the bootstrap script: it makes a hub environment that has one",
        )
    return lock


def _overrides(lock: Lock) -> list[str]:
    """Whoever requires TLJH, from wherever, gets this installation and nothing in its stead."""
    ours = [
        row.requirement for row in lock.requested if row.origin == "core" and not row.requirement.startswith("-")
    ]
    return [*ours, 'tljh ; python_version < "0"']


def choose(context: Context) -> None:
    """Which plugins this run loads. Fills ``disabled``, ``left_out`` and ``plugin_variables``."""
    options = context.options
    off = dict.fromkeys([*context.store.wishes(OFF), *options.disable_plugins])
    known = newest_reports(context.store)
    removed = [report.name for report in known if report.distribution and _called(report, options.remove_plugins)]
    context.disabled = [name for name in off if name not in (*options.enable_plugins, *removed)]
    recorded = [report for report in known if report.name not in context.disabled]
    context.left_out = {report.name: report for report in recorded if _called(report, options.without)}
    context.plugin_variables = variables([*context.disabled, *options.without], options.import_plugins)


def look_again(context: Context) -> bool:
    """Ask plugins once more, where this run changes config.yaml and what they want may depend on it.

    Returns:
        Whether they were asked. Fills ``reports``.
    """
    depends = [row for row in context.reports if row.settings or {"tljh_resources", "tljh_stages"} & {*row.hooks}]
    before = context.document().as_dict()
    if not depends or Document(context.config_text).as_dict() == before:
        return False
    context.reports = _collect(context, context.required("plugins_environment"), context.config_text)
    return True


def _collect(context: Context, environment: Path, text: str | None = None) -> list[PluginReport]:
    text = context.document().dumps() if text is None else text
    found = _answer(context, environment / "bin" / "python", text)
    _refuse_unknown(context.options.without, found)
    # what a plugin brought stays while one run does without it
    reports = [_kept(context.left_out[row.name]) if row.name in context.left_out else row for row in found]
    for report in reports:
        for warning in report.warnings:
            context.reporter.warn(warning)
    if not context.planning and environment == context.facts.real_path(context.paths.hub):
        asked = [row for row in found if row.name not in context.left_out]
        note_problems(context.store, asked)  # for 'tljh plugin list'
    error = first_problem_error(reports) or clash(reports)
    if error:
        raise error
    return reports


def _answer(context: Context, python: Path, text: str) -> list[PluginReport]:
    asked, context.asked = context.asked, None  # an answer counts once: hooks may run before the next question
    if asked and asked.question == (python, text, context.plugin_variables):
        return asked.answer.result()
    return collect(context.machine, python, text=text, variables=context.plugin_variables)


def _kept(report: PluginReport) -> PluginReport:
    return replace(report, problems=(), warnings=())


def to_record(context: Context) -> list[PluginReport]:
    """The reports that a generation keeps: not of what was imported for one run, nor of what it did without."""
    new = {
        report.name
        for report in context.reports
        if _called(report, context.options.without) and report.name not in (*context.left_out, *context.disabled)
    }
    kept = [report for report in context.reports if report.source != "import" and report.name not in new]
    before = {report.name: report for report in newest_reports(context.store)}
    return [context.left_out.get(row.name, _as_it_was(row, before.get(row.name))) for row in kept]


def _as_it_was(report: PluginReport, before: PluginReport | None) -> PluginReport:
    """Of a plugin that is switched off, and so wasn't asked, what it said when it was on."""
    if report.state != DISABLED or before is None or before.version != report.version:
        return report
    return replace(before, state=DISABLED, problems=(), warnings=())


def _called(report: PluginReport, names: Sequence[str]) -> bool:
    """Whether one of ``names`` is a plugin's name or that of its package."""
    mine = {canonical_name(report.name), canonical_name(report.distribution or report.name)}
    return any(canonical_name(name) in mine for name in names)


def _refuse_unknown(names: Sequence[str], reports: Sequence[PluginReport]) -> None:
    for name in names:
        if not any(_called(report, [name]) for report in reports):
            known = [report.name for report in reports]
            raise TljhError(
                f"--without {name}: there is no plugin of this name{suggestion(name, known)}",
                todo=f"name one of {', '.join(known)}" if known else "leave the flag out: no plugin is installed",
            )


def _warn_of_settings(context: Context, reports: Sequence[PluginReport]) -> None:
    """Settings of a plugin that isn't there have no effect; they stay where they are."""
    document = context.document()
    known = [report.name for report in reports]
    newest = context.store.newest()
    for name in document.get("plugins") or {}:
        if name in known:
            continue
        where = f"{context.paths.config_file} line {document.line(('plugins', str(name)))}"
        gone = "is not installed any more" if name in newest.get("plugins", {}) else "is not installed"
        hint = suggestion(str(name), known)
        context.reporter.warn(f"{where}: the plugin {name} {gone}{hint}; its settings are kept and have no effect")


def _extras(reports: Sequence[PluginReport]) -> list[Requested]:
    wanted = merged(reports, "tljh_extra_hub_pip_packages")
    return [Requested(row.value, row.plugin) for row in wanted]


def _candidate(context: Context, lock: Lock, running: Path, begun: Path | None = None) -> Path:
    """Build the environment that would be the next one, or complete the one that was begun."""
    serving = context.facts.real_path(context.paths.hub)
    if begun:
        path = begun
    elif context.planning:
        path = context.scratch / "hub"
    elif running != serving and running.parent == context.facts.real_path(context.paths.envs):
        path = Path(running)  # bootstrap's own candidate: nothing serves from it yet
    else:
        numbers = [number_of(found) for found in context.paths.envs.glob("hub-*")]
        path = context.paths.envs / f"hub-{max(numbers, default=0) + 1}"
    there = path.exists()
    try:
        context.builder.build(lock, path, base=running)
    except BaseException:
        if not there:  # on a full disk, its half is what is missing
            shutil.rmtree(path, ignore_errors=True)
        raise
    context.facts.refresh()
    return path


def started_again() -> int:
    """How often this run has gone on in another environment."""
    return int(os.environ.get(AGAIN_VARIABLE, "0"))


def _go_on_in(context: Context, environment: Path) -> NoReturn:
    """Become the installer of another environment, with the same arguments; the lock and secrets go along."""
    context.machine.end_programs()
    times = started_again() + 1
    if times > 3:
        raise TljhError(
            f"the hub environment {environment} does not come to rest; this is a fault of the installer"
        )
    shutil.rmtree(context.scratch, ignore_errors=True)  # what replaces this process has its own
    os.environ[AGAIN_VARIABLE] = str(times)
    sys.stdout.flush()
    sys.stderr.flush()
    python = str(environment / "bin" / "python")
    os.execv(python, [python, "-I", "-m", "tljh.installer", *context.options.argv])
