"""conda's ``environment.yml``: what an environment is made of, in the format that conda users exchange.

Source of the format: conda's documentation, "Managing environments", and the keys that ``conda env create``
knows: ``name``, ``prefix``, ``channels``, ``dependencies``, ``variables``. Where conda warns and goes on, or
depends on the folder and the shell that it is started in, this is an error: what is built must always be the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from tljh.engine.machine import redact
from tljh.errors import TljhError
from tljh.settings.validation import kind

KEYS = ("name", "prefix", "channels", "dependencies")


@dataclass(frozen=True)
class EnvironmentFile:
    """What an ``environment.yml`` asks for.

    Attributes:
        channels: Names and URLs in the order of their priority. ``defaults`` is one of them where the file names
            it; ``nodefaults`` never is: nothing is added here that it would forbid.
        conda: Specs of conda packages, as the file has them.
        pip: Requirements of Python packages, as the file has them.
    """

    channels: tuple[str, ...] = ()
    conda: tuple[str, ...] = ()
    pip: tuple[str, ...] = ()


def parse(text: str, place: str) -> EnvironmentFile:
    """What the text of an ``environment.yml`` asks for.

    ``name`` and ``prefix`` are ignored: config.yaml says what an environment is called, and the installer where it
    is. A ``pip`` section holds requirements only.

    Args:
        text: The file's text.
        place: Its path or URL, for messages.

    Raises:
        TljhError: it is not YAML, or no ``environment.yml`` that can be used. The message has all that is wrong,
            each with its line and what to do.
    """
    values = _load(text, place)
    faults = list(_faults(values))
    if faults:
        faults.sort(key=lambda row: row[0])
        what = "\n".join(f"{place} line {line}: {redact(fault)}" for line, fault in faults)
        raise TljhError(what, todo="Correct the file; nothing has been changed.")
    conda, pip = [], []
    for item in values.get("dependencies") or ():
        if isinstance(item, Mapping):
            pip += [str(row).strip() for row in item["pip"] or ()]
        else:
            conda.append(str(item).strip())
    channels = [str(item).strip() for item in values.get("channels") or ()]
    return EnvironmentFile(
        tuple(item for item in dict.fromkeys(channels) if item != "nodefaults"), tuple(conda), tuple(pip)
    )


def _load(text: str, place: str) -> Mapping[Any, Any]:
    """The mapping that the text says; it knows the lines of its keys and items (``lc``)."""
    try:
        values = YAML(typ="rt", pure=True).load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{place} line {mark.line + 1}, column {mark.column + 1}" if mark else place
        what = str(error.problem or error.context).split("\n")[0]
        raise TljhError(f"broken YAML: {what}", whose=where, todo="Correct that line.") from error
    except YAMLError as error:
        raise TljhError(f"broken YAML: {str(error).splitlines()[0]}", whose=place, todo="Correct it.") from error
    if not isinstance(values, Mapping):
        what = "it is empty" if values is None else f"it is {kind(values)}, where keys are expected"
        raise TljhError(what, whose=place, todo='Write lines like "dependencies:", "- numpy".')
    return values


def _faults(values: Any) -> Iterator[tuple[int, str]]:
    """All that is wrong: line, counted from 1, and what."""
    for key, value in values.items():
        line = _line_of(values, key)
        if key == "variables":
            yield (
                line,
                "variables are set by conda when an environment is activated, which does not happen here; set "
                "them for all servers with c.Spawner.environment in a file of jupyterhub_config.d",
            )
        elif key not in KEYS:
            yield line, f"there is no key {key}; an environment.yml has {', '.join(KEYS[:-1])} and {KEYS[-1]}"
        elif key in ("name", "prefix"):
            if isinstance(value, Mapping | list):
                yield line, f"{key} is {kind(value)}; expected text"
        elif value is not None and not isinstance(value, list):
            yield line, f'{key} is {kind(value)}; expected a list, one "- " line for each'
        elif key == "channels":
            yield from _wrong_texts(value or [], "channels")
        else:
            yield from _wrong_dependencies(value or [])


def _wrong_dependencies(items: Any) -> Iterator[tuple[int, str]]:
    yield from _wrong_texts(items, "dependencies", but=Mapping)
    for number, item in enumerate(items):
        if isinstance(item, str) and item.strip().startswith("-"):
            yield _line(items, number), f'"{item}" is an option; only packages can be named in dependencies'
        if isinstance(item, Mapping):
            yield from _wrong_section(item, _line(items, number))


def _wrong_section(section: Any, line: int) -> Iterator[tuple[int, str]]:
    """A mapping among the dependencies: only ``pip`` may be one."""
    for key, value in section.items():
        at = _line_of(section, key)
        if key != "pip":
            is_version = isinstance(value, str | int | float)
            advice = f'; write "- {key}={value}"' if is_version else '; only "- pip:" may have a list'
            yield at, f'"{key}:" among the dependencies is a mapping, where a package is expected{advice}'
        elif value is not None and not isinstance(value, list):
            yield at, f'pip is {kind(value)}; expected a list, one "- " line for each'
        else:
            yield from _wrong_texts(value or [], "pip")
            yield from _wrong_requirements(value or [])
    if not section:
        yield line, "an empty mapping among the dependencies, where a package is expected"


def _wrong_requirements(items: Any) -> Iterator[tuple[int, str]]:
    for number, item in enumerate(items):
        word = item.strip().split("=")[0].split()[0] if isinstance(item, str) and item.strip() else ""
        line = _line(items, number)
        if word.startswith("-r") or word.startswith("-c") or word in ("--requirement", "--constraint"):
            yield (
                line,
                f'"{item}": no other files are read from here; write what that file names into the pip section',
            )
        elif word.startswith("-e") or word == "--editable":
            yield (
                line,
                f"\"{item}\": users can't rely on a package that is linked to somebody's folder; name it without "
                f'{word}, as "NAME @ file:///full/path"',
            )
        elif word.startswith("-"):
            yield line, f'"{item}" is an option of pip; set it for the whole machine, in /etc/pip.conf'
        elif word in (".", "..") or word.startswith(("./", "../")):
            yield line, f'"{item}" depends on where this file is; write "NAME @ file:///full/path"'


def _wrong_texts(items: Any, key: str, but: type | None = None) -> Iterator[tuple[int, str]]:
    """The items that are no text, or empty."""
    for number, item in enumerate(items):
        if but and isinstance(item, but):
            continue
        if not isinstance(item, str):
            advice = (
                f' (write "{item}" in quotes)' if type(item) is not bool and isinstance(item, int | float) else ""
            )
            yield _line(items, number), f"item {number + 1} of {key} is {kind(item)}; expected text{advice}"
        elif not item.strip():
            yield _line(items, number), f"item {number + 1} of {key} is empty"


def _line(items: Any, number: int) -> int:
    return int(items.lc.item(number)[0]) + 1


def _line_of(mapping: Any, key: Any) -> int:
    # a key that a merge (<<) brought in has no line of its own
    place = mapping.lc if key not in (mapping.lc.data or {}) else None
    return int(place.line if place else mapping.lc.key(key)[0]) + 1
