"""The name of the system account that belongs to a hub user."""

from __future__ import annotations

import hashlib

MAX_LENGTH = 26  # and a dash and 5 digits: 32, the longest name that useradd takes
HASH_DIGITS = 5


def generate_system_username(username: str) -> str:
    """``username``, shortened to what Linux accepts.

    The rule is TLJH's, so that accounts that exist keep their owners: up to 26 characters stay as they are;
    of a longer name the first 26, a dash and the first 5 hexadecimal digits of the sha256 of the whole name.

    Args:
        username: With the prefix: ``jupyter-`` and the name in the hub.
    """
    if len(username) <= MAX_LENGTH:
        return username
    digest = hashlib.sha256(username.encode("utf-8")).hexdigest()
    return f"{username[:MAX_LENGTH]}-{digest[:HASH_DIGITS]}"
