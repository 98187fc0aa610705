"""What the settings of an environment may hold: versions of Python, packages, channels, files and names.

Each rule is a pure function; ``schema`` says which setting has which, ``validation`` what an admin is told.
"""

from __future__ import annotations

import re
from typing import Any

NAME_LENGTH = 30  # characters
RESERVED_NAMES = ("hub", "user", "base")


def python_version(value: str | float) -> str:
    """A checked value of ``python`` as text: YAML reads 3.12 as a number."""
    return str(value)


def version(value: Any) -> Any:
    """A version of Python such as 3.12 or 3.12.4, or an empty text.

    Raises:
        ValueError: it is something else.
    """
    if isinstance(value, float) and not _lost_a_zero(value):
        value = str(value)
    if isinstance(value, str) and not re.fullmatch(r"(3\.\d+(\.\d+)?)?", value):
        raise ValueError("not a version of Python")
    return value


def version_hint(value: Any) -> str:
    """What to do about a wrong version; empty where nothing more can be said."""
    if _lost_a_zero(value):
        return f'YAML drops the last zero of a number; write it in quotes: "{value}0"'
    return ""


def _lost_a_zero(value: Any) -> bool:
    """Whether YAML read 3.10 or 3.20: nothing of what users get runs with Python 3.1 or 3.2."""
    return isinstance(value, float) and value in (3.1, 3.2)


def packages(values: list[str]) -> list[str]:
    """Specs or requirements, one a line.

    Raises:
        ValueError: one is none.
    """
    if packages_fault(values):
        raise ValueError("not all are requirements")
    return values


def packages_fault(values: Any) -> str:
    """Which item can't be a package, and why; empty if all can."""
    for number, value in enumerate(values if isinstance(values, list) else (), 1):
        if isinstance(value, str) and not value.strip():
            return f"item {number} is empty"
        if isinstance(value, str) and value.lstrip().startswith("-"):
            return f'item {number}, "{value}", is an option; only packages can be named here'
    return ""


def channels(values: list[str]) -> list[str]:
    """Names or URLs of channels.

    Raises:
        ValueError: one is neither.
    """
    if channels_fault(values):
        raise ValueError("not all are channels")
    return values


def channels_fault(values: Any) -> str:
    """Which item is neither a name nor a URL; empty if all are one."""
    for number, value in enumerate(values if isinstance(values, list) else (), 1):
        if isinstance(value, str) and not re.fullmatch(r"[^\s,]+", value):
            return f'item {number}, "{value}", is neither the name of a channel nor a URL'
    return ""


def file(value: str) -> str:
    """A full path, an http or https URL, or an empty text.

    Raises:
        ValueError: it is something else.
    """
    if value and not re.match(r"/|https?://", value):
        raise ValueError("neither a path nor a URL")
    return value


def name_fault(name: Any) -> str:
    """Why an environment of ``environments`` can't have this name; empty if it can."""
    if not isinstance(name, str) or not re.fullmatch(r"[a-z][a-z0-9_-]*", name):
        return "a name is lower-case letters, digits, - and _, and begins with a letter"
    if len(name) > NAME_LENGTH:
        return f"a name has at most {NAME_LENGTH} characters, this has {len(name)}"
    if name in RESERVED_NAMES:
        return f"{', '.join(RESERVED_NAMES[:-1])} and {RESERVED_NAMES[-1]} are taken"
    if re.search(r"-\d+$", name):
        return "it ends in - and a number, which environments are numbered with when they are built"
    return ""
