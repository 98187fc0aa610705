"""Going back to an earlier generation: the same line as an install's, begun from what that generation left.

Nothing is undone step by step. What a generation remembers (wishes, config.yaml, environments) takes the place of
what is wanted now; the plan is what differs, and apply makes it so. What can't go back is worked out here.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tljh.engine.generation_tables import GOING_BACK
from tljh.engine.store import Store
from tljh.errors import TljhError, UsageError
from tljh.plugins.known import recorded_reports
from tljh.resources.environments.environment import is_intact
from tljh.settings.document import Document
from tljh.stages import plugins
from tljh.stages.context import Context, Options
from tljh.stages.contributed import plugin_deeds
from tljh.stages.going_back import earlier
from tljh.stages.going_back.earlier import Earlier
from tljh.stages.going_back.earlier_config import EarlierConfig

POST_INSTALL = "tljh_post_install"
NOTHING_BEFORE = "nothing was here before the first install: 'tljh uninstall' takes all away"


# ---- which one


def of(record: Mapping[str, Any]) -> int:
    """The generation that one stands for: itself, or the one that a rollback went back to."""
    return int(record.get("of", record["id"]))


def before_now(store: Store) -> int:
    """The generation to go back to when none is named.

    The one before that which is in effect; the one in effect where a run since has changed something and failed.

    Raises:
        TljhError: there is none.
    """
    newest = store.newest()
    if not newest:
        raise TljhError("no install has ended well yet, so there is nothing to go back to", todo=NOTHING_BEFORE)
    if store.wishes(GOING_BACK) or store.failed_since(store.run_of(newest["id"])):
        return int(newest["id"])
    earlier_ones = [number for number in store.numbers() if number < of(newest)]
    if not earlier_ones or earlier_ones[-1] == 0:
        todo = "tljh rollback 0 brings back what was here before it" if earlier_ones else NOTHING_BEFORE
        raise TljhError(f"generation {of(newest)} is the first one, so there is none before it", todo=todo)
    return earlier_ones[-1]


def look(context: Context) -> None:
    """Find out whether this run goes back, and to what.

    Fills ``earlier``; the store shows what was remembered then. A rollback that was cut off is gone on with, also
    by a plain install.

    Raises:
        TljhError: there is no such generation, or something else is asked for while a rollback is not done.
    """
    if context.went_back is not None or context.earlier:
        return
    store, number = context.store, context.options.rollback
    begun = [int(value) for value in store.wishes(GOING_BACK)]
    if number is None and begun:
        _refuse_more_wishes(context.options, store, begun[0])
        context.reporter.say(f"a rollback to generation {begun[0]} was cut off; this run goes on with it")
        number = begun[0]
    if number is None:
        return
    record = record_of(store, number)
    newest = store.newest()
    memories = [record["memory"], newest.get("memory", {})]
    deeds = [data for memory in memories for *_, data in memory.get("deeds", ())]
    context.earlier = Earlier(
        number,
        of(record),
        record,
        newest=number == newest["id"],
        remembered=not begun and store.memory() == record["memory"],
        applied=newest["config"],
        brought=frozenset(plugin_deeds.brought(store) | plugin_deeds.named_new(deeds)),
        exact=context.options.exact,
    )
    store.look_back(record["memory"])


def record_of(store: Store, number: int) -> dict[str, Any]:
    """What a rollback to a generation starts from.

    Raises:
        UsageError: there is none of this number.
        TljhError: not all of it is known.
    """
    record = store.generation(number)
    known = [one for one in store.numbers() if one]
    if record is None or number == 0:
        there = f"there are {_ranges(known)}" if known else "none has been recorded yet"
        raise UsageError(f"there is no generation {number}", todo=f"{there}; 'tljh history' lists them")
    if "memory" not in record:
        raise TljhError(
            f"generation {number} was recorded by a version of this program that could not go back",
            todo="name a later one; 'tljh history' lists them",
        )
    return record


def _ranges(numbers: Sequence[int]) -> str:
    """``1-4, 7``."""
    found: list[list[int]] = []
    for number in numbers:
        if found and found[-1][-1] == number - 1:
            found[-1][1:] = [number]
        else:
            found.append([number])
    return ", ".join("-".join(map(str, row)) for row in found)


def _refuse_more_wishes(options: Options, store: Store, number: int) -> None:
    """An install that goes on with a rollback may ask for nothing that was not asked for then."""
    more = [
        *(spec for spec in options.plugins if spec not in store.wishes("plugin")),
        *(name for name in options.channels if name not in store.wishes("channel")),
        *([options.requirements] if options.requirements not in (None, *store.wishes("requirements")) else []),
        *([options.lock] if options.lock else []),
        *options.drop,
        *options.remove_plugins,
        *options.enable_plugins,
        *options.disable_plugins,
        *options.upgrade_plugins,
    ]
    if more or options.upgrade is not None:
        raise TljhError(
            f"a rollback to generation {number} was cut off, and is to be ended before anything else is asked for",
            todo=f"tljh rollback {number}, or to another generation; then the same command again",
        )


# ---- how


def look_at_plugins(context: Context) -> None:
    """Go on in the hub environment of then, and ask its plugins.

    Raises:
        TljhError: the environment can't be built again, or a plugin fails.
    """
    found = earlier.settle(context, context.paths.hub)
    if found is None:
        raise TljhError(f"generation {_going(context).number} has no hub environment", todo="name another one")
    if "hub" in _going(context).built and not plugins.started_again():
        context.reporter.say(_going(context).built["hub"])
    lock, target = found
    environment = context.facts.real_path(context.paths.envs) / target.name
    if not is_intact(context.facts.environment(environment), lock.pins):
        environment = context.scratch / "hub" if context.planning else environment
        context.builder.build(lock, environment, base=Path(os.path.realpath(sys.prefix)))
        context.facts.refresh()
    plugins.look_in(context, environment, lock, target)


def begin(context: Context) -> None:
    """Make what was remembered then the memory; the first thing that a rollback changes."""
    going = context.earlier
    if going is None:
        return
    context.store.recall(going.record["memory"], going_back=going.number)
    context.went_back = going.of


def nothing_to_do(context: Context) -> bool:
    """Whether the machine is as the newest generation left it, and that is the one to go back to."""
    going = context.earlier
    return going is not None and going.newest and going.remembered


def _going(context: Context) -> Earlier:
    found: Earlier = context.required("earlier")
    return found


# ---- what an admin is told


def notes(context: Context) -> list[str]:
    """What is good to know before he agrees, a sentence each."""
    going = _going(context)
    hands = carried(context)
    found = list(going.built.values())
    if hands:
        found.append(f"installed by hand and carried over: {', '.join(hands)} (--exact gives it up)")
    former = _admins(going.applied) - _admins(context.config_text)
    if former:
        found.append(f"no admins any more, so that their running servers are ended: {', '.join(sorted(former))}")
    return found


def carried(context: Context) -> list[str]:
    """What an admin installed by hand and the environments of then did not hold, by name."""
    going = _going(context)
    found: set[tuple[str, str]] = set()
    rows = [("user", context.user_lock), *((one.name, one.lock) for one in context.environments)]
    for name, lock in rows:
        then = going.lock_of(name)
        found |= set(lock.pins.items()) - set(then.pins.items()) if lock and then else set()
    return sorted(name.rpartition(":")[2] for name, _ in found)


def stays(context: Context) -> list[str]:
    """What does not go back, a sentence each."""
    going = _going(context)
    ran = context.store.hooks_since(going.of, POST_INSTALL)
    kept = {report.name: report.version for report in recorded_reports(going.record)}
    return [
        f"{name}: what {POST_INSTALL} has done since generation {going.of} beyond the functions of tljh can't be "
        "known, so it stays"
        for name in ran
        if name in kept
    ]


def _admins(text: str) -> set[str]:
    try:
        return {str(name) for name in Document(text).get("users.admin") or ()}
    except TljhError:
        return set()


def kept_config(context: Context) -> Path | None:
    """Where this run has kept what was in config.yaml and not in effect."""
    kept = [path for row in context.resources if isinstance(row, EarlierConfig) for path in row.kept]
    return kept[0] if kept else None
