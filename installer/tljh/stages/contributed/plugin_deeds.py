"""What plugins' hooks did through the contract's functions, on the machine: kept while the plugin is installed.

What a hook made is wanted from the record from then on, so that a plan shows it when it is damaged, and dropped
when its plugin has no say any more. A hook that does it again finds it there.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from tljh.engine.plugin_tables import Deed
from tljh.engine.resource import Resource
from tljh.engine.store import Store
from tljh.plugins.contributions import PluginReport
from tljh.resources.locks.lock import Lock, Manager, Requested
from tljh.resources.plugin_account import Membership, PluginAccount, PluginGroup
from tljh.resources.plugin_file import PluginFile, UnitFile
from tljh.resources.unit import FOLDER, UnitState, ask, ask_together
from tljh.stages.context import Context


class MadeGroup(PluginGroup):
    """A group that a hook made."""

    gives_way: ClassVar[bool] = True


class MadeAccount(PluginAccount):
    """An account that a hook made."""

    gives_way: ClassVar[bool] = True


class MadeMembership(Membership):
    """A membership that a hook made."""

    gives_way: ClassVar[bool] = True


class MadeFile(PluginFile):
    """The file of a unit that a hook wrote elsewhere than where systemd's own tools do."""

    gives_way: ClassVar[bool] = True


class MadeUnitFile(UnitFile):
    """The file of a unit that a hook wrote."""

    gives_way: ClassVar[bool] = True


class MadeUnit(UnitState):
    """A unit that a hook enabled or started."""

    gives_way: ClassVar[bool] = True


def speaking(context: Context) -> list[PluginReport]:
    """The reports of plugins that have a say: also of those that only this run does without."""
    there = {report.name: report for report in context.reports if report.state != "disabled"}
    return [report for _, report in sorted({**context.left_out, **there}.items())]


def deeds(context: Context, *kinds: str) -> list[Deed]:
    """What the hooks of plugins that have a say did."""
    names = {report.name for report in speaking(context)}
    return [deed for deed in context.store.deeds() if deed.plugin in names and deed.kind in kinds]


# ---- what is wanted from the record


def accounts(context: Context, found: Sequence[Resource]) -> Iterable[Resource]:
    """Groups, accounts and memberships.

    Args:
        found: What is stated in the same stage; it counts more.
    """
    store, owned = context.store, context.store.owned()
    made: list[tuple[Resource, Deed]] = []
    for deed in deeds(context, "group"):
        made.append((MadeGroup(f"group:{deed.name}", store), deed))
    for deed in deeds(context, "user"):
        name = f"account:{deed.name}"
        made.append((MadeAccount(name, store, system=False, known=name in owned), deed))
    for deed in deeds(context, "membership"):
        made.append((MadeMembership(f"member:{deed.name}"), deed))
    return _one_each(made, found)


def units(context: Context, found: Sequence[Resource]) -> Iterable[Resource]:
    """Unit files, and what was enabled and started.

    Args:
        found: What is stated in the same stage; it counts more.
    """
    if not context.with_systemd:
        return []
    owned = context.store.owned()
    made: list[tuple[Resource, Deed]] = []
    for deed in deeds(context, "unit"):
        name, path = f"file:{deed.name}", Path(deed.name)
        kind = MadeUnitFile if path.parent == FOLDER else MadeFile
        content, earlier = str(deed.data["text"]).encode(), context.store.replaced(name)
        made.append((kind(name, content=content, earlier=earlier, say=context.reporter.warn), deed))
    for deed in deeds(context, "service"):
        name = f"unit:{deed.name}"
        enabled, started = bool(deed.data.get("enabled")), bool(deed.data.get("started"))
        made.append((MadeUnit(name, enabled=enabled, started=started, known=name in owned), deed))
    found_too = _one_each(made, found)
    ask_together(found_too)
    return found_too


def _one_each(made: Iterable[tuple[Resource, Deed]], found: Iterable[Resource]) -> list[Resource]:
    """One resource for each thing; the newest deed counts, all who did it are named."""
    stated = {resource.id for resource in found}
    rows: dict[str, tuple[Resource, list[str]]] = {}
    for resource, deed in made:
        names = rows[resource.id][1] if resource.id in rows else []
        rows[resource.id] = (resource, [*names, deed.plugin])
    for resource, names in rows.values():
        origin = ", ".join(sorted(set(names)))
        resource.origins = dict.fromkeys(resource.desired(), origin)
    return [resource for resource, _ in rows.values() if resource.id not in stated]


def apt_packages(context: Context) -> dict[str, str]:
    """Packages of the system that hooks installed, with the plugin."""
    return {deed.name: deed.plugin for deed in reversed(deeds(context, "apt"))}


def requirements(context: Context) -> list[Requested]:
    """Packages that hooks installed into the user environment."""
    managers: dict[str, Manager] = {"pip": "pip", "conda": "conda"}
    return [Requested(deed.name, deed.plugin, managers[deed.kind]) for deed in deeds(context, "pip", "conda")]


def packages(context: Context) -> list[Deed]:
    """All that hooks installed, of the system and in the user environment."""
    return deeds(context, "apt", "pip", "conda")


def without_hooks(context: Context, lock: Lock) -> Lock:
    """A lock without what hooks asked for: they can't be a reason for themselves to run again."""
    done = {(row.requirement, row.origin) for row in requirements(context)}
    rows = [row for row in lock.requested if (row.requirement, row.origin) not in done]
    return replace(lock, requested=tuple(rows))


def brought(store: Store) -> set[str]:
    """What came into the user environment with plugins' hooks, as ``by_hand`` names it: no admin put it there."""
    return {name for deed in store.deeds() for name in deed.data.get("new", ())}


def named_new(data: Iterable[str]) -> set[str]:
    """The same, from what a generation remembers of hooks: the ``data`` of its deeds."""
    return {name for text in data for name in json.loads(text).get("new", ())}


# ---- the end of a good run


def finish(context: Context) -> None:
    """Forget the deeds of plugins that have no say any more, and what is ours no longer because it is gone."""
    names = {report.name for report in speaking(context)}
    for deed in context.store.deeds():
        if deed.plugin not in names:
            context.store.forget_deed(deed)
    context.facts.refresh()
    for resource, keys in context.store.owned().items():
        if _is_gone(context, resource):
            context.store.disown(resource, keys)


def _is_gone(context: Context, resource: str) -> bool:
    """Whether nothing is there of a thing that can be a plugin's; all that is wanted is there by now."""
    kind, _, name = resource.partition(":")
    if kind in ("file", "link", "directory"):
        return context.machine.status(Path(name)) is None
    if kind == "unit":
        return context.with_systemd and ask(context.facts, name).get("LoadState", "not-found") == "not-found"
    if kind == "member":
        group, _, account = name.partition("/")
        return account not in context.facts.groups.get(group, ())
    if kind == "group":
        return name not in context.facts.groups
    return kind == "account" and name not in context.facts.accounts
