"""What a hook may return or set, checked and made plain. Nothing here calls a hook."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Mapping
from typing import Any

KeyPath = tuple[Any, ...]
"""Where a value stands in config.yaml: ``("limits", "memory")``."""

_MOST = 10_000  # no plugin wants more packages; a generator without an end must not fill the memory


class WrongValue(Exception):
    """A hook returned or set something that can't be used; the text says what was wrong with it."""


class _Absent:
    """The value of a key that isn't there."""

    def __repr__(self) -> str:
        return "nothing"

    def __copy__(self) -> _Absent:
        return self

    def __deepcopy__(self, memo: object) -> _Absent:
        return self


ABSENT = _Absent()


def texts(returned: object) -> tuple[str, ...]:
    """What a list hook returned, as texts: any iterable of ``str``; ``None`` is nothing.

    Order and duplicates are kept. A set has no order: it is sorted, so that two runs agree.

    Raises:
        WrongValue: it is something else.
    """
    if returned is None:
        return ()
    if isinstance(returned, (str, bytes, bytearray)):
        raise WrongValue(f"returned the text {shown(returned)} instead of a list of texts")
    if isinstance(returned, Mapping):
        raise WrongValue(f"returned a mapping ({shown(returned)}) instead of a list of texts")
    if not isinstance(returned, Iterable):
        raise WrongValue(f"returned {shown(returned)} instead of a list of texts")
    items = list(itertools.islice(returned, _MOST + 1))
    if len(items) > _MOST:
        raise WrongValue(f"returned more than {_MOST} items")
    for item in items:
        if not isinstance(item, str):
            raise WrongValue(f"returned a list with {shown(item)} in it, which is not a text")
        if not item.strip():
            raise WrongValue("returned a list with an empty text in it")
    plain = [str(item) for item in items]
    return tuple(sorted(plain) if isinstance(returned, (set, frozenset)) else plain)


def environments(returned: object) -> list[dict[str, Any]]:
    """What ``tljh_environments`` returned: a mapping of names, each with the keys that it has in config.yaml.

    Returns:
        One mapping for each environment, with all its keys and its ``name``; plain, by name.

    Raises:
        WrongValue: it is something else; every key that is wrong is named, and what is expected there.
    """
    if returned is None:
        return []
    if not isinstance(returned, Mapping):
        raise WrongValue(f"returned {shown(returned)} instead of a mapping of names")

    from tljh.settings.schema import named_environment
    from tljh.settings.validation import refused, validate

    try:
        given = plain(returned)
    except WrongValue as error:
        raise WrongValue(f"returned a mapping with {error}") from None
    problems = refused(validate({"environments": given}))
    if problems:
        raise WrongValue("returned what can't be used: " + "; ".join(problem.text for problem in problems))
    found = [{"name": name, **named_environment(name, given[name])} for name in sorted(given)]
    return [{**row, "python": str(row["python"])} for row in found]


def shown(value: object) -> str:
    """A value for a message: short, and with its type where the text doesn't tell it."""
    try:
        text = " ".join(repr(value).split())
    except Exception:
        text = ""
    text = text if len(text) <= 60 else text[:57] + "…"
    plain = isinstance(value, (str, bytes, int, float, list, dict, tuple, type(None)))
    return text if plain and text else f"{text} ({type(value).__name__})".strip()


def plain(value: object) -> Any:
    """A value of config.yaml without what the YAML reader adds (comments, styles).

    Raises:
        WrongValue: config.yaml can't hold it.
    """
    if value is None or isinstance(value, bool):
        return value
    if type(value).__name__ == "ScalarBoolean":  # ruamel's bool with an anchor is an int to Python
        return bool(value)
    for kind in (int, float, str):
        if isinstance(value, kind):
            return kind(value)
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    raise WrongValue(f"{shown(value)}, which config.yaml can't hold")


def lenient(value: object) -> Any:
    """A value of config.yaml made plain as far as that goes: an admin's dates stay what they are."""
    try:
        return plain(value)
    except WrongValue:
        return value


def same(one: object, other: object) -> bool:
    """Whether two plain values are written alike (``1`` and ``True`` are not)."""
    if isinstance(one, _Absent) or isinstance(other, _Absent):
        return one is other
    return json.dumps(one, sort_keys=True, default=repr) == json.dumps(other, sort_keys=True, default=repr)


def leaves(config: Mapping[Any, Any], above: KeyPath = ()) -> dict[KeyPath, Any]:
    """The values of a nested mapping by their key paths. A list is one value; so is an empty mapping."""
    found: dict[KeyPath, Any] = {}
    for key, value in config.items():
        path = (*above, key)
        if isinstance(value, Mapping) and value:
            found.update(leaves(value, path))
        else:
            found[path] = value
    return found
