"""Tells plugins of users that were deleted from the hub, whoever deleted them: a person, the culler, a script."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tljh.hub.accounts import system_name

log = logging.getLogger("tljh.hub")

_DELETED = "tljh: users deleted in this transaction"
# one after the other, and not on the hub's loop
_telling = ThreadPoolExecutor(max_workers=1, thread_name_prefix="deleted")


def watch() -> None:
    """From now on, tell plugins of each user that is gone from the hub's database for good."""
    from jupyterhub import orm
    from sqlalchemy import event
    from sqlalchemy.orm import Session, object_session

    if event.contains(Session, "after_commit", _committed):
        return

    def deleted(mapper: Any, connection: Any, user: Any) -> None:
        session = object_session(user)
        if session is not None:
            session.info.setdefault(_DELETED, []).append(user.name)

    event.listen(orm.User, "after_delete", deleted)
    event.listen(Session, "after_commit", _committed)
    event.listen(Session, "after_rollback", _rolled_back)


def _committed(session: Any) -> None:
    for name in session.info.pop(_DELETED, ()):
        _telling.submit(_tell, system_name(name))


def _rolled_back(session: Any) -> None:
    session.info.pop(_DELETED, None)


def _tell(username: str) -> None:
    from tljh.plugins import moments

    try:
        moments.user_deleted(username)
    except Exception:
        log.exception("plugins could not be told that %s was deleted", username)
