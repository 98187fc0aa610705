"""The ``tljh`` command. Each command has a file of its own, imported when it is asked for."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Sequence
from typing import Any

import click

from tljh.errors import TljhError

# name → module, object, and the line that --help shows, so that help imports no command
COMMANDS = {
    "install": (
        "tljh.cli.install",
        "install",
        "Bring this machine to what is wanted; run it as often as you like.",
    ),
    "plan": ("tljh.cli.plan", "plan", "Show what an install would change, and change nothing."),
    "config": ("tljh.cli.config", "group", "Read and change config.yaml (also: tljh-config)."),
    "env": ("tljh.cli.env", "group", "Show the environments and what is in them; verify and repair them."),
    "bundle": ("tljh.cli.bundle", "group", "Install other machines like this one without a network."),
    "lock": ("tljh.cli.lock", "lock", "Write down every package with its hash, or look for newer ones."),
    "status": ("tljh.cli.services", "status", "Show whether the hub and the proxy run and answer."),
    "start": ("tljh.cli.services", "start", "Start the hub and the proxy."),
    "stop": ("tljh.cli.services", "stop", "Stop the hub and the proxy; people's servers go on."),
    "restart": ("tljh.cli.services", "restart", "Restart the hub and the proxy; people's servers go on."),
}


class Commands(click.Group):
    """Loads a command when it is used."""

    def list_commands(self, context: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        module, attribute, _ = COMMANDS[name]
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def resolve_command(self, context: click.Context, arguments: list[str]) -> Any:
        import difflib

        name = arguments[0] if arguments else ""
        near = difflib.get_close_matches(name, COMMANDS, n=1)
        if name not in COMMANDS and not name.startswith("-") and near:
            context.fail(f"there is no command {name!r}; did you mean {near[0]!r}?")
        return super().resolve_command(context, arguments)

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, help) for name, (_, _, help) in COMMANDS.items()])


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="the-littlest-jupyterhub", prog_name="tljh")
def cli() -> None:
    """A JupyterHub on this server, installed by one command and kept that way.

    \b
    tljh plan       what would an install change?
    tljh install    change it
    tljh status     does it run?

    Tab completion for bash: eval "$(_TLJH_COMPLETE=bash_source tljh)"
    """


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the ``tljh`` command."""
    guarded(cli, arguments, name="tljh")


def guarded(command: click.Command, arguments: Sequence[str] | None = None, *, name: str) -> None:
    """Run a click command; our own errors become a sentence and an exit status, an interrupt a word."""
    run: Callable[..., Any] = command.main
    try:
        run(args=list(arguments) if arguments is not None else None, prog_name=name, standalone_mode=True)
    except TljhError as error:
        click.secho(f"{name}: {error}", fg="red", err=True)
        sys.exit(error.exit_code)
