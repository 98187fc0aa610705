"""``tljh bundle``: one file that installs a machine like this one where there is no network."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tljh.errors import TljhError, UsageError
from tljh.paths import Paths
from tljh.reporter import Reporter

if TYPE_CHECKING:
    from tljh.resources.archives.bundle import Manifest

ENDING = ".tar.zst"


@click.group("bundle", context_settings={"help_option_names": ["-h", "--help"]})
def group() -> None:
    """Install other machines like this one without a network.

    \b
    tljh bundle create hub.tar.zst            make the file here
    python3 bootstrap.py --bundle hub.tar.zst install from it elsewhere
    """


@group.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("-v", "--verbose", is_flag=True, help="Show details, not only the stages.")
@click.option("--json", "as_json", is_flag=True, help="Print what the bundle holds as JSON, and nothing else.")
def create(file: Path, verbose: bool, as_json: bool) -> None:
    """Make FILE, which must end in .tar.zst, from what this machine was built from.

    All packages are fetched again and compared with their hashes. FILE is for machines with the same system,
    processor and version of Python. bootstrap.py, which installs from it, is put beside it.
    """
    from tljh.stages import run
    from tljh.stages.context import Options
    from tljh.stages.locks import bundling

    target = _target(file)
    reporter = Reporter(verbose=verbose, quiet=as_json)
    with run.opened(Options(), Paths.from_environment(), reporter, planning=True) as context:
        run.look(context)
        try:
            manifest = bundling.create(context, target)
            beside = bundling.put_bootstrap_beside(context, target)
        except OSError as error:
            raise TljhError(
                f"{error.filename or target} cannot be written: {error.strerror}",
                todo=f"make room in {target.parent} for twice the size of the bundle, or name another folder",
            ) from error
    if as_json:
        click.echo(_json(manifest, target))
        return
    click.echo()
    click.secho(f"{target}: {_in_words(manifest)}", fg="green", bold=True)
    click.echo(f"  sha256: {_digest(target)}")
    click.echo(f"  Copy it and {beside} to a machine like this one, and run there as root:")
    click.echo(f"    python3 {beside.name} --bundle {shlex.quote(target.name)} --admin NAME")


@group.command()
@click.argument("file", type=click.Path(path_type=Path), required=False)
@click.option("--json", "as_json", is_flag=True, help="Print all that its manifest says, as JSON.")
def show(file: Path | None, as_json: bool) -> None:
    """Show what a bundle holds and which machines it is for.

    Without FILE: the bundle that this machine was installed from.
    """
    from tljh.resources.archives import bundle

    place = file
    if place is None:
        found = bundle.kept(Paths.from_environment())
        if found is None:
            raise TljhError("this machine was not installed from a bundle", todo="name a bundle")
        place = found.folder
    manifest = bundle.manifest_of(place)
    if as_json:
        click.echo(_json(manifest, place))
        return
    rows = [("version", manifest.version), ("for", _meant(manifest)), ("plugins", ", ".join(manifest.plugins))]
    kinds = {"wheels": r"wheels/.*", "conda packages": r"conda/.*", "system packages": r"apt/.*\.deb"}
    for words, pattern in kinds.items():
        sizes = [entry.size for name, entry in manifest.files.items() if re.fullmatch(pattern, name)]
        rows.append((words, f"{len(sizes)}, {sum(sizes) / 1e6:.0f} MB"))
    if place.is_file():
        rows.append(("sha256", _digest(place)))
    for name, value in rows:
        click.echo(f"{name:<16} {value or 'none'}")


@group.command()
def remove() -> None:
    """Take packages from the network again, on a machine that was installed from a bundle.

    The bundle's copy on this machine is removed; what is installed stays as it is.
    """
    from tljh.engine.machine import Machine
    from tljh.resources.archives import bundle
    from tljh.stages import preflight

    preflight.check_root()
    paths = Paths.from_environment()
    if not bundle.forget(Machine(), paths):
        raise TljhError("this machine was not installed from a bundle; nothing was changed")
    click.echo("Packages come from the network from now on.")


def _target(file: Path) -> Path:
    """Where the bundle is to be.

    Raises:
        UsageError: it can't be there.
    """
    if not file.name.endswith(ENDING):
        raise UsageError(f"{file} does not end in {ENDING}", todo=f"write it as {file.name}{ENDING}")
    target = file.absolute()
    if not target.parent.is_dir():
        raise UsageError(f"there is no folder {target.parent}", todo="make it, or name another")
    return target


def _meant(manifest: Manifest) -> str:
    return f"{manifest.system}, {manifest.machine}, Python {manifest.python}"


def _in_words(manifest: Manifest) -> str:
    return f"{len(manifest.files)} files, {manifest.size / 1e6:.0f} MB, for {_meant(manifest)}"


def _digest(path: Path) -> str:
    from tljh.resources.environments.integrity import digest_of

    return digest_of(path)


def _json(manifest: Manifest, place: Path) -> str:
    said = {"bundle": str(place), **json.loads(manifest.as_text())}
    return json.dumps({**said, "sha256": _digest(place)} if place.is_file() else said, indent=1)
