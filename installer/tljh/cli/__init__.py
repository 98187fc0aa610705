"""The ``tljh`` command. Each command has a file of its own, imported when it is asked for."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from tljh.errors import TljhError

if TYPE_CHECKING:
    from tljh.plugins.commands import Recorded

# name → module, object, and the line that --help shows, so that help imports no command
COMMANDS = {
    "install": (
        "tljh.cli.install",
        "install",
        "Bring this machine to what is wanted; run it as often as you like.",
    ),
    "plan": ("tljh.cli.plan", "plan", "Show what an install would change, and change nothing."),
    "upgrade": ("tljh.cli.upgrade", "upgrade", "Bring packages to their newest versions; shown first."),
    "config": ("tljh.cli.config", "group", "Read and change config.yaml (also: tljh-config)."),
    "plugin": ("tljh.cli.plugin", "group", "See, add, change and take out plugins; write and check your own."),
    "env": ("tljh.cli.env", "group", "Show the environments and what is in them; verify and repair them."),
    "bundle": ("tljh.cli.bundle", "group", "Install other machines like this one without a network."),
    "lock": ("tljh.cli.lock", "lock", "Write down every package with its hash, or look for newer ones."),
    "history": ("tljh.cli.history", "group", "Show what each install has left (generations), the newest first."),
    "diff": ("tljh.cli.diff", "diff", "Show what differs between two generations, or between one and now."),
    "journal": ("tljh.cli.journal", "journal", "Show every change that was made to this machine."),
    "rollback": ("tljh.cli.rollback", "rollback", "Bring back what an earlier install left."),
    "doctor": ("tljh.cli.doctor", "doctor", "Look whether all is well, and mend what can be mended (--fix)."),
    "backup": ("tljh.cli.backup", "backup", "Make one file from which this hub can be made again."),
    "restore": ("tljh.cli.restore", "restore", "Make this machine the hub that a backup is of."),
    "uninstall": ("tljh.cli.uninstall", "uninstall", "Take away all that was installed, and nothing else."),
    "status": ("tljh.cli.services", "status", "Show whether the hub and the proxy run and answer."),
    "start": ("tljh.cli.services", "start", "Start the hub and the proxy."),
    "stop": ("tljh.cli.services", "stop", "Stop the hub and the proxy; people's servers go on."),
    "restart": ("tljh.cli.services", "restart", "Restart the hub and the proxy; people's servers go on."),
}


class Commands(click.Group):
    """Loads a command when it is used; those of plugins are known from the record of the last install."""

    def list_commands(self, context: click.Context) -> list[str]:
        return [*COMMANDS, *self.of_plugins(context)]

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name in COMMANDS:
            module, attribute, _ = COMMANDS[name]
            command: click.Command = getattr(importlib.import_module(module), attribute)
            return command
        from tljh.plugins import commands

        found = self.of_plugins(context).get(name)
        return commands.of_plugin(found) if isinstance(found, commands.Recorded) else found

    def of_plugins(self, context: click.Context) -> Mapping[str, Recorded | click.Command]:
        """Name → command of what ``--import-plugin`` named, and what is recorded of the others."""
        from tljh.plugins import commands

        key = "tljh.commands of plugins"
        if key not in context.meta:
            specs = context.params.get("import_plugins") or ()
            context.meta[key] = {**commands.recorded(), **(commands.imported(specs) if specs else {})}
        found: Mapping[str, Recorded | click.Command] = context.meta[key]
        return found

    def resolve_command(self, context: click.Context, arguments: list[str]) -> Any:
        import difflib

        name = arguments[0] if arguments else ""
        ours = name in COMMANDS and not context.params.get("import_plugins")
        known = [*COMMANDS, *(() if ours else self.of_plugins(context))]
        near = difflib.get_close_matches(name, known, n=1)
        if name not in known and not name.startswith("-") and near:
            context.fail(f"there is no command {name!r}; did you mean {near[0]!r}?")
        found, command, rest = super().resolve_command(context, arguments)
        if command and any(parameter.name == "import_plugins" for parameter in command.params):
            flags = (("--import-plugin", spec) for spec in context.params.get("import_plugins") or ())
            rest = [*(word for flag in flags for word in flag), *rest]
        return found, command, rest

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, help) for name, (_, _, help) in COMMANDS.items()])
        mine = self.of_plugins(context)
        if mine:
            with formatter.section("Commands of plugins"):
                formatter.write_dl([(name, _help(command)) for name, command in sorted(mine.items())])


def _help(command: Recorded | click.Command) -> str:
    if isinstance(command, click.Command):
        return f"{command.get_short_help_str(80)} (--import-plugin)".strip()
    return f"{command.help} ({command.plugin})".strip()


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="the-littlest-jupyterhub", prog_name="tljh")
@click.option(
    "--import-plugin",
    "import_plugins",
    multiple=True,
    is_eager=True,
    metavar="FILE|MODULE",
    help="A Python file or module whose commands are there in this run only.",
)
def cli(import_plugins: Sequence[str]) -> None:
    """A JupyterHub on this server, installed by one command and kept that way.

    \b
    tljh plan       what would an install change?
    tljh install    change it
    tljh status     does it run?
    tljh doctor     is all well?

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
    except OSError as error:
        from tljh.engine.outside import unwritable

        wanted = unwritable(error)
        if wanted is None:
            raise
        click.secho(f"{name}: {wanted}", fg="red", err=True)
        sys.exit(1)
