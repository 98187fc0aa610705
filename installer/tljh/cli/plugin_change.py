"""What ``tljh plugin`` does to the machine: each verb is an install with a wish of its own, shown and asked first.

The plan, the question and the apply are those of ``stages/run.py``; here are the words around them.
"""

from __future__ import annotations

import json
import os
import shlex
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from tljh.cli.asking import agreed, refuse_to_ask_nobody
from tljh.cli.recorded import check_store
from tljh.engine.plan import Change, Plan
from tljh.engine.store import Store
from tljh.paths import Paths
from tljh.plugins.known import Known, complete_name
from tljh.reporter import Reporter
from tljh.stages.context import Options

if TYPE_CHECKING:
    from tljh.stages.context import Context
    from tljh.stages.run import Outcome

F = TypeVar("F", bound=Callable[..., Any])
NO_ROLLBACK = "Leave it as it is when the hub fails at the end; don't go back to what worked before."
HELP = {"help_option_names": ["-h", "--help"]}


@dataclass(frozen=True)
class How:
    """The flags that all these commands share."""

    yes: bool
    dry_run: bool
    as_json: bool
    verbose: bool
    without: tuple[str, ...]
    no_rollback: bool = False

    @property
    def argv(self) -> tuple[str, ...]:
        """The flags as they were given."""
        flags = {
            "--yes": self.yes,
            "--dry-run": self.dry_run,
            "--json": self.as_json,
            "--verbose": self.verbose,
            "--no-rollback": self.no_rollback,
        }
        without = [word for name in self.without for word in ("--without", name)]
        return (*without, *(flag for flag, given in flags.items() if given))


def shared(function: F) -> F:
    """Adds the flags of ``How``."""

    def gathered(
        *arguments: Any,
        yes: bool,
        dry_run: bool,
        as_json: bool,
        verbose: bool,
        without: tuple[str, ...],
        no_rollback: bool,
        **more: Any,
    ) -> Any:
        return function(*arguments, how=How(yes, dry_run, as_json, verbose, without, no_rollback), **more)

    gathered.__name__, gathered.__doc__ = function.__name__, function.__doc__
    flags = (
        click.option("--yes", is_flag=True, help="Don't ask; the plan is shown all the same."),
        click.option("--dry-run", is_flag=True, help="Show the plan and end; nothing is changed."),
        click.option(
            "--without",
            multiple=True,
            metavar="PLUGIN",
            shell_complete=complete_name,
            help="Don't load this other plugin, which is broken, in this run; what it brought stays.",
        ),
        click.option(
            "--json", "as_json", is_flag=True, help="Print JSON, for programs; needs --yes or --dry-run."
        ),
        click.option("--no-rollback", is_flag=True, help=NO_ROLLBACK),
        click.option("-v", "--verbose", is_flag=True, help="Show every line of the plan, and details."),
    )
    wrapped: Any = gathered
    for flag in reversed(flags):
        wrapped = flag(wrapped)
    return wrapped  # type: ignore[no-any-return]


# ---- show, ask, do


@dataclass(frozen=True)
class Verb:
    """One verb on its way.

    Attributes:
        words: What the admin named, with absolute paths.
        done: What is said when it is done.
        notes: Sentences that stand above the question.
    """

    name: str
    words: Sequence[str]
    options: Options
    how: How
    done: str
    notes: tuple[str, ...] = ()

    @property
    def argv(self) -> tuple[str, ...]:
        """The arguments with which this goes on in another hub environment, and that the history has."""
        return ("plugin", self.name, *self.words, *self.how.argv)

    def said_before(self, context: Context) -> list[str]:
        """What is good to know before one agrees, a sentence each."""
        return [*self.notes, *self._still_off(context)]

    def stays(self, context: Context) -> list[str]:
        """What is not undone, a sentence each."""
        from tljh.stages.leaving import removal

        return removal.stays(context)

    def check(self, context: Context) -> None:
        """Whether it can be done at all, before anything is looked for.

        Raises:
            TljhError: it can't.
        """

    def run(self) -> None:
        """Show what changes, ask, do it; ends the process with an exit status."""
        from tljh.cli.install import BEGAN_VARIABLE, told
        from tljh.stages import run

        how, paths = self.how, Paths.from_environment()
        if not (how.yes or how.dry_run):
            called = " ".join(["tljh", *self.argv[: self.argv.index(self.name) + 1]])
            refuse_to_ask_nobody(called, as_json=how.as_json)
        options = replace(self.options, without=how.without, no_rollback=how.no_rollback, argv=self.argv)
        reporter = Reporter(verbose=how.verbose, quiet=how.as_json or how.dry_run)
        if how.dry_run:
            with run.opened(options, paths, reporter, planning=True) as context:
                self.check(context)
                _, found = run.look(context)
                self._show(context, found)
                if how.as_json:
                    said = self._said(found.changes(), self.stays(context), applied=False)
                    click.echo(json.dumps(said, indent=1))
            sys.exit(2 if found else 0)
        with told(paths, reporter):
            started = float(os.environ.setdefault(BEGAN_VARIABLE, str(time.time())))
            with run.opened(options, paths, reporter, planning=False) as context:
                self.check(context)
                stays: list[str] = []
                outcome = run.install(
                    context, shlex.join(["tljh", *self.argv]), partial(self._confirm, context, stays)
                )
            sys.exit(self._tell(outcome, stays, time.time() - started))

    def _confirm(self, context: Context, stays: list[str], plan: Plan) -> bool:
        """Show the plan and ask; what is not undone is known only as long as the plugin is recorded."""
        from tljh.stages.leaving import removal

        stays += self.stays(context)
        self._show(context, plan)
        if self.how.yes or agreed("Apply?"):
            return True
        removal.leave_nothing(context)
        return False

    def _show(self, context: Context, plan: Plan) -> None:
        from tljh.cli.plan import show

        if self.how.as_json:
            return
        changes = plan.changes()
        show(changes, self.how.verbose)
        click.echo("Nothing to change." if not changes else f"{len(changes)} change{'s' * (len(changes) > 1)}.")
        for note in self.said_before(context):
            click.echo(f"Note: {note}.")
        for sentence in self.stays(context):
            click.secho(f"Not undone: {sentence}.", fg="yellow")

    def _still_off(self, context: Context) -> list[str]:
        """Adding or upgrading a plugin does not switch it on."""
        packages = {*self.options.upgrade_plugins, *_packages(context, self.options.plugins)}
        off = [report for report in context.reports if report.state == "disabled"]
        names = [report.name for report in off if _canonical(report.distribution) in packages]
        return [
            f"{name} is switched off, so it brings nothing; 'tljh plugin enable {name}' switches it on"
            for name in names
        ]

    def _said(self, changes: Sequence[Change], stays: Sequence[str], *, applied: bool) -> dict[str, Any]:
        return {
            "applied": applied,
            "changes": [change.as_dict() for change in changes],
            "notes": list(self.notes),
            "not_undone": list(stays),
            "failed": [],
        }

    def _tell(self, outcome: Outcome, stays: Sequence[str], seconds: float) -> int:
        """The end of it, in words or as JSON; returns the exit status."""
        if outcome.refused:
            click.echo("Nothing was changed.")
            return 1
        failed = [*outcome.failed_hooks, *outcome.context.not_done]
        if self.how.as_json:
            said = self._said(outcome.changes, stays, applied=bool(outcome.changes))
            click.echo(json.dumps({**said, "failed": failed}, indent=1))
            return 1 if failed else 0
        if not outcome.changes:
            click.echo(f"Nothing to change ({seconds:.1f} s).")
            return 0
        click.secho(f"{self.done} after {seconds:.0f} s{self._which(outcome.context)}.", fg="green", bold=True)
        for problem in outcome.failed_hooks:
            click.secho(f"! {problem}; it runs again next time", fg="yellow", err=True)
        return 1 if failed else 0

    def _which(self, context: Context) -> str:
        """The plugins that it was about, as they are now."""
        options = self.options
        names = [*options.remove_plugins, *options.disable_plugins]
        if self.name in ("add", "upgrade", "enable"):
            packages = {*options.upgrade_plugins, *_packages(context, options.plugins)}
            names = [
                f"{report.name} {report.version}"
                for report in context.reports
                if report.name in options.enable_plugins or _canonical(report.distribution) in packages
            ]
        return f": {', '.join(names)}" if names else ""


def _packages(context: Context, specs: Sequence[str]) -> list[str]:
    from tljh.stages.leaving.removal import distribution_of

    lock = context.hub_lock
    return [distribution_of(spec, lock.sources, lock.pins) for spec in specs] if lock else []


def _canonical(name: str) -> str:
    from tljh.engine.parsers import canonical_name

    return canonical_name(name)


def nothing(how: How, sentence: str) -> None:
    """Nothing to do, said in the form that was asked for."""
    said = {"applied": False, "changes": [], "notes": [sentence], "not_undone": [], "failed": []}
    click.echo(json.dumps(said, indent=1) if how.as_json else sentence)


# ---- what is recorded


def was_begun(store: Store, verb: str, names: Sequence[str]) -> bool:
    """Whether the newest run was this very command: it may have been killed when all but the clean-up was done."""
    words = shlex.split(store.newest_command())
    return words[:3] == ["tljh", "plugin", verb] and set(names) <= set(words[3:])


@contextmanager
def reading() -> Iterator[tuple[Store, list[Known]]]:
    """The store, and what it knows of plugins.

    Raises:
        TljhError: it can't be read, or there is none.
    """
    from tljh.engine.facts import Facts
    from tljh.engine.machine import Machine
    from tljh.plugins import hub_record
    from tljh.plugins.known import known
    from tljh.resources.locks.lock import Lock
    from tljh.stages.leaving.removal import distribution_of

    paths = Paths.from_environment()
    check_store(paths)
    fact = Facts(Machine()).environment(Path(os.path.realpath(paths.hub)))
    lock = (Lock.of_record(fact.record) if fact else None) or Lock((), ())
    with Store(paths.store, read_only=True) as store:
        of_spec = partial(distribution_of, sources=lock.sources, pins=lock.pins)
        yield store, known(store, of_spec, hub_record.read(paths.state).failed)
