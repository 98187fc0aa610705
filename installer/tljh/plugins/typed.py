"""``tljh.Plugin``: a plugin as a class whose fields are its settings.

Importing this module imports pydantic, which is slow: only what deals with a typed plugin imports it.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from types import ModuleType
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, PrivateAttr, SecretBytes, SecretStr, ValidationError
from pydantic.fields import FieldInfo

from tljh.errors import TljhError
from tljh.plugins.own_settings import OwnSettings, others
from tljh.settings.validation import kind

_SECRET = re.compile(r"password|passwd|secret|token|api_?key|private_?key", re.IGNORECASE)
_HIDDEN = "***"

# pydantic's words for what is expected, as an admin would say it
_EXPECTED = {
    "int": "a whole number",
    "float": "a number",
    "decimal": "a number",
    "bool": "true or false",
    "string": "text",
    "list": "a list",
    "tuple": "a list",
    "set": "a list",
    "dict": "a mapping",
    "model": "a mapping",
    "path": "a path",
}


class Plugin(BaseModel):
    """A plugin with settings: its fields are what an admin may write under ``plugins.NAME`` in config.yaml.

    Methods that are marked with ``@hookimpl`` are its hooks; ``self`` has the settings. Without a ``name`` it is
    called as its entry point or its file.

    Attributes:
        name: What messages call it where it is registered directly, in a test.
    """

    model_config = ConfigDict(
        extra="forbid", arbitrary_types_allowed=True, hide_input_in_errors=True, protected_namespaces=()
    )

    name: ClassVar[str]
    _manager: Any = PrivateAttr(default=None)

    @property
    def hooks(self) -> Any:
        """All hooks of all plugins, to be called: ``self.hooks.gallery_images(course="maps")``."""
        if self._manager is None:
            raise RuntimeError(f"{type(self).__name__} is not registered with a plugin manager")
        return self._manager.hook

    # two plugins of one class and with the same settings are two
    __eq__ = object.__eq__
    __hash__ = object.__hash__


class WrongSettings(TljhError):
    """Settings of a plugin that it can't have; a sentence for each."""

    def __init__(self, sentences: Sequence[str]) -> None:
        super().__init__("; ".join(sentences))
        self.sentences = tuple(sentences)


def name_of(plugin: object) -> str | None:
    """The name that a typed plugin gives itself, as a class or as an object."""
    declared = plugin if inspect.isclass(plugin) else type(plugin)
    if not issubclass(declared, Plugin):
        return None
    field = declared.model_fields.get("name")
    found = field.default if field else getattr(declared, "name", None)
    return found if isinstance(found, str) and found else None


def made(cls: type, settings: Any, name: str) -> object:
    """An object of a class; a typed one gets its settings.

    Raises:
        WrongSettings: a typed plugin can't have these settings.
    """
    return instance(cls, settings, name, OwnSettings.of_text("", "")) if issubclass(cls, Plugin) else cls()


def class_in(module: ModuleType) -> list[type[Plugin]]:
    """The typed plugins that a module defines (not those that it imports)."""
    return [
        found
        for found in vars(module).values()
        if inspect.isclass(found) and issubclass(found, Plugin) and found.__module__ == module.__name__
    ]


def instance(cls: type[Plugin], settings: Any, name: str, given: OwnSettings) -> Plugin:
    """A typed plugin with its settings.

    Args:
        settings: What stands under ``plugins.NAME``.
        given: Where that stands, for the messages.

    Raises:
        WrongSettings: a sentence for each wrong key: file and line, what it is and what is expected.
    """
    above = ("plugins", name)
    if not isinstance(settings, Mapping):
        said = f"{'.'.join(above)} is {kind(settings)}; expected a mapping"
        raise WrongSettings([_placed(given, above, said)])
    try:
        return cls(**{str(key): value for key, value in settings.items()})
    except ValidationError as error:
        faults = list(_faults(cls, settings, ".".join(above), error))
        rank = {str(key): number for number, key in enumerate(settings)}
        faults.sort(key=lambda fault: rank.get(fault[0][0], len(rank)) if fault[0] else -1)
        sentences = [_placed(given, (*above, *path), said) for path, said in faults]
        raise WrongSettings(list(dict.fromkeys(sentences))) from None


def schema_of(plugin: Plugin) -> dict[str, Any]:
    """The JSON schema of a plugin's settings; its own name is none."""
    try:
        schema = type(plugin).model_json_schema()
    except Exception:  # a field whose type has no schema: what can be said of each is said
        described = {name: {"description": field.description or ""} for name, field in _fields(plugin)}
        return {"type": "object", "properties": described}
    schema.get("properties", {}).pop("name", None)
    return schema


def values_of(plugin: Plugin) -> dict[str, Any]:
    """A plugin's settings as they are, secrets hidden; what JSON can't hold is a text."""
    values = {name: _shown(name, getattr(plugin, name)) for name, _ in _fields(plugin)}
    found: dict[str, Any] = json.loads(json.dumps(values, default=str))
    return found


def is_secret(name: str, value: object = None) -> bool:
    """Whether a setting must not be shown, by its name or its type."""
    return isinstance(value, (SecretStr, SecretBytes)) or _SECRET.search(name) is not None


def _fields(plugin: Plugin) -> list[tuple[str, FieldInfo]]:
    return [(name, field) for name, field in type(plugin).model_fields.items() if name != "name"]


def _shown(name: str, value: Any) -> Any:
    if is_secret(name, value):
        return _HIDDEN if value else value
    if isinstance(value, BaseModel):
        return {key: _shown(key, getattr(value, key)) for key in type(value).model_fields}
    if isinstance(value, Mapping):
        return {str(key): _shown(str(key), item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_shown(name, item) for item in value]
    return sorted(map(str, value)) if isinstance(value, (set, frozenset)) else value


def _placed(given: OwnSettings, path: Sequence[str], said: str) -> str:
    where = given.where(path)
    return f"{where}: {said}" if where else said


def _faults(
    cls: type[Plugin], settings: Mapping[str, Any], above: str, error: ValidationError
) -> Iterator[tuple[tuple[str, ...], str]]:
    """Each wrong key with its path below ``plugins.NAME``, and what is wrong with it."""
    for fault in error.errors():
        path = tuple(_in_file(settings, fault["loc"]))
        if fault["type"] in ("missing", "extra_forbidden"):
            path = tuple(str(part) for part in fault["loc"])
        key = ".".join((above, *path))
        field = cls.model_fields.get(path[0]) if path else None
        about = f" ({field.description})" if field and field.description else ""
        if fault["type"] == "extra_forbidden":
            known = [name for name, _ in cls.model_fields.items() if name != "name"] if len(path) == 1 else []
            yield path, f"there is no setting {key}{others(path[-1], known, above)}"
        elif fault["type"] == "missing":
            yield path, f"{key} is missing, and has no default{about}"
        else:
            value = _value(settings, path)
            secret = any(is_secret(part, value) for part in path) or "Secret" in str(field and field.annotation)
            found = "not what it can be" if secret else kind(value)
            yield path, f"{key} is {found}; {_wanted(fault)}{about}"


def _wanted(fault: Mapping[str, Any]) -> str:
    """What pydantic expects, in our words where we have some."""
    what = str(fault["type"]).partition("_")[0]
    if fault["type"] in ("literal_error", "enum"):
        return f"expected {fault['ctx']['expected']}"
    if re.search(r"_(type|parsing|from_float|invalid)$", fault["type"]) and what in _EXPECTED:
        return f"expected {_EXPECTED[what]}"
    message = str(fault["msg"]).removeprefix("Value error, ").removeprefix("Assertion failed, ")
    if message.startswith("Input should be "):
        return f"expected something that is {message.removeprefix('Input should be ')}"
    return message[:1].lower() + message[1:] if message[1:2].islower() else message


def _in_file(settings: Any, location: Sequence[int | str]) -> Iterator[str]:
    """The part of pydantic's location that is in the file: it adds names of a union's members."""
    for part in location:
        in_mapping = isinstance(settings, Mapping) and part in settings
        in_list = isinstance(settings, list) and isinstance(part, int) and part < len(settings)
        if not in_mapping and not in_list:
            return
        settings = settings[part]
        yield str(part)


def _value(settings: Any, path: Sequence[str]) -> Any:
    for part in path:
        settings = settings[int(part)] if isinstance(settings, list) else settings[part]
    return settings
