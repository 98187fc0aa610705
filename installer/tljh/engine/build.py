"""From stages to the list of desired resources. Pure: what a stage yields depends on its context only."""

from __future__ import annotations

from abc import ABC
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import ClassVar, Generic, TypeVar

from tljh.engine.resource import Resource
from tljh.errors import TljhError

C = TypeVar("C")


class Stage(ABC, Generic[C]):
    """A named, ordered part of an install.

    Attributes:
        name: What the admin sees while it runs.
        priority: Lower runs earlier.
    """

    name: ClassVar[str]
    priority: ClassVar[int]

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
        TljhError: two stages describe one resource.
    """
    found: dict[str, Resource] = {}
    for stage in stages:
        for resource in stage.resources(context):
            if resource.id in found:
                both = f"{found[resource.id].stage} and {stage.name}"
                raise TljhError(f"{resource.id} is described twice, by the stages {both}")
            resource.stage = stage.name
            # a resource looks at what it owned before as well, to see what is to be dropped
            resource.origins = {**owned.get(resource.id, {}), **resource.origins}
            found[resource.id] = resource
    for name in owned:
        kind = name.partition(":")[0]
        if name not in found and kind in forgotten:
            gone = forgotten[kind](name)
            gone.stage = stages[-1].name
            gone.origins = dict(owned[name])
            found[name] = gone
    return list(found.values())
