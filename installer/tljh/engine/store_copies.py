"""Copies of the state database: one after each good run, the last few of which are kept.

They lie in ``state/backups``, mode 0600, and are made by SQLite's own way to copy a database that is in use.
"""

from __future__ import annotations

import os
import sqlite3
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from tljh.engine import sqlite
from tljh.engine.database import why_damaged
from tljh.engine.files import fresh_prefix, put_in_place

FOLDER = "backups"
KEPT = 3
_NAME = "tljh-{}.sqlite"


@dataclass(frozen=True)
class Last:
    """The last thing that a copy knows of.

    Attributes:
        run: The number of the newest run; 0 for none.
        generation: The number of the newest generation; 0 for none.
    """

    run: int
    command: str
    generation: int


def folder_of(store: Path) -> Path:
    """Where the copies of a state database lie."""
    return store.parent / FOLDER


def copies(store: Path) -> list[Path]:
    """The copies of a state database, newest first."""
    return sorted(folder_of(store).glob(_NAME.format("*")), reverse=True)


def copy(database: sqlite3.Connection, store: Path) -> Path:
    """Copy the database, and drop all but the last copies.

    Returns:
        The copy's path.
    """
    folder = folder_of(store)
    folder.mkdir(mode=0o700, exist_ok=True)
    target = folder / _NAME.format(time.strftime("%Y%m%dT%H%M%SZ", time.gmtime()))
    sqlite.copy(database, target)
    for old in copies(store)[KEPT:]:
        old.unlink(missing_ok=True)
    return target


def newest_good(store: Path) -> Path | None:
    """The newest copy that is whole; ``None`` where there is none."""
    return next((path for path in copies(store) if last(path) is not None), None)


def last(path: Path) -> Last | None:
    """The last thing that a copy knows of; ``None`` of one that is damaged."""
    try:
        with sqlite.reading(path) as database:
            if why_damaged(database):
                return None
            row = database.execute("select id, command from runs order by id desc limit 1").fetchone()
            number = database.execute("select max(id) from generations").fetchone()[0]
    except sqlite3.DatabaseError:
        return None
    run, command = row or (0, "")
    return Last(int(run), str(command), int(number or 0))


def restore(store: Path, good: Path) -> Path:
    """Put a good copy in the place of a damaged database, which is kept beside it.

    Returns:
        Where the damaged one is now.
    """
    kept = store.with_name(f"{store.name}.damaged-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}")
    handle, name = tempfile.mkstemp(dir=store.parent, prefix=fresh_prefix())
    with os.fdopen(handle, "wb") as file:
        file.write(good.read_bytes())
    journal = store.with_name(f"{store.name}-journal")
    if journal.exists():  # SQLite would play it back into the copy
        os.replace(journal, kept.with_name(f"{kept.name}-journal"))
    if store.exists():
        os.replace(store, kept)
    put_in_place(Path(name), store)
    return kept
