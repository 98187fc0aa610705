"""``tljh doctor``: is all well, and can what isn't be mended?"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click

from tljh.paths import Paths
from tljh.reporter import Reporter

if TYPE_CHECKING:
    from tljh.stages.health.doctor import Result

SIGNS = {"well": ("✓", "green"), "mended": ("✓", "yellow"), "ill": ("✗", "red")}


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--fix", is_flag=True, help="Mend what can be mended, then look again.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
def doctor(fix: bool, as_json: bool) -> None:
    """Look whether all is well, and mend what isn't.

    Looks at the state database, the hub, its services, environments, disk space, config.yaml, and at what plugins
    check.

    Exit status: 0 all is well (with --fix: now), 1 something is not.

    \b
    tljh doctor          look, and change nothing
    tljh doctor --fix    mend what can be mended
    """
    from tljh.engine.database import Damaged
    from tljh.stages import preflight, run
    from tljh.stages.context import Options
    from tljh.stages.health import doctor as stage
    from tljh.stages.health import state_database

    preflight.check_root()
    paths, reporter = Paths.from_environment(), Reporter(quiet=True)
    results = [state_database.examine(paths, reporter, fix=fix)]
    # Damaged: the first result tells of it; without what is known, nothing else can be asked
    with suppress(Damaged), run.opened(Options(), paths, reporter, planning=not fix) as context:
        results += stage.examine(context, fix=fix)
    if as_json:
        click.echo(json.dumps({"ok": _well(results), "checks": [row.as_dict() for row in results]}, indent=1))
    else:
        _print(results, fix=fix)
    sys.exit(0 if _well(results) else 1)


def _well(results: Sequence[Result]) -> bool:
    return all(row.state != "ill" for row in results)


def _print(results: Sequence[Result], *, fix: bool) -> None:
    width = max((len(row.name) for row in results), default=0)
    for row in results:
        sign, colour = SIGNS[row.state]
        of = "" if row.plugin == "core" else f"  [{row.plugin}]"
        click.echo(f"{click.style(sign, fg=colour)} {row.name:<{width}}  {_said(row)}{of}")
        for line in row.more:
            click.echo(f"  {'':<{width}}  {line}")
    ill = [row for row in results if row.state == "ill"]
    if not ill:
        click.secho("All is well.", fg="green")
        return
    fixable = sum(row.fixable for row in ill)
    hint = f"; 'tljh doctor --fix' can mend {_count(fixable)}" if fixable and not fix else ""
    click.echo(
        f"{len(ill)} of {len(results)} checks {'finds' if len(ill) == 1 else 'find'} something wrong{hint}."
    )


def _count(number: int) -> Any:
    return "it" if number == 1 else f"{number} of them"


def _said(row: Result) -> str:
    if row.state == "mended":
        return f"{row.sentence}: mended"
    return row.problem or row.sentence
