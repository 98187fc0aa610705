"""An environment behind a link: built beside the one that serves, verified, then switched to.

How it is solved and built is the provider's business (``python_environment``).
"""

from __future__ import annotations

import logging
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from tljh.engine.facts import EnvironmentFact, Facts
from tljh.engine.machine import Machine
from tljh.engine.resource import Diff, Resource, State, Undo
from tljh.resources.lock import BY_HAND, Lock, Requested
from tljh.resources.python_environment import Builder

log = logging.getLogger("tljh.environment")

PATH = "(path)"
"""The key that says where the link points; no distribution can have this name."""


def pins_of(fact: EnvironmentFact) -> dict[str, str]:
    """What is installed, as pins: the lock's own where the version is still the one that it gave."""
    lock = Lock.of_record(fact.record)
    locked = lock.pins if lock else {}
    recorded = fact.record.get("packages", {})

    def pin(name: str, version: str) -> str:
        if name in locked and recorded.get(name) == version:
            return locked[name]
        return f"@ {fact.urls[name]}" if name in fact.urls else f"=={version}"

    return {name: pin(name, version) for name, version in fact.packages.items()}


def by_hand(fact: EnvironmentFact) -> dict[str, str]:
    """What an admin installed himself: name → pin.

    Either we never put it there, or pip has put another version in its place.
    """
    recorded = fact.record.get("packages", {})
    pins = pins_of(fact)
    rows = fact.record.get("requirements", ())
    kept = {Requested(row["requirement"], BY_HAND).name for row in rows if row["origin"] == BY_HAND}
    return {
        name: pins[name]
        for name, version in fact.packages.items()
        if name not in recorded or name in kept or (recorded[name] != version and name in fact.by_pip)
    }


def is_intact(fact: EnvironmentFact | None, pins: Mapping[str, str]) -> bool:
    """Whether an environment is complete and holds at least what ``pins`` says."""
    if fact is None or not fact.record or not fact.has_python:
        return False
    there = pins_of(fact)
    return all(there.get(name) == pin for name, pin in pins.items())


@dataclass
class Environment(Resource):
    """The environment that ``link`` points to.

    Attributes:
        link: Such as ``/opt/tljh/user``.
        lock: What it is to hold.
        target: Where it is or will be: ``/opt/tljh/envs/user-3``.
        builder: Makes it.
        finish: Called with the path of a new one before it is verified: what is special to its kind.
        verify: A command line, relative to the environment, that must end well before it is switched to.
    """

    link: Path
    lock: Lock
    target: Path
    builder: Builder
    finish: Callable[[Machine, Path], None]
    verify: tuple[str, ...]

    undo: ClassVar[Undo] = Undo.EXACT
    owns: ClassVar[bool] = False  # what is ours in it, its own record says

    def desired(self) -> State:
        return {PATH: str(self.target), **self.lock.pins}

    def observe(self, facts: Facts) -> State:
        found = facts.environment(self.link)
        if found is None or not found.record or not found.has_python:
            return {}
        return {PATH: str(found.path), **pins_of(found)}

    def ours(self, facts: Facts, recorded: set[str]) -> set[str]:
        found = facts.environment(self.link)
        mine = Lock.of_record(found.record) if found else None
        return set(mine.pins) if mine else set()

    def effect(self, diff: Diff) -> str:
        return "" if diff.before.get(PATH) == str(self.target) else f"switches {self.link} to {self.target.name}"

    def change(self, diff: Diff, machine: Machine) -> None:
        if not is_intact(Facts(machine).environment(self.target), self.lock.pins):
            self._build(machine)
        status = machine.status(self.link)
        if status and status.kind == "directory":
            machine.move(self.link, self.link.with_name(f"{self.link.name}.before-tljh"))
        machine.make_link(self.link, f"{self.target.parent.name}/{self.target.name}")

    def _base(self, machine: Machine) -> Path | None:
        """The environment that serves, if it is one to begin with."""
        fact = Facts(machine).environment(self.link)
        return fact.path if fact and fact.record and fact.has_python else None

    def _build(self, machine: Machine) -> None:
        if self.target.exists():
            shutil.rmtree(self.target)
        try:
            self.builder.build(
                self.lock, self.target, base=self._base(machine), check=lambda: self._complete(machine)
            )
        except BaseException:
            # a failed build leaves no trace, and the old environment serving
            shutil.rmtree(self.target, ignore_errors=True)
            raise

    def _complete(self, machine: Machine) -> None:
        """What is special to its kind, and whether it works; only then is it called complete."""
        self.finish(machine, self.target)
        machine.run([self.target / self.verify[0], *self.verify[1:]], timeout=120.0)


def choose_target(facts: Facts, link: Path, envs: Path, pins: Mapping[str, str]) -> Path:
    """Where an environment with these packages is, or is to be built.

    The one that serves, if it holds them; else the newest complete one that does; else the next number.
    """
    current = facts.environment(link)
    kind = link.name
    if current and current.path.parent == facts.real_path(envs) and _holds(current, pins):
        return envs / current.path.name
    numbered = sorted(((number_of(p), p) for p in facts.machine.at(envs).glob(f"{kind}-*")), reverse=True)
    for _, path in numbered:
        if _holds(facts.environment(path), pins):
            return envs / path.name
    return envs / f"{kind}-{(numbered[0][0] if numbered else 0) + 1}"


def _holds(fact: EnvironmentFact | None, pins: Mapping[str, str]) -> bool:
    """Whether it holds these packages and, of what we put there, no others."""
    lock = Lock.of_record(fact.record) if fact else None
    if fact is None or lock is None or not is_intact(fact, pins):
        return False
    # what an admin once installed and has removed again is in the lock, but not there any more
    return not (set(lock.pins) - set(pins)) & set(fact.packages)


def number_of(path: Path) -> int:
    """The build counter in an environment's name."""
    found = re.search(r"-(\d+)$", path.name)
    return int(found[1]) if found else 0


def unused(facts: Facts, envs: Path, kept: set[str]) -> list[Path]:
    """Environments that nothing names and nothing runs from.

    Args:
        kept: Names such as ``hub-3`` that a link or a kept generation speaks of.
    """
    found = sorted(path for path in facts.machine.at(envs).glob("*-*") if path.name not in kept)
    running = _command_lines() if found else ""
    return [path for path in found if f"{path}/" not in running]


def _command_lines() -> str:
    """Every process's command line; an interpreter names its environment there, its ``exe`` does not."""
    parts = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            parts.append(path.read_bytes())
        except (FileNotFoundError, ProcessLookupError):
            continue
    return b"\n".join(parts).decode(errors="replace")
