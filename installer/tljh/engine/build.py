"""From stages to the list of desired resources. Pure: what a stage yields depends on its context only."""

from __future__ import annotations

from abc import ABC
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Generic, TypeVar

from tljh.engine.agreement import Agreement
from tljh.engine.resource import CORE, Resource
from tljh.errors import TljhError

C = TypeVar("C")
CLEAN_UP = "clean-up"
"""The part of an install in which is dropped what no stage speaks of any more."""


class Stage(ABC, Generic[C]):
    """A named, ordered part of an install.

    Attributes:
        name: What the admin sees while it runs.
        priority: Lower runs earlier.
        origin: Who brings it: ``core`` or a plugin's name.
        whose: The same, as messages say it.
    """

    name: str
    priority: int
    origin: str = CORE
    whose: str = "the core"

    def resources(self, context: C) -> Iterable[Resource]:
        """What this part wants on the machine."""
        return ()

    def check(self, context: C) -> None:
        """Look, after this stage's resources are as wanted, whether it works.

        Raises:
            TljhError: it does not.
        """


def ordered(stages: Iterable[Stage[C]]) -> list[Stage[C]]:
    """Stages by priority, then by name."""
    return sorted(stages, key=lambda stage: (stage.priority, stage.name))


def one_for_each_name(stages: Iterable[Stage[C]]) -> tuple[list[Stage[C]], list[tuple[Stage[C], Stage[C]]]]:
    """Of stages of one name the one with the highest priority counts.

    Returns:
        Those that count, in order; and of each that was replaced, first, the one that stands in its place.

    Raises:
        TljhError: two of one name have the same highest priority; both are named.
    """
    found = ordered(stages)
    last = {stage.name: stage for stage in found}
    replaced = [(stage, last[stage.name]) for stage in found if stage is not last[stage.name]]
    for stage, winner in replaced:
        if stage.priority == winner.priority:
            both = " and ".join(sorted([stage.whose, winner.whose]))
            raise TljhError(
                f"two stages are named {stage.name} and have the priority {stage.priority}, of {both}",
                todo="leave out one of the two plugins, or a version of it with another name or priority; "
                "nothing was changed",
            )
    return ordered(last.values()), replaced


def build(
    stages: Sequence[Stage[C]],
    context: C,
    owned: Mapping[str, Mapping[str, str]],
    forgotten: Mapping[str, Callable[[str], Resource]],
) -> list[Resource]:
    """All resources in stage order.

    Args:
        owned: What is ours; a resource that we own and that no stage wants any more is added at the end, wanting
            nothing, so that it is dropped.
        forgotten: For each kind of resource (what stands before the colon of an id) how to make one that wants
            nothing.

    Raises:
        TljhError: two stages describe one thing, differently or as the installer's own.
    """
    described = Agreement()
    for stage in stages:
        for resource in stage.resources(context):
            resource.stage = stage.name
            described.add(resource)
    found = described.found
    for resource in found.values():
        # a resource looks at what it owned before as well, to see what is to be dropped
        resource.origins = {**owned.get(resource.id, {}), **resource.origins}
    for name in owned:
        kind = name.partition(":")[0]
        if name not in found and kind in forgotten:
            gone = forgotten[kind](name)
            gone.stage = CLEAN_UP
            gone.origins = dict(owned[name])
            found[name] = gone
    return list(found.values())
