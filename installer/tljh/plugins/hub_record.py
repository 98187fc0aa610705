"""What the hub keeps of its plugins from start to start: ``state/plugin-traits.json``."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tljh.engine.machine import Machine

log = logging.getLogger("tljh.plugins")

NAME = "plugin-traits.json"


@dataclass(frozen=True)
class GoodRun:
    """What a plugin set when it last ran well."""

    version: str
    traits: tuple[str, ...]


@dataclass(frozen=True)
class HubRecord:
    """What came of the plugins at the hub's last start.

    Attributes:
        runs: Each plugin's last good run.
        failed: Plugin → why it failed at the last start, in one sentence.
    """

    runs: Mapping[str, GoodRun] = field(default_factory=dict)
    failed: Mapping[str, str] = field(default_factory=dict)


def read(folder: Path) -> HubRecord:
    """The record in the state folder; an empty one where there is none or it can't be read."""
    path = folder / NAME
    try:
        found: Mapping[str, Any] = json.loads(path.read_text())
        runs = {name: GoodRun(run["version"], tuple(run["traits"])) for name, run in found["plugins"].items()}
        return HubRecord(runs, dict(found.get("failed", {})))
    except FileNotFoundError:
        return HubRecord()
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        why = f"{type(error).__name__}: {error}"
        log.warning("%s can't be read; the hub writes it anew as it starts: %s", path, why)
        return HubRecord()


def write(folder: Path, record: HubRecord, machine: Machine) -> None:
    """Replace the record in the state folder."""
    plugins = {
        name: {"version": run.version, "traits": list(run.traits)} for name, run in sorted(record.runs.items())
    }
    said = {"format": 1, "plugins": plugins, "failed": dict(sorted(record.failed.items()))}
    machine.write_file(folder / NAME, (json.dumps(said, indent=1) + "\n").encode(), mode=0o600)
