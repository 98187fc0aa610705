"""Carry out a plan: look again, own, change, look once more."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterable
from dataclasses import dataclass

from tljh.engine.facts import Facts
from tljh.engine.machine import Machine
from tljh.engine.plan import Change, Step
from tljh.engine.resource import Diff, Resource, difference
from tljh.engine.store import KEPT, Store
from tljh.errors import TljhError

log = logging.getLogger("tljh.apply")


@dataclass
class Applier:
    """What carrying out a plan needs; one for each run.

    Attributes:
        run: The run's number in the store.
    """

    machine: Machine
    facts: Facts
    store: Store
    run: int

    def apply(self, step: Step) -> list[Change]:
        """Do one step of a plan; what has been mended since the plan was made is left alone.

        Returns:
            What was changed.

        Raises:
            TljhError: the change failed, or the machine is not as wanted after it.
        """
        self.facts.refresh()
        now = self._left(step)
        resource = step.resource
        if not now:
            self.store.disown(resource.id, step.diff.drop)  # an earlier step, or somebody else, has removed it
            return []
        saved, replaced = resource.saved(self.machine), resource.replaced(self.machine)
        new = now.put.keys() - self.store.owned().get(resource.id, {}).keys()
        entries = self.store.begin_change(self.run, resource, now, saved, replaced)
        try:
            resource.change(now, self.machine)
        except BaseException as error:
            self.store.end_change(entries, resource, now, f"failed: {error}")
            self._disown_what_never_came(resource, new)
            raise
        self.facts.refresh()
        left = self._left(step)
        if left.drop and not left.put and resource.gives_up:
            self.store.end_change(entries, resource, now, KEPT)
            return []
        if left:
            self.store.end_change(entries, resource, now, "failed: not as wanted after the change")
            self._disown_what_never_came(resource, new)
            raise TljhError(
                _what_is_left(resource.id, left),
                todo="see the end of installer.log, then run the same command again",
            )
        self.store.end_change(entries, resource, now, "done")
        changes = Step(resource, now).changes()
        for line in changes:
            log.info(
                "%s %s %s: %s -> %s (%s)",
                line.action,
                line.resource,
                line.key,
                line.before,
                line.after,
                line.origin,
            )
        return changes

    def _disown_what_never_came(self, resource: Resource, keys: Iterable[str]) -> None:
        """After a change that failed: if an admin makes by hand later what is not there now, it is his."""
        with contextlib.suppress(TljhError, OSError):  # what can't be looked at stays ours
            self.facts.refresh()
            there = resource.observe(self.facts)
            self.store.disown(resource.id, [key for key in keys if key not in there])

    def _left(self, step: Step) -> Diff:
        """What of this step is still to be done."""
        mine = set(self.store.owned().get(step.resource.id, ()))
        diff = difference(step.resource, self.facts, mine)
        if step.diff.put:
            return Diff(diff.before, diff.put, {})
        return Diff(diff.before, {}, diff.drop)


def _what_is_left(resource: str, left: Diff) -> str:
    wanted = [
        f"{key} is {left.before.get(key, 'missing')} and should be {value}" for key, value in left.put.items()
    ]
    there = [f"{key} is still there" for key in left.drop]
    return f"{resource} is not as wanted after the change: {'; '.join((wanted + there)[:5])}"
