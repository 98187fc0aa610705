"""How the state database is opened: durable, readable by root alone, and never silently damaged."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import sys
from pathlib import Path

from tljh.engine.sqlite import PATIENCE
from tljh.errors import TljhError


class Damaged(TljhError):
    """The state database is not one any more, or not a whole one.

    Attributes:
        path: Which.
        why: What SQLite says.
    """

    def __init__(self, path: Path, why: object, *, copy: Path | None = None) -> None:
        self.path, self.why = path, str(why)
        todo = "tljh doctor --fix puts it back; until then nothing on this machine is changed"
        super().__init__(
            f"the state database {path} is damaged ({why})",
            todo=f"its last good copy is {copy}: {todo}"
            if copy
            else "there is no good copy of it: restore it from a backup of this machine; until then nothing on "
            "this machine is changed",
        )


def connect(path: Path, *, read_only: bool) -> sqlite3.Connection:
    """Open the database at ``path``; who may write makes it, who only reads gets an empty one where there is none.

    Raises:
        TljhError: it can't be opened.
    """
    if not read_only:
        with contextlib.suppress(FileExistsError, FileNotFoundError):  # of the second, SQLite tells
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))  # SQLite's own would be 0644
    try:
        if read_only and not (path.exists() and path.stat().st_size):
            return in_memory()
        if read_only:
            _finish_cut_off_transaction(path)
            return _opened(f"file:{path}?mode=ro", uri=True)
        connection = _opened(str(path))
        # also the removal of the transaction's journal is on the disk before a commit returns
        connection.execute("pragma synchronous = extra")
        return connection
    except sqlite3.OperationalError as error:
        raise TljhError(f"the state database {path} cannot be opened ({error})") from error
    except sqlite3.DatabaseError as error:
        raise damaged(path, error) from error


def in_memory() -> sqlite3.Connection:
    """A database that ends with its connection."""
    return _opened(":memory:")


def _opened(database: str, *, uri: bool = False) -> sqlite3.Connection:
    connection = sqlite3.connect(database, uri=uri, timeout=PATIENCE)
    if sys.version_info >= (3, 12):
        connection.autocommit = sqlite3.LEGACY_TRANSACTION_CONTROL
    return connection


def _finish_cut_off_transaction(path: Path) -> None:
    """Take back what a killed writer had half written; who opens the database only to read can't."""
    if not path.with_name(f"{path.name}-journal").exists():
        return
    with contextlib.closing(_opened(str(path))) as connection, contextlib.suppress(sqlite3.DatabaseError):
        connection.execute("select count(*) from sqlite_master").fetchone()


def why_damaged(connection: sqlite3.Connection) -> str:
    """What is wrong with a database, in SQLite's words; empty when it is whole."""
    try:
        said = connection.execute("pragma quick_check(1)").fetchone()
    except sqlite3.DatabaseError as error:
        return str(error)
    # a heading may stand before it
    return "" if said and said[0] == "ok" else str(said[0]).splitlines()[-1] if said else "it can't be checked"


def damaged(path: Path, why: object) -> Damaged:
    """The error to raise for a damaged database, with the path of its last good copy."""
    from tljh.engine.store_copies import newest_good

    return Damaged(path, why, copy=newest_good(path))
