"""``tljh history``: what each good install and each reload has left, and what one of them holds."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from tljh.cli.recorded import SIGNS, generation, local_time, print_table, reading
from tljh.engine.machine import redact

if TYPE_CHECKING:
    from tljh.engine.generation_tables import Row

SHOWN = 20  # generations, without -n


@click.group("history", invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("-n", "last", type=click.IntRange(min=1), default=None, help=f"How many; {SHOWN} without it.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs: all, or -n of them.")
@click.pass_context
def group(context: click.Context, last: int | None, as_json: bool) -> None:
    """Show the generations: what each good install has left, the newest first.

    \b
    tljh history              which there are, and what changed
    tljh history show 4       all that generation 4 holds
    tljh diff 3 4             what differs between two of them
    """
    if context.invoked_subcommand:
        return
    count = last or (None if as_json else SHOWN)
    with reading() as store:
        rows = store.history(count + 1 if count else None)
        every = len(store.numbers())
    found = [_described(row, before) for row, before in zip(rows, [*rows[1:], None], strict=False)]
    shown = found[:count]
    if as_json:
        click.echo(json.dumps({"generations": shown}, indent=1))
        return
    if not rows:
        click.echo("No install has ended well yet.")
        return
    titles = ("GEN", "WHEN", "BY", "CHANGES", "WHAT", "WHY")
    lines = [
        (
            str(row["generation"]),
            local_time(row["time"]),
            row["by"],
            _counts(row["changes"]),
            row["what"],
            row["why"],
        )
        for row in shown
    ]
    print_table([titles, *lines], bold=1)
    if len(shown) < every:
        click.echo(f"… and {every - len(shown)} older ones (-n shows more)")


def _described(row: Row, before: Row | None) -> dict[str, Any]:
    """One generation as ``--json`` prints it.

    Args:
        before: The generation before it.
    """
    return {
        "generation": row.number,
        "time": row.time,
        "by": row.actor,
        "why": redact(row.reason),
        "run": row.run,
        "plugins": dict(row.brief.get("plugins", {})),
        "environments": dict(row.brief.get("environments", {})),
        "of": row.brief.get("of"),
        "changes": dict(row.changes),
        "what": _what(row, before),
    }


def _what(row: Row, before: Row | None) -> str:
    """What makes it another one than that before it, in a few words."""
    if row.brief.get("of") is not None:
        return f"as generation {row.brief['of']}"
    old = before.brief.get("plugins", {}) if before else {}
    new = row.brief.get("plugins", {})
    said = [f"{name} {version}" for name, version in new.items() if name not in old]
    said = [f"+{word}" for word in said]
    said += [f"-{name}" for name in old if name not in new]
    said += [f"{name} {old[name]} → {new[name]}" for name in new if name in old and old[name] != new[name]]
    there = before.brief.get("environments", {}) if before else {}
    said += [now for name, now in row.brief.get("environments", {}).items() if there.get(name) != now]
    return ", ".join(said) or ("first install" if before is None else "settings")


def _counts(changes: Mapping[str, int]) -> str:
    said = [f"{sign}{changes[action]}" for action, (sign, _) in SIGNS.items() if changes.get(action)]
    return " ".join(said) or "-"


# ---- one of them


@group.command(short_help="Show all that one generation holds.")
@click.argument("number", type=int)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
@click.option("-v", "--verbose", is_flag=True, help="Show every package.")
def show(number: int, as_json: bool, verbose: bool) -> None:
    """Show all that generation NUMBER holds: plugins, settings, packages. What is secret in settings is hidden."""
    from tljh.resources.environments.generations import packages, plugins
    from tljh.settings.hidden import without_secrets

    with reading() as store:
        record = generation(store, number)
        row, *before = store.history(2, newest=number)
    found = {
        **_described(row, before[0] if before else None),
        "plugins": plugins(record),
        "packages": packages(record),
        "config": without_secrets(record.get("config", "")),
    }
    if as_json:
        click.echo(json.dumps(found, indent=1))
        return
    for line in _lines(found, verbose):
        click.echo(line)


def _lines(found: Mapping[str, Any], verbose: bool) -> Iterator[str]:
    yield click.style(f"generation {found['generation']}", bold=True)
    yield f"  when      {local_time(found['time'])}, by {found['by']}"
    yield f"  why       {found['why']}"
    yield f"  what      {found['what']}; {_counts(found['changes'])} (tljh journal --run {found['run']})"
    yield from _section("plugins", [f"{name} {version}" for name, version in found["plugins"].items()])
    for name, built in found["environments"].items():
        mine = found["packages"].get(name, {})
        rows = [f"{package} {version}" for package, version in mine.items()]
        yield from _section(f"environment {name}: {built}, {len(rows)} packages", rows if verbose else ())
    yield from _section("config.yaml", found["config"].splitlines() or ["(empty)"])


def _section(title: str, rows: Sequence[str]) -> Iterator[str]:
    yield f"  {title}"
    yield from (f"    {row}".rstrip() for row in rows)
