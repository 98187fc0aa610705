"""Whether what is about to be written below ``plugins.NAME`` is what that plugin can have, without loading it.

The last install recorded each typed plugin's JSON schema. What only the plugin's own code can tell (validators) is
found by the next plan or install.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tljh.engine.store import Store
from tljh.plugins.known import newest_reports
from tljh.plugins.own_settings import others
from tljh.settings.validation import Problem, kind

# JSON schema's types, as an admin would say them
_TYPES = {
    "integer": "a whole number",
    "number": "a number",
    "string": "text",
    "boolean": "true or false",
    "array": "a list",
    "object": "a mapping",
    "null": "none",
}


def problems(settings: Mapping[str, Any], store: Path) -> list[Problem]:
    """What is wrong below ``plugins`` of a config.yaml, as far as schemas tell.

    Args:
        store: The installer's database; where there is none, nothing is known.
    """
    plugins = settings.get("plugins")
    if not isinstance(plugins, Mapping) or not store.exists():
        return []
    with Store(store, read_only=True) as opened:
        schemas = {report.name: report.settings for report in newest_reports(opened) if report.settings}
    found = [(name, values) for name, values in plugins.items() if name in schemas]
    return [problem for name, values in found for problem in _of_plugin(name, schemas[name], values)]


def _of_plugin(name: str, schema: Mapping[str, Any], values: Any) -> Iterator[Problem]:
    from jsonschema import Draft202012Validator

    for fault in sorted(Draft202012Validator(schema).iter_errors(values), key=lambda fault: list(fault.path)):
        key = ".".join(("plugins", name, *map(str, fault.path)))
        yield Problem("error", key, None, _sentence(key, fault))


def _sentence(key: str, fault: Any) -> str:
    about = fault.schema.get("description") if isinstance(fault.schema, Mapping) else None
    meant = f" ({about})" if about and fault.path else ""
    if fault.validator == "additionalProperties":
        known = list(fault.schema.get("properties", ()))
        surplus = next(name for name in fault.instance if name not in known)
        return f"there is no setting {key}.{surplus}{others(surplus, known, key)}"
    if fault.validator == "required":
        missing = next(name for name in fault.validator_value if name not in fault.instance)
        return f"{key}.{missing} is missing, and has no default"
    if fault.validator in ("type", "anyOf"):
        return f"{key} is {kind(fault.instance)}; expected {_wanted(fault)}{meant}"
    return f"{key} is {kind(fault.instance)}; {fault.message}{meant}"


def _wanted(fault: Any) -> str:
    rows = fault.validator_value if fault.validator == "anyOf" else [{"type": fault.validator_value}]
    types = [kind for row in rows for kind in _listed(row.get("type", ()))]
    return " or ".join(_TYPES.get(kind, kind) for kind in types) or "something else"


def _listed(types: str | Sequence[str]) -> Sequence[str]:
    return [types] if isinstance(types, str) else types
