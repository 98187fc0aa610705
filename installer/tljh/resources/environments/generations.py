"""What two generations differ in: plugins, packages, and what else of the machine was changed between them.

Nothing here reads the machine: generations have it all, and the journal what was done between them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tljh.resources.locks.lock import CONDA, Lock

Record = Mapping[str, Any]
_TOLD_ELSEWHERE = ("environment:", "service:", "hook:", "stage:", "config.yaml", "lock", "passwords")
"""Resources of which the diff says more elsewhere, or that leave nothing to be compared."""


@dataclass(frozen=True)
class Difference:
    """One thing that is not in both, or not the same in both; ``None`` is "not there"."""

    name: str
    before: str | None
    after: str | None

    def as_dict(self) -> dict[str, str | None]:
        """As ``--json`` prints it."""
        return {"name": self.name, "before": self.before, "after": self.after}


def compared(before: Mapping[str, str], after: Mapping[str, str]) -> list[Difference]:
    """What differs of two mappings, by name."""
    names = sorted({**before, **after})
    rows = (Difference(name, before.get(name), after.get(name)) for name in names)
    return [row for row in rows if row.before != row.after]


def plugins(record: Record) -> dict[str, str]:
    """Name → version, and whether it is switched off."""
    reports = record.get("reports", {})
    off = {name for name, report in reports.items() if report.get("state") == "disabled"}
    return {name: f"{v} (switched off)" if name in off else v for name, v in record.get("plugins", {}).items()}


def pins(record: Record) -> dict[str, dict[str, str]]:
    """Environment → package → what of it, as ``Lock.pins`` has it."""
    locks = {name: Lock.of_record(lock) for name, lock in record.get("locks", {}).items()}
    return {name: dict(lock.pins) for name, lock in locks.items() if lock}


def packages(record: Record) -> dict[str, dict[str, str]]:
    """Environment → package → version."""
    return {
        name: {package.removeprefix(CONDA): _short(pin) for package, pin in sorted(mine.items())}
        for name, mine in pins(record).items()
    }


def _short(pin: str) -> str:
    """A version of PyPI's or of conda's; of what came from elsewhere the last part of its address."""
    if pin.startswith("@ "):
        return pin.removeprefix("@ ").rstrip("/").rpartition("/")[2].partition("#")[0]
    return pin.removeprefix("==").partition("=")[0]


def environments(before: Record, after: Record) -> dict[str, list[Difference]]:
    """What differs in each environment that is in either, in the order in which they were recorded."""
    old, new = pins(before), pins(after)
    rows = {name: compared(old.get(name, {}), new.get(name, {})) for name in {**old, **new}}
    return {name: [_in_short(row) for row in found] for name, found in rows.items() if found}


def _in_short(row: Difference) -> Difference:
    before, after = (None if pin is None else _short(pin) for pin in (row.before, row.after))
    other = " (another build)" if before == after else ""
    return Difference(row.name.removeprefix(CONDA), before, f"{after}{other}" if after else None)


def things(journal: Iterable[Mapping[str, Any]]) -> dict[str, list[Difference]]:
    """What these entries of the journal came to: resource → keys that are not what they were before the first.

    Args:
        journal: Oldest first.
    """
    first: dict[tuple[str, str], str | None] = {}
    last: dict[tuple[str, str], str | None] = {}
    for row in journal:
        name = (row["resource"], row["key"])
        if row["result"] == "done" and not row["resource"].startswith(_TOLD_ELSEWHERE):
            first.setdefault(name, row["before"])
            last[name] = row["after"]
    found: dict[str, list[Difference]] = {}
    for (resource, key), before in first.items():
        after = last[resource, key]
        if before != after:
            found.setdefault(resource, []).append(Difference(key, before, after))
    return found


def turned(found: Mapping[str, Sequence[Difference]]) -> dict[str, list[Difference]]:
    """The same, looked at from the other end."""
    return {key: [Difference(row.name, row.after, row.before) for row in rows] for key, rows in found.items()}
