"""The one direction: look, plan, apply, record. ``tljh install`` goes all the way, ``tljh plan`` stops halfway."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from tljh import systemd
from tljh.engine import lock
from tljh.engine.apply import Applier
from tljh.engine.build import Stage, build
from tljh.engine.facts import Facts
from tljh.engine.machine import Machine
from tljh.engine.plan import Change, Plan, Step, make_plan
from tljh.engine.resource import Resource
from tljh.engine.store import Store
from tljh.paths import Paths
from tljh.reporter import Reporter, tell_page
from tljh.resources import bundle
from tljh.resources.conda_environment import CondaBuilder, Progress
from tljh.resources.environment import unused
from tljh.resources.file import Directory, File, Link
from tljh.resources.python_environment import Builder
from tljh.resources.service import Service
from tljh.stages import config, core_stages, environments, locking, plugins, preflight, user_environment
from tljh.stages.context import Context, Options, find_uv, system_python
from tljh.stages.hooks import HookFailed
from tljh.stages.solving import dropped, plan_folder

if TYPE_CHECKING:
    from tljh.resources.conda_settings import CondaSettings

KEPT_GENERATIONS = 3


@dataclass(frozen=True)
class Outcome:
    """What a run came to.

    Attributes:
        failed_hooks: Sentences on hooks that failed; the hub serves all the same.
    """

    context: Context
    changes: Sequence[Change]
    failed_hooks: Sequence[str] = ()


@contextlib.contextmanager
def opened(options: Options, paths: Paths, reporter: Reporter, *, planning: bool) -> Iterator[Context]:
    """A context with the machine looked at: by an installer under the lock, by a plan without it."""
    os.umask(0o022)
    preflight.check_root()
    held = -1 if planning else lock.acquire(paths.lock, say=reporter.say)
    machine = Machine(inherit=() if planning else (held,))
    scratch = Path(tempfile.mkdtemp(prefix="tljh-"))
    builder = Builder(
        machine,
        find_uv(paths),
        system_python(),
        (scratch if planning else paths.cache) / "uv",
        say=reporter.detail,
        drawing=reporter.drawing,
    )
    conda = CondaBuilder(
        machine,
        builder,
        paths.cache / "conda",
        settings=cache(partial(_conda_settings, paths, reporter)),
        private=scratch,
        say=reporter.detail,
        progress=partial(_show, reporter),
    )
    bundled = bundle.kept(paths)
    if bundled:
        os.environ.update(bundled.variables)
        conda.archives = bundled.archives
    try:
        with Store(paths.store, read_only=planning) as store:
            yield Context(
                paths=paths,
                options=options,
                machine=machine,
                facts=Facts(machine),
                store=store,
                reporter=reporter,
                builder=builder,
                conda=conda,
                scratch=scratch,
                planning=planning,
                with_systemd=systemd.is_running(),
            )
    finally:
        conda.forget()
        builder.forget()
        shutil.rmtree(scratch, ignore_errors=True)
        shutil.rmtree(plan_folder(paths), ignore_errors=True)
        if not planning:
            lock.release(held)


def _conda_settings(paths: Paths, reporter: Reporter) -> CondaSettings:
    """What conda's users have set on this machine; what of it can't be followed is said."""
    from tljh.resources.conda_reader import read

    settings = read(os.environ, str(Path.home()), str(paths.user))
    for note in settings.notes:
        reporter.warn(note)
    return settings


def _show(reporter: Reporter, how_far: Progress) -> None:
    """conda's packages on their way: one bar for what is downloaded, one for what is linked."""
    reporter.progress("downloading", how_far.bytes, how_far.size, size=True)
    reporter.progress("linking", how_far.linked, how_far.packages)


def look(context: Context) -> tuple[Sequence[Stage[Context]], Plan]:
    """Find out what is wanted and what is there, and compare.

    Raises:
        TljhError: something is wrong with what was asked for; nothing has been changed.
    """
    reporter = context.reporter
    with reporter.stage("preflight", again=plugins.started_again()):
        config.look_first(context)
        locking.look(context)
        preflight.check_ports(context.config, context.facts)
    with reporter.stage("plugins"):
        plugins.look(context)
        reporter.note(_plugins_in_words(context))
    with reporter.stage("plan"):
        config.look(context)
        links = (context.paths.user, *environments.named_links(context).values())
        dropped(context, [context.facts.environment(link) for link in links])
        user_environment.look(context)
        environments.look(context)
        stages = core_stages()
        owned = context.store.owned()
        plan = make_plan(build(stages, context, owned, _forgotten(context)), context.facts, owned)
        reporter.note(_in_words(plan.changes()))
    return stages, plan


def _plugins_in_words(context: Context) -> str:
    names = [f"{report.name} {report.version}" for report in context.reports]
    return ", ".join(names) if names else "none"


def _forgotten(context: Context) -> dict[str, Callable[[str], Resource]]:
    """How to make, for each kind, a resource that wants nothing; for what no stage speaks of any more."""
    nowhere = Path("/nonexistent")
    return {
        "file": lambda name: File(name),
        "link": lambda name: Link(name),
        "directory": lambda name: Directory(name, wanted=False),
        "service": lambda name: Service(
            name, manager=context.manager, started=nowhere, environment=nowhere, wanted=False
        ),
    }


def install(context: Context, command: str) -> Outcome:
    """Bring the machine to what is wanted.

    Args:
        command: As the admin typed it, for the history.

    Raises:
        TljhError: it could not be done; the same command goes on from where it stopped.
    """
    stages, plan = look(context)
    if not plan:
        for stage in stages:
            stage.check(context)
        _record_wishes(context)
        return Outcome(context, ())
    run = context.store.begin_run(command)
    for number, earlier in context.store.unfinished_runs(run):
        context.reporter.say(f"an earlier run was cut off ({earlier}); this one goes on from where it stopped")
        context.store.end_run(number, "killed")
    try:
        outcome = _apply(context, stages, plan, run)
    except BaseException as error:
        context.store.end_run(run, f"failed: {error}" if isinstance(error, Exception) else "interrupted")
        raise
    _record(context, run, command)
    return outcome


def _apply(context: Context, stages: Sequence[Stage[Context]], plan: Plan, run: int) -> Outcome:
    applier = Applier(context.machine, context.facts, context.store, run)
    changes: list[Change] = []
    failed: Sequence[str] = ()
    _record_wishes(context)
    for stage in stages:
        steps = [step for step in plan.puts if step.resource.stage == stage.name]
        if stage.name == "services":
            _end_progress_page(context.options.progress_page)
        with context.reporter.stage(stage.name):
            if steps and stage.name == "system packages":
                user_environment.begin(context)
            try:
                done = [line for step in steps for line in applier.apply(step)]
            except HookFailed as error:
                failed, done = error.problems, []
            changes += done
            stage.check(context)
            if done:
                context.reporter.note(f"{len(done)} done")
    changes += _drop(context, applier, plan.drops)
    return Outcome(context, changes, failed)


def _drop(context: Context, applier: Applier, steps: Sequence[Step]) -> list[Change]:
    if not steps:
        return []
    with context.reporter.stage("clean-up"):
        return [line for step in steps for line in applier.apply(step)]


def _in_words(changes: Sequence[Change]) -> str:
    counts = Counter(change.action for change in changes)
    words = {"create": "to create", "change": "to change", "remove": "to remove", "run": "to run"}
    return ", ".join(f"{counts[action]} {word}" for action, word in words.items() if counts[action]) or "nothing"


def _record_wishes(context: Context) -> None:
    """Flags add to what is recorded; this is also how a killed run's wishes are there for the next."""
    if list(context.plugin_specs) != context.store.wishes("plugin"):
        context.store.set_wishes("plugin", context.plugin_specs)
    context.store.add_wishes("requirements", context.requirements)
    context.store.add_wishes("channel", context.channels)
    for place, text in context.fetched.items():
        if context.store.wishes(f"content of {place}") != [text]:
            context.store.set_wishes(f"content of {place}", [text])


def _record(context: Context, run: int, command: str) -> None:
    named = context.environments
    record = {
        "config": context.config_text,
        "plugins": {report.name: report.version for report in context.reports},
        "contributions": {report.name: dict(report.contributions) for report in context.reports},
        "environments": {
            "hub": context.required("hub_target").name,
            "user": context.required("user_target").name,
            **{environment.name: environment.target.name for environment in named},
        },
        "locks": {
            "hub": context.required("hub_lock").lines,
            "user": context.required("user_lock").lines,
            **{environment.name: environment.lock.lines for environment in named},
        },
    }
    context.store.add_generation(run, command, record)
    context.store.end_run(run, "done")
    kept = {name for g in context.store.generations(KEPT_GENERATIONS) for name in g["environments"].values()}
    for path in unused(Facts(context.machine), context.paths.envs, kept):
        context.machine.remove(path)
    context.conda.prune(context.machine.at(context.paths.envs).glob("*-*"))


def _end_progress_page(pid: int | None) -> None:
    """End bootstrap's page: the proxy needs its port."""
    if pid is None:
        return
    tell_page("progress page", "done")
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + 5.0
    while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
