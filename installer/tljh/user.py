"""System accounts and groups: where they are made, and the functions that published plugins import.

Which account belongs to which hub user is in ``tljh.normalize``; when accounts are made is the spawner's.
"""

from __future__ import annotations

import logging
import os
import threading
from pathlib import Path

from tljh.engine import passwd
from tljh.engine.machine import Machine
from tljh.engine.parsers import Account
from tljh.errors import TljhError
from tljh.normalize import name_fault
from tljh.paths import Paths
from tljh.plugins import recording

log = logging.getLogger("tljh.user")

HOMES, GROUPS = "homes", "made groups"
"""Under which names the store keeps homes and groups that were made for people, for ``uninstall --purge``."""

# useradd, gpasswd and their like lock /etc/passwd and give up after a while: one of ours at a time
_changing = threading.Lock()


def ensure_user(username: str, *, origin: str = "core") -> None:
    """Make the account ``username`` with a home that others can't read, unless there is one.

    An account that we made on an earlier life of this machine gets its numbers again. Where the home is new,
    the plugins' ``tljh_new_user_create`` is called.

    Args:
        username: Name of the system account.
        origin: On whose behalf, for the record.

    Raises:
        TljhError: useradd refused.
    """
    with _changing:
        if passwd.account(username) is not None:
            recording.note("user", name=username, was=True)
            return
        fault = name_fault(username)
        if fault:
            raise TljhError(
                f"no account is made of the name {username!r}: {fault}",
                todo="let this user have a name of letters, digits and . _ - @ +",
            )
        home_is_new = _make_account(username)
        recording.note("user", name=username, was=False)
        record_account(username, origin)
        if home_is_new:
            _own(HOMES, _home_of(username), origin)
    if home_is_new:
        run_new_user_hooks(username)


def ensure_group(groupname: str) -> None:
    """Make a group, unless there is one of that name."""
    with _changing:
        was = passwd.group(groupname) is not None
        if not was:
            Machine().run(["groupadd", "--force", groupname])
            if not recording.is_on():  # what a plugin's hook makes, is that plugin's
                _own(GROUPS, groupname, "core")
        recording.note("group", name=groupname, was=was)


def ensure_user_group(username: str, groupname: str) -> None:
    """Make ``username`` a member of a group that exists.

    Raises:
        TljhError: there is no such group, or no such account.
    """
    with _changing:
        group = passwd.group(groupname)
        was = group is not None and username in group.gr_mem
        if not was:
            Machine().run(["gpasswd", "--add", username, groupname])
        recording.note("membership", name=f"{groupname}/{username}", was=was)


def remove_user(username: str) -> None:
    """Remove an account, if there is one; its home stays."""
    with _changing:
        if passwd.account(username) is not None:
            Machine().run(["userdel", username])
            _forget_account(username)
        recording.note("user", name=username, gone=True)


def remove_group(groupname: str) -> None:
    """Remove a group, if there is one."""
    with _changing:
        if passwd.group(groupname) is not None:
            Machine().run(["groupdel", groupname])
        recording.note("group", name=groupname, gone=True)


def remove_user_group(username: str, groupname: str) -> None:
    """Take ``username`` out of a group, if it is in there."""
    with _changing:
        group = passwd.group(groupname)
        if group is not None and username in group.gr_mem:
            Machine().run(["gpasswd", "--delete", username, groupname])
        recording.note("membership", name=f"{groupname}/{username}", gone=True)


def record_account(username: str, origin: str = "core") -> None:
    """Note the numbers of an account that we made, so that it can be made again with them.

    Nothing happens without root's rights, or where no installer has made the store.
    """
    account = passwd.account(username)
    if account is None or not _has_store():
        return
    from tljh.engine.store import Store

    with Store(_store()) as store:
        store.remember_account(
            name=username, uid=account.pw_uid, gid=account.pw_gid, home=account.pw_dir, origin=origin
        )


def run_new_user_hooks(username: str) -> None:
    """Call each plugin's ``tljh_new_user_create``; one that fails is named in the log and stops nobody.

    Args:
        username: Name of the system account, whose home exists.
    """
    from tljh.plugins import moments

    moments.new_user(username)


def _make_account(username: str) -> bool:
    """Call useradd; returns whether the home is new."""
    machine = Machine()
    known = _recorded_account(username)
    command = ["useradd", "--create-home", "--shell", "/bin/bash"]
    group = passwd.group(username)
    if known is not None:
        if group is None:
            machine.run(["groupadd", "--gid", str(known.gid), username])
        command += ["--uid", str(known.uid), "--gid", str(known.gid), "--home-dir", known.home]
    elif group is not None:  # it outlived its account, and useradd would refuse to make it again
        command += ["--gid", str(group.gr_gid)]
    before = known.home if known else f"/home/{username}"
    home_is_new = machine.status(Path(before)) is None
    machine.run([*command, username])
    account = passwd.account(username)
    if account is None:
        raise TljhError(
            f"useradd made no account {username}, and didn't say why",
            todo="see whether /etc/nsswitch.conf names the source `files` for passwd",
        )
    if home_is_new:
        machine.run(["chmod", "o-rwx", account.pw_dir])
    return home_is_new


def _store() -> Path:
    return Paths.from_environment().store


def _has_store() -> bool:
    return os.geteuid() == 0 and _store().exists()


def _own(what: str, name: str, origin: str) -> None:
    """Note that something was made for people, and wasn't there before."""
    if not _has_store():
        return
    from tljh.engine.store import Store

    with Store(_store()) as store:
        store.own(what, [name], origin)


def _home_of(username: str) -> str:
    account = passwd.account(username)
    return account.pw_dir if account else f"/home/{username}"


def _recorded_account(username: str) -> Account | None:
    if not _has_store():
        return None
    from tljh.engine.store import Store

    with Store(_store(), read_only=True) as store:
        return store.account(username)


def _forget_account(username: str) -> None:
    if not _has_store():
        return
    from tljh.engine.store import Store

    with Store(_store()) as store:
        store.forget_account(username)
