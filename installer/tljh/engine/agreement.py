"""When two describe the same thing: alike it is one, otherwise an error names both."""

from __future__ import annotations

from collections.abc import Iterable

from tljh.engine.resource import CORE, Resource
from tljh.errors import TljhError

_PLACES = ("file", "directory", "link")
"""The kinds that are at a path: there is one thing at a path."""


class Agreement:
    """What has been described so far, one resource for each thing.

    Attributes:
        found: By id, in the order in which each was first described.
    """

    def __init__(self) -> None:
        self.found: dict[str, Resource] = {}
        self._places: dict[str, str] = {}

    def add(self, resource: Resource) -> None:
        """Take one more.

        Raises:
            TljhError: it contradicts one that was taken before.
        """
        there = self.found.get(self._same_place(resource))
        if there is None or _counts_less(there, resource):
            if there is not None and there.id != resource.id:
                del self.found[there.id]
            self.found[resource.id] = resource
        elif not _counts_less(resource, there):
            self._merge(there, resource)

    def _same_place(self, resource: Resource) -> str:
        """The id of what is at the same place; its own where there is nothing."""
        kind, _, place = resource.id.partition(":")
        if kind not in _PLACES or (not resource.desired() and resource.id not in self.found):
            return resource.id
        known = self._places.setdefault(place, resource.id)
        there = self.found.get(known)
        if there is None or not there.desired():
            self._places[place] = resource.id
            return resource.id
        return known

    def _merge(self, there: Resource, other: Resource) -> None:
        mine, its = whose(there), whose(other)
        core = CORE in (mine, its)
        if not core and there.id == other.id and there.desired() == other.desired():
            there.origins = _both(there, other)
            return
        if mine == its == CORE:
            both = f"{there.stage} and {other.stage}"
            raise TljhError(f"{there.id} is described twice, by the stages {both}")
        if core:
            stage = there.stage if mine == CORE else other.stage
            plugin = its if mine == CORE else mine
            raise TljhError(
                f"{other.id} is the installer's own (stage {stage})",
                whose=f"plugin {plugin}",
                todo="leave the plugin out, or a version of it that lets this alone; nothing was changed",
            )
        raise TljhError(
            f"the plugins {mine} and {its} want different things: {_difference(there, other)}",
            todo="leave one of the two out; nothing was changed",
        )


def _counts_less(one: Resource, other: Resource) -> bool:
    """Whether ``other`` counts instead: who wants something, and who really means it."""
    wants, other_wants = bool(one.desired()), bool(other.desired())
    if wants != other_wants:
        return other_wants
    return one.gives_way and not other.gives_way


def whose(resource: Resource) -> str:
    """Who describes a resource."""
    names = dict.fromkeys(resource.origins.get(key, CORE) for key in (*resource.desired(), *resource.origins))
    return ", ".join(names) or CORE


def _both(one: Resource, other: Resource) -> dict[str, str]:
    keys: Iterable[str] = dict.fromkeys((*one.origins, *other.origins))
    names = {key: dict.fromkeys(f"{one.origin(key)}, {other.origin(key)}".split(", ")) for key in keys}
    return {key: ", ".join(sorted(found)) for key, found in names.items()}


def _difference(one: Resource, other: Resource) -> str:
    if one.id != other.id:
        return f"{one.id} and {other.id}"
    mine, its = one.desired(), other.desired()
    differing = [key for key in {**mine, **its} if mine.get(key) != its.get(key)]
    return f"{one.id} with " + "; ".join(f"{k} {mine.get(k, 'none')} and {its.get(k, 'none')}" for k in differing)
