"""``tljh install``: what bootstrap hands over to, and what an admin runs again."""

from __future__ import annotations

import logging
import os
import shlex
import signal
import sqlite3
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import click

from tljh.cli.flags import TljhCommand, options_from, restart_without_passwords, wishes
from tljh.engine.outside import unwritable
from tljh.errors import TljhError
from tljh.paths import Paths
from tljh.reporter import Reporter, log_to
from tljh.stages.context import Options

if TYPE_CHECKING:
    from tljh.stages.run import Outcome

log = logging.getLogger("tljh")

BEGAN_VARIABLE = "TLJH_BEGAN"
"""Set by bootstrap: when it began, in seconds since the epoch, so that its time is told with ours."""


@click.command(cls=TljhCommand, context_settings={"help_option_names": ["-h", "--help"]})
@wishes
@click.option("--yes", is_flag=True, help="Never ask (an install asks nothing as it is).")
@click.option(
    "--no-rollback",
    is_flag=True,
    help="Leave it as it is when the hub fails at the end; don't go back to what worked before.",
)
@click.option("--i-have-a-backup", "own_backup", is_flag=True, help="Of a hub database that is not SQLite's.")
@click.option("--progress-page-server-pid", "progress_page", type=int, hidden=True)
def install(
    admins: Sequence[str],
    admin_password_file: Path | None,
    plugins: Sequence[str],
    requirements: str | None,
    channels: Sequence[str],
    drop: Sequence[str],
    lock: str | None,
    verbose: bool,
    yes: bool,
    progress_page: int | None,
    **how: Any,
) -> None:
    """Bring this machine to what is wanted.

    Flags add to what earlier runs asked for; leaving one out takes nothing away. Run it as often as you like:
    it changes only what differs.

    \b
    tljh install                             mend what differs
    tljh install --admin alice               one more admin
    tljh install --plugin tljh-plasma        one more plugin
    """
    options = options_from(
        admins,
        admin_password_file,
        plugins,
        requirements,
        progress_page,
        channels=channels,
        drop=drop,
        lock=lock,
        **how,
    )
    restart_without_passwords(options)
    paths = Paths.from_environment()
    reporter = Reporter(verbose=verbose)
    started = float(os.environ.get(BEGAN_VARIABLE) or time.time())
    with told(paths, reporter):
        sys.exit(_run(options, paths, reporter, started))


@contextmanager
def told(paths: Paths, reporter: Reporter) -> Iterator[None]:
    """What holds for every command that changes the machine: root, the log, interrupts, faults in words."""
    from tljh.stages import preflight

    preflight.check_root()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    try:
        log_to(paths.log)
        yield
    except KeyboardInterrupt as error:
        reporter.warn("interrupted; what is done so far stays done, and the same command goes on from here")
        sys.exit(int(error.args[0]) if error.args else 130)
    except (OSError, sqlite3.OperationalError) as error:
        wanted = unwritable(error)
        log.exception("%s", wanted or "a fault of the installer")
        if wanted is None:
            raise
        raise wanted from error
    except TljhError as error:
        log.error("%s", error)
        raise
    except Exception:
        log.exception("a fault of the installer")
        click.secho(f"a fault of the installer; the whole story is in {paths.log}", fg="red", err=True)
        raise


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt(128 + number)


def _run(options: Options, paths: Paths, reporter: Reporter, started: float) -> int:
    from tljh.stages import run

    command = shlex.join(["tljh", "install", *options.argv])
    log.info("begin: %s", command)
    with run.opened(options, paths, reporter, planning=False) as context:
        outcome = run.install(context, command)
    tell(outcome, options, paths, time.time() - started)
    return 1 if outcome.failed_hooks else 0


def tell(outcome: Outcome, options: Options, paths: Paths, seconds: float) -> None:
    """The end of the story: the address, who may log in, and where the details are."""
    from tljh.stages.verification import public_url

    context = outcome.context
    if not outcome.changes:
        click.echo(f"Nothing to change ({seconds:.1f} s).")
        return
    click.echo()
    click.secho(f"JupyterHub is ready after {seconds:.0f} s: {public_url(context.config)}", fg="green", bold=True)
    for name in options.admins:
        password = context.generated.get(name)
        # only here, only once: it is in no log
        click.echo(f"  admin {name}" + (f", password: {password}" if password else ""))
    if context.generated:
        click.echo("  A password is shown this once; change it at /hub/auth/change-password.")
    click.echo(f"  log: {paths.log}")
    for problem in outcome.failed_hooks:
        click.secho(
            f"! {problem}; the hub serves all the same, and the hook runs again next time", fg="yellow", err=True
        )
    if not context.with_systemd:
        click.echo(_without_systemd())


def _without_systemd() -> str:
    return "  There is no systemd here: run 'tljh start' after this machine was restarted."
