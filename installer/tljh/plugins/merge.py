"""Merges what plugins did to config.yaml into what the admin has, by one rule: the admin wins. Pure.

Three versions of each key are compared: what stands in the file now, what the plugin put there last time, and
what its hook made of it this time. Reading and writing the file are not here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tljh.errors import TljhError
from tljh.plugins.values import ABSENT, KeyPath, leaves, lenient, same

Applied = Mapping[str, Mapping[KeyPath, Any]]
"""By plugin: what it put into the file and still stands for. Of a list: the items that it added."""


class Change(NamedTuple):
    """One key that a hook changed, on the copy that it got. ``ABSENT`` before or after: added or removed."""

    path: KeyPath
    before: Any
    after: Any


@dataclass(frozen=True)
class ConfigHookResult:
    """What one plugin's ``tljh_config_post_install`` did.

    Attributes:
        label: What messages call the plugin.
        changes: The keys that it changed; empty where it failed.
        failure: One sentence: why it failed.
        traceback: The whole traceback of the failure, for the log.
    """

    plugin: str
    version: str
    label: str
    changes: tuple[Change, ...] = ()
    failure: str | None = None
    traceback: str = ""


class Setting(NamedTuple):
    """A key to set in the file (``ABSENT``: to remove), and the plugin that wants it (plugins, for a list)."""

    path: KeyPath
    value: Any
    plugin: str


class Kept(NamedTuple):
    """A key that a plugin wanted to change and that stays as the admin has it (``ABSENT``: removed)."""

    path: KeyPath
    value: Any
    plugin: str


@dataclass(frozen=True)
class MergeOutcome:
    """What to do to the file, and what to record for the next time.

    Attributes:
        set: The keys to set or to remove, in order.
        kept: What plugins wanted and the admin's own value forbade.
        applied: To be recorded and given back as ``last_applied``.
    """

    set: tuple[Setting, ...] = ()
    kept: tuple[Kept, ...] = ()
    applied: Applied = field(default_factory=dict)


def merge(current: Mapping[Any, Any], last_applied: Applied, results: Sequence[ConfigHookResult]) -> MergeOutcome:
    """Decide which of the plugins' changes go into config.yaml.

    * A key that nobody set is the plugin's to set.
    * A key that the plugin itself set last time may be changed or removed by it, as long as nobody else did.
    * Any other key is the admin's and stays; so does one that the admin removed after a plugin had set it.
    * Items may be added to any list; only items that the plugin added itself are taken out of it.

    Args:
        current: config.yaml as it stands.
        last_applied: ``MergeOutcome.applied`` of the last time. Pass ``{}`` when the file was lost, or what
            plugins had set would count as removed by the admin.
        results: What the hooks did, in the order in which they ran, each on what the earlier ones had left.

    Raises:
        TljhError: two plugins set one key to different values; both are named.
    """
    # an empty mapping is a place where nothing has been put yet
    values = {path: lenient(value) for path, value in leaves(current).items() if value != {}}
    work = _Merge(values, last_applied, results)
    for result in results:
        for change in sorted(result.changes, key=lambda change: change.after is not ABSENT):
            work.take(result, change)
    return work.outcome()


def apply(settings: Iterable[Setting], config: MutableMapping[Any, Any]) -> None:
    """Do ``MergeOutcome.set`` to a (round-trip) mapping of config.yaml, in place."""
    for path, value, _plugin in settings:
        above = config
        for key in path[:-1]:
            if not isinstance(above.get(key), MutableMapping):
                above[key] = {}
            above = above[key]
        here = above.get(path[-1])
        if value is ABSENT:
            above.pop(path[-1], None)
        elif isinstance(here, list) and isinstance(value, list):
            _change_list(here, value)
        else:
            above[path[-1]] = value


def applied_to_json(applied: Applied) -> dict[str, list[list[Any]]]:
    """``applied`` in a form that JSON can hold: pairs of path and value. ``in_effect`` reads it."""
    return {plugin: [[list(path), value] for path, value in values.items()] for plugin, values in applied.items()}


def in_effect(keys: Mapping[str, Any], config: Mapping[Any, Any]) -> dict[KeyPath, Any]:
    """What a plugin's hook put into the file the last time, as far as it got there.

    Args:
        keys: What is recorded of the hook: ``applied`` of its last good run, and ``begun``, if that was cut off
            while it was put in: claims that hold where the file has it.
        config: config.yaml as it stands.
    """
    found = dict(_pairs(keys.get("applied", ())))
    there = dict(leaves(config))
    for path, value in _pairs(keys.get("begun", ())):
        here = lenient(there.get(path, ABSENT))
        if isinstance(value, list) and isinstance(here, list):
            mine = [item for item in value if _holds(here, item)]
            found.update({path: mine} if mine else {})
        elif same(here, value):
            found[path] = value
    return found


def _pairs(rows: Iterable[Sequence[Any]]) -> Iterator[tuple[KeyPath, Any]]:
    yield from ((tuple(path), value) for path, value in rows)


class _Merge:
    """One merge under way: the values as they become, and which plugin stands for which."""

    def __init__(
        self, values: dict[KeyPath, Any], last_applied: Applied, results: Sequence[ConfigHookResult]
    ) -> None:
        self.values = values
        self.start = dict(values)
        self.last = last_applied
        self.labels = {result.plugin: result.label for result in results}
        self.own = {plugin: dict(applied) for plugin, applied in last_applied.items()}
        self.kept: list[Kept] = []
        self.changed_by: dict[KeyPath, list[str]] = {}

    def take(self, result: ConfigHookResult, change: Change) -> None:
        """Do one change of one hook, as far as it may be done."""
        path = change.path
        here = self.values.get(path, ABSENT)
        if same(here, change.after) or change.after == {}:  # an empty section sets nothing
            return
        vacant = here is ABSENT and not self._in_place_of(path)
        if isinstance(change.after, list) and (isinstance(here, list) or vacant):
            self._take_list(result.plugin, change)
        elif rival := self._rival(result.plugin, path):
            raise self._conflict(rival, result, change)
        elif self._free(result.plugin, path):
            self._put(result.plugin, path, change.after)
        else:
            standing = [here, *(self.values[other] for other in self._in_place_of(path)), ABSENT]
            value = next((value for value in standing if value is not ABSENT), ABSENT)
            self.kept.append(Kept(path, value, result.plugin))

    def _take_list(self, plugin: str, change: Change) -> None:
        """Items that the hook added go in; items that it took out go where they were its own."""
        path = change.path
        before = change.before if isinstance(change.before, list) else []
        here = list(self.values.get(path, ()))
        recorded = self.own.get(plugin, {}).get(path)
        mine = recorded if isinstance(recorded, list) else []
        added = [item for item in _without(change.after, before) if not _holds(here, item)]
        refused = [item for item in added if _holds(mine, item)]  # the admin took them out
        gone = [item for item in _without(before, change.after) if _holds(here, item)]
        foreign = _without(gone, mine)
        if refused or foreign:
            self.kept.append(Kept(path, here, plugin))
        new = _without(added, refused)
        left = _without(here, _without(gone, foreign))
        if new or len(left) != len(here) or (path not in self.values and not refused):
            self.values[path] = left + new
            self.own.setdefault(plugin, {})[path] = _without(mine, gone) + new
            self._note(plugin, path)

    def _put(self, plugin: str, path: KeyPath, value: Any) -> None:
        for other in self._in_place_of(path):
            del self.values[other]
            for values in self.own.values():
                values.pop(other, None)
        for values in self.own.values():
            values.pop(path, None)
        self.values.pop(path, None)
        if value is not ABSENT:
            self.values[path] = value
            self.own.setdefault(plugin, {})[path] = value
        self._note(plugin, path)

    def _note(self, plugin: str, path: KeyPath) -> None:
        plugins = self.changed_by.setdefault(path, [])
        if plugin not in plugins:
            plugins.append(plugin)

    def _in_place_of(self, path: KeyPath) -> list[KeyPath]:
        """The keys below and above ``path`` that have a value, so that both can't be there."""
        below = [p for p in self.values if p != path and _within(p, path)]
        # ``limits:`` with nothing after it is no value that would stand in the way of ``limits.memory``
        above = [p for p in self.values if p != path and _within(path, p) and self.values[p] is not None]
        return above + below

    def _rival(self, plugin: str, path: KeyPath) -> str | None:
        """Another plugin of this run that stands for what ``path`` is now."""
        touched = [p for p in (path, *self._in_place_of(path)) if p in self.values]
        for other, values in self.own.items():
            if other == plugin or other not in self.labels:
                continue
            if any(same(values.get(p, ABSENT), self.values[p]) for p in touched):
                return other
        return None

    def _free(self, plugin: str, path: KeyPath) -> bool:
        """Whether the plugin may change ``path``: nobody set it, or a plugin did and nobody changed that.

        What plugins set that are no longer there is free as well.
        """
        touched = [p for p in (path, *self._in_place_of(path)) if p in self.values]
        if not touched:
            return path not in self.last.get(plugin, {})  # or the admin has removed it since
        owners = [values for owner, values in self.own.items() if owner == plugin or owner not in self.labels]
        return all(any(same(values.get(p, ABSENT), self.values[p]) for values in owners) for p in touched)

    def _conflict(self, rival: str, result: ConfigHookResult, change: Change) -> TljhError:
        key = ".".join(str(part) for part in change.path)
        theirs = self.values.get(change.path, ABSENT)
        did = "set keys below or above it" if theirs is ABSENT else f"set it to {theirs!r}"
        wants = "to remove it" if change.after is ABSENT else f"{change.after!r}"
        return TljhError(
            f"two plugins disagree about {key} in config.yaml: {self.labels[rival]} {did}, "
            f"{result.label} wants {wants}",
            todo=f"set {key} to a value of your own (tljh-config set {key} VALUE), or remove one of the plugins",
        )

    def outcome(self) -> MergeOutcome:
        """What has become of it: removals first, since a key may have to go for another to be set."""
        final = [(path, self.values.get(path, ABSENT), plugins) for path, plugins in self.changed_by.items()]
        settings = [
            Setting(path, value, ", ".join(plugins))
            for path, value, plugins in sorted(final, key=lambda change: change[1] is not ABSENT)
            if not same(value, self.start.get(path, ABSENT))
        ]
        applied = {plugin: values for plugin, values in self.own.items() if values}
        return MergeOutcome(tuple(settings), tuple(self.kept), applied)


def _holds(items: Iterable[Any], wanted: Any) -> bool:
    return any(same(item, wanted) for item in items)


def _without(items: Iterable[Any], others: Iterable[Any]) -> list[Any]:
    others = list(others)
    return [item for item in items if not _holds(others, item)]


def _within(path: KeyPath, above: KeyPath) -> bool:
    """Whether ``path`` is ``above`` or below it."""
    return path[: len(above)] == above


def _change_list(here: list[Any], value: list[Any]) -> None:
    """Make ``here`` equal to ``value`` by taking out and adding, so that comments at other items stay."""
    for index in reversed(range(len(here))):
        if not _holds(value, here[index]):
            del here[index]
    for item in value:
        if not _holds(here, item):
            here.append(item)
