"""Commands that plugins add to ``tljh``: told from the record, loaded when one is run.

``tljh --help`` must be quick and work while a plugin is broken, so it imports none; what it shows was recorded by
the last install. Only the plugin whose command runs is loaded, or the one that ``--import-plugin`` names.
"""

from __future__ import annotations

import json
import os
import sqlite3
import sys
import traceback
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tljh.engine.generation_tables import unfolded
from tljh.engine.sqlite import reading
from tljh.errors import TljhError
from tljh.paths import Paths

if TYPE_CHECKING:
    from tljh.plugins.contributions import PluginReport
    from tljh.plugins.sources import PluginSource

HOOK = "tljh_subcommands"
CORE = (
    *("install", "plan", "upgrade", "config", "plugin", "env", "bundle", "lock", "history", "diff", "journal"),
    *("rollback", "doctor", "backup", "restore", "uninstall", "status", "start", "stop", "restart"),
)
"""The commands of ``tljh`` itself, which no plugin can replace."""


@dataclass(frozen=True)
class Recorded:
    """One command of a plugin, as the last install saw it."""

    name: str
    help: str
    plugin: str
    label: str = ""


def recorded(paths: Paths | None = None) -> dict[str, Recorded]:
    """The commands of the plugins that are installed and not switched off, by name; none for who may not look."""
    path = (paths or Paths.from_environment()).store
    try:
        if not os.access(path, os.R_OK):
            return {}
        with reading(path, patience=1.0) as connection:
            row = connection.execute("select record from generations order by id desc limit 1").fetchone()
            off = {name for (name,) in connection.execute("select value from wishes where kind = 'disabled'")}
            reports: Mapping[str, Any] = unfolded(connection, json.loads(row[0]).get("reports", {})) if row else {}
    except (sqlite3.Error, ValueError):
        return {}  # a store that can't be read is told by the commands that need it
    return {
        command["name"]: Recorded(command["name"], command.get("help", ""), name, report.get("label", ""))
        for name, report in sorted(reports.items(), reverse=True)  # of two, the first by name stands
        if name not in off and report.get("source") != "import"
        for command in report.get("commands", ())
        if command["name"] not in CORE
    }


def of_plugin(command: Recorded) -> click.Command:
    """Load the plugin that has a command, and give the command.

    Raises:
        TljhError: it can't be loaded, or has that command no more.
    """
    from tljh.plugins.sources import find_sources

    mine = [source for source in find_sources() if source.name == command.plugin]
    found = _commands(mine)
    if command.name not in found:
        whose = mine[0].label if mine else f"plugin {command.plugin}"
        raise TljhError(
            f"{whose} has no command {command.name} any more",
            todo="run 'tljh install', which notes the commands that there are",
        )
    return found[command.name]


def imported(specs: Sequence[str]) -> dict[str, click.Command]:
    """The commands of files and modules that are plugins in this run only.

    Raises:
        TljhError: one of them can't be loaded, or wants to replace a command.
    """
    from tljh.plugins.sources import imports

    found = _commands(imports(_absolute(spec) for spec in specs))
    for name in found:
        if name in CORE:
            raise _refusal(", ".join(specs), name)
    return found


def _absolute(spec: str) -> str:
    is_file = spec.endswith(".py") or "/" in spec
    return str(Path(spec).expanduser().absolute()) if is_file else spec


def _commands(sources: Iterable[PluginSource]) -> dict[str, click.Command]:
    """What plugins add to an empty group; each command names its plugin where it fails."""
    from tljh.plugins.loading import call, describe, load_plugins

    found: dict[str, click.Command] = {}
    for plugin in load_plugins(list(sources)):
        label = plugin.source.label
        if plugin.problems:
            raise TljhError(
                plugin.problems[0], todo="the other commands of tljh go on; 'tljh plugin info' tells more"
            )
        group = click.Group()
        try:
            call(plugin, HOOK, cli=group)
        except Exception as error:
            raise TljhError(f"{label}: {HOOK} failed: {describe(error)}") from error
        for name, command in group.commands.items():
            found[name] = _named(command, label)
    return found


def _named(command: click.Command, label: str) -> click.Command:
    """The same command; what it raises is told with the plugin's name, after its traceback."""
    run = command.invoke

    def invoke(context: click.Context) -> Any:
        from tljh.plugins.loading import describe

        try:
            return run(context)
        except (click.ClickException, click.exceptions.Exit, click.Abort, TljhError):
            raise
        except Exception as error:
            traceback.print_exc(file=sys.stderr)
            raise TljhError(f"{label}: tljh {context.info_name} failed: {describe(error)}") from error

    command.invoke = invoke  # type: ignore[method-assign,assignment]
    return command


def clash(reports: Iterable[PluginReport]) -> TljhError | None:
    """The error for a plugin that wants to replace a command of ours, or that of another plugin."""
    owners: dict[str, PluginReport] = {}
    for report in reports:
        for command in report.commands:
            name = command["name"]
            if name in CORE:
                return _refusal(report.label or f"plugin {report.name}", name)
            other = owners.setdefault(name, report)
            if other is not report:
                both = " and ".join(row.label or f"plugin {row.name}" for row in (other, report))
                return TljhError(
                    f"{both} both add the command 'tljh {name}'",
                    todo=f"leave one out (tljh plugin disable {report.name}); nothing was changed",
                )
    return None


def _refusal(whose: str, name: str) -> TljhError:
    return TljhError(
        f"{HOOK} adds the command {name!r}, which tljh has itself; a plugin can't replace it",
        whose=whose,
        todo="give the command another name; nothing was changed",
    )
