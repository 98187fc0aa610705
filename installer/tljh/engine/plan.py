"""A plan: what would change, in order, with who asked for it and whether it can be taken back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from tljh.engine.facts import Facts
from tljh.engine.resource import Diff, Resource, difference


@dataclass(frozen=True)
class Change:
    """One line of a plan."""

    stage: str
    resource: str
    key: str
    action: str  # "create", "change", "remove" or "run"
    before: str | None
    after: str | None
    origin: str
    undo: str
    effect: str = ""

    def as_dict(self) -> dict[str, str | None]:
        """The line as ``tljh plan --json`` prints it."""
        return dict(vars(self))


@dataclass(frozen=True)
class Step:
    """One resource with what is to be done to it: its puts, or its drops."""

    resource: Resource
    diff: Diff

    def changes(self) -> list[Change]:
        """The lines that describe this step."""
        effect = self.resource.effect(self.diff)
        lines = [self._line(key, value, effect) for key, value in self.diff.put.items()]
        return lines + [self._line(key, None, effect) for key in self.diff.drop]

    def _line(self, key: str, after: str | None, effect: str) -> Change:
        before = self.diff.before.get(key)
        resource = self.resource
        action = "remove" if after is None else "create" if before is None else "change"
        action = "run" if resource.imperative else action
        undo = resource.undo.value
        return Change(resource.stage, resource.id, key, action, before, after, resource.origin(key), undo, effect)


@dataclass(frozen=True)
class Plan:
    """Steps in the order in which they will be done: puts in stage order, then drops in reverse."""

    puts: Sequence[Step]
    drops: Sequence[Step]

    def __bool__(self) -> bool:
        return bool(self.puts or self.drops)

    def changes(self) -> list[Change]:
        """Every line."""
        return [line for step in (*self.puts, *self.drops) for line in step.changes()]


def make_plan(resources: Iterable[Resource], facts: Facts, owned: Mapping[str, Mapping[str, str]]) -> Plan:
    """Compare; nothing is changed.

    Args:
        resources: In stage order, with one entry for every resource that we own anything of.
        owned: Resource id → key → origin.
    """
    puts: list[Step] = []
    drops: list[Step] = []
    for resource in resources:
        diff = difference(resource, facts, set(owned.get(resource.id, ())))
        if diff.put:
            puts.append(Step(resource, Diff(diff.before, diff.put, {})))
        if diff.drop:
            drops.append(Step(resource, Diff(diff.before, {}, diff.drop)))
    return Plan(puts, drops[::-1])
