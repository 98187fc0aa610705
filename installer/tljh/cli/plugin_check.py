"""``tljh plugin check``: what an install would say of a plugin, before it is installed or published."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from tljh.plugins.checking import Finding
    from tljh.plugins.contributions import PluginReport

SIGNS = {"good": ("✓", "green"), "warning": ("!", "yellow"), "error": ("✗", "red")}


@click.command(
    context_settings={"help_option_names": ["-h", "--help"]},
    short_help="Look what an install would say of a plugin.",
)
@click.argument("path", type=click.Path(path_type=Path), default=Path())
@click.option("--strict", is_flag=True, help="Exit with 1 on warnings too.")
@click.option(
    "--config",
    "config_file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="A config.yaml with the settings that the plugin must have.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
def check(path: Path, strict: bool, config_file: Path | None, as_json: bool) -> None:
    """Check the plugin in PATH: its folder (the current one), its wheel, or its one Python file.

    Looks at what an author wants to know before publishing: the packaging, whether it can be loaded, misspelt and
    unmarked hooks, arguments that hooks aren't given, what the hooks that only answer return, and the settings. It
    installs nothing, changes nothing, and needs no root: made for continuous integration.

    Exit status: 0 all is well, 1 something is wrong.
    """
    from tljh.plugins.checking import ERROR, WARNING, examine

    findings = examine(path.absolute(), lambda variables: _collect(variables, config_file))
    levels = {finding.level for finding in findings}
    bad = ERROR in levels or (strict and WARNING in levels)
    if as_json:
        said = {"path": str(path.absolute()), "ok": not bad, "findings": [vars(row) for row in findings]}
        click.echo(json.dumps(said, indent=1))
    else:
        _print(findings)
    sys.exit(1 if bad else 0)


def _collect(variables: Mapping[str, str], config_file: Path | None) -> Sequence[PluginReport]:
    from tljh.engine.machine import Machine
    from tljh.errors import UsageError
    from tljh.plugins.contributions import collect

    try:
        text = config_file.read_text() if config_file else ""
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{config_file} can't be read: {error}", whose="--config") from error
    return collect(Machine(), Path(sys.executable), text=text, variables=variables)


def _print(findings: Sequence[Finding]) -> None:
    for finding in findings:
        sign, colour = SIGNS[finding.level]
        first, *more = finding.text.splitlines() or [""]
        click.echo(f"{click.style(sign, fg=colour)} {finding.about:<9}  {first}")
        for line in more:
            click.echo(f"             {line}")
        if finding.todo:
            click.echo(f"             → {finding.todo}")
    errors = sum(finding.level == "error" for finding in findings)
    warnings = sum(finding.level == "warning" for finding in findings)
    if not errors and not warnings:
        click.secho("All is well.", fg="green")
    else:
        click.echo(f"{errors} to be mended, {warnings} to be looked at.")
