"""``tljh lock``: write down every package of this machine with its hash, or look for newer ones."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tljh.cli.flags import TljhCommand, options_from
from tljh.errors import UsageError
from tljh.paths import Paths
from tljh.reporter import Reporter

if TYPE_CHECKING:
    from tljh.stages.context import Options
    from tljh.stages.locks.lock_writing import Move, Written

PLATFORMS = ("linux-64", "linux-aarch64")


@click.command(cls=TljhCommand, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("packages", nargs=-1, metavar="[PACKAGE]...")
@click.option(
    "-o",
    "--output",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(),
    metavar="FOLDER",
    help="Write into FOLDER instead of the current one.",
)
@click.option(
    "--platform",
    "platforms",
    multiple=True,
    type=click.Choice(PLATFORMS),
    help="Lock for this platform beside this machine's own; may be given several times.",
)
@click.option("--upgrade", is_flag=True, help="Solve again: PACKAGE (or environment) moves, or all.")
@click.option("--plugin", "plugins", multiple=True, metavar="SPEC", help="With --upgrade: lock this plugin too.")
@click.option(
    "--channel", "channels", multiple=True, metavar="CHANNEL", help="With --upgrade: use this channel too."
)
@click.option(
    "--user-requirements-txt-url",
    "requirements",
    metavar="URL",
    help="With --upgrade: lock the packages of this requirements file too.",
)
@click.option("--release", is_flag=True, help="Let this machine follow no lock any more; nothing else is done.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
@click.option("-v", "--verbose", is_flag=True, help="Show details.")
def lock(
    packages: Sequence[str],
    folder: Path,
    platforms: Sequence[str],
    upgrade: bool,
    plugins: Sequence[str],
    channels: Sequence[str],
    requirements: str | None,
    release: bool,
    as_json: bool,
    verbose: bool,
) -> None:
    """Write conda-lock.yml (the user environment) and requirements-hub.lock (the hub's), with hashes.

    A machine that was installed with --lock keeps to its lock; --upgrade renews it, and 'tljh install' follows.

    \b
    tljh lock -o /root/lock              what this machine has
    tljh lock --upgrade                  the newest of everything
    tljh lock --upgrade numpy            only numpy moves
    tljh lock --platform linux-aarch64   for such machines too
    """
    if not upgrade and (packages or plugins or channels or requirements):
        what = packages[0] if packages else "--plugin, --channel and --user-requirements-txt-url"
        raise UsageError(f"{what} can only be given with --upgrade", todo="tljh lock --upgrade …")
    if release and (upgrade or platforms):
        raise UsageError("--release goes with no other flag", todo="tljh lock --release")
    named = tuple(dict.fromkeys(packages)) if upgrade else None
    options = options_from([], None, plugins, requirements, channels=channels, upgrade=named)
    if release:
        _release(options)
        return
    _lock(options, folder.absolute(), platforms, as_json, Reporter(verbose=verbose, quiet=as_json))


def _release(options: Options) -> None:
    from tljh.stages import run
    from tljh.stages.locks import lock_writing

    with run.opened(options, Paths.from_environment(), Reporter(quiet=True), planning=True) as context:
        done = lock_writing.release(context)
    click.echo("This machine follows no lock any more." if done else "This machine follows no lock.")


def _lock(options: Options, folder: Path, platforms: Sequence[str], as_json: bool, reporter: Reporter) -> None:
    from tljh.stages import run
    from tljh.stages.locks import lock_writing, locking

    with run.opened(options, Paths.from_environment(), reporter, planning=True) as context:
        locking.look(context)
        wanted = lock_writing.as_it_is(context) if options.upgrade is None else lock_writing.renewal(context)
        others = [*lock_writing.platforms_of(context.held), *platforms]
        written = lock_writing.texts_of(context, wanted, others)
        files = lock_writing.write(context, written, folder)
        follows = context.held is not None
        if follows and options.upgrade is not None:
            lock_writing.keep(context, written)
    _tell(written, wanted.moves, files, follows, options.upgrade is not None, as_json)


def _tell(
    written: Written, moves: Sequence[Move], files: Sequence[Path], follows: bool, renewed: bool, as_json: bool
) -> None:
    if as_json:
        said = {
            "files": {file.name: {"path": str(file), "packages": written.counts[file.name]} for file in files},
            "moves": [vars(move) for move in moves],
            "follows": follows,
        }
        click.echo(json.dumps(said, indent=1))
        return
    for move in moves:
        click.echo(f"  {move.environment}: {move.name}  {move.before or 'nothing'} → {move.after or 'nothing'}")
    for file in files:
        click.echo(f"{file}: {_in_words(written, file.name)}")
    if not renewed:
        return
    if not moves:
        click.echo("Nothing moves.")
    elif follows:
        click.echo("This machine is to follow the new lock; 'tljh install' makes it so.")
    else:
        click.echo(f"This machine is as it was; 'tljh install --lock {files[0].parent}' makes it follow the lock.")


def _in_words(written: Written, name: str) -> str:
    counts = written.counts[name]
    parts = []
    for platform, managers in counts.items():
        listed = " and ".join(f"{count} {manager}" for manager, count in managers.items() if count)
        parts.append(f"{platform} {listed} packages" if listed else f"{platform} no packages")
    return ", ".join(parts)
