"""``tljh restore``: make this machine what a backup says."""

from __future__ import annotations

import shlex
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tljh.cli.asking import agreed, is_terminal
from tljh.cli.backup import passphrase_file_option, passphrase_of
from tljh.cli.install import told
from tljh.errors import UsageError
from tljh.paths import Paths
from tljh.reporter import Reporter

if TYPE_CHECKING:
    from tljh.stages.backups.restore import Restoration
    from tljh.stages.context import Context

GO_ON = "--files-are-there"


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@passphrase_file_option("The passphrase is the first line of FILE; without it, it is asked for.")
@click.option("--without-homes", is_flag=True, help="Leave out people's homes that are in the backup.")
@click.option("--renumber", is_flag=True, help="Give accounts other numbers where theirs are taken here.")
@click.option("--yes", is_flag=True, help="Don't ask, though this machine's hub has been used.")
@click.option("-v", "--verbose", is_flag=True, help="Show details, not only the stages.")
@click.option(GO_ON, "going_on", is_flag=True, hidden=True)
@click.option("--progress-page-server-pid", "progress_page", type=int, hidden=True)
def restore(
    file: Path,
    passphrase_file: Path | None,
    without_homes: bool,
    renumber: bool,
    yes: bool,
    verbose: bool,
    going_on: bool,
    progress_page: int | None,
) -> None:
    """Make this machine the hub that FILE is a backup of: same people, passwords, settings and packages.

    Where this machine's hub has been used, that is shown and asked first; what goes is kept as a backup, and homes
    that are in the way under another name.

    \b
    python3 bootstrap.py --restore hub.backup    on a fresh machine
    tljh restore hub.backup                      on one that has a hub
    """
    from tljh.stages import run
    from tljh.stages.context import Options

    paths, reporter = Paths.from_environment(), Reporter(verbose=verbose)
    place = file.absolute()
    flags = [*(["--verbose"] if verbose else []), GO_ON]
    page = ["--progress-page-server-pid", str(progress_page)] if progress_page else []
    # to go back would be to what was here before: the same command is what goes on
    options = Options(progress_page=progress_page, no_rollback=True, argv=("restore", str(place), *flags, *page))
    command = shlex.join(["tljh", "restore", str(file)])
    started = time.time()
    with told(paths, reporter):
        key = None if going_on else _key(place, passphrase_file)
        with run.opened(options, paths, reporter, planning=False) as context:
            if not going_on:
                _put(context, place, key, command, homes=not without_homes, renumber=renumber, yes=yes)
            outcome = run.install(context, command)
    from tljh.cli.install import tell

    tell(outcome, options, paths, time.time() - started)
    sys.exit(1 if outcome.failed_hooks else 0)


def _key(place: Path, passphrase_file: Path | None) -> object:
    """What opens the backup; ``None`` where it needs nothing."""
    from tljh.resources.archives import sealed

    return sealed.key_of(place, passphrase_of(passphrase_file)) if sealed.is_sealed(place) else None


def _put(
    context: Context, place: Path, key: object, command: str, *, homes: bool, renumber: bool, yes: bool
) -> None:
    from tljh.engine.facts import Facts
    from tljh.resources.people import servers_of
    from tljh.stages.backups.backup_file import BackupFile
    from tljh.stages.backups.restore import Restorer, looked_at

    with looked_at(context, BackupFile(place, key), homes=homes, renumber=renumber) as what:
        _show(what)
        if what.in_use and not yes:
            _ask(len(servers_of(context.paths).observe(Facts(context.machine))))
        run = context.store.begin_run(command)
        restorer = Restorer(context, what, run)
        try:
            restorer.put()
        except BaseException as error:
            context.store.end_run(
                restorer.run, f"failed: {error}" if isinstance(error, Exception) else "interrupted"
            )
            raise
        context.store.end_run(restorer.run, "done")
    for home in restorer.aside:
        click.echo(f"  kept: {home}")
    if restorer.kept:
        click.echo(f"  kept: {restorer.kept} (this machine's hub as it was, without homes)")


def _show(what: Restoration) -> None:
    """What is in the backup, before anything is changed."""
    manifest = what.contents.manifest
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(manifest.when))
    click.echo(f"  backup of {manifest.host} ({manifest.system}), {when}, by version {manifest.program}")
    click.echo(f"  {len(what.people.accounts)} accounts, {len(what.homes)} homes")
    groups = sorted({name for row in what.people.accounts for name in row.groups})
    if groups:
        click.echo(f"  groups: {', '.join(groups)}")
    for note in what.notes:
        click.secho(f"! {note}", fg="yellow", err=True)


def _ask(servers: int) -> None:
    running = f" {servers} running servers of people are stopped." if servers else ""
    if not is_terminal():
        raise UsageError(
            "this machine's hub has been used, and would become what the backup says",
            todo="if that is meant, say --yes; nothing was changed",
        )
    question = (
        "This machine's hub becomes what the backup says: its people, passwords and settings are replaced, and "
        f"kept beside.{running} Go on?"
    )
    if not agreed(question, err=True):
        click.echo("Nothing was changed.")
        sys.exit(1)
