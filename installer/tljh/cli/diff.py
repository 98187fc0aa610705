"""``tljh diff``: what differs between two generations, or between one and now."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from tljh.cli.recorded import generation, reading

if TYPE_CHECKING:
    from tljh.engine.store import Store
    from tljh.resources.environments.generations import Difference

NOW = "now"
LONGEST = 40  # signs of a value that are shown
TOGETHER = 12  # lines of one kind that are shown without -v


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("one", type=int)
@click.argument("other", type=int, required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
@click.option("-v", "--verbose", is_flag=True, help="Show every line.")
def diff(one: int, other: int | None, as_json: bool, verbose: bool) -> None:
    """Show what differs between generations ONE and OTHER: settings, plugins, packages, things on the machine.

    Without OTHER against now: what was recorded last, and config.yaml as it is. What is secret in settings is
    hidden; where it differs, that is shown.

    \b
    tljh diff 3 4      what generation 4 changed
    tljh diff 3        all that has changed since generation 3
    """
    with reading() as store:
        found = _compared(store, one, other)
    if as_json:
        click.echo(json.dumps(_as_dict(found), indent=1))
        return
    lines = list(_lines(found, verbose))
    said = f"generation {found['after']}" if found["after"] != NOW else NOW
    for line in lines or [f"Nothing differs between generation {one} and {said}."]:
        click.echo(line)


def _compared(store: Store, one: int, other: int | None) -> dict[str, Any]:
    from tljh.resources.environments import generations

    before = generation(store, one)
    newest = store.newest()
    after = generation(store, other) if other is not None else {**newest, "config": _config_now()}
    began, ended = store.run_of(one), store.run_of(after["id"])
    first, last = sorted((began, ended))
    things = generations.things(
        row for row in store.journal() if first < row["run"] and (row["run"] <= last or other is None)
    )
    return {
        "before": one,
        "after": NOW if other is None else other,
        "config": _config(before, after, one, NOW if other is None else str(other)),
        "plugins": generations.compared(generations.plugins(before), generations.plugins(after)),
        "packages": generations.environments(before, after),
        "things": generations.turned(things) if other is not None and began > ended else things,
    }


def _config_now() -> str:
    from tljh.paths import Paths

    try:
        return Paths.from_environment().config_file.read_text()
    except FileNotFoundError:
        return ""


def _config(before: Mapping[str, Any], after: Mapping[str, Any], one: int, other: str) -> list[str]:
    """The lines of a unified diff of both config.yaml."""
    from tljh.settings.hidden import without_secrets

    old, new = before.get("config", ""), after.get("config", "")
    lines_of = [without_secrets(text).splitlines() for text in (old, new)]
    one_name = f"config.yaml of generation {one}"
    other_name = f"config.yaml {NOW}" if other == NOW else f"config.yaml of generation {other}"
    lines = list(difflib.unified_diff(lines_of[0], lines_of[1], one_name, other_name, lineterm=""))
    if not lines and old != new:
        return ["config.yaml: only credentials in addresses or in comments differ"]
    return lines


def _as_dict(found: Mapping[str, Any]) -> dict[str, Any]:
    def rows(differences: Sequence[Difference]) -> list[dict[str, str | None]]:
        return [row.as_dict() for row in differences]

    groups = {key: {name: rows(mine) for name, mine in found[key].items()} for key in ("packages", "things")}
    return {**found, "plugins": rows(found["plugins"]), **groups}


def _lines(found: Mapping[str, Any], verbose: bool) -> Iterator[str]:
    colours = {"+": "green", "-": "red", "@": "cyan"}
    for line in found["config"]:
        yield click.style(line, fg=colours.get(line[:1])) if not line.startswith(("+++", "---")) else line
    yield from _section("plugins", found["plugins"], verbose)
    for name, rows in found["packages"].items():
        yield from _section(f"packages of the environment {name}", rows, verbose)
    for name, rows in found["things"].items():
        yield from _section(name, rows, verbose)


def _section(title: str, rows: Sequence[Difference], verbose: bool) -> Iterator[str]:
    if not rows:
        return
    yield click.style(title, bold=True)
    shown = rows if verbose else rows[:TOGETHER]
    yield from (f"  {_line(row)}" for row in shown)
    if len(rows) > len(shown):
        yield f"    … and {len(rows) - len(shown)} more (-v shows them)"


def _line(row: Difference) -> str:
    if row.before is None:
        return f"{click.style('+', fg='green')} {row.name}  {_short(row.after)}"
    if row.after is None:
        return f"{click.style('-', fg='red')} {row.name}  {_short(row.before)}"
    return f"{click.style('~', fg='yellow')} {row.name}  {_short(row.before)} → {_short(row.after)}"


def _short(value: str | None) -> str:
    text = value or ""
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
