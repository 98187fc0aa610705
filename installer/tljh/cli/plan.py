"""``tljh plan``: what an install would change, who asked for it and whether it can be taken back."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import click

from tljh.cli.flags import TljhCommand, options_from, wishes
from tljh.cli.recorded import SIGNS
from tljh.engine.plan import Change
from tljh.paths import Paths
from tljh.reporter import Reporter

LONGEST = 40  # signs of a value that are shown
TOGETHER = 8  # lines of one resource that are shown without -v


@click.command(cls=TljhCommand, context_settings={"help_option_names": ["-h", "--help"]})
@wishes
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
def plan(
    admins: Sequence[str],
    admin_password_file: Path | None,
    plugins: Sequence[str],
    requirements: str | None,
    channels: Sequence[str],
    drop: Sequence[str],
    lock: str | None,
    verbose: bool,
    as_json: bool,
    **how: Any,
) -> None:
    """Show what an install with these flags would change. Nothing is changed.

    Exit status: 0 nothing to change, 2 something to change, 1 an error.

    \b
    + create   ~ change   - remove   ! run
    """
    from tljh.stages import run

    options = options_from(
        admins, admin_password_file, plugins, requirements, channels=channels, drop=drop, lock=lock, **how
    )
    reporter = Reporter(quiet=True)
    with run.opened(options, Paths.from_environment(), reporter, planning=True) as context:
        _, found = run.look(context)
        changes = found.changes()
        line_up = context.line_up
    if as_json:
        said: dict[str, Any] = {"changes": [change.as_dict() for change in changes]}
        click.echo(json.dumps({**said, "stages": line_up.as_list()}, indent=1))
    else:
        _print(changes, verbose, line_up.notes)
    sys.exit(2 if changes else 0)


def _print(changes: Sequence[Change], verbose: bool, notes: Sequence[str] = ()) -> None:
    for note in notes:
        click.echo(f"Note: {note}.")
    if not changes:
        click.echo("Nothing to change.")
        return
    show(changes, verbose)
    what = (
        "1 change; 'tljh install' makes it."
        if len(changes) == 1
        else f"{len(changes)} changes; 'tljh install' makes them."
    )
    click.echo(what)


def show(changes: Sequence[Change], verbose: bool, *, undo: bool = True) -> None:
    """The lines of a plan, by resource.

    Args:
        verbose: Show every line.
        undo: Say of each how it is undone; an uninstall leaves nothing that could.
    """
    for name, lines in groupby(changes, key=lambda change: (change.stage, change.resource, change.effect)):
        stage, resource, effect = name
        listed = list(lines)
        click.secho(f"{stage}: {resource}" + (f" ({effect})" if effect else ""), bold=True)
        shown = listed if verbose else listed[:TOGETHER]
        for line in shown:
            click.echo(_line(line, undo))
        if len(listed) > len(shown):
            click.echo(f"    … and {len(listed) - len(shown)} more (-v shows them)")


def _line(change: Change, with_undo: bool) -> str:
    sign, colour = SIGNS[change.action]
    values = [_short(value) for value in (change.before, change.after) if value is not None]
    # of code that runs they are digests, which say less than the reason beside it
    shown = f"  {' → '.join(values)}" if values and change.action != "run" else ""
    undo = change.undo if change.undo == "cannot be undone" else f"undo: {change.undo}"
    why = f"{change.origin}; {undo}" if with_undo else change.origin
    return f"  {click.style(sign, fg=colour)} {change.key}{shown}  [{why}]"


def _short(value: str) -> str:
    return value if len(value) <= LONGEST else f"{value[:LONGEST]}…"
