"""The first check of ``tljh doctor``: is the state database whole, and is there a copy? And how it is put back.

A damaged one can't be opened, so that this comes before everything else; nothing here needs a context.
"""

from __future__ import annotations

import logging
import re
import sqlite3
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from tljh.engine import lock
from tljh.engine.database import Damaged
from tljh.engine.store import Store
from tljh.engine.store_copies import Last, last, newest_good, restore
from tljh.errors import TljhError
from tljh.paths import Paths
from tljh.reporter import Reporter
from tljh.stages.health.doctor import ILL, MENDED, Result

log = logging.getLogger("tljh.doctor")

SHOWN = 20  # of the commands that the log has since the copy
_BEGUN = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)\S* INFO run (\d+) begins: (.+)")


def examine(paths: Paths, reporter: Reporter, *, fix: bool = False) -> Result:
    """Look whether the state database is whole; with ``fix``, put its last good copy in its place."""
    result = Result(
        "state database", "what the installer knows of this machine is whole, and there is a copy of it"
    )
    problem = _problem(paths)
    if not problem:
        return result
    result = replace(result.found(problem), fixable=True)
    if not fix:
        return result
    held = lock.acquire(paths.lock, say=reporter.say)
    try:
        return _mended(paths, result)
    finally:
        lock.release(held)


def _problem(paths: Paths) -> str:
    try:
        with Store(paths.store, read_only=True, check=True) as store:
            if store.newest() and newest_good(paths.store) is None:
                return "there is no good copy of the state database"
    except Damaged as error:
        return str(error)
    return ""


def _mended(paths: Paths, result: Result) -> Result:
    try:
        with Store(paths.store, check=True) as store:
            store.copy()
        return replace(result, state=MENDED, problem="", more=())
    except Damaged:
        return _put_back(paths, result)
    except (OSError, sqlite3.Error) as error:
        return replace(result, more=(*result.more, f"it could not be mended: {error}"))


def _put_back(paths: Paths, result: Result) -> Result:
    good = newest_good(paths.store)
    known = last(good) if good else None
    if good is None or known is None:
        return replace(result, more=(*result.more, "it could not be mended: there is no good copy"))
    try:
        kept = restore(paths.store, good)
        with Store(paths.store, check=True):
            pass
    except (OSError, TljhError) as error:
        return replace(result, state=ILL, more=(*result.more, f"it could not be mended: {error}"))
    log.info("put %s in the place of %s, which is now %s", good, paths.store, kept)
    return replace(result, state=MENDED, problem="", more=tuple(_told(paths, good, kept, known)))


def _told(paths: Paths, good: Path, kept: Path, known: Last) -> Iterable[str]:
    """What an admin must know: of when the copy is, what has been forgotten, and what to do."""
    yield f"put back: {good}, after generation {known.generation} ({known.command})"
    yield f"the damaged one is kept: {kept}"
    since = commands_since(paths, known.run)
    if since:
        yield "what these did is on the machine, but is no longer known:"
        yield from (f"  {line}" for line in since[-SHOWN:])
        yield "run 'tljh install', and again what of them asked for something"
    else:
        yield "nothing was done since"


def commands_since(paths: Paths, run: int) -> list[str]:
    """The commands that installer.log has after that of ``run``, with when they began."""
    try:
        lines = paths.log.read_text(errors="replace").splitlines()
    except OSError:
        return []
    found = [match for match in map(_BEGUN.match, lines) if match]
    # numbers begin anew with another database: only what stands after this run's line came after it
    start = max((place for place, match in enumerate(found) if int(match[2]) == run), default=-1)
    return [f"{match[1]}  {match[3]}" for match in found[start + 1 :]]
