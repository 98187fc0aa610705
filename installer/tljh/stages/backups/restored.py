"""What a restored backup says of the environments, until an install has built them so.

``tljh restore`` puts it into a file of the state; every run keeps to it as long as that is there, so a run that
was cut off loses nothing. Where something else is asked for meanwhile, or the system's Python is another one, the
versions are kept where that is possible.
"""

from __future__ import annotations

import json
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tljh.paths import Paths
from tljh.resources.environments.environment import choose_target
from tljh.resources.locks.lock import BY_HAND, CONDA, Lock, Requested
from tljh.stages.context import Context
from tljh.stages.locks import solving

PROJECT = "the-littlest-jupyterhub"


def file_of(paths: Paths) -> Path:
    """Where it is kept."""
    return paths.state / "restored.json"


def as_text(locks: Mapping[str, Any], python: str, machine: str) -> str:
    """What is kept: the locks, and which Python and processor they are for."""
    return json.dumps({"locks": locks, "python": python, "machine": machine})


def lock_of(context: Context, name: str) -> Lock | None:
    """What an environment is to hold; ``None`` where nothing says so."""
    said = _said(context)
    return Lock.of_record(said["locks"].get(name, {})) if said else None


def _said(context: Context) -> dict[str, Any]:
    text = context.facts.text(file_of(context.paths))
    return dict(json.loads(text)) if text else {}


def finish(context: Context) -> None:
    """An install ended well: from now on what is there counts."""
    context.machine.remove(file_of(context.paths))


# ---- the user environment, and those beside it


def provider(context: Context) -> str:
    """What the user environment's packages come from; empty where nothing says so."""
    lock = lock_of(context, "user")
    return lock.provider if lock else ""


def settle(context: Context, link: Path, asked: Sequence[Requested], provider: str) -> tuple[Lock, Path] | None:
    """What an environment is to hold and where it is or will be; ``None`` where nothing says so.

    Raises:
        TljhError: something else is asked for by now, and there is no solution.
    """
    lock = lock_of(context, link.name)
    if lock is None:
        return None
    if lock.provider != provider or not lock.asks_for_the_same(asked) or not _fits(context, lock):
        hands = [row for row in lock.requested if row.origin == BY_HAND]
        lock = _resolved(context, link, [*asked, *hands], provider, lock)
        begun = [path for path in context.conda.begun if path.name.rpartition("-")[0] == link.name]
        if begun:
            return lock, context.paths.envs / begun[0].name
    return lock, choose_target(context.facts, link, context.paths.envs, lock.pins)


def _resolved(context: Context, link: Path, rows: Sequence[Requested], provider: str, then: Lock) -> Lock:
    """Solved anew, with the versions of then where that is possible."""
    prefer = {name: pin for name, pin in then.pins.items() if not name.startswith(CONDA)}
    if provider == "pypi":
        return context.builder.resolve(rows, prefer)
    same = _said(context)["machine"] == platform.machine()
    place = solving.next_place(context, link)
    return context.conda.resolve(rows, prefer, installed=then.conda if same else (), place=place)


def _fits(context: Context, lock: Lock) -> bool:
    """Whether what the lock names is for this machine; conda's packages bring their own Python."""
    said = _said(context)
    here = f"{sys.version_info[0]}.{sys.version_info[1]}"
    return bool(said["machine"] == platform.machine() and (lock.conda or said["python"] == here))


# ---- the hub environment


def hub_pins(context: Context) -> dict[str, str]:
    """The versions that the hub environment had; this project itself is as new as what runs."""
    lock = lock_of(context, "hub")
    return {name: pin for name, pin in lock.pins.items() if name != PROJECT} if lock else {}


def with_sources(context: Context, lock: Lock) -> Lock:
    """The hub environment's lock, which also knows of the local plugins of a backup."""
    then = lock_of(context, "hub")
    known = {spec: details for spec, details in then.sources.items() if spec != PROJECT} if then else {}
    return replace(lock, sources={**known, **lock.sources}) if known else lock


def differs_from(context: Context, pins: Mapping[str, str]) -> bool:
    """Whether a hub environment with these pins has other versions than it is to have."""
    return any(pins.get(name, pin) != pin for name, pin in hub_pins(context).items())
