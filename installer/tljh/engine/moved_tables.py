"""The part of the state database that takes over what another one knows, which came in a backup."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

_HISTORY = ("runs", "journal", "blobs", "generations", "parts")


class MovedTables:
    """Takes over another machine's history, accounts and numbers; what is owned here stays what it is."""

    _db: sqlite3.Connection

    def take_history(self, other: Path) -> tuple[int, int]:
        """Put the history of another database before ours, whose numbers are then higher; all or nothing.

        Nothing happens where ours begins with it: it is that of this machine, or was taken before.

        Args:
            other: A copy that nobody uses, of our schema.

        Returns:
            How many generations were taken, and by how much our runs' numbers have become higher.
        """
        self._db.commit()
        self._db.execute("attach database ? as other", (str(other),))
        try:
            with self._db:
                first = self._db.execute("select started, command from other.runs order by id limit 1").fetchone()
                query = "select 1 from main.runs where started = ? and command = ?"
                if first is None or self._db.execute(query, first).fetchone():
                    return 0, 0
                higher = self._highest("runs")
                self._move_up()
                for table in _HISTORY:
                    self._copy(table)
                taken = self._db.execute("select count(*) from other.generations where id > 0").fetchone()[0]
                return int(taken), higher
        finally:
            self._db.execute("detach database other")

    def _move_up(self) -> None:
        """Make room below our own numbers."""
        for table, references in (("runs", ("journal.run", "owned.run", "generations.run")), ("journal", ())):
            by = self._highest(table)
            # downwards first: no number may be there twice on the way
            self._db.execute(f"update main.{table} set id = -(id + ?)", (by,))
            self._db.execute(f"update main.{table} set id = -id")
            for reference in references:
                name, _, column = reference.partition(".")
                self._db.execute(f"update main.{name} set {column} = {column} + ?", (by,))
        by = self._highest("generations")
        for number, record in self._db.execute("select id, record from main.generations where id > 0").fetchall():
            said = json.loads(record)
            if said.get("of"):
                said["of"] += by
                query = "update main.generations set record = ? where id = ?"
                self._db.execute(query, (json.dumps(said, sort_keys=True), number))
        self._db.execute("update main.generations set id = -(id + ?) where id > 0", (by,))
        self._db.execute("update main.generations set id = -id where id < 0")

    def _highest(self, table: str) -> int:
        return int(self._db.execute(f"select coalesce(max(id), 0) from other.{table}").fetchone()[0])

    def _copy(self, table: str) -> None:
        columns = ", ".join(row[1] for row in self._db.execute(f"pragma main.table_info({table})"))
        where = " where id > 0" if table == "generations" else ""
        self._db.execute(
            f"insert or ignore into main.{table} ({columns}) select {columns} from other.{table}{where}"
        )

    def take_accounts(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Note accounts that another hub made: name, uid, gid, home, origin."""
        with self._db:
            query = "insert or replace into accounts values (:name, :uid, :gid, :home, :origin)"
            self._db.executemany(query, [dict(row) for row in rows])

    def origins_of_accounts(self) -> dict[str, str]:
        """On whose behalf each account was made that we made."""
        return dict(self._db.execute("select name, origin from accounts").fetchall())
