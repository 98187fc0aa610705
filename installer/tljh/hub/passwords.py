"""The passwords of FirstUseAuthenticator: its database and its rules. Nothing of JupyterHub is imported here.

The format is FirstUseAuthenticator's: a dbm database, the hub user's name in UTF-8 → the bcrypt hash.
"""

from __future__ import annotations

import contextlib
import dbm
import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import bcrypt

from tljh.errors import TljhError

MIN_LENGTH = 7  # characters: the default of FirstUseAuthenticator.min_password_length
MAX_BYTES = 72  # what bcrypt looks at

_PATIENCE = 5.0  # seconds that another process may hold the database


def password_fault(password: str, minimum: int = MIN_LENGTH) -> str | None:
    """What is wrong with a new password, as a sentence for the login page; ``None`` when nothing is.

    Args:
        minimum: Characters that it must have.
    """
    if len(password) < minimum:
        return f"Password too short! Please choose a password at least {minimum} characters long."
    if len(password.encode("utf-8")) > MAX_BYTES:
        return (
            f"Password too long! Please choose a password of at most {MAX_BYTES} bytes "
            "(that many plain letters; other characters take 2 to 4 bytes each)."
        )
    return None


def hash_password(password: str) -> bytes:
    """The bcrypt hash of a password that has no fault. Takes about 0.2 s of processor time."""
    return bcrypt.hashpw(password.encode("utf-8"), bcrypt.gensalt())


def matches(password: str, stored: bytes) -> bool:
    """Whether ``password`` belongs to a hash. Takes about 0.2 s of processor time.

    Beyond 72 bytes nothing is compared: that is how hashes of longer passwords were made before bcrypt 5
    refused to make them.
    """
    return bcrypt.checkpw(password.encode("utf-8")[:MAX_BYTES], stored)


def stored_hash(dbm_path: Path, username: str) -> bytes | None:
    """The hash of a user's password; ``None`` when there is none, or no database yet."""
    if dbm.whichdb(str(dbm_path)) is None:
        return None
    with _opened(dbm_path, "r") as database:
        found: bytes | None = database.get(username.encode("utf-8"))
    return found


def store_hash(dbm_path: Path, username: str, hashed: bytes) -> None:
    """Write a user's hash; a new database is readable by its owner alone."""
    with _opened(dbm_path, "c") as database:
        database[username.encode("utf-8")] = hashed


def every_hash(dbm_path: Path) -> dict[str, bytes]:
    """The hash of every user who has a password, by name.

    Raises:
        TljhError: the database can't be read by this Python.
    """
    if dbm.whichdb(str(dbm_path)) is None:
        return {}
    with _opened(dbm_path, "r") as database:
        return {bytes(key).decode("utf-8", "surrogateescape"): bytes(database[key]) for key in database.keys()}  # noqa: SIM118


def write_anew(dbm_path: Path, hashes: Mapping[str, bytes]) -> None:
    """Make a database of these passwords alone, of a kind that this Python can read, in place of what is there."""
    with tempfile.TemporaryDirectory(dir=dbm_path.parent, prefix=".passwords-") as folder:
        fresh = Path(folder) / dbm_path.name
        with _opened(fresh, "n") as database:
            for name, hashed in hashes.items():
                database[name.encode("utf-8", "surrogateescape")] = hashed
        made = {path.name for path in Path(folder).iterdir()}
        for path in Path(folder).iterdir():  # how many files it is, the kind of database says
            path.chmod(0o600)
            os.replace(path, dbm_path.parent / path.name)
        for old in dbm_path.parent.glob(f"{dbm_path.name}*"):
            if old.name not in made:
                old.unlink()


def password_is_set(dbm_path: Path, username: str) -> bool:
    """Whether a hub user has a password.

    Raises:
        TljhError: the database can't be read by this Python.
    """
    return stored_hash(dbm_path, username) is not None


def check_password(dbm_path: Path, username: str, password: str) -> bool:
    """Whether this is the password of a hub user who has one."""
    stored = stored_hash(dbm_path, username)
    return stored is not None and matches(password, stored)


def set_password(dbm_path: Path, username: str, password: str) -> None:
    """Give a hub user a password, in place of any that there was.

    Raises:
        TljhError: it breaks a rule, or the database can't be written by this Python.
    """
    fault = password_fault(password)
    if fault is not None:
        raise TljhError(f"the password for {username} cannot be used: {fault}", todo="choose another one")
    store_hash(dbm_path, username, hash_password(password))


@contextlib.contextmanager
def _opened(dbm_path: Path, flag: Any) -> Iterator[Any]:
    """The database; waits while another process has it locked (GNU dbm locks the file)."""
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            database = dbm.open(str(dbm_path), flag, 0o600)  # noqa: SIM115 - closed below
            break
        except dbm.error as error:
            if time.monotonic() > deadline or "temporarily unavailable" not in str(error):
                raise TljhError(
                    f"the password database {dbm_path} cannot be opened ({error})",
                    todo="if the Python of this machine is new, install its module for this kind of database "
                    f"({dbm.whichdb(str(dbm_path)) or 'unknown'}), for example the apt package python3-gdbm",
                ) from error
        time.sleep(0.05)
    with database:
        yield database
