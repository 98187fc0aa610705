"""Groups, accounts and memberships that plugins state or that their hooks made."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from tljh.engine.facts import Facts
from tljh.engine.machine import Machine
from tljh.engine.parsers import parse_group_numbers
from tljh.engine.resource import Diff, Resource, State, Undo
from tljh.engine.store import Store

PASSWD_FILE, GROUP_FILE = Path("/etc/passwd"), Path("/etc/group")
NO_HOME = "/nonexistent"
"""The home of a system account that has none, as Debian's adduser calls it."""


@dataclass
class PluginGroup(Resource):
    """A group.

    Attributes:
        store: Knows the number that it once had.
    """

    store: Store = field(repr=False)
    wanted: bool = True

    undo: ClassVar[Undo] = Undo.INVERSE
    gives_up: ClassVar[bool] = True  # an account whose first group it is needs it

    @property
    def name(self) -> str:
        return self.id.partition(":")[2]

    def desired(self) -> State:
        return {"group": "present"} if self.wanted else {}

    def observe(self, facts: Facts) -> State:
        return {"group": "present"} if self.name in facts.groups else {}

    def change(self, diff: Diff, machine: Machine) -> None:
        if not self.wanted:
            machine.run(["groupdel", self.name], check=False)
            return
        number = self.store.number("gid", self.name)
        free = number is not None and Facts(machine).group_number(number) is None
        machine.run(["groupadd", *(["--gid", str(number)] if free else ["--system"]), self.name])
        self.remember(machine)

    def remember(self, machine: Machine) -> None:
        """Note its number; of one that we made, also where a run was killed before it could."""
        numbers = parse_group_numbers(Facts(machine).text(GROUP_FILE))
        for number, group in numbers.items():
            if group == self.name:
                self.store.remember_number("gid", self.name, number)


@dataclass
class PluginAccount(Resource):
    """An account. One that was there before us keeps its home and its shell.

    Attributes:
        home: Empty: not followed.
        shell: Empty: not followed.
        system: Whether its number is one of the system's, and it has no home of its own making.
        known: Whether it is ours already.
        store: Knows the numbers that it once had.
    """

    store: Store = field(repr=False)
    home: str = ""
    shell: str = ""
    system: bool = True
    known: bool = False
    wanted: bool = True

    undo: ClassVar[Undo] = Undo.INVERSE

    @property
    def name(self) -> str:
        return self.id.partition(":")[2]

    def desired(self) -> State:
        if not self.wanted:
            return {}
        followed = {"home": self.home, "shell": self.shell}
        return {"account": "present", **{key: value for key, value in followed.items() if value}}

    def observe(self, facts: Facts) -> State:
        row = _passwd_row(facts, self.name)
        if not row:
            return {}
        if self.wanted and not self.known:
            return self.desired()  # it is somebody else's, who decides about it
        state = {"account": "present", "home": row[5], "shell": row[6]}
        return {key: value for key, value in state.items() if key in self.desired() or not self.wanted}

    def effect(self, diff: Diff) -> str:
        home = diff.before.get("home", NO_HOME)
        stays = home != NO_HOME and f"directory:{home}" not in self.store.owned()
        return "its home stays" if diff.drop and not self.wanted and stays else ""

    def change(self, diff: Diff, machine: Machine) -> None:
        if not self.wanted:
            machine.run(["userdel", self.name])
            self.store.forget_account(self.name)
        elif "account" in diff.put:
            self._make(machine)
        else:
            words = [*_option("--home", diff.put.get("home")), *_option("--shell", diff.put.get("shell"))]
            machine.run(["usermod", *words, self.name])

    def _make(self, machine: Machine) -> None:
        facts = Facts(machine)
        words = ["--system", "--no-create-home"] if self.system else ["--create-home"]
        uid, gid = self._numbers()
        if uid is not None and uid not in {account.uid for account in facts.accounts.values()}:
            words += ["--uid", str(uid)]
        if self.name in facts.groups:
            words += ["--gid", self.name]
        elif gid is not None and facts.group_number(gid) is None:
            machine.run(["groupadd", "--gid", str(gid), self.name])
            words += ["--gid", str(gid)]
        else:
            words += ["--user-group"]
        shell = self.shell or "/bin/bash"
        machine.run(["useradd", *words, *_option("--home-dir", self.home), "--shell", shell, self.name])
        self.remember(machine)

    def remember(self, machine: Machine) -> None:
        """Note its numbers; of one that we made, also where a run was killed before it could."""
        made = Facts(machine).accounts.get(self.name)
        if made:
            self.store.remember_number("uid", self.name, made.uid)
            self.store.remember_number("gid", self.name, made.gid)

    def _numbers(self) -> tuple[int | None, int | None]:
        """The numbers that it once had; what ``tljh.user`` made, the store knows as an account."""
        known = self.store.account(self.name)
        if known:
            return known.uid, known.gid
        return self.store.number("uid", self.name), self.store.number("gid", self.name)


@dataclass
class Membership(Resource):
    """That an account is a member of a group; the id is ``member:GROUP/ACCOUNT``."""

    wanted: bool = True

    undo: ClassVar[Undo] = Undo.INVERSE

    @property
    def group(self) -> str:
        return self.id.partition(":")[2].partition("/")[0]

    @property
    def account(self) -> str:
        return self.id.partition("/")[2]

    def desired(self) -> State:
        return {"member": "yes"} if self.wanted else {}

    def observe(self, facts: Facts) -> State:
        return {"member": "yes"} if self.account in facts.groups.get(self.group, ()) else {}

    def change(self, diff: Diff, machine: Machine) -> None:
        machine.run(["gpasswd", "--add" if self.wanted else "--delete", self.account, self.group])


def _passwd_row(facts: Facts, name: str) -> list[str]:
    """The fields of an account's line in ``/etc/passwd``, passwd(5)."""
    rows = (line.split(":") for line in facts.text(PASSWD_FILE).splitlines() if line.count(":") == 6)
    return next((row for row in rows if row[0] == name), [])


def _option(flag: str, value: str | None) -> list[str]:
    return [flag, value] if value else []
