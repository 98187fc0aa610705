"""``tljh upgrade``: packages move to their newest versions; shown first, recorded, undone by a rollback."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

from tljh.cli.plugin_change import HELP, How, Verb, shared
from tljh.paths import Paths
from tljh.stages.context import Options

if TYPE_CHECKING:
    from tljh.stages.context import Context


def _complete(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Environments, and the packages that are in them."""
    from tljh.engine.facts import Facts
    from tljh.engine.machine import Machine
    from tljh.resources.environments import inventory

    paths, facts = Paths.from_environment(), Facts(Machine())
    links = inventory.links(paths, facts)
    found = dict.fromkeys(links, "environment")
    for name, link in links.items():
        fact = facts.environment(link)
        for package in sorted(fact.packages if fact else ()):
            found.setdefault(package, f"in {name}")
    return [CompletionItem(name, help=where) for name, where in found.items() if name.startswith(incomplete)]


@click.command(context_settings=HELP)
@click.argument("names", nargs=-1, metavar="[hub|user|ENVIRONMENT|PACKAGE]...", shell_complete=_complete)
@click.option("--i-have-a-backup", "own_backup", is_flag=True, help="Of a hub database that is not SQLite's.")
@shared
def upgrade(names: Sequence[str], own_backup: bool, how: How) -> None:
    """Bring packages to their newest versions: all, those of an environment, or those that are named.

    Without this, versions stay where they are, however often 'tljh install' runs. What config.yaml, a plugin or a
    flag holds to a version keeps it. What would move is shown first; if the hub does not work afterwards it goes
    back by itself, and 'tljh rollback' takes an upgrade back later. The system's own packages are apt's
    (apt upgrade), this program comes with bootstrap.

    \b
    tljh upgrade --dry-run      what would move?
    tljh upgrade                everything
    tljh upgrade user           what people have in their servers
    tljh upgrade hub            JupyterHub, its proxy's part and plugins
    tljh upgrade numpy pandas   these two, wherever they are
    """
    named = tuple(dict.fromkeys(names))
    options = Options(upgrade=named, own_backup=own_backup)
    Upgrade("upgrade", named, options, how, done="Upgraded").run()


@dataclass(frozen=True)
class Upgrade(Verb):
    """One upgrade on its way."""

    @property
    def argv(self) -> tuple[str, ...]:
        backup = ["--i-have-a-backup"] if self.options.own_backup else []
        return ("upgrade", *self.words, *backup, *self.how.argv)

    def check(self, context: Context) -> None:
        from tljh.stages.locks import locking, renewing

        locking.look(context)
        renewing.refuse(context)
