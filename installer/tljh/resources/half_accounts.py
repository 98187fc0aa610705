"""Accounts and groups that useradd or groupadd was making when it was killed.

They write ``passwd``, ``shadow``, ``group`` and ``gshadow`` one after the other, each in one step. A kill in
between leaves a name that is there for everybody who looks, but without a group or a line for its password. It is
removed, so that it is made anew.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tljh.engine.machine import Machine


def remove_half_accounts(machine: Machine, accounts: Iterable[str], groups: Iterable[str]) -> list[str]:
    """Remove those of these that are only half there; returns their names.

    Args:
        accounts: Names of accounts that were being made.
        groups: The same of groups.
    """
    accounts = list(accounts)
    passwd, group = _rows(machine, "passwd"), _rows(machine, "group")
    shadow, gshadow = _rows(machine, "shadow"), _rows(machine, "gshadow")
    numbers = {row[2] for row in group.values() if len(row) > 2}
    half_groups = group.keys() - gshadow.keys() if gshadow else set()
    found = []
    for name in accounts:
        row = passwd.get(name, [])
        if len(row) > 3 and (name not in shadow or row[3] not in numbers or name in half_groups):
            machine.run(["userdel", name], check=False)
            found.append(name)
    # an account's own group may be made before it
    for name in [*groups, *(name for name in accounts if name not in passwd)]:
        if name in half_groups and name not in found:
            machine.run(["groupdel", name], check=False)
            found.append(name)
    return found


def _rows(machine: Machine, name: str) -> dict[str, list[str]]:
    text = (machine.read(Path("/etc") / name) or b"").decode(errors="replace")
    return {line.partition(":")[0]: line.split(":") for line in text.splitlines()}
