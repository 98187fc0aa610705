"""Groups, the admins' right to sudo, first passwords, and the accounts that a recreated container lost."""

from __future__ import annotations

import secrets
import string
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from tljh.engine.build import Stage
from tljh.engine.facts import Facts
from tljh.engine.machine import Machine
from tljh.engine.resource import Diff, Resource, State, Undo
from tljh.hub import passwords
from tljh.resources.account import Accounts as KnownAccounts
from tljh.resources.account import Groups
from tljh.resources.file import File
from tljh.stages.context import Context

ADMINS, USERS = "jupyterhub-admins", "jupyterhub-users"
SUDOERS = Path("/etc/sudoers.d/jupyterhub-admins")
# exempt_group: sudo keeps the admin's PATH, so that "sudo -E pip install" finds the user environment's pip
SUDOERS_TEXT = f"%{ADMINS} ALL = (ALL) NOPASSWD: ALL\nDefaults exempt_group = {ADMINS}\n"
FIRST_USE = "firstuseauthenticator.FirstUseAuthenticator"
GENERATED_LENGTH = 16


class Accounts(Stage[Context]):
    """Who may do what."""

    name = "accounts"
    priority = 60

    def resources(self, context: Context) -> Iterable[Resource]:
        yield Groups("groups", names=(ADMINS, USERS))
        yield File.at(SUDOERS, SUDOERS_TEXT, mode="0440")
        owned = context.store.owned()  # a plugin's account is that plugin's business
        there = context.store.accounts().items()
        known = {n: a for n, a in there if Path(a.home).is_dir() and f"account:{n}" not in owned}
        yield KnownAccounts("accounts", known=known, group=USERS)
        if context.config["auth"]["type"] == FIRST_USE and context.options.admins:
            yield Passwords("passwords", context=context)


@dataclass
class Passwords(Resource):
    """First passwords of the admins that this run names; one that is set stays, unless a new one is given."""

    context: Context = field(kw_only=True, repr=False)
    done: set[str] = field(default_factory=set)

    undo: ClassVar[Undo] = Undo.NEVER
    owns: ClassVar[bool] = False

    @property
    def _file(self) -> Path:
        return self.context.paths.state / "passwords.dbm"

    def desired(self) -> State:
        return dict.fromkeys(self.context.options.admins, "set")

    def observe(self, facts: Facts) -> State:
        return {name: "set" for name in self.context.options.admins if self._is_as_wanted(name)}

    def _is_as_wanted(self, name: str) -> bool:
        if name in self.done:
            return True  # to check it again would take a quarter of a second
        given = self.context.options.passwords.get(name)
        if given is None:
            return passwords.password_is_set(self._file, name)
        return passwords.check_password(self._file, name, given)

    def change(self, diff: Diff, machine: Machine) -> None:
        for name in diff.put:
            given = self.context.options.passwords.get(name)
            password = given or _made_up()
            passwords.set_password(self._file, name, password)
            self.done.add(name)
            if given is None:
                self.context.generated[name] = password


def _made_up() -> str:
    """A password that can be read aloud and typed: letters and digits, without those that look alike."""
    letters = "".join(set(string.ascii_letters + string.digits) - set("Il1O0o"))
    return "".join(secrets.choice(letters) for _ in range(GENERATED_LENGTH))
