"""The name of the system account that belongs to a hub user."""

from __future__ import annotations

import hashlib

MAX_LENGTH = 26  # and a dash and 5 digits: 32, the longest name that useradd takes
HASH_DIGITS = 5
LONGEST = 32  # bytes of a name in /etc/passwd, utmp and useradd's own check
_SIGNS = "._-@+"


def name_fault(account: str) -> str:
    """Why no account of this name is made; empty when one may be.

    What a shell, a path, ``/etc/passwd`` or a unit of systemd would take for something else is refused; so is what
    useradd can't store. Accounts that exist are what they are.
    """
    if len(account.encode("utf-8", "replace")) > LONGEST:
        return f"it takes more than {LONGEST} bytes"
    odd = sorted({sign for sign in account if not (sign.isalnum() or sign in _SIGNS)})
    if odd:
        return f"it holds {', '.join(map(repr, odd[:5]))}"
    if not account or not account[0].isalnum():
        return "it does not begin with a letter or a digit"
    return ""


def generate_system_username(username: str) -> str:
    """``username``, shortened to what Linux accepts.

    The rule is TLJH's, so that accounts that exist keep their owners: up to 26 characters stay as they are;
    of a longer name the first 26, a dash and the first 5 hexadecimal digits of the sha256 of the whole name.

    Args:
        username: With the prefix: ``jupyter-`` and the name in the hub.
    """
    if len(username) <= MAX_LENGTH:
        return username
    digest = hashlib.sha256(username.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{username[:MAX_LENGTH]}-{digest[:HASH_DIGITS]}"
