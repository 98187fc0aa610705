"""Takes an admin's rights away again when he is no admin any more.

JupyterHub makes admins of those whom its configuration names, but leaves those admins whom it no longer names. So
the names are kept from one start to the next; what is missing is taken back: in the hub's database, in the group
that may use sudo, and in servers that run (a process keeps the groups that it was started with).
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import pwd
import signal
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tljh import systemd, user
from tljh.engine.machine import Machine
from tljh.errors import TljhError
from tljh.hub.accounts import ADMINS, system_name
from tljh.paths import Paths

log = logging.getLogger("tljh.hub")

FILE = "admins.json"
_NO_LONGER = "tljh: no longer admins in this transaction"
_demoting = ThreadPoolExecutor(max_workers=1, thread_name_prefix="demoted")


def at_start(c: Any, paths: Paths) -> None:
    """Compare the admins of the configuration with those of the last start; before the hub opens its database."""
    now = named(c)
    kept = paths.state / FILE
    gone = sorted(set(_read(kept)) - now)
    if gone:
        log.info("no longer admins: %s", ", ".join(gone))
        _forget_in_database(str(c.JupyterHub.db_url), gone)
        keep = user_groups(c).get(ADMINS, ())
        for name in gone:
            if name not in keep:
                demote(name)
    if gone or set(_read(kept)) != now:
        Machine().write_file(kept, json.dumps(sorted(now)).encode(), mode=0o600)


def named(c: Any) -> set[str]:
    """The admins that the configuration names, as the hub writes names."""
    found: set[str] = set()
    for section in list(c):
        if section.endswith("Authenticator"):
            names = c[section].get("admin_users") if "admin_users" in c[section] else None
            with contextlib.suppress(TypeError):  # a value that is still to be computed
                found |= {str(name).lower() for name in names or ()}
    return found


def user_groups(c: Any) -> Mapping[str, Sequence[str]]:
    """``users.extra_user_groups``: group → hub users."""
    found = c["UserCreatingSpawner"].get("user_groups") if "UserCreatingSpawner" in c else None
    return found if isinstance(found, dict) else {}


def _read(path: Path) -> list[str]:
    try:
        said = json.loads(path.read_text())
    except (OSError, ValueError):
        return []
    return [str(name) for name in said] if isinstance(said, list) else []


def _forget_in_database(url: str, names: Iterable[str]) -> None:
    """They are users like others; a database that is not there yet has nothing to forget."""
    import sqlalchemy

    engine = sqlalchemy.create_engine(url)
    try:
        with engine.begin() as connection:
            tables = set(sqlalchemy.inspect(connection).get_table_names())
            for name in names if "users" in tables else ():
                said = {"name": name}
                if {"roles", "user_role_map"} <= tables:
                    connection.execute(
                        sqlalchemy.text(
                            "delete from user_role_map where user_id in (select id from users where name = :name)"
                            " and role_id in (select id from roles where name = 'admin')"
                        ),
                        said,
                    )
                query = sqlalchemy.text("update users set admin = :no where name = :name")
                connection.execute(query, {**said, "no": False})
    finally:
        engine.dispose()


def demote(name: str) -> None:
    """Take a hub user's account out of the admins' group, and end his servers: anew, they are without it."""
    account = system_name(name)
    try:
        if _is_member(account):
            user.remove_user_group(account, ADMINS)
            end_servers(account)
    except (TljhError, OSError):
        log.exception("%s is no admin any more, but may still be able to use sudo", name)


def _is_member(account: str) -> bool:
    import grp

    with contextlib.suppress(KeyError):
        return account in grp.getgrnam(ADMINS).gr_mem
    return False


def end_servers(account: str) -> None:
    """End all that runs as an account, and with systemd what it has started as somebody else."""
    machine = Machine()
    if systemd.is_running():
        words = ["systemctl", "show", "--property=Id,User", "jupyter-*.service"]
        blocks = machine.run(words, check=False, timeout=30.0).stdout.split("\n\n")
        units = [dict(line.split("=", 1) for line in block.splitlines() if "=" in line) for block in blocks]
        mine = [unit["Id"] for unit in units if unit.get("User") == account and "Id" in unit]
        if mine:
            machine.run(["systemctl", "stop", *mine], check=False, timeout=60.0)
    uid = pwd.getpwnam(account).pw_uid
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if folder.stat().st_uid == uid:
                os.kill(int(folder.name), signal.SIGKILL)


# ---- admins who are made and unmade in the hub's own pages


def watch() -> None:
    """From now on, take the rights of each user away who is made an ordinary one in the hub."""
    from jupyterhub import orm
    from sqlalchemy import event
    from sqlalchemy.orm import Session, object_session

    if event.contains(Session, "after_commit", _committed):
        return

    def changed(target: Any, value: Any, before: Any, initiator: Any) -> None:
        session = object_session(target)
        if session is not None and before is True and not value:
            session.info.setdefault(_NO_LONGER, []).append(target.name)

    event.listen(orm.User.admin, "set", changed, active_history=True)
    event.listen(Session, "after_commit", _committed)
    event.listen(Session, "after_rollback", _rolled_back)


def _committed(session: Any) -> None:
    for name in session.info.pop(_NO_LONGER, ()):
        _demoting.submit(demote, name)


def _rolled_back(session: Any) -> None:
    session.info.pop(_NO_LONGER, None)
