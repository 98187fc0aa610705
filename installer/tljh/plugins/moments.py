"""Plugins' hooks at moments of the hub's life: a new user, a deleted one, a server that is about to start.

Each plugin's failure is logged with its name and stops nobody, but for a refusal of a start. What the hub's
configuration is made of is in ``runtime.py``.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from tljh.plugins.calling import call_all
from tljh.plugins.loading import LoadedPlugin, of_manager

log = logging.getLogger("tljh.plugins")


def new_user(username: str) -> None:
    """Call each plugin's ``tljh_new_user_create``.

    Args:
        username: Name of the system account, whose home exists.
    """
    said = f"for the new account {username}; the login goes on"
    run("tljh_new_user_create", {"username": username}, said)


def user_deleted(username: str) -> None:
    """Call each plugin's ``tljh_user_deleted``.

    Args:
        username: Name of the system account, which is still there.
    """
    run("tljh_user_deleted", {"username": username}, f"for the deleted user {username}")


def before_start(spawner: Any, running: list[str] | None = None) -> None:
    """Call each plugin's ``tljh_pre_spawn``.

    Args:
        running: Gets the name of the plugin whose turn it is.

    Raises:
        tornado.web.HTTPError: a plugin refuses the start; the first one that does.
    """
    from tornado import web

    refused: list[web.HTTPError] = []

    def refusing(work: Callable[[], None]) -> None:
        try:
            work()
        except web.HTTPError as error:
            refused.append(error)

    said = f"before the server of {spawner.user.name}; it starts all the same"
    run("tljh_pre_spawn", {"spawner": spawner}, said, around=refusing, running=running)
    if refused:
        raise refused[0]


def run(
    hook: str,
    arguments: Mapping[str, Any],
    said: str,
    *,
    around: Callable[[Callable[[], None]], None] = lambda work: work(),
    running: list[str] | None = None,
) -> None:
    """Call one hook of all plugins; those that fail are named in the log.

    Args:
        said: What the log says behind "failed".
        around: Does each call; may take some errors for what they mean.
        running: Gets the name of the plugin whose turn it is.
    """
    try:
        from tljh.utils import get_plugin_manager

        plugins = of_manager(get_plugin_manager())
    except Exception:
        log.exception("the plugins could not be loaded: %s was not called %s", hook, said)
        return

    def guard(plugin: LoadedPlugin, work: Callable[[], None]) -> bool:
        if running is not None:
            running[:] = [plugin.source.name]
        try:
            around(work)
        # sys.exit in a plugin must not take the hub with it
        except (Exception, SystemExit):
            log.exception("plugin %s: its %s failed %s", plugin.source.name, hook, said)
            return False
        return True

    call_all(plugins, hook, arguments, guard)
