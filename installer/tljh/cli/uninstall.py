"""``tljh uninstall``: takes away what was installed, and with ``--purge`` what people have, too."""

from __future__ import annotations

import json
import shlex
import sys
import time
from typing import TYPE_CHECKING, Any

import click

from tljh.cli.asking import agreed, refuse_to_ask_nobody
from tljh.paths import Paths
from tljh.reporter import Reporter

if TYPE_CHECKING:
    from tljh.stages.leaving.uninstall import Uninstall


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--purge", is_flag=True, help="Delete homes, accounts, the hub's database and config.yaml, too.")
@click.option("--yes", is_flag=True, help="Don't ask; what goes is shown all the same.")
@click.option("--dry-run", is_flag=True, help="Show what goes and what stays, and end; nothing is changed.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs; needs --yes or --dry-run.")
@click.option("-v", "--verbose", is_flag=True, help="Show every line of the plan.")
def uninstall(purge: bool, yes: bool, dry_run: bool, as_json: bool, verbose: bool) -> None:
    """Take away all that was installed, and nothing else.

    What was there before stays: files, accounts, packages. So do people's homes and accounts, the hub's database
    with their passwords, and config.yaml, unless --purge is given, which asks twice.

    \b
    tljh uninstall --dry-run    what would go, and what would stay?
    tljh uninstall              take it away
    tljh uninstall --purge      leave the machine as it was before
    """
    from tljh.cli.install import told
    from tljh.stages import preflight
    from tljh.stages.leaving import uninstall as stage

    preflight.check_root()
    paths = Paths.from_environment()
    if not (yes or dry_run):
        refuse_to_ask_nobody("tljh uninstall", as_json=as_json, what="would go")
    reporter = Reporter(verbose=verbose, quiet=as_json or dry_run)
    if dry_run:
        with stage.opened(paths, reporter, planning=True) as context:
            found = stage.look(context, purge=purge)
            _show(found, as_json, verbose)
            sys.exit(2 if found.changes() else 0)
    flags = {"--purge": purge, "--yes": yes, "--json": as_json, "--verbose": verbose}
    command = shlex.join(["tljh", "uninstall", *(flag for flag, given in flags.items() if given)])
    with told(paths, reporter):
        began = time.monotonic()
        with stage.opened(paths, reporter, planning=False) as context:
            found = stage.look(context, purge=purge)
            if not as_json:
                _show(found, as_json, verbose)
            if found.changes() and not (yes or _agreed(found)):
                click.echo("Nothing was changed.")
                sys.exit(1)
            said = _as_dict(found)
            stage.carry_out(found, command)
        _tell(found, said, as_json, time.monotonic() - began)
        sys.exit(1 if found.context.not_done else 0)


def _as_dict(found: Uninstall) -> dict[str, Any]:
    changes = [change.as_dict() for change in found.changes()]
    return {"changes": changes, "stays": list(found.stays), "deleted": list(found.lost)}


def _show(found: Uninstall, as_json: bool, verbose: bool) -> None:
    if as_json:
        click.echo(json.dumps(_as_dict(found), indent=1))
        return
    from tljh.cli.plan import show

    changes = found.changes()
    show(changes, verbose, undo=False)
    count = f"{len(changes)} change{'s' * (len(changes) != 1)}."
    click.echo(count if changes else "Nothing is there to be removed.")
    if found.servers:
        many = "1 running server is" if len(found.servers) == 1 else f"{len(found.servers)} running servers are"
        click.secho(f"{many} stopped: {', '.join(found.servers)}.", fg="yellow")
    for sentence in found.stays:
        click.echo(f"Stays: {sentence}.")
    for sentence in found.lost:
        click.secho(f"Deleted for good: {sentence}.", fg="red")


def _agreed(found: Uninstall) -> bool:
    really = click.style("Delete it for good, people's homes and passwords included?", fg="red")
    return agreed("Take all this away?") and (not found.lost or agreed(really))


def _tell(found: Uninstall, said: dict[str, Any], as_json: bool, seconds: float) -> None:
    """The end; nothing may be imported any more, because it is gone."""
    if as_json:
        click.echo(json.dumps({**said, "not_done": list(found.context.not_done)}, indent=1))
        return
    click.secho(f"Uninstalled after {seconds:.1f} s.", fg="green", bold=True)
    for problem in found.context.not_done:
        click.secho(f"! {problem}", fg="yellow", err=True)
