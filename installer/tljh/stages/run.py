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
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from tljh import systemd
from tljh.engine import lock
from tljh.engine.apply import Applier
from tljh.engine.build import Stage, build
from tljh.engine.facts import Facts
from tljh.engine.files import scratch_prefix
from tljh.engine.machine import Machine
from tljh.engine.outside import check_writable
from tljh.engine.plan import Change, Plan, Step, make_plan
from tljh.engine.store import Store
from tljh.errors import TljhError
from tljh.paths import Paths
from tljh.plugins.known import note_failed_hooks
from tljh.reporter import Reporter, tell_page
from tljh.resources.archives import bundle
from tljh.resources.conda.environment import CondaBuilder, Progress
from tljh.resources.environments.python_environment import Builder
from tljh.resources.service import Service
from tljh.stages import config, core_stages, environments, generation, plugins, preflight, user_environment
from tljh.stages.context import Context, Options, find_uv, system_python
from tljh.stages.contributed import deployment, plugin_deeds, plugin_stages
from tljh.stages.going_back import rollback, self_rollback
from tljh.stages.hooks import HookFailed
from tljh.stages.leaving import forgotten, removal
from tljh.stages.leaving.leftovers import remove_leftovers
from tljh.stages.locks import locking
from tljh.stages.locks.solving import dropped, plan_folder
from tljh.stages.taking_over import takeover
from tljh.stages.verification import Verification

if TYPE_CHECKING:
    from tljh.resources.conda.settings import CondaSettings


@dataclass(frozen=True)
class Outcome:
    """What a run came to.

    Attributes:
        failed_hooks: Sentences on hooks that failed; the hub serves all the same.
        refused: Whether ``confirm`` said no; nothing was changed.
    """

    context: Context
    changes: Sequence[Change]
    failed_hooks: Sequence[str] = ()
    refused: bool = False


@contextlib.contextmanager
def opened(options: Options, paths: Paths, reporter: Reporter, *, planning: bool) -> Iterator[Context]:
    """A context with the machine looked at: by an installer under the lock, by a plan without it."""
    os.umask(0o022)
    preflight.check_root()
    held = -1 if planning else lock.acquire(paths.lock, say=reporter.say)
    machine = Machine(inherit=() if planning else (held,))
    tempfile.template = scratch_prefix()  # of all temporary folders: a killed run's are known by it
    scratch = Path(tempfile.mkdtemp())
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
        with Store(paths.store, read_only=planning, check=True) as store:
            if not planning:
                remove_leftovers(paths, store, machine, reporter.say)
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
        machine.end_programs()
        conda.forget()
        builder.forget()
        shutil.rmtree(scratch, ignore_errors=True)
        shutil.rmtree(plan_folder(paths), ignore_errors=True)
        if not planning:
            lock.release(held)


def _conda_settings(paths: Paths, reporter: Reporter) -> CondaSettings:
    """What conda's users have set on this machine; what of it can't be followed is said."""
    from tljh.resources.conda.reader import read

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
        rollback.look(context)
        takeover.look(context, again=bool(plugins.started_again()))
        plugins.begin(context)
        config.look_first(context)
        locking.look(context)
        preflight.check_ports(context.config, context.facts)
    with reporter.stage("plugins"):
        (rollback.look_at_plugins if context.earlier else plugins.look)(context)
        reporter.note(_plugins_in_words(context))
    with reporter.stage("plan"):
        context.line_up = line_up = plugin_stages.look(context, core_stages())
        for note in line_up.notes:
            reporter.say(note)
        plugin_stages.keep_hub_environment(context)
        config.look(context)
        if plugins.look_again(context):
            context.line_up = line_up = plugin_stages.look(context, core_stages())
        links = (context.paths.user, *environments.named_links(context).values())
        dropped(context, [context.facts.environment(link) for link in links])
        if not plugin_stages.keep_user_environment(context):
            user_environment.look(context)
        environments.look(context)
        owned = context.store.owned()
        context.stage_code = deployment.StageCode(context)
        context.resources = build(line_up.stages, context, owned, forgotten.makers(context))
        plan = make_plan(plugin_stages.of_this_run(context, context.resources), context.facts, owned)
        plan = plugin_stages.destroyed_first(plan)
        context.stage_code.leaving = deployment.dropped(plan)
        reporter.note(_in_words(plan.changes()))
    return line_up.active, plan


def _plugins_in_words(context: Context) -> str:
    names = [f"{report.name} {report.version}" for report in context.reports]
    return ", ".join(names) if names else "none"


def install(context: Context, command: str, confirm: Callable[[Plan], bool] | None = None) -> Outcome:
    """Bring the machine to what is wanted.

    Args:
        command: As the admin typed it, for the history.
        confirm: Asked with the plan, where there is something to do; ``False`` ends it there, nothing is changed.

    Raises:
        TljhError: it could not be done; the same command goes on from where it stopped.
    """
    try:
        stages, plan = look(context)
    except (TljhError, KeyboardInterrupt):
        removal.leave_nothing(context, candidate=bool(plugins.started_again()))
        raise
    if not plan:
        with deployment.running(context):
            for stage in stages:
                stage.check(context)
        if rollback.nothing_to_do(context):
            return Outcome(context, ())
        rollback.begin(context)
        _record_wishes(context)
        if context.earlier or context.store.unfinished_runs(but=0) or not generation.is_recorded(context):
            generation.record(context, _begin(context, command), command)
        return Outcome(context, ())
    if confirm and not confirm(plan):
        return Outcome(context, (), refused=True)
    check_writable((Path("/etc"), Path("/usr/bin"), context.paths.prefix))
    run = _begin(context, command)
    try:
        with context.store.failing(run):
            before = plugin_deeds.packages(context)
            outcome = _apply(context, stages, plan, run)
            if context.config_changed_by or plugin_deeds.packages(context) != before:
                outcome = _once_more(context, outcome, run)
    except Exception:
        self_rollback.after_failure(context)
        raise
    note_failed_hooks(context.store, context.reports, outcome.failed_hooks)
    generation.record(context, run, command)
    return outcome


def _begin(context: Context, command: str) -> int:
    """Note that a run begins, and tell of those that were killed; returns its number."""
    run = context.store.begin_run(command)
    for earlier in context.store.end_killed_runs(run):
        context.reporter.say(f"an earlier run was cut off ({earlier}); this one goes on from where it stopped")
    return run


def _apply(context: Context, stages: Sequence[Stage[Context]], plan: Plan, run: int) -> Outcome:
    applier = Applier(context.machine, context.facts, context.store, run)
    changes: list[Change] = []
    failed: Sequence[str] = ()
    rollback.begin(context)
    _record_wishes(context)
    with deployment.running(context):
        for stage in stages:
            context.at = stage.priority
            steps = [step for step in plan.puts if step.resource.stage == stage.name]
            if stage.name == "services":
                _end_progress_page(context.options.progress_page)
            with context.reporter.stage(stage.name, idle=not steps):
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
    gone = _drop(context, applier, plan.drops)
    services = {
        step.resource.id for step in plan.drops if isinstance(step.resource, Service) and step.resource.wanted
    }
    if any(change.resource in services for change in gone):
        _verify_again(context, stages)
    return Outcome(context, [*changes, *gone], failed)


def _once_more(context: Context, outcome: Outcome, run: int) -> Outcome:
    """What ``tljh_post_install`` has put into config.yaml takes effect, in one more pass and no more.

    So does what it installed: from now on that is among what is wanted.

    Raises:
        TljhError: a plugin changes it again; it is named.
    """
    names = ", ".join(context.config_changed_by)
    if names:
        what = f"{names} changed config.yaml in tljh_post_install; once more, so that it takes effect"
    else:
        what = "plugins' hooks installed packages; once more, so that these are kept"
    context.reporter.say(what)
    context.config_changed_by.clear()
    context.options = replace(context.options, run_hooks=False)
    context.earlier = None  # what a hook has made of config.yaml now counts
    stages, plan = look(context)
    more = _apply(context, stages, plan, run)
    if context.config_changed_by:
        raise TljhError(
            "tljh_post_install changes config.yaml each time it runs, so that no install comes to an end",
            whose=f"plugin {', '.join(context.config_changed_by)}",
            todo="update or leave out the plugin; the hub serves with what config.yaml said before",
        )
    return replace(more, changes=[*outcome.changes, *more.changes])


def _drop(context: Context, applier: Applier, steps: Sequence[Step]) -> list[Change]:
    if not steps:
        return []
    with context.reporter.stage("clean-up"):
        return [line for step in steps for line in applier.apply(step)]


def _verify_again(context: Context, stages: Sequence[Stage[Context]]) -> None:
    """What is dropped can restart a service (a file that it had read is gone); does it still do its work?"""
    for stage in stages:
        if stage.name == Verification.name:
            with context.reporter.stage(stage.name):
                stage.check(context)


def _in_words(changes: Sequence[Change]) -> str:
    counts = Counter(change.action for change in changes)
    words = {"create": "to create", "change": "to change", "remove": "to remove", "run": "to run"}
    return ", ".join(f"{counts[action]} {word}" for action, word in words.items() if counts[action]) or "nothing"


def _record_wishes(context: Context) -> None:
    """Flags add to what is recorded; this is also how a killed run's wishes are there for the next."""
    if list(context.plugin_specs) != context.store.wishes("plugin"):
        context.store.set_wishes("plugin", context.plugin_specs)
    if list(context.disabled) != context.store.wishes("disabled"):
        context.store.set_wishes("disabled", context.disabled)
    context.store.add_wishes("requirements", context.requirements)
    context.store.add_wishes("channel", context.channels)
    for place, text in context.fetched.items():
        if context.store.wishes(f"content of {place}") != [text]:
            context.store.set_wishes(f"content of {place}", [text])


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
