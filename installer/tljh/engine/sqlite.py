"""Files of SQLite's, whoever writes them: read only, copied while they are in use, replaced in one step."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from tljh.engine.files import fresh_prefix, put_in_place

PATIENCE = 20.0  # seconds to wait for somebody else's transaction
_BESIDE = ("-journal", "-wal", "-shm")  # https://www.sqlite.org/tempfiles.html


@contextlib.contextmanager
def reading(path: Path, patience: float = PATIENCE) -> Iterator[sqlite3.Connection]:
    """A database that is only read; SQLite's errors come through.

    Args:
        patience: How many seconds to wait for somebody else's transaction.
    """
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=patience)
    try:
        yield connection
    finally:
        connection.close()


def copy(source: Path | sqlite3.Connection, target: Path) -> None:
    """Copy a database that may be in use; the copy appears in one step, and only its owner may read it.

    Raises:
        sqlite3.Error: it can't be read.
        OSError: the copy can't be written; nothing stays of it.
    """
    if isinstance(source, Path):
        with reading(source) as connection:
            copy(connection, target)
        return
    fresh = target.with_name(f"{fresh_prefix()}{target.name}")
    try:
        os.close(os.open(fresh, os.O_CREAT | os.O_WRONLY | os.O_TRUNC | os.O_NOFOLLOW, 0o600))
        with contextlib.closing(sqlite3.connect(fresh)) as other:
            source.backup(other)
        put_in_place(fresh, target)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise


def remove_beside(path: Path) -> None:
    """Remove what SQLite would play back into a database that is about to take this one's place."""
    for end in _BESIDE:
        path.with_name(f"{path.name}{end}").unlink(missing_ok=True)
