"""``tljh rollback 0``: back to the TLJH that was on this machine before it was taken over."""

from __future__ import annotations

import json
import shlex
import sys
import time
from typing import TYPE_CHECKING, NoReturn

import click

from tljh.cli.asking import agreed, refuse_to_ask_nobody
from tljh.cli.plugin_change import How
from tljh.paths import Paths
from tljh.reporter import Reporter

if TYPE_CHECKING:
    from tljh.stages.going_back.before_us import Return


def go_back(paths: Paths, how: How) -> NoReturn:
    """Show what changes, ask, do it; ends the process with an exit status."""
    from tljh.cli.install import told
    from tljh.stages import run
    from tljh.stages.context import Options
    from tljh.stages.going_back import before_us

    if not (how.yes or how.dry_run):
        refuse_to_ask_nobody("tljh rollback", as_json=how.as_json)
    argv = ("rollback", "0", *how.argv)
    reporter = Reporter(verbose=how.verbose, quiet=how.as_json or how.dry_run)
    if how.dry_run:
        with run.opened(Options(argv=argv), paths, reporter, planning=True) as context:
            found = before_us.look(context)
            _show(found, how)
            if how.as_json:
                click.echo(json.dumps(_said(found), indent=1))
        sys.exit(2)
    with told(paths, reporter):
        began = time.monotonic()
        with run.opened(Options(argv=argv), paths, reporter, planning=False) as context:
            found = before_us.look(context)
            _show(found, how)
            if not how.yes and not agreed("Apply?"):
                click.echo("Nothing was changed.")
                sys.exit(1)
            before_us.carry_out(found, shlex.join(["tljh", *argv]), stay=how.no_rollback)
        # from here on nothing may be imported: this program is gone
        if how.as_json:
            click.echo(json.dumps({**_said(found), "applied": True}, indent=1))
        else:
            click.secho(f"What was here before serves again, after {time.monotonic() - began:.1f} s.", fg="green")
        sys.exit(0)


def _said(found: Return) -> dict[str, object]:
    changes = [change.as_dict() for change in found.plan.changes()]
    return {"generation": 0, "applied": False, "changes": changes, "notes": list(found.notes), "failed": []}


def _show(found: Return, how: How) -> None:
    from tljh.cli.plan import show

    if how.as_json:
        return
    show(found.plan.changes(), how.verbose)
    for note in found.notes:
        click.echo(f"Note: {note}.")
