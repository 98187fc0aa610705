"""One change to a config.yaml: under its lock, checked, and written only when it may be.

What ``tljh-config``'s verbs and ``tljh.config``'s functions share.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tljh.settings.document import Document, edit, parts

if TYPE_CHECKING:
    from tljh.settings.validation import Problem

Change = Callable[[Document], None]


def change(
    path: Path,
    how: Change,
    *,
    validate: bool = True,
    more: Callable[[Mapping[str, Any]], list[Problem]] | None = None,
    command: str = "",
) -> list[str]:
    """Change the file, unless that would make it wrong.

    Errors that were there before are no reason to refuse, else the first of two could not be mended: they are
    told in the warnings.

    Args:
        path: The config.yaml.
        how: What to do to the document.
        validate: Check the result; without, anything is written.
        more: Finds what else would be wrong; it is asked where the change concerns more than the core's keys.
        command: As the admin typed it, for the journal, without secrets.

    Returns:
        Warnings, each one sentence.

    Raises:
        TljhError: the change can't be made, or it brings in a wrong type or a key that doesn't exist.
    """
    from tljh.settings.journal import ConfigNote

    note = ConfigNote(path, command or f"tljh.config in {Path(sys.argv[0]).name or 'python'}")
    try:
        with edit(path) as document:
            before, text = document.as_dict(), document.dumps()
            warnings = _change(document, path, how, validate, more)
            note.begin(before, document.as_dict(), text)
    except BaseException as error:
        note.end(f"failed: {error}")
        raise
    note.end()
    return [*warnings, *note.warnings]


def _change(
    document: Document,
    path: Path,
    how: Change,
    validate: bool,
    more: Callable[[Mapping[str, Any]], list[Problem]] | None,
) -> list[str]:
    """Change the document, and see whether it may be so; returns warnings."""
    if not validate:
        how(document)
        return []

    from tljh.settings.validation import raise_errors, refused
    from tljh.settings.validation import validate as problems_of

    before = {problem.text for problem in problems_of(document)}
    how(document)
    # the lines of what is not yet in the file would mislead
    problems = problems_of(document.as_dict())
    new = [problem for problem in problems if problem.text not in before]
    new += more(document.as_dict()) if more else []
    raise_errors(refused(new), path.name)
    old = [item for item in problems_of(document) if item.text in before and item.severity == "error"]
    return [problem.at(path.name) for problem in [*new, *old]]


def add_items(path: Path, key: str, values: Sequence[str]) -> list[str]:
    """Add each of ``values`` to the list at ``key`` that it doesn't hold yet; others stay.

    Returns:
        The values that were added.

    Raises:
        TljhError: the file can't be read or written, or there is something else than a list.
    """
    added = []
    with edit(path) as document:
        for value in values:
            there = document.get(key)
            if not (isinstance(there, list) and value in there):
                document.add_item(key, value)
                added.append(value)
    return added


def parse_value(word: str | None) -> Any:
    """What a word means, as TLJH's command reads it: ``none``, 12, 1.5, ``true``, ``false``, or text."""
    if word is None or word.lower() == "none":
        return None
    if re.fullmatch(r"\d+", word):
        return int(word)
    if re.fullmatch(r"\d+\.\d*", word):
        return float(word)
    return {"true": True, "false": False}.get(word.lower(), word)


def value_for(key: str, word: str) -> Any:
    """What a word means at ``key``: where the schema wants text, a user named 1234 stays text."""
    from tljh.settings.schema import field_at

    names = parts(key)
    field = field_at(key)
    kind = field.annotation if field else None
    # groups are lists of user names, whatever the group is called
    if kind == list[str] or names[:-1] == ("users", "extra_user_groups"):
        return word
    value = parse_value(word)
    return word if kind is str and value is not None else value


def reload_command(key: str) -> str:
    """What an admin types for ``key`` to take effect."""
    section, *rest = parts(key)
    if section == "environments" or (section == "user_environment" and rest[:1] != ["default_app"]):
        return "sudo tljh install"
    if section == "traefik_api":  # both ends of a connection
        return "tljh-config reload proxy; tljh-config reload"
    return "tljh-config reload proxy" if section in ("http", "https") else "tljh-config reload"
