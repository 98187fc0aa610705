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


_SIMPLE = frozenset({str, int, float, bool, bytes, type(None)})
_Kept = tuple[Any, Any]
"""A value, and what it held: kept values again where it is a container, ``None`` where it is not."""


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
        return self.until(Snapshot(self.c))

    def until(self, later: Snapshot) -> set[str]:
        """The traits that were different at a later moment, as ``Class.trait``."""
        before, now = dict(_traits(self._kept)), dict(_traits(later._kept))
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


def _keep(value: Any) -> _Kept:
    """``value`` and what is in it, as deep as plain containers go."""
    if type(value) in _SIMPLE:  # most are; with many plugins this is where the time goes
        return value, None
    if isinstance(value, LazyConfigValue):
        return value, {name: _keep(getattr(value, name)) for name in _LAZY}
    if isinstance(value, dict):
        return value, {key: _keep(item) for key, item in value.items()}
    if isinstance(value, list):
        return value, [_keep(item) for item in value]
    if isinstance(value, set):
        return value, set(value)
    return value, None


def _put_back(kept: _Kept) -> Any:
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


def _traits(kept: _Kept, name: str = "") -> Iterator[tuple[str, _Kept]]:
    """The traits of a kept ``c``; one that was only looked at is none."""
    for key, item in kept[1].items():
        value = item[0]
        if isinstance(value, Config):
            yield from _traits(item, f"{name}{key}.")
        elif not isinstance(value, LazyConfigValue) or any(_holds_something(part) for part in item[1].values()):
            yield f"{name}{key}", item


def _holds_something(kept: _Kept) -> bool:
    return bool(kept[0] if kept[1] is None else kept[1])


def _equal(one: _Kept, other: _Kept) -> bool:
    """Whether two kept values hold the same: what containers held when they were kept, not what they hold now."""
    if one[1] is None and other[1] is None and one[0] is other[0]:
        return True
    try:
        if one[1] is None or other[1] is None:
            return bool(type(one[0]) is type(other[0]) and one[0] == other[0])
        return bool(type(one[0]) is type(other[0]) and one[1] == other[1])
    except Exception:  # values that can't be compared, such as arrays
        return False
