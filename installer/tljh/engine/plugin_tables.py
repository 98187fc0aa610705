"""The part of the state database that is there for plugins, which ``store`` is made of."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Replaced:
    """What stood where a plugin's thing is now, and is put back when nobody wants that any more.

    Attributes:
        before: As ``Resource.replaced`` described it.
        content: Of a file.
        written: What we have put in its place, key by key.
    """

    before: Mapping[str, str]
    content: bytes | None
    written: Mapping[str, str]


@dataclass(frozen=True)
class Deed:
    """Something that a plugin's hook did through the contract's functions.

    Attributes:
        name: What it was done to.
        data: The rest, as JSON holds it; ``tljh.plugins.deeds`` knows what.
    """

    plugin: str
    kind: str
    name: str
    data: Mapping[str, Any]


class PluginTables:
    """What stood there before plugins' things, what plugins' hooks did, the numbers of their accounts."""

    _db: sqlite3.Connection

    # ---- what stood there before

    def replaced(self, resource: str) -> Replaced | None:
        """What is to be put back where ``resource`` is now."""
        query = "select before, content, written from replaced left join blobs on digest = saved"
        row = self._db.execute(f"{query} where resource = ?", (resource,)).fetchone()
        return Replaced(json.loads(row[0]), row[1], json.loads(row[2])) if row else None

    def take_over(
        self, resource: str, before: Mapping[str, str], content: bytes | None, written: Mapping[str, str]
    ) -> None:
        """Note that a hook has put something in the place of what was there."""
        with self._db:
            if self._take_over(resource, before, self._save_blob(content)):
                self._note_written(resource, written)

    def _take_over(self, resource: str, before: Mapping[str, str], saved: str | None) -> bool:
        """Remember what is there, unless it is ours already."""
        if self._db.execute("select 1 from owned where resource = ?", (resource,)).fetchone():
            return False
        row = (resource, json.dumps(dict(before)), saved, json.dumps(dict(before)))
        self._db.execute("insert or replace into replaced values (?, ?, ?, ?)", row)
        return True

    def _note_written(self, resource: str, put: Mapping[str, str]) -> None:
        query = "update replaced set written = json_patch(written, ?) where resource = ?"
        self._db.execute(query, (json.dumps(dict(put)), resource))

    def _forget_replaced(self, resource: str) -> None:
        query = "delete from replaced where resource = ?1 and not exists (select 1 from owned where resource = ?1)"
        self._db.execute(query, (resource,))

    # ---- what plugins' hooks did

    def deeds(self) -> list[Deed]:
        """What plugins' hooks did, in the order in which they did it first."""
        rows = self._db.execute("select plugin, kind, name, data from deeds order by id")
        return [Deed(plugin, kind, name, json.loads(data)) for plugin, kind, name, data in rows]

    def remember_deed(self, deed: Deed) -> None:
        """Note what a plugin's hook did; what it did to the same thing before counts no more."""
        row = (deed.plugin, deed.kind, deed.name, json.dumps(dict(deed.data), sort_keys=True))
        query = "insert into deeds (plugin, kind, name, data) values (?, ?, ?, ?)"
        with self._db:
            self._db.execute(f"{query} on conflict (plugin, kind, name) do update set data = excluded.data", row)

    def forget_deed(self, deed: Deed) -> None:
        """The plugin took it back itself, or the plugin is gone."""
        query = "delete from deeds where plugin = ? and kind = ? and name = ?"
        with self._db:
            self._db.execute(query, (deed.plugin, deed.kind, deed.name))

    def number(self, kind: str, name: str) -> int | None:
        """The ``uid`` or ``gid`` that an account or group of ours has had."""
        query = "select number from numbers where kind = ? and name = ?"
        row = self._db.execute(query, (kind, name)).fetchone()
        return int(row[0]) if row else None

    def remember_number(self, kind: str, name: str, number: int) -> None:
        """Note it, so that it can be made again with the same."""
        with self._db:
            self._db.execute("insert or replace into numbers values (?, ?, ?)", (kind, name, number))

    def _save_blob(self, content: bytes | None) -> str | None:
        if content is None:
            return None
        import hashlib

        digest = hashlib.sha256(content).hexdigest()
        self._db.execute("insert or ignore into blobs values (?, ?)", (digest, content))
        return digest
