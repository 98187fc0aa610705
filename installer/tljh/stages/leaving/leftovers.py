"""What runs that were killed have left half done beside what they were about to replace; the next removes it."""

from __future__ import annotations

import contextlib
import logging
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from tljh.engine.files import remove_scratch, remove_unfinished
from tljh.engine.machine import Machine
from tljh.engine.store import Store
from tljh.errors import TljhError
from tljh.paths import Paths
from tljh.resources.apt import finish_interrupted
from tljh.resources.half_accounts import remove_half_accounts
from tljh.stages.taking_over import takeover

log = logging.getLogger("tljh")


def remove_leftovers(paths: Paths, store: Store, machine: Machine, say: Callable[[str], None]) -> None:
    """Remove them; only an installer that holds the lock may, and what a living process makes stays."""
    if store.unfinished_runs(but=0):
        with contextlib.suppress(TljhError):  # somebody else's apt is at work: ours will wait for it
            finish_interrupted(machine, say)
        for name in remove_half_accounts(machine, *_being_made(store)):
            log.info("removed %s, which a run that was killed was making", name)
    folders = dict.fromkeys([*_ours(paths), *_changed_by_killed_runs(store)])
    for path in [*remove_unfinished(folders), *remove_scratch(Path(tempfile.gettempdir()))]:
        log.info("removed %s, which a run that was killed has left", path)


def _ours(paths: Paths) -> Iterator[Path]:
    yield from (paths.prefix, paths.bin, paths.state, paths.rules, paths.backups, paths.config, paths.envs)
    yield takeover.folder(paths)
    yield from paths.envs.glob("*-*")


def _being_made(store: Store) -> tuple[list[str], list[str]]:
    """The accounts and the groups that runs without an end were about to make."""
    accounts, groups = [], []
    for number, _ in store.unfinished_runs(but=0):
        for row in store.journal(number):
            if row["result"] != "begun" or row["action"] != "create":
                continue
            kind, _, name = row["resource"].partition(":")
            if kind in ("account", "accounts"):
                accounts.append(name or row["key"])
            elif kind in ("group", "groups"):
                groups.append(name or row["key"])
    return accounts, groups


def _changed_by_killed_runs(store: Store) -> Iterator[Path]:
    """The folders of the files that runs without an end have changed or were about to."""
    for number, _ in store.unfinished_runs(but=0):
        for row in store.journal(number):
            path = Path(row["resource"].partition(":")[2])
            if path.is_absolute():
                yield path.parent
