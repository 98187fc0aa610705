"""What we know that the machine does not: ownership, the journal, wishes, accounts and generations.

One SQLite database, ``<prefix>/state/tljh.sqlite``, mode 0600. The hub writes accounts to it while it runs;
everything else is written by an installer that holds the install lock.
"""

from __future__ import annotations

import contextlib
import getpass
import json
import logging
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from tljh.engine import store_copies
from tljh.engine.database import connect, damaged, in_memory, why_damaged
from tljh.engine.generation_tables import GenerationTables
from tljh.engine.machine import redact
from tljh.engine.moved_tables import MovedTables
from tljh.engine.parsers import Account
from tljh.engine.plugin_tables import PluginTables
from tljh.engine.resource import Diff, Resource
from tljh.engine.schema import SCHEMA_VERSION, is_readable, script
from tljh.errors import TljhError

log = logging.getLogger("tljh.store")

KEPT = "kept: somebody else needs it"
"""How the journal says that something of ours was given up, not removed."""


@dataclass(frozen=True)
class HookRun:
    """The last run of an imperative hook that ended well.

    Attributes:
        inputs: Digest of everything that the hook could depend on.
        keys: The keys of config.yaml that it set, as ``a.b.c``, with their values.
    """

    inputs: str
    keys: Mapping[str, Any]


class Store(PluginTables, GenerationTables, MovedTables):
    """The database, opened; a context manager that closes it.

    Args:
        check: Look whether all of it is whole, which reads all of it.

    Raises:
        Damaged: the file is; it says where the last good copy is.
        TljhError: it was written by a newer version of this program, or can't be opened.
    """

    def __init__(self, path: Path, *, read_only: bool = False, check: bool = False) -> None:
        self.path = path
        self._read_only = read_only
        self._db = connect(path, read_only=read_only)
        why = why_damaged(self._db) if check else ""
        if why:
            self._db.close()
            raise damaged(path, why)
        self._prepare()

    def _prepare(self) -> None:
        try:
            version = self._db.execute("pragma user_version").fetchone()[0]
            if version < SCHEMA_VERSION:
                self._bring_up_to_date(version)
        except sqlite3.OperationalError as error:
            raise TljhError(f"the state database {self.path} cannot be opened ({error})") from error
        except sqlite3.DatabaseError as error:
            raise damaged(self.path, error) from error
        if not is_readable(version):
            raise TljhError(
                f"the state database {self.path} was written by a newer version of this program",
                todo="run the bootstrap script of that version",
            )

    def _bring_up_to_date(self, version: int) -> None:
        """Make the tables that came later; who only reads gets them in a copy."""
        if self._read_only and version:
            copy = in_memory()
            self._db.backup(copy)
            self._db.close()
            self._db = copy
        with self._db:
            self._db.executescript(script(version))

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._db.close()
        if kind is sqlite3.DatabaseError:  # not one of its kinds: "database disk image is malformed"
            raise damaged(self.path, error) from error

    def copy(self) -> Path:
        """Copy it as it is now, for the day on which it is damaged; returns where the copy is."""
        return store_copies.copy(self._db, self.path)

    # ---- runs and the journal

    def begin_run(self, command: str) -> int:
        """Note that a run begins; returns its number."""
        actor = os.environ.get("SUDO_USER") or getpass.getuser()
        row = (time.time(), redact(command), actor)
        with self._db:
            cursor = self._db.execute("insert into runs (started, command, actor) values (?, ?, ?)", row)
        log.info("run %d begins: %s", cursor.lastrowid, command)  # read where the database has been damaged
        return int(cursor.lastrowid or 0)

    def end_run(self, run: int, outcome: str) -> None:
        """Note how a run ended: ``done``, ``failed: …`` or ``interrupted``."""
        with self._db:
            self._db.execute("update runs set ended = ?, outcome = ? where id = ?", (time.time(), outcome, run))

    def newest_command(self) -> str:
        """The command of the newest run, however that ended; empty where there was none."""
        row = self._db.execute("select command from runs order by id desc limit 1").fetchone()
        return str(row[0]) if row else ""

    def unfinished_runs(self, but: int) -> list[tuple[int, str]]:
        """Runs other than ``but`` that never said how they ended: they were killed."""
        rows = self._db.execute("select id, command from runs where outcome is null and id != ?", (but,))
        return [(int(row[0]), str(row[1])) for row in rows]

    def end_killed_runs(self, run: int) -> list[str]:
        """Note that runs other than ``run`` which never said how they ended were killed; their commands."""
        found = self.unfinished_runs(run)
        for number, _ in found:
            self.end_run(number, "killed")
        return [command for _, command in found]

    @contextlib.contextmanager
    def failing(self, run: int) -> Iterator[None]:
        """Note how a run ended where what is done meanwhile fails; one that ends well says so itself."""
        try:
            yield
        except BaseException as error:
            self.end_run(run, f"failed: {error}" if isinstance(error, Exception) else "interrupted")
            raise

    def begin_change(
        self,
        run: int,
        resource: Resource,
        diff: Diff,
        saved: bytes | None,
        replaced: Mapping[str, str] | None = None,
    ) -> list[int]:
        """Own what the change will create and journal that it begins, in one transaction.

        What is there already, whatever its value, is never recorded as ours, unless we know how to put it back.

        Args:
            replaced: What is there and will be put back in the end (``Resource.replaced``).

        Returns:
            The numbers of the journal's entries, for ``end_change``.
        """
        with self._db:
            digest = self._save_blob(saved)
            if resource.owns:
                there = set(diff.before)
                if replaced is not None and diff.put and self._take_over(resource.id, replaced, digest):
                    there = set()
                new = [(resource.id, k, resource.origin(k), run) for k in {**diff.before, **diff.put}]
                new = [row for row in new if row[1] not in there]
                self._db.executemany("insert or ignore into owned values (?, ?, ?, ?)", new)
                self._note_written(resource.id, diff.put)
            return [self._journal(run, resource, *row, digest) for row in _actions(diff)]

    def _journal(
        self,
        run: int,
        resource: Resource,
        key: str,
        action: str,
        before: str | None,
        after: str | None,
        saved: str | None,
    ) -> int:
        shown = [None if value is None else redact(value) for value in (before, after)]
        values = (run, time.time(), resource.stage, resource.id, key, action, *shown)
        cursor = self._db.execute(
            "insert into journal (run, time, stage, resource, key, action, before, after, origin, result, saved)"
            " values (?, ?, ?, ?, ?, ?, ?, ?, ?, 'begun', ?)",
            (*values, resource.origin(key), saved),
        )
        return int(cursor.lastrowid or 0)

    def end_change(self, entries: Iterable[int], resource: Resource, diff: Diff, result: str) -> None:
        """Journal how a change ended; what was dropped well is no longer ours."""
        with self._db:
            self._db.executemany("update journal set result = ? where id = ?", [(result, e) for e in entries])
            if result in ("done", KEPT):
                self._disown(resource.id, diff.drop)
                self._forget_replaced(resource.id)

    def journal(self, run: int | None = None) -> list[dict[str, Any]]:
        """The journal's entries, oldest first, of one run or of all."""
        query = "select * from journal" + (" where run = ?" if run is not None else "") + " order by id"
        cursor = self._db.execute(query, (run,) if run is not None else ())
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor]

    def made_by(self) -> dict[str, tuple[str, int]]:
        """Resource → the stage that put it there first, and that entry's number; the journal's oldest count."""
        query = "select resource, stage, min(id) from journal where action != 'remove' group by resource"
        return {row[0]: (row[1], row[2]) for row in self._db.execute(query)}

    # ---- ownership

    def owned(self) -> dict[str, dict[str, str]]:
        """What is ours: resource id → key → origin."""
        found: dict[str, dict[str, str]] = {}
        for resource, key, origin in self._db.execute("select resource, key, origin from owned"):
            found.setdefault(resource, {})[key] = origin
        return found

    def attribute(self, resource: Resource) -> None:
        """Note who wants what of a resource is ours now: one of several may have gone."""
        rows = [(origin := resource.origin(key), resource.id, key, origin) for key in resource.desired()]
        with self._db:
            self._db.executemany(
                "update owned set origin = ? where resource = ? and key = ? and origin != ?", rows
            )

    def disown(self, resource: str, keys: Iterable[str]) -> None:
        """Forget that keys are ours: they are gone, or the admin has taken them over."""
        with self._db:
            self._disown(resource, keys)

    def _disown(self, resource: str, keys: Iterable[str]) -> None:
        self._db.executemany("delete from owned where resource = ? and key = ?", [(resource, k) for k in keys])

    def own(self, resource: str, keys: Iterable[str], origin: str) -> None:
        """Note that keys are ours which something else than a change of ours made, in the newest run."""
        query = "insert or ignore into owned select ?, ?, ?, coalesce(max(id), 0) from runs"
        with self._db:
            self._db.executemany(query, [(resource, key, origin) for key in keys])

    # ---- wishes

    def wishes(self, kind: str) -> list[str]:
        """What flags have asked for so far, in the order in which they did."""
        return [
            row[0]
            for row in self._db.execute("select value from wishes where kind = ? order by position", (kind,))
        ]

    def add_wishes(self, kind: str, values: Iterable[str]) -> None:
        """Remember wishes; those that are there keep their place."""
        with self._db:
            rows = [(kind, value) for value in values]
            self._db.executemany("insert or ignore into wishes (kind, value) values (?, ?)", rows)

    def set_wishes(self, kind: str, values: Iterable[str]) -> None:
        """Remember exactly these wishes of one kind, in this order."""
        with self._db:
            self._db.execute("delete from wishes where kind = ?", (kind,))
            self._db.executemany("insert into wishes (kind, value) values (?, ?)", [(kind, v) for v in values])

    # ---- imperative hooks

    def hook_run(self, plugin: str, hook: str) -> HookRun | None:
        """The last good run of a plugin's imperative hook."""
        query = "select inputs, keys from hooks where plugin = ? and hook = ?"
        row = self._db.execute(query, (plugin, hook)).fetchone()
        return HookRun(row[0], json.loads(row[1])) if row else None

    def remember_hook(self, plugin: str, hook: str, run: HookRun) -> None:
        """Note that an imperative hook ran well."""
        row = (plugin, hook, run.inputs, time.time(), json.dumps(run.keys))
        with self._db:
            self._db.execute("insert or replace into hooks values (?, ?, ?, ?, ?)", row)

    def forget_hook(self, plugin: str, hook: str) -> None:
        """Forget the last run of one imperative hook of a plugin."""
        with self._db:
            self._db.execute("delete from hooks where plugin = ? and hook = ?", (plugin, hook))

    def hook_plugins(self) -> list[str]:
        """The plugins of which a good run of a hook is recorded, by name."""
        return [row[0] for row in self._db.execute("select distinct plugin from hooks order by plugin")]

    def forget_hooks(self, plugin: str) -> None:
        """The plugin is gone or switched off: when it comes back, its hooks have never run."""
        with self._db:
            self._db.execute("delete from hooks where plugin = ?", (plugin,))

    # ---- accounts

    def remember_account(self, *, name: str, uid: int, gid: int, home: str, origin: str) -> None:
        """Note an account that we made, so that it can be made again with the same numbers."""
        with self._db:
            row = (name, uid, gid, home, origin)
            self._db.execute("insert or replace into accounts values (?, ?, ?, ?, ?)", row)

    def forget_account(self, name: str) -> None:
        """The account was removed on purpose."""
        with self._db:
            self._db.execute("delete from accounts where name = ?", (name,))

    def account(self, name: str) -> Account | None:
        """An account that we made."""
        return self.accounts().get(name)

    def accounts(self) -> dict[str, Account]:
        """Every account that we made."""
        rows = self._db.execute("select name, uid, gid, home from accounts order by name")
        return {row[0]: Account(*row) for row in rows}


def _actions(diff: Diff) -> list[tuple[str, str, str | None, str | None]]:
    put = [
        (key, "change" if key in diff.before else "create", diff.before.get(key), value)
        for key, value in diff.put.items()
    ]
    return put + [(key, "remove", value, None) for key, value in diff.drop.items()]
