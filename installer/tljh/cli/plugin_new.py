"""``tljh plugin new``: the files of a new plugin."""

from __future__ import annotations

import json
from pathlib import Path

import click

from tljh.plugins.scaffold import STYLES


@click.command(
    context_settings={"help_option_names": ["-h", "--help"]}, short_help="Write the files of a plugin of your own."
)
@click.argument("name")
@click.option(
    "--style",
    type=click.Choice(STYLES),
    default="functions",
    show_default=True,
    help="functions: hooks as functions, as TLJH has them. typed: a class with settings that config.yaml may set. "
    "stages: a part of the install that declares files and folders.",
)
@click.option(
    "-o",
    "--output",
    "below",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(),
    metavar="FOLDER",
    help="Make the plugin's folder in FOLDER instead of the current one.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
def new(name: str, style: str, below: Path, as_json: bool) -> None:
    """Write a plugin that works at once: a package with tests, to be changed into yours.

    \b
    tljh plugin new shared-data                   folder tljh-shared-data
    tljh plugin new shared-data --style typed     with settings of its own
    """
    from tljh.plugins import scaffold

    folder, files = scaffold.write(name, style, below)
    if as_json:
        said = {"folder": str(folder.absolute()), "style": style, "files": [str(file) for file in files]}
        click.echo(json.dumps(said, indent=1))
        return
    for file in files:
        click.echo(f"{click.style('+', fg='green')} {file}")
    click.echo()
    click.echo("What next:")
    steps = {
        f"tljh plugin check {_shown(folder)}": "hooks, answers and packaging, without installing it",
        f"tljh plugin add {_shown(folder)}": "install it: shows what changes, and asks",
    }
    for command, why in steps.items():
        click.echo(f"  {command:<44} {why}")


def _shown(folder: Path) -> str:
    """A path that no command takes for the name of a package."""
    return str(folder) if folder.is_absolute() else f"./{folder}"
