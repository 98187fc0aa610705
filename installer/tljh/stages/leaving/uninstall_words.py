"""What an admin is told before all is taken away: what stays, and what is lost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tljh.engine.parsers import Account
from tljh.resources.apt import METAPACKAGE
from tljh.stages.context import Context
from tljh.stages.leaving import removal
from tljh.user import GROUPS, HOMES

SHOWN = 5  # names that a sentence lists


def stays(
    context: Context,
    owned: Mapping[str, Mapping[str, str]],
    people: Mapping[str, Account],
    packages: Sequence[str],
    *,
    purge: bool,
) -> Iterator[str]:
    """What is there afterwards, a sentence each.

    Args:
        packages: Names of Debian packages that came with an install and that something else needs.
    """
    if not purge:
        yield f"{context.paths.config}: your settings"
        yield f"{context.paths.state}: the hub's database, passwords, certificates, the history of this machine"
        if people:
            yield f"the accounts of {_listed(sorted(people))} and their homes"
        groups = [*owned.get("groups", {}), *owned.get(GROUPS, {})]
        if groups:
            yield f"the groups {_listed(sorted(groups))}"
        yield f"{context.paths.log}: the log"
    homes = {account.home for account in people.values()} - owned.get(HOMES, {}).keys()
    there = sorted(home for home in homes if context.machine.status(Path(home)))
    if purge and there:
        yield f"{_listed(there)}: there before the account was made"
    for sentence in removal.stays(context):
        if not (purge and "config.yaml" in sentence):
            yield sentence
    yield from _packages_stay(packages)
    yield from _elsewhere(context, purge)


def _packages_stay(names: Sequence[str]) -> Iterator[str]:
    mine = [name for name in names if name != METAPACKAGE]
    if mine:
        yield f"the packages {_listed(mine)}: something else needs them, or you do"


def _elsewhere(context: Context, purge: bool) -> Iterator[str]:
    """What lies in our folder and isn't ours."""
    paths = context.paths
    ours = {paths.config, paths.state, paths.bin, paths.envs, paths.cache, paths.tools, paths.hub, paths.user}
    found = sorted(context.machine.at(paths.prefix).glob("*"))
    others = [str(path) for path in found if path not in ours and not path.name.startswith(paths.log.name)]
    if others:
        yield f"{_listed(others)}: not of an install"


def lost(context: Context, owned: Mapping[str, Mapping[str, str]], people: Mapping[str, Account]) -> Iterator[str]:
    """What ``--purge`` takes that nobody can bring back, a sentence each."""
    homes = [home for home in owned.get(HOMES, {}) if context.machine.status(Path(home))]
    if homes:
        yield f"{len(homes)} home{'s' * (len(homes) > 1)} with all that is in there: {_listed(sorted(homes))}"
    if people:
        yield f"the accounts {_listed(sorted(people))}"
    if context.machine.status(context.paths.config):
        yield f"{context.paths.config}, and {context.paths.state} with the hub's users and passwords"


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN + 1 else ""
    return ", ".join(names[:SHOWN] if more else names) + more
