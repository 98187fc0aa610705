"""What is recorded of each plugin with a generation, so that it can be told, switched off and removed unloaded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from tljh.plugins.contributions import PluginReport

_KNOWN = {field.name for field in fields(PluginReport)}
# what each kind of value is while it lives here: JSON has lists only
_TUPLES = ("hooks", "problems", "warnings", "wrappers", "resources", "stages", "commands", "checks")


def as_record(report: PluginReport) -> dict[str, Any]:
    """A report as JSON holds it; what is at its default is left out."""
    empty = PluginReport("", "", "")
    kept = ("name", "distribution", "version")
    values = {name: getattr(report, name) for name in _KNOWN}
    return {
        name: _plain(value)
        for name, value in sorted(values.items())
        if name in kept or value != getattr(empty, name)
    }


def from_record(record: Mapping[str, Any]) -> PluginReport:
    """The inverse of ``as_record``. Keys of a newer release are ignored; missing ones have their defaults."""
    values: dict[str, Any] = {"name": "", "distribution": "", "version": ""}
    values |= {name: value for name, value in record.items() if name in _KNOWN}
    for name in _TUPLES:
        if name in values:
            values[name] = tuple(values[name])
    if "contributions" in values:
        values["contributions"] = {hook: tuple(row) for hook, row in values["contributions"].items()}
    return PluginReport(**values)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (tuple, list)) else value
