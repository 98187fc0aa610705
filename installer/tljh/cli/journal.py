"""``tljh journal``: every change that was made to this machine, run by run."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from itertools import groupby
from typing import Any

import click

from tljh.cli.recorded import SIGNS, local_time, reading
from tljh.engine.machine import redact
from tljh.errors import UsageError

SHOWN = 5  # runs, without -n
LONGEST = 40  # signs of a value that are shown
TOGETHER = 8  # lines of one resource that are shown without -v


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--run", "number", type=int, default=None, help="One run, whatever it did.")
@click.option("-n", "last", type=click.IntRange(min=1), default=None, help=f"How many runs; {SHOWN} without it.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs: all runs, or -n of them.")
@click.option("-v", "--verbose", is_flag=True, help="Show every line, and whole values.")
def journal(number: int | None, last: int | None, as_json: bool, verbose: bool) -> None:
    """Show every change that was made: what it was before and after, who asked for it, and how it went.

    The newest run comes first. A run is an install, a change of a plugin, of config.yaml, a reload; those that
    changed nothing are left out.

    \b
    + created   ~ changed   - removed   ! a plugin's code ran
    """
    with reading() as store:
        runs = store.runs(last or (None if as_json else SHOWN), number)
        if number is not None and not runs:
            raise UsageError(f"there is no run {number}", todo="'tljh journal' shows the newest ones")
        found = [{**_run(run), "changes": store.journal(run["id"])} for run in runs]
    if as_json:
        click.echo(json.dumps({"runs": found}, indent=1))
        return
    if not found:
        click.echo("Nothing was ever changed here.")
    for run in found:
        for line in _lines(run, verbose):
            click.echo(line)


def _run(run: Mapping[str, Any]) -> dict[str, Any]:
    return {**run, "command": redact(run["command"]), "outcome": run["outcome"] or "cut off, or still at work"}


def _lines(run: Mapping[str, Any], verbose: bool) -> Iterator[str]:
    colour = {"done": "green"}.get(run["outcome"], "yellow")
    head = f"run {run['id']}  {local_time(run['started'])}  {run['actor']}  {run['command']}"
    yield click.style(head, bold=True) + "  " + click.style(_first_line(run["outcome"]), fg=colour)
    for (stage, resource), rows in groupby(run["changes"], key=lambda row: (row["stage"], row["resource"])):
        listed = list(rows)
        yield f"  {f'{stage}: ' if stage else ''}{resource}"
        shown = listed if verbose else listed[:TOGETHER]
        yield from (f"    {_line(row, verbose)}" for row in shown)
        if len(listed) > len(shown):
            yield f"      … and {len(listed) - len(shown)} more (-v shows them)"


def _line(row: Mapping[str, Any], verbose: bool) -> str:
    ran = row["resource"].startswith(("hook:", "stage:"))
    sign, colour = SIGNS["run" if ran and row["action"] != "remove" else row["action"]]
    # of code that runs they are digests of what it depends on
    shown = () if ran else (row["before"], row["after"])
    values = [_short(value, verbose) for value in shown if value is not None]
    result = "" if row["result"] == "done" else f"; {_first_line(row['result'])}"
    said = f"  {' → '.join(values)}" if values else ""
    return f"{click.style(sign, fg=colour)} {row['key']}{said}  [{row['origin']}{result}]"


def _short(value: str, verbose: bool) -> str:
    return value if verbose or len(value) <= LONGEST else f"{value[:LONGEST]}…"


def _first_line(text: str) -> str:
    return text.strip().splitlines()[0] if text.strip() else text
