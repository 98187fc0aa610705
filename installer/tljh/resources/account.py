"""Groups, and the accounts that we made; how an account is made is in ``tljh.user``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from tljh.engine import parsers
from tljh.engine.facts import Facts
from tljh.engine.machine import Machine
from tljh.engine.resource import Diff, Resource, State, Undo


@dataclass
class Groups(Resource):
    """Groups that must exist."""

    names: Sequence[str] = ()

    def desired(self) -> State:
        return dict.fromkeys(self.names, "present")

    def observe(self, facts: Facts) -> State:
        return {name: "present" for name in (*self.names, *self.origins) if name in facts.groups}

    def change(self, diff: Diff, machine: Machine) -> None:
        for name in diff.put:
            machine.run(["groupadd", "--force", name])
        for name in diff.drop:
            machine.run(["groupdel", name])


@dataclass
class Accounts(Resource):
    """Accounts that the hub made and whose homes are still there: a recreated container gets them back.

    Attributes:
        known: Name → the account as it was made.
        groups: Group → the accounts that belong to it.
    """

    known: Mapping[str, parsers.Account] = field(default_factory=dict)
    group: str = "jupyterhub-users"

    undo: ClassVar[Undo] = Undo.INVERSE
    owns: ClassVar[bool] = False  # an account and its home are a person's; only `uninstall --purge` takes them

    def desired(self) -> State:
        return dict.fromkeys(self.known, "present")

    def observe(self, facts: Facts) -> State:
        # one that is there is the admin's business, whatever its numbers
        return {name: "present" for name in self.known if name in facts.accounts}

    def change(self, diff: Diff, machine: Machine) -> None:
        for name in diff.put:
            account = self.known[name]
            if Facts(machine).group_number(account.gid) is None:
                machine.run(["groupadd", "--gid", str(account.gid), name])
            numbers = ["--uid", str(account.uid), "--gid", str(account.gid), "--home-dir", account.home]
            machine.run(["useradd", "--no-create-home", "--shell", "/bin/bash", *numbers, name])
            machine.run(["gpasswd", "--add", name, self.group])
