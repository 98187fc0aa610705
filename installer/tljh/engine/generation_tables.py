"""The part of the state database that is the history: what each good install left.

A generation's record is JSON; what is large in it lies apart, once for all generations that have it (``parts``, by
content), so that a change of one key of config.yaml costs a few hundred bytes and the list of all is read in no
time.
"""

from __future__ import annotations

import hashlib
import json
import re
import sqlite3
import time
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

PART = "part of the record"
"""The one key of what stands in a record for something that lies apart; its value is the digest."""
LAST_ID = (1 << 63) - 1
"""The largest number that SQLite holds (https://www.sqlite.org/datatype3.html)."""
_SMALL = 200  # characters of JSON that are not worth a part of their own
_DEPTH = 2  # a record's values, and theirs: one lock of several, one plugin's report of many


@dataclass(frozen=True)
class Row:
    """A generation in the list of all.

    Attributes:
        time: When the install ended, in seconds since 1970.
        reason: The command as the admin typed it.
        actor: Who did.
        brief: What of the record the list shows (``BRIEF``).
        changes: How many changes its run did well, by ``create``, ``change``, ``remove`` and ``run``.
    """

    number: int
    run: int
    time: float
    reason: str
    actor: str
    brief: Mapping[str, Any]
    changes: Mapping[str, int]


BRIEF = ("plugins", "environments", "of")
"""The keys of a record that are never laid apart."""


def unfolded(database: sqlite3.Connection, value: Any) -> Any:
    """A record, or a part of one, with what lies apart in its place."""
    if not isinstance(value, dict):
        return value
    if set(value) != {PART}:
        return {key: unfolded(database, item) for key, item in value.items()}
    row = database.execute("select content from parts where digest = ?", (value[PART],)).fetchone()
    return unfolded(database, json.loads(zlib.decompress(row[0])))


GOING_BACK = "rollback"
"""The kind of wish that says to which generation a rollback goes, until it has got there; no memory holds it."""
_REMEMBERED = ("wishes", "hooks", "deeds")
NOTHING: Mapping[str, Any] = {"wishes": {}, "hooks": [], "deeds": []}
"""The memory of what was here before the first install, and of what is left after an uninstall."""


class GenerationTables:
    """Generations, and the memory that goes with each."""

    _db: sqlite3.Connection
    _newest: dict[str, Any] | None = None

    def add_generation(self, run: int, reason: str, record: Mapping[str, Any]) -> int:
        """Record what a successful apply left; returns the generation's number."""
        with self._db:
            self._db.execute("delete from wishes where kind = ?", (GOING_BACK,))
            folded = {key: value if key in BRIEF else self._folded(value, _DEPTH) for key, value in record.items()}
            row = (run, time.time(), reason, json.dumps(folded, sort_keys=True))
            query = "insert into generations (run, time, reason, record) values (?, ?, ?, ?)"
            return int(self._db.execute(query, row).lastrowid or 0)

    def remember_before(self, record: Mapping[str, Any]) -> None:
        """Record what was here before the first install as generation 0, in the newest run."""
        with self._db:
            folded = {key: value if key in BRIEF else self._folded(value, _DEPTH) for key, value in record.items()}
            row = (time.time(), "what was here before", json.dumps(folded, sort_keys=True))
            query = "insert or replace into generations (id, run, time, reason, record)"
            self._db.execute(f"{query} select 0, coalesce(max(id), 0), ?, ?, ? from runs", row)

    def forget_before(self) -> None:
        """Nothing is known any more of what was here before the first install."""
        with self._db:
            self._db.execute("delete from generations where id = 0")

    def _folded(self, value: Any, depth: int) -> Any:
        """``value`` with what is large in it laid apart."""
        if depth and isinstance(value, Mapping):
            value = {key: self._folded(item, depth - 1) for key, item in value.items()}
        text = json.dumps(value, sort_keys=True)
        if len(text) <= _SMALL:
            return value
        digest = hashlib.sha256(text.encode()).hexdigest()[:32]
        self._db.execute("insert or ignore into parts values (?, ?)", (digest, zlib.compress(text.encode())))
        return {PART: digest}

    def generations(self, last: int = 3) -> list[dict[str, Any]]:
        """The records of the newest generations, newest first, each with its number as ``id``."""
        rows = self._db.execute("select id, record from generations order by id desc limit ?", (last,))
        return [{"id": row[0], **unfolded(self._db, json.loads(row[1]))} for row in rows.fetchall()]

    def generation(self, number: int) -> dict[str, Any] | None:
        """The record of one generation; ``None`` where there is none of this number."""
        if abs(number) > LAST_ID:
            return None
        row = self._db.execute("select record from generations where id = ?", (number,)).fetchone()
        return {"id": number, **unfolded(self._db, json.loads(row[0]))} if row else None

    def newest(self) -> dict[str, Any]:
        """The record of the newest generation, which is read once; empty where there is none."""
        number = self._db.execute("select max(id) from generations").fetchone()[0]
        if number is None:
            return {}
        if not self._newest or self._newest["id"] != number or number == 0:  # 0 may be found out anew
            self._newest = self.generation(number) or {}
        return self._newest

    def history(self, last: int | None = None, *, newest: int | None = None) -> list[Row]:
        """Generations, newest first, without what is large.

        Args:
            last: How many; all without it.
            newest: The first one to give; without it the newest of all.
        """
        chosen = "from generations where ?1 is null or id <= ?1 order by id desc limit ?2"
        which = (newest, -1 if last is None else last)
        # code that runs is journaled as what is remembered of it
        kind = "case when resource like 'hook:%' or resource like 'stage:%' then 'run' else action end"
        query = (
            f"select run, {kind} as what, count(*) from journal"
            f" where result = 'done' and run in (select run {chosen}) group by run, what"
        )
        changes: dict[int, dict[str, int]] = {}
        for run, action, count in self._db.execute(query, which):
            changes.setdefault(run, {})[action] = count
        query = (
            f"select g.id, g.run, g.time, g.reason, r.actor, g.record from (select * {chosen}) g"
            " join runs r on r.id = g.run order by g.id desc"
        )
        found = []
        for number, run, when, reason, actor, record in self._db.execute(query, which):
            whole = json.loads(record)
            brief = {key: whole[key] for key in BRIEF if key in whole}
            found.append(Row(number, run, when, reason, actor, brief, changes.get(run, {})))
        return found

    def runs(self, last: int | None = None, number: int | None = None) -> list[dict[str, Any]]:
        """The newest runs that changed something, newest first; or the one of this number, whatever it did.

        Args:
            last: How many; all without it.
        """
        if number is not None and abs(number) > LAST_ID:
            return []
        chosen = "id in (select run from journal)" if number is None else "id = ?"
        query = f"select * from runs where {chosen} order by id desc limit ?"
        values = [*([] if number is None else [number]), -1 if last is None else last]
        cursor = self._db.execute(query, values)
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor]

    # ---- what else a generation must remember, so that it can be gone back to

    def memory(self) -> dict[str, Any]:
        """All wishes, the good runs of plugins' config hooks and what hooks did, as JSON holds them."""
        wishes: dict[str, list[str]] = {}
        query = "select kind, value from wishes where kind != ? order by position"
        for kind, value in self._db.execute(query, (GOING_BACK,)):
            wishes.setdefault(kind, []).append(value)
        query = "select plugin, hook, inputs, time, keys from hooks where hook = 'tljh_config_post_install'"
        hooks = [list(row) for row in self._db.execute(f"{query} order by plugin")]
        deeds = [list(row) for row in self._db.execute("select plugin, kind, name, data from deeds order by id")]
        return {"wishes": wishes, "hooks": hooks, "deeds": deeds}

    def look_back(self, memory: Mapping[str, Any]) -> None:
        """Let this program see the memory of an earlier generation; others see, and the file has, what it had."""
        query = "select sql from main.sqlite_master where type = 'table' and name = ?"
        with self._db:
            # a temporary table stands before the one of the same name
            for table in _REMEMBERED:
                (text,) = self._db.execute(query, (table,)).fetchone()
                self._db.execute(f"drop table if exists temp.{table}")
                self._db.execute(re.sub(r"(?i)^create table", "create temp table", text))
            self._db.execute("insert into temp.hooks select * from main.hooks")
            self._fill("temp", memory)

    def recall(self, memory: Mapping[str, Any], going_back: int | None = None) -> None:
        """Make the memory that of an earlier generation, in one transaction.

        Args:
            going_back: The generation's number where a rollback begins, so that the next run knows of it.
        """
        with self._db:
            for table in _REMEMBERED:
                self._db.execute(f"drop table if exists temp.{table}")
            self._fill("main", memory)
            if going_back is not None:
                query = "insert into main.wishes (kind, value) values (?, ?)"
                self._db.execute(query, (GOING_BACK, str(going_back)))

    def forget_all(self) -> None:
        """Nothing is wished for any more, and no hook has ever run: an install begins anew."""
        self.recall(NOTHING)
        with self._db:
            self._db.execute("delete from hooks")

    def gone_back(self) -> int:
        """The machine is as the newest generation left it again; returns its number."""
        with self._db:
            self._db.execute("delete from wishes where kind = ?", (GOING_BACK,))
        return max(self.numbers(), default=0)

    def _fill(self, schema: str, memory: Mapping[str, Any]) -> None:
        wishes = [(kind, value) for kind, values in memory["wishes"].items() for value in values]
        self._db.execute(f"delete from {schema}.wishes")
        self._db.executemany(f"insert into {schema}.wishes (kind, value) values (?, ?)", wishes)
        self._db.execute(f"delete from {schema}.hooks where hook = 'tljh_config_post_install'")
        self._db.executemany(f"insert into {schema}.hooks values (?, ?, ?, ?, ?)", memory["hooks"])
        self._db.execute(f"delete from {schema}.deeds")
        query = f"insert into {schema}.deeds (plugin, kind, name, data) values (?, ?, ?, ?)"
        self._db.executemany(query, memory["deeds"])

    def hooks_since(self, number: int, hook: str) -> list[str]:
        """The plugins whose ``hook`` has run well since a generation was recorded, by name."""
        query = (
            "select plugin from main.hooks where hook = ? and time > (select time from generations where id = ?)"
            " order by plugin"
        )
        return [row[0] for row in self._db.execute(query, (hook, number))]

    def failed_since(self, run: int) -> bool:
        """Whether a run after this one changed something and did not end well."""
        query = "select 1 from runs where id > ? and outcome is not 'done' and id in (select run from journal)"
        return self._db.execute(query, (run,)).fetchone() is not None

    def run_of(self, number: int) -> int:
        """The run that left a generation; 0 where there is none of this number."""
        row = self._db.execute("select run from generations where id = ?", (number,)).fetchone()
        return int(row[0]) if row else 0

    def numbers(self) -> list[int]:
        """The numbers of all generations, the first one first."""
        return [int(row[0]) for row in self._db.execute("select id from generations order by id")]
