"""``tljh backup``: one file that brings this hub back, here or on another machine."""

from __future__ import annotations

import json
import os
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from tljh.cli.install import told
from tljh.errors import TljhError, UsageError
from tljh.paths import Paths
from tljh.reporter import Reporter

if TYPE_CHECKING:
    from tljh.stages.backups.backup import Made

F = TypeVar("F", bound=Callable[..., Any])
SHORTEST = 8  # signs of a new passphrase
SHOWN = 10  # of what was left out
_UNSEALED = "the backup is not encrypted, and it holds secrets: password hashes, cookies, tokens, config.yaml"


def passphrase_file_option(sentence: str) -> Callable[[F], F]:
    """``--passphrase-file``, which a program gives instead of being asked."""
    kind = click.Path(path_type=Path, dir_okay=False)
    return click.option("--passphrase-file", type=kind, metavar="FILE", help=sentence)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--homes", is_flag=True, help="People's homes too.")
@passphrase_file_option("Encrypt with the passphrase that is the first line of FILE, instead of asking for one.")
@click.option("--without-passphrase", is_flag=True, help="Don't encrypt.")
@click.option("--json", "as_json", is_flag=True, help="Print what is in the backup as JSON, and nothing else.")
@click.option("-v", "--verbose", is_flag=True, help="Show details, not only the stages.")
def backup(
    file: Path,
    homes: bool,
    passphrase_file: Path | None,
    without_passphrase: bool,
    as_json: bool,
    verbose: bool,
) -> None:
    """Make FILE, from which 'tljh restore' makes this hub again, here or on another machine.

    In it: config.yaml and what is beside it, the hub's database, accounts with their numbers and passwords,
    secrets, the history, which packages there are; with --homes people's files. The hub goes on meanwhile.

    \b
    tljh backup /root/hub.backup --homes
    tljh backup /root/hub.backup --passphrase-file /root/passphrase    for cron
    """
    from tljh.stages import run
    from tljh.stages.backups import backup as stage
    from tljh.stages.context import Options

    if passphrase_file and without_passphrase:
        raise UsageError("--passphrase-file and --without-passphrase", todo="give one of them")
    target = file.absolute()
    if not target.parent.is_dir():
        raise UsageError(f"there is no folder {target.parent}", todo="make it, or name another")
    _refuse_what_is_no_file(target)
    paths, reporter = Paths.from_environment(), Reporter(verbose=verbose, quiet=as_json)
    with told(paths, reporter):
        passphrase = None if without_passphrase else new_passphrase(passphrase_file)
        if passphrase is None:
            reporter.warn(_UNSEALED)
        with run.opened(Options(), paths, reporter, planning=False) as context:
            try:
                made = stage.create(context, target, passphrase=passphrase, homes=homes)
            except OSError as error:
                raise TljhError(
                    f"{error.filename or target} cannot be written: {error.strerror}",
                    todo="make room, or name another folder; there is no backup",
                ) from error
    _tell(made, target, passphrase is not None, as_json)


def _refuse_what_is_no_file(target: Path) -> None:
    """The backup takes the place of what is there: of ``/dev/null``, a pipe or a link, too."""
    try:
        mode = target.lstat().st_mode
    except OSError:
        mode = stat.S_IFREG
    if target.name == "-":
        raise UsageError("a backup can't be written to the standard output", todo="name a file")
    if not stat.S_ISREG(mode):
        raise UsageError(f"{target} is no ordinary file, and a backup takes its place", todo="name a new file")


def _tell(made: Made, target: Path, sealed: bool, as_json: bool) -> None:
    if as_json:
        said = json.loads(made.manifest.as_text())
        more = {"backup": str(target), "size": made.size, "people": made.people, "encrypted": sealed}
        click.echo(json.dumps({**more, **said, "left_out": list(made.left_out)}, indent=1))
        return
    homes = f", {len(made.manifest.homes)} homes" if made.manifest.homes else ", no homes"
    click.echo()
    what = f"{target}: {made.size / 1e6:.1f} MB, {made.people} accounts{homes}"
    click.secho(f"{what}, {'encrypted' if sealed else 'not encrypted'}", fg="green", bold=True)
    for sentence in made.left_out[:SHOWN]:
        click.secho(f"! left out: {sentence}", fg="yellow", err=True)
    if len(made.left_out) > SHOWN:
        click.secho(f"! left out: {len(made.left_out) - SHOWN} more (--json lists them)", fg="yellow", err=True)
    click.echo("  On a fresh machine: python3 bootstrap.py --restore FILE; on one with a hub: tljh restore FILE")


def new_passphrase(file: Path | None) -> str:
    """The passphrase for a new backup: a file's first line, or asked for twice.

    Raises:
        UsageError: there is none, or nobody can be asked.
    """
    found = of_file(file) if file else _asked("Passphrase of the backup", twice=True)
    if len(found) < SHORTEST:
        raise UsageError(f"a passphrase must have at least {SHORTEST} signs", todo="choose a longer one")
    return found


def passphrase_of(file: Path | None) -> str:
    """The passphrase of a backup that is there."""
    return of_file(file) if file else _asked("Passphrase of the backup", twice=False)


def of_file(path: Path) -> str:
    """The first line of a file.

    Raises:
        UsageError: it can't be read, or is empty.
    """
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise UsageError(f"{path} cannot be read: {reason}", whose="--passphrase-file") from error
    if not lines or not lines[0]:
        raise UsageError(f"{path} is empty", whose="--passphrase-file", todo="write the passphrase into it")
    return lines[0]


def _asked(words: str, *, twice: bool) -> str:
    if not _has_terminal():
        more = ", or --without-passphrase" if twice else ""
        raise UsageError(
            "the passphrase can't be asked for: there is no terminal", todo=f"give --passphrase-file FILE{more}"
        )
    found: str = click.prompt(words, hide_input=True, confirmation_prompt=twice, err=True)
    return found


def _has_terminal() -> bool:
    """Whether somebody can be asked, even where our input is something else (``curl … | sudo python3 -``)."""
    if sys.stdin.isatty():
        return True
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True
