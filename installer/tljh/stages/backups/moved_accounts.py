"""The accounts of a hub's people: as a backup has them, and made again with the same numbers and passwords."""

from __future__ import annotations

import grp
import os
import pwd
import re
import stat
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from tljh.engine import passwd
from tljh.engine.machine import Machine
from tljh.errors import TljhError
from tljh.hub.accounts import ADMINS, USERS
from tljh.user import GROUPS as MADE_GROUPS

FIRST, LAST = 1000, 60000
"""Numbers of people's accounts (login.defs, UID_MIN and UID_MAX); others are the system's own."""
LOCKED = re.compile(r"[!*]*")
_NAME = re.compile(r"[^-:,/\s\0+~][^:,/\s\0]{0,31}")
_TEXT = re.compile(r"[^:\n\0]*")


@dataclass(frozen=True)
class Person:
    """An account as ``/etc/passwd``, ``/etc/shadow`` and ``/etc/group`` have it.

    Attributes:
        group: The name of its own group, whose number is ``gid``.
        hashed: Of its password; ``!`` of one that can't log in with any.
        groups: The others that it is in.
    """

    name: str
    uid: int
    gid: int
    group: str
    home: str
    shell: str
    words: str = ""
    hashed: str = field(default="!", repr=False)
    groups: tuple[str, ...] = ()


@dataclass(frozen=True)
class People:
    """Accounts, and the numbers of the groups that they are in."""

    accounts: tuple[Person, ...]
    numbers: Mapping[str, int]

    def as_json(self) -> dict[str, Any]:
        """As a backup has it."""
        return {"accounts": [asdict(person) for person in self.accounts], "groups": dict(self.numbers)}

    @classmethod
    def of_json(cls, said: Any) -> People:
        """Read what a backup has.

        Raises:
            TljhError: it can't be used: what is in there would not make an ordinary account.
        """
        try:
            rows = tuple(
                Person(**{**row, "groups": tuple(str(name) for name in row["groups"])}) for row in said["accounts"]
            )
            numbers = {str(name): int(number) for name, number in said["groups"].items()}
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise TljhError(f"the backup's accounts cannot be read: {error}") from error
        for row in rows:
            _check(row)
        for name, number in numbers.items():
            if not _NAME.fullmatch(name) or number < 1:
                raise TljhError(f"the backup has a group that is none: {name!r}, {number}")
        return cls(rows, numbers)


def _check(row: Person) -> None:
    numbers = isinstance(row.uid, int) and isinstance(row.gid, int)
    texts = all(
        isinstance(text, str) and _TEXT.fullmatch(text) for text in (row.home, row.shell, row.words, row.hashed)
    )
    names = all(isinstance(name, str) and _NAME.fullmatch(name) for name in (row.name, row.group, *row.groups))
    if not (numbers and texts and names):
        raise TljhError(f"the backup has an account that is none: {row.name!r}")
    if not (FIRST <= row.uid <= LAST and FIRST <= row.gid <= LAST):
        raise TljhError(f"the backup's account {row.name} has number {row.uid}:{row.gid}, which is no person's")
    home = Path(row.home)
    if not home.is_absolute() or ".." in home.parts or len(home.parts) < 3:
        raise TljhError(f"the backup's account {row.name} has no home of its own: {row.home!r}")


# ---- as they are here


def here(names: Iterable[str]) -> People:
    """The people's accounts of these names, and everybody's who is in the hub's groups."""
    every = {*names, *_members(USERS), *_members(ADMINS)}
    rows = [_person(found) for name in sorted(every) if (found := passwd.account(name)) and _is_person(found)]
    numbers = {name: group.gr_gid for row in rows for name in row.groups if (group := passwd.group(name))}
    return People(tuple(rows), numbers)


def _is_person(found: pwd.struct_passwd) -> bool:
    return FIRST <= found.pw_uid <= LAST and FIRST <= found.pw_gid <= LAST


def _person(found: pwd.struct_passwd) -> Person:
    groups = tuple(sorted(g.gr_name for g in grp.getgrall() if found.pw_name in g.gr_mem))
    own = _holder(grp.getgrgid, found.pw_gid) or found.pw_name
    return Person(
        *(found.pw_name, found.pw_uid, found.pw_gid, own, found.pw_dir, found.pw_shell, found.pw_gecos),
        hashed=_hashes().get(found.pw_name, "!"),
        groups=groups,
    )


def _hashes(path: Path = Path("/etc/shadow")) -> dict[str, str]:
    rows = (line.split(":") for line in path.read_text(errors="replace").splitlines())
    return {row[0]: row[1] for row in rows if len(row) > 1}


def _members(group: str) -> list[str]:
    found = passwd.group(group)
    return list(found.gr_mem) if found else []


# ---- made again


def conflicts(people: People) -> list[str]:
    """Why accounts of a backup can't be made here with their numbers, a sentence for each."""
    found = []
    for row in people.accounts:
        there, holder = passwd.account(row.name), _holder(pwd.getpwuid, row.uid)
        if there and there.pw_uid != row.uid:
            found.append(f"{row.name} has uid {row.uid} in the backup and {there.pw_uid} on this machine")
        elif not there and holder:
            found.append(f"{row.name} has uid {row.uid}, which is {holder}'s on this machine")
        group, holder = passwd.group(row.group), _holder(grp.getgrgid, row.gid)
        if group and group.gr_gid != row.gid:
            found.append(f"the group {row.group} has gid {row.gid} in the backup and {group.gr_gid} here")
        elif not group and holder:
            found.append(f"the group {row.group} has gid {row.gid}, which is {holder}'s on this machine")
    return found


def _holder(ask: Callable[[int], Any], number: int) -> str:
    try:
        return str(ask(number)[0])
    except KeyError:
        return ""


def renumbered(people: People) -> People:
    """The same people with numbers that are free here; who is here already keeps the numbers that he has here."""
    taken = {row.uid for row in people.accounts} | {row.gid for row in people.accounts}
    taken |= {row.pw_uid for row in pwd.getpwall()} | {row.gr_gid for row in grp.getgrall()}
    taken |= set(people.numbers.values())
    free = (number for number in range(FIRST, LAST) if number not in taken)
    rows = []
    for row in people.accounts:
        there, group = passwd.account(row.name), passwd.group(row.group)
        uid, gid = row.uid, row.gid
        if there:
            uid, gid = there.pw_uid, there.pw_gid
        else:
            if group:
                gid = group.gr_gid
            elif _holder(grp.getgrgid, gid):
                gid = next(free)
            uid = (gid if gid not in taken else next(free)) if _holder(pwd.getpwuid, uid) else uid
        rows.append(replace(row, uid=uid, gid=gid))
    return replace(people, accounts=tuple(rows))


def home_faults(people: People, homes: Collection[str]) -> list[str]:
    """Why homes of these accounts can't be put in their places, a sentence for each."""
    found = []
    for row in people.accounts:
        if row.name not in homes:
            continue
        home = Path(row.home)
        above = next(folder for folder in home.parents if folder.exists())
        status = above.stat()
        if os.path.ismount(home):
            found.append(f"{home} is a file system of its own")
        elif status.st_uid != 0 or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH) or above.is_symlink():
            found.append(f"{above}, where {home} is to be, can be written to by others than root")
    return found


def make(people: People, machine: Machine, own: Callable[[str, str], None]) -> list[str]:
    """Make the accounts that are not there, with their passwords, and put all into their groups.

    Args:
        own: Called with what the store calls groups of this kind, and the name of one, before it is made.

    Returns:
        The names of those that were made.
    """
    made = []
    # first those whose numbers matter: groupadd chooses the others' among what is left
    for row in people.accounts:
        if passwd.group(row.group) is None:
            machine.run(["groupadd", "--gid", str(row.gid), "--", row.group])
    names = dict.fromkeys([USERS, ADMINS, *(name for row in people.accounts for name in row.groups)])
    for name in sorted(names, key=lambda name: name not in people.numbers):
        if passwd.group(name) is None:
            _make_group(name, people.numbers.get(name), machine, own)
    for row in people.accounts:
        if passwd.account(row.name) is None:
            machine.run(["useradd", "--no-create-home", *_as_flags(row), "--", row.name])
            made.append(row.name)
        for name in row.groups:
            found = passwd.group(name)
            if found and row.name not in found.gr_mem:
                machine.run(["gpasswd", "--add", row.name, name])
    _set_passwords(people.accounts, machine)
    return made


def _as_flags(row: Person) -> list[str]:
    shell = row.shell if Path(row.shell).exists() else "/bin/bash"
    numbers = ["--uid", str(row.uid), "--gid", str(row.gid)]
    return [*numbers, "--home-dir", row.home, "--shell", shell, "--comment", row.words]


def _make_group(name: str, number: int | None, machine: Machine, own: Callable[[str, str], None]) -> None:
    own("groups" if name in (USERS, ADMINS) else MADE_GROUPS, name)
    # the numbers of the system's own groups are dealt out by each machine; nothing in a home should have them
    fits = number is not None and number >= FIRST and not _holder(grp.getgrgid, number)
    machine.run(["groupadd", *(["--gid", str(number)] if fits else []), "--", name])


def _set_passwords(rows: Sequence[Person], machine: Machine) -> None:
    lines = [f"{row.name}:{row.hashed}\n" for row in rows if not LOCKED.fullmatch(row.hashed)]
    if lines:
        machine.run(["chpasswd", "--encrypted"], input="".join(lines))
