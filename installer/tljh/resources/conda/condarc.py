"""conda's own configuration: where ``.condarc`` files are, how they are read, and which of them wins.

Sources: conda's documentation, "Using the .condarc conda configuration file" (search path, merging, variables) and
"Administering a multi-user conda installation" (``#!final``). What the values mean is in ``settings``.

Of conda's rules these are followed: primitive values of later sources win, lists and mappings are merged with the
later source first, a key that is marked ``#!final`` is not changed by later sources, ``CONDA_<KEY>`` comes last,
``$VARIABLES`` in channels, proxies and certificates are expanded. The marks ``#!top`` and ``#!bottom`` of single
items, and mamba's own ``.mambarc``, are not read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tljh.errors import TljhError

# later ones win; a folder means its *.yml and *.yaml. $CONDA_ROOT, a base installation of conda, is none of ours
SEARCH_PATH = (
    *(f"/etc/conda/{name}" for name in (".condarc", "condarc", "condarc.d/")),
    *(f"/var/lib/conda/{name}" for name in (".condarc", "condarc", "condarc.d/")),
    *(f"$XDG_CONFIG_HOME/conda/{name}" for name in (".condarc", "condarc", "condarc.d/")),
    *(f"~/.config/conda/{name}" for name in (".condarc", "condarc", "condarc.d/")),
    *(f"~/.conda/{name}" for name in (".condarc", "condarc", "condarc.d/")),
    "~/.condarc",
    *(f"$CONDA_PREFIX/{name}" for name in (".condarc", "condarc", "condarc.d/")),
    "$CONDARC",
)

# what is read of each file; all else is for conda itself
KINDS = {
    **dict.fromkeys(("channel_alias", "ssl_verify", "client_ssl_cert", "offline"), "value"),
    **dict.fromkeys(("remote_connect_timeout_secs", "remote_read_timeout_secs", "remote_max_retries"), "number"),
    **dict.fromkeys(("channels", "default_channels", "migrated_channel_aliases"), "list"),
    **dict.fromkeys(("allowlist_channels", "denylist_channels"), "list"),
    **dict.fromkeys(("custom_channels", "migrated_custom_channels", "proxy_servers"), "mapping"),
    **dict.fromkeys(("override_virtual_packages",), "mapping"),
    **dict.fromkeys(("custom_multichannels", "mirrored_channels"), "mapping of lists"),
    "channel_settings": "anything",
}
ALIASES = {
    "channel": "channels",
    "verify_ssl": "ssl_verify",
    "client_cert": "client_ssl_cert",
    "whitelist_channels": "allowlist_channels",
    "virtual_packages": "override_virtual_packages",
}


@dataclass(frozen=True)
class Source:
    """What one file, or the variables of the environment, say.

    Attributes:
        place: How messages call it.
        values: Checked values, by conda's main names of the keys.
        final: Keys that no later source changes.
    """

    place: str
    values: Mapping[str, Any]
    final: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Merged:
    """What all sources say together.

    Attributes:
        values: The keys that any source has.
        places: For each, the source that won, or the first of them.
    """

    values: Mapping[str, Any] = field(default_factory=dict)
    places: Mapping[str, str] = field(default_factory=dict)

    def get(self, key: str, default: Any = None) -> Any:
        """The value of a key, or ``default``."""
        return self.values.get(key, default)


def places(environment: Mapping[str, str], home: str, prefix: str) -> Iterator[str]:
    """Where conda looks, in its order; what is not set is left out.

    Args:
        environment: Variables; ``CONDA_PREFIX`` among them is not used.
        home: The home folder.
        prefix: The environment that is meant.
    """
    known = {**environment, "CONDA_PREFIX": prefix}
    for place in SEARCH_PATH:
        name = re.match(r"\$(\w+)", place)
        if name and not known.get(name[1]):
            continue
        path = known[name[1]] + place[name.end() :] if name else place
        yield f"{home}{path[1:]}" if path.startswith("~/") else path


def read_sources(environment: Mapping[str, str], home: str, prefix: str) -> list[Source]:
    """What is set on this machine, in the order of conda.

    Raises:
        TljhError: a file can't be read, is broken or holds a wrong value.
    """
    found = {}
    for place in places(environment, home, prefix):
        path = Path(place)
        files = sorted(path.iterdir()) if place.endswith("/") and path.is_dir() else [path]
        for file in files:
            if file.is_file() and (file == path or file.suffix in (".yml", ".yaml")):
                found[str(file)] = file
    return [
        *(of_text(_text(file), place, environment) for place, file in found.items()),
        of_variables(environment),
    ]


def of_text(text: str, place: str, environment: Mapping[str, str]) -> Source:
    """What the text of a file says.

    Args:
        text: YAML.
        place: Its path, for messages.
        environment: Variables that its values may name.

    Raises:
        TljhError: it is no YAML, no mapping, or a value has a wrong type.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    try:
        loaded = YAML(typ="safe", pure=True).load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{place} line {mark.line + 1}" if mark else place
        what = str(error.problem or error.context).split("\n")[0]
        raise TljhError(f"broken YAML: {what}", whose=where, todo="Correct that line.") from error
    except YAMLError as error:
        raise TljhError(f"broken YAML: {str(error).splitlines()[0]}", whose=place, todo="Correct it.") from error
    if loaded is None:
        return Source(place, {})
    if not isinstance(loaded, Mapping):
        raise TljhError("it holds no keys", whose=place, todo='Write lines like "channels:", "- conda-forge".')
    final = re.findall(r"^([a-z_]+):.*#!final\s*$", text, re.MULTILINE)
    values = {}
    for key, value in loaded.items():
        name = ALIASES.get(str(key), str(key))
        if name in KINDS and value is not None:
            values[name] = _checked(name, value, place, environment)
    return Source(place, values, frozenset(ALIASES.get(key, key) for key in final))


def of_variables(environment: Mapping[str, str]) -> Source:
    """What ``CONDA_<KEY>`` says; lists have commas between their items. conda has no such form of a mapping.

    Raises:
        TljhError: a value has a wrong type.
    """
    values = {}
    for key in (*KINDS, *ALIASES):
        name = ALIASES.get(key, key)
        word = environment.get(f"CONDA_{key.upper()}", "").strip()
        if word and KINDS[name] in ("value", "number", "list"):
            value = [item.strip() for item in word.split(",") if item.strip()] if KINDS[name] == "list" else word
            values[name] = _checked(name, value, f"CONDA_{key.upper()}", environment)
    return Source("the environment", values)


def merged(sources: Iterable[Source]) -> Merged:
    """What the sources say together; later ones win."""
    sources = list(sources)
    values: dict[str, Any] = {}
    origin: dict[str, str] = {}
    for key in KINDS:
        found = []
        for source in sources:
            if key in source.values:
                found.append(source)
                if key in source.final:
                    break
        if found:
            values[key] = _together([source.values[key] for source in reversed(found)])
            origin[key] = found[-1].place
    return Merged(values, origin)


def _together(values: list[Any]) -> Any:
    """Values of one key, the strongest first."""
    if isinstance(values[0], list):
        return list(dict.fromkeys(item for value in values for item in value))
    if isinstance(values[0], Mapping):
        keys = dict.fromkeys(key for value in values for key in value)
        return {key: _together([value[key] for value in values if key in value]) for key in keys}
    return values[0]


def _checked(key: str, value: Any, place: str, environment: Mapping[str, str]) -> Any:
    kind = KINDS[key]
    if kind == "value" and isinstance(value, str | bool | int):
        return _expanded(value, environment)
    if kind == "number" and re.fullmatch(r"\d+(\.\d+)?", str(value)):
        return float(value)
    if kind == "list" and _is_texts(value):
        return [_expanded(item, environment) for item in value]
    if kind == "mapping" and isinstance(value, Mapping):
        return {str(name): _expanded(item, environment) for name, item in value.items() if item is not None}
    if kind == "mapping of lists" and isinstance(value, Mapping) and all(map(_is_texts, value.values())):
        return {str(name): [_expanded(item, environment) for item in items] for name, items in value.items()}
    if kind == "anything":
        return True  # whether it is there is all that is asked
    wanted = {"value": "text", "list": "a list of text", "mapping of lists": "a mapping of names to lists"}
    raise TljhError(f"{key} is expected to be {wanted.get(kind, f'a {kind}')}", whose=place, todo="Correct it.")


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _expanded(value: Any, environment: Mapping[str, str]) -> Any:
    """``$NAME`` and ``${NAME}`` replaced by the variable; what is not set stays as it is, as in conda."""
    if not isinstance(value, str):
        return value
    return re.sub(r"\$(?:\{(\w+)\}|(\w+))", lambda m: environment.get(m[1] or m[2], m[0]), value)


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise TljhError(f"{file} is not text in UTF-8", todo="Save it as UTF-8.") from error
    except OSError as error:
        raise TljhError(f"{file} can't be read: {error.strerror}", todo="Check who may read it.") from error
