"""Checks a config.yaml against the schema and says in an admin's words what is wrong.

Wrong types are errors. A key that the schema doesn't know is kept and reported: at the top level it may be a
plugin's. Whether an unknown key is refused is up to whoever asks: see ``refused``.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from tljh.errors import TljhError
from tljh.settings.document import Document
from tljh.settings.environment_values import name_fault


@dataclass(frozen=True)
class Problem:
    """Something that is wrong with one key.

    Attributes:
        severity: ``error``: the file can't be used. ``warning``: the key has no effect, as far as is known.
        key: The key, with dots.
        line: Where it stands, counted from 1; ``None`` where that is not known.
        text: What was found and what is expected.
        unknown: Whether it is that the schema doesn't know the key.
    """

    severity: Literal["error", "warning"]
    key: str
    line: int | None
    text: str
    unknown: bool = False

    def at(self, name: str = "config.yaml") -> str:
        """The whole sentence: file, line and what is wrong."""
        where = f"{name} line {self.line}" if self.line else name
        return f"{where}: {self.text}"


def validate(document: Document | Mapping[str, Any]) -> list[Problem]:
    """Every problem of a config.yaml, in the order of its lines.

    Args:
        document: The document, or plain settings (whose problems have no lines).
    """
    from pydantic import ValidationError

    from tljh.settings.schema import Config

    values = document.as_dict() if isinstance(document, Document) else document
    lines: Callable[[Sequence[str]], int | None] = document.line if isinstance(document, Document) else _no_line
    given = without_nothing(values)
    problems = list(_unknown(given, lines))
    try:
        Config.model_validate({key: value for key, value in given.items() if isinstance(key, str)})
    except ValidationError as error:
        # a name of an environment that is no text is told by _names
        wrong = (item["loc"] for item in error.errors() if not _is_name(item["loc"]))
        paths = {(tuple(_path(given, location)), location[-1] == "[key]"): None for location in wrong}
        problems += [_no_text(path, lines) if is_name else _wrong(given, path, lines) for path, is_name in paths]
    problems += _not_names(given, lines)
    return sorted(problems, key=lambda problem: (problem.line or 0, problem.key))


def check(document: Document | Mapping[str, Any], name: str = "config.yaml") -> list[Problem]:
    """The warnings about a config.yaml that can be used.

    Raises:
        TljhError: it can't be; the message lists every error.
    """
    problems = validate(document)
    raise_errors([problem for problem in problems if problem.severity == "error"], name)
    return [problem for problem in problems if problem.severity == "warning"]


def refused(problems: Sequence[Problem]) -> list[Problem]:
    """Of what an admin is about to write: the errors, and unknown keys where only known ones have an effect."""
    return [item for item in problems if item.severity == "error" or (item.unknown and "." in item.key)]


def raise_errors(problems: Sequence[Problem], name: str = "config.yaml") -> None:
    """Raise what these problems say, if there are any."""
    if problems:
        lists = [problem.key for problem in problems if "expected a list" in problem.text]
        todo = (
            f"To add to the list: tljh-config add-item {lists[0]} …"
            if lists
            else "docs/admin/config.md lists every key."
        )
        raise TljhError("\n".join(problem.at(name) for problem in problems), todo=todo)


def without_nothing(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """``values`` without the known keys that say nothing (``users:``): they mean their defaults."""
    from tljh.settings.schema import field_at, section_of_items

    found: dict[str, Any] = {}
    above = field_at(prefix[:-1]) if prefix else None
    named = prefix == "plugins." or (above is not None and section_of_items(above) is not None)
    for key, value in values.items():
        path = f"{prefix}{key}"
        if value is None and named:
            found[key] = {}  # an environment or a plugin of which nothing is said is one all the same
            continue
        if value is None and field_at(path):
            continue
        found[key] = without_nothing(value, f"{path}.") if isinstance(value, Mapping) else value
    return found


def _no_line(path: Sequence[str]) -> None:
    return None


def _unknown(values: Mapping[str, Any], lines: Callable[[Sequence[str]], int | None]) -> Iterator[Problem]:
    """The keys that the schema doesn't know."""
    from tljh.settings.schema import Auth, Config, Section, section_of, section_of_items

    def walk(model: type[Section], part: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[Problem]:
        for key, value in part.items():
            here = (*path, str(key))
            field = model.model_fields.get(str(key))
            section = section_of(field) if field else None
            items = section_of_items(field) if field else None
            if section and isinstance(value, Mapping):
                yield from walk(section, value, here)
            elif items and isinstance(value, Mapping):
                yield from _names(value, here, lines)
                for name, item in value.items():
                    yield from walk(items, item, (*here, str(name))) if isinstance(item, Mapping) else ()
            elif field is None and model is Auth:
                yield from _of_auth(here, value, lines(here))
            elif field is None:
                yield from _unknown_key(here, model.model_fields, lines(here))

    yield from walk(Config, values, ())


def _is_name(location: Sequence[int | str]) -> bool:
    return len(location) == 3 and location[0] == "environments" and location[2] == "[key]"


def _names(
    values: Mapping[str, Any], path: tuple[str, ...], lines: Callable[[Sequence[str]], int | None]
) -> Iterator[Problem]:
    """The names that no environment can have."""
    for name in values:
        fault = name_fault(name)
        if fault:
            here = (*path, str(name))
            yield Problem("error", ".".join(here), lines(here), f'no environment can be called "{name}": {fault}')


def _not_names(values: Mapping[str, Any], lines: Callable[[Sequence[str]], int | None]) -> Iterator[Problem]:
    """Users whom JupyterHub does not take as such: it does not start when one is named."""
    users, auth = values.get("users"), values.get("auth")
    kind_of_auth = auth.get("type") if isinstance(auth, Mapping) else None
    first_use = kind_of_auth is None or "firstuse" in str(kind_of_auth).lower()
    for key in ("admin", "allowed"):
        names = users.get(key) if isinstance(users, Mapping) else None
        for number, name in enumerate(names if isinstance(names, list) else ()):
            fault = user_name_fault(name, first_use=first_use) if isinstance(name, str) else ""
            if fault:
                line = lines(("users", key))
                text = f"item {number + 1} of users.{key} is {kind(name)}, which is no user's name: {fault}"
                yield Problem("error", f"users.{key}", line, text)


def user_name_fault(name: str, *, first_use: bool) -> str:
    """Why nobody can have this name; empty if somebody can.

    Args:
        first_use: With FirstUseAuthenticator, which takes fewer names than others.
    """
    if not name.strip():
        return "it is empty"
    if name != name.strip():
        return "it begins or ends with a space"
    if "/" in name:
        return 'it has a "/"'
    if set(name) == {"."}:
        return "it is nothing but dots"
    if first_use and ("," in name or " " in name):
        return "it has a comma or a space"
    return ""


def _of_auth(path: tuple[str, ...], value: Any, line: int | None) -> Iterator[Problem]:
    """A key of ``auth``: a class with its traits. Ignoring anything else could let the wrong people in."""
    key = ".".join(path)
    if not path[-1][:1].isupper():
        hint = (
            _did_you_mean(path[-1], ["type"], "auth.")
            or "; expected type, or a class name such as GitHubOAuthenticator"
        )
        yield Problem("error", key, line, f"there is no setting {key}{hint}", unknown=True)
    elif value is not None and not isinstance(value, Mapping):
        yield Problem("error", key, line, f"{key} is {kind(value)}; expected a mapping of traits")


def _unknown_key(path: tuple[str, ...], known: Mapping[str, Any], line: int | None) -> Iterator[Problem]:
    key = ".".join(path)
    hint = _did_you_mean(path[-1], list(known), key[: -len(path[-1])])
    if len(path) == 1:
        if not hint:
            return  # a plugin's
        text = f"{key} is not a setting of ours{hint}; it is kept, plugins may use it"
    else:
        text = f"there is no setting {key}" + (hint or f"; {'.'.join(path[:-1])} has {', '.join(known)}")
    yield Problem("warning", key, line, text, unknown=True)


def _did_you_mean(word: str, known: Sequence[str], prefix: str) -> str:
    close = difflib.get_close_matches(word.lower(), known, 1, 0.7)
    return f"; did you mean {prefix}{close[0]}?" if close else ""


def _path(values: Any, location: Sequence[int | str]) -> Iterator[str]:
    """The part of pydantic's location that is in the file: it adds the names of a union's members."""
    for part in location:
        in_mapping = isinstance(values, Mapping) and part in values
        if not in_mapping and not (isinstance(values, list) and isinstance(part, int)):
            return
        # pydantic says 1 of the name ``true``
        yield str(next(key for key in values if key == part)) if in_mapping else str(part)
        values = values[part]


def _no_text(path: tuple[str, ...], lines: Callable[[Sequence[str]], int | None]) -> Problem:
    """A name that YAML takes for a number or for something else."""
    *above, name = path
    text = f'{".".join(above)} has the name {name}, which is no text; write "{name}" in quotes'
    return Problem("error", ".".join(path), lines(path), text)


def _wrong(
    values: Mapping[str, Any], path: tuple[str, ...], lines: Callable[[Sequence[str]], int | None]
) -> Problem:
    """The value at ``path`` has the wrong type."""
    from tljh.settings.schema import expected, field_at, hint

    names = list(path)
    while names and not field_at(".".join(names)):
        names.pop()
    key = ".".join(names)
    field = field_at(key)
    wanted = expected(field) if field else "a mapping"
    value: Any = values
    in_list = False
    for part in path:
        in_list = isinstance(value, list)
        value = value[int(part)] if in_list else _named(value, part)
    inside = path[len(names) :]
    where = key
    if inside:
        where = f"item {int(inside[-1]) + 1} of {key}" if in_list else ".".join(path)
    text = (
        f"{where} is {kind(value)}; expected {wanted}"
        if not inside
        else (f"{where} is {kind(value)}; {key} is expected to be {wanted}")
    )
    if inside and in_list and isinstance(value, int | float):
        text += f' (write "{value}" in quotes)'
    advice = hint(field, value) if field and not inside else ""
    text += f" ({advice})" if advice else ""
    line = next((found for n in range(len(path), 0, -1) if (found := lines(path[:n]))), None)
    return Problem("error", key, line, text)


def _named(values: Mapping[Any, Any], name: str) -> Any:
    """What stands under a name, which may be a number to YAML (``3: …``)."""
    return next(value for key, value in values.items() if str(key) == name)


def kind(value: Any) -> str:
    """What a value is, as an admin would call it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return f"the number {value}"
    if isinstance(value, str):
        return f'the text "{value}"' if value else "an empty text"
    if isinstance(value, Mapping):
        return "a mapping"
    return "a list" if isinstance(value, list) else "nothing" if value is None else "a date or something else"
