"""A config.yaml that was written for TLJH, where ours is stricter: what it says is kept as far as possible.

TLJH checks what ``tljh-config set`` writes, and nothing of what an editor writes; a number in quotes worked.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from tljh.errors import TljhError
from tljh.plugins.merge import Setting
from tljh.plugins.values import ABSENT
from tljh.resources.predecessor import Predecessor
from tljh.settings.document import Document

TAKEOVER = "takeover"
"""The origin of what a takeover sets."""
ALLOW = ("auth", "Authenticator", "allow_existing_users")
_FIRST_USE = ("firstuse", "firstuseauthenticator.FirstUseAuthenticator", "")
_WORDS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}


def mended(text: str, name: str) -> tuple[list[Setting], list[str]]:
    """What must be written otherwise so that we can use it.

    Args:
        text: Of config.yaml.
        name: Its path, for sentences.

    Returns:
        The settings, and a sentence on each.
    """
    from tljh.settings.validation import kind, validate

    try:
        document = Document(text, name)
    except TljhError:
        return [], []  # TLJH could not have read it either; it is told where it is read
    settings: list[Setting] = []
    said: list[str] = []
    for problem in (problem for problem in validate(document) if problem.severity == "error"):
        path = tuple(problem.key.split("."))
        value = document.get(path)
        better = next((item for item in _readings(value) if _fits(document, problem.key, item)), ABSENT)
        settings.append(Setting(path, better, TAKEOVER))
        what = f"taken for {kind(better)}" if better is not ABSENT else "left out"
        said.append(f"{problem.at(name)}; {what}")
    return settings, said


def inherit(document: Document, settings: Sequence[Setting]) -> None:
    """Write it so."""
    for path, value, _ in settings:
        if value is not ABSENT:
            document.set(path, value)
        elif document.get(path, ABSENT) is not ABSENT:
            document.unset(path)


def _readings(value: Any) -> Iterator[Any]:
    """What a value may have been meant to be, the nearest first."""
    if isinstance(value, str):
        yield from (number for kind in (int, float) if (number := _number(value, kind)) is not None)
        if value.lower() in _WORDS:
            yield _WORDS[value.lower()]
        yield [word.strip() for word in value.split(",")] if "," in value else [value]
    elif isinstance(value, bool):
        yield str(value).lower()
    elif isinstance(value, int | float):
        yield int(value)
        yield str(value)
        yield [str(value)]
    elif isinstance(value, list):
        yield [str(item) for item in value if item is not None]


def _number(text: str, kind: type[int] | type[float]) -> int | float | None:
    try:
        return kind(text)
    except ValueError:
        return None


def _fits(document: Document, key: str, value: Any) -> bool:
    from tljh.settings.validation import validate

    tried = Document(document.dumps())
    tried.set(key, value)
    return not any(problem.key == key and problem.severity == "error" for problem in validate(tried))


def keep_who_may_come(before: Predecessor, document: Document) -> tuple[list[Setting], list[str]]:
    """JupyterHub 4 let in everybody whom the authenticator knew; since 5 nobody comes in unless told.

    Those who were in already go on coming in; strangers are the admin's decision.
    """
    version = before.versions.get("jupyterhub", "")
    auth = document.get("auth") or {}
    listed = document.get("users.allowed")
    if not version or int(version.split(".")[0]) >= 5 or listed or str(auth.get("type", "")) in _FIRST_USE:
        return [], []
    told = [trait for traits in auth.values() if isinstance(traits, dict) for trait in traits]
    if any(trait.startswith("allow") for trait in told):
        return [], []
    sentence = (
        f"JupyterHub {version} let in everybody whom {auth['type']} knows, newer ones let in nobody unless told; "
        "those who have been here already may come (auth.Authenticator.allow_existing_users). To let in all as "
        "before: tljh-config set auth.Authenticator.allow_all true"
    )
    return [Setting(ALLOW, True, TAKEOVER)], [sentence]
