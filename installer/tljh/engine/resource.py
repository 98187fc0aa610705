"""What a resource is: one kind of visible thing, described by two mappings and a fix.

The kinds themselves are in ``tljh.resources``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from tljh.engine.facts import Facts
    from tljh.engine.machine import Machine

State = Mapping[str, str]
"""One key per visible thing; an empty mapping is "nothing there"."""

CORE = "core"


class Undo(Enum):
    """How far a change can be taken back; printed beside every line of a plan."""

    EXACT = "restored"
    INVERSE = "removed"
    NEVER = "cannot be undone"


@dataclass(frozen=True)
class Diff:
    """What is to be done to one resource.

    Attributes:
        before: What is there now.
        put: Keys to create or correct, with the value that is wanted.
        drop: Keys that are ours and that nobody wants any more, with the value that they have.
    """

    before: State
    put: State
    drop: State

    def __bool__(self) -> bool:
        return bool(self.put or self.drop)


@dataclass
class Resource(ABC):
    """One thing, or one transaction of one tool.

    Attributes:
        id: Names it in plans, in the store and in messages: ``apt``, ``file:/etc/sudoers.d/…``.
        origins: For each key who asked for it: ``core``, ``config.yaml``, a flag or a plugin's name.
        stage: The stage that it belongs to; set when the stages are built.
    """

    id: str
    origins: Mapping[str, str] = field(default_factory=dict, kw_only=True)
    stage: str = field(default="", kw_only=True)

    undo: ClassVar[Undo] = Undo.INVERSE
    owns: ClassVar[bool] = True
    """Whether keys that it creates are recorded as ours, and dropped when nobody wants them any more."""
    gives_up: ClassVar[bool] = False
    """Whether what it should drop may stay, and is no longer ours then, because somebody else needs it."""
    gives_way: ClassVar[bool] = False
    """Whether anybody else's description of the same thing counts instead of this one."""
    imperative: ClassVar[bool] = False
    """Whether its change is a plugin's own code, which a plan lists as something that will run."""

    @abstractmethod
    def desired(self) -> State:
        """What should be there."""

    @abstractmethod
    def observe(self, facts: Facts) -> State:
        """What is there, of the keys that this resource can speak of."""

    @abstractmethod
    def change(self, diff: Diff, machine: Machine) -> None:
        """Make it so.

        Raises:
            TljhError: it could not be done; what was done of it shows when it is observed again.
        """

    def ours(self, facts: Facts, recorded: set[str]) -> set[str]:
        """Which keys are ours: those recorded, unless the thing itself says what we put there."""
        return recorded

    def origin(self, key: str) -> str:
        """Who asked for ``key``."""
        return self.origins.get(key, CORE)

    def effect(self, diff: Diff) -> str:
        """One sentence on what the change does beyond its keys, such as a restart; empty for none."""
        return ""

    def saved(self, machine: Machine) -> bytes | None:
        """What must be kept of the state before the change so that it can be restored."""
        return None

    def replaced(self, machine: Machine) -> Mapping[str, str] | None:
        """What is there that its first change replaces, and that is put back when nobody wants this any more."""
        return None


def difference(resource: Resource, facts: Facts, owned: set[str]) -> Diff:
    """Compare what ``resource`` wants with what is there.

    Args:
        owned: The keys of this resource that are recorded as ours.
    """
    before = dict(resource.observe(facts))
    desired = resource.desired()
    owned = resource.ours(facts, owned)
    put = {key: value for key, value in desired.items() if before.get(key) != value}
    drop = {key: before[key] for key in before if key in owned and key not in desired}
    return Diff(before, put, drop)
