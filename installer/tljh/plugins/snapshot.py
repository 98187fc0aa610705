"""The hub's configuration ``c`` kept and restored in place, and which traits changed or were assigned.

The objects stay the same ones: whoever holds ``c``, ``c.JupyterHub`` or a list of services has the restored one.
Nothing here knows plugins.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from traitlets.config import Config
from traitlets.config.loader import LazyConfigValue

# what c.JupyterHub.services.append() and its like collect in a value that has no default yet
_LAZY = ("_value", "_extend", "_prepend", "_inserts", "_update")


class Snapshot:
    """What ``c`` was at one moment."""

    def __init__(self, c: Config) -> None:
        self.c = c
        self._kept = _keep(c)

    def restore(self) -> None:
        """Make ``c``, and everything in it, what it was."""
        _put_back(self._kept)

    def changed(self) -> set[str]:
        """The traits that are different now, as ``Class.trait``."""
        before, now = dict(_traits(self._kept)), dict(_traits(_keep(self.c)))
        return {
            name
            for name in before.keys() | now.keys()
            if name not in before or name not in now or not _equal(before[name], now[name])
        }


@contextmanager
def recorded(c: Config) -> Iterator[set[str]]:
    """Note every assignment to ``c`` as ``Class.trait``, also of a value that was there already.

    Sections that are made meanwhile are not watched: all that is in them is a change anyway.
    """
    noted: set[str] = set()

    class Watched(Config):
        def __setitem__(self, key: str, value: Any) -> None:
            if not isinstance(value, (Config, LazyConfigValue)):
                noted.add(f"{names.get(id(self), '')}{key}")
            super().__setitem__(key, value)

    sections = list(_sections(c))
    names = {id(section): name for name, section in sections}
    kinds = [(section, type(section)) for _name, section in sections]
    for section, _kind in kinds:
        section.__class__ = Watched
    try:
        yield noted
    finally:
        for section, kind in kinds:
            section.__class__ = kind


def _sections(c: Config, name: str = "") -> Iterator[tuple[str, Config]]:
    yield name, c
    for key, value in list(c.items()):
        if isinstance(value, Config):
            yield from _sections(value, f"{name}{key}.")


def _keep(value: Any) -> tuple[Any, Any]:
    """``value`` and what is in it, as deep as plain containers go."""
    if isinstance(value, LazyConfigValue):
        return value, {name: _keep(getattr(value, name)) for name in _LAZY}
    if isinstance(value, dict):
        return value, {key: _keep(item) for key, item in value.items()}
    if isinstance(value, list):
        return value, [_keep(item) for item in value]
    if isinstance(value, set):
        return value, set(value)
    return value, None


def _put_back(kept: tuple[Any, Any]) -> Any:
    value, content = kept
    if isinstance(value, LazyConfigValue):
        for name, item in content.items():
            setattr(value, name, _put_back(item))
    elif isinstance(value, dict):
        items = {key: _put_back(item) for key, item in content.items()}
        dict.clear(value)
        dict.update(value, items)  # not through Config, which would make sections and lazy values of its own
    elif isinstance(value, list):
        value[:] = [_put_back(item) for item in content]
    elif isinstance(value, set):
        value.clear()
        value.update(content)
    return value


def _traits(kept: tuple[Any, Any], name: str = "") -> Iterator[tuple[str, Any]]:
    """The traits of a kept ``c`` with their values; one that was only looked at is none."""
    for key, item in kept[1].items():
        value = item[0]
        if isinstance(value, Config):
            yield from _traits(item, f"{name}{key}.")
        elif not isinstance(value, LazyConfigValue) or any(_content(part) for part in item[1].values()):
            yield f"{name}{key}", _content(item)


def _content(kept: tuple[Any, Any]) -> Any:
    """A kept value to compare with: what containers held when it was kept, not what they hold now."""
    value, content = kept
    if isinstance(content, dict):
        return {key: _content(item) for key, item in content.items()}
    if isinstance(content, list):
        return [_content(item) for item in content]
    return value if content is None else content


def _equal(one: Any, other: Any) -> bool:
    if one is other:
        return True
    try:
        return bool(type(one) is type(other) and one == other)
    except Exception:  # values that can't be compared, such as arrays
        return False
