"""The spawner: accounts, the queue and the watch over a start. The one place that chooses how servers run.

What differs between hosts is in ``servers_systemd`` and ``servers_local``.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar
from urllib.parse import urlsplit

from jupyterhub.utils import maybe_future
from tornado import web
from traitlets import Dict, Integer, List, Unicode, default
from traitlets.config import Configurable

from tljh import systemd
from tljh.errors import TljhError
from tljh.hub.accounts import Account, extra_groups, system_name
from tljh.hub.environment import SYSTEM_PATH, without_hub
from tljh.hub.start_queue import StartQueue, default_width
from tljh.normalize import name_fault
from tljh.paths import Paths

# not the loop's own threads: a plugin that takes its time with a new account must not hold up anything else
_accounts = ThreadPoolExecutor(max_workers=8, thread_name_prefix="account")
_plugins = ThreadPoolExecutor(max_workers=32, thread_name_prefix="pre-spawn")

PLUGINS_LIMIT = 20.0  # seconds that a start waits for all plugins' tljh_pre_spawn

_LOOK_EVERY = 1.0  # seconds between two looks at whether a starting server still runs
_KNOCK_EVERY = 0.1  # seconds between two tries to connect to it


class StartFailed(web.HTTPError):
    """A server did not start; the sentence is shown to its user.

    Args:
        sentence: What happened, and what the user can do.
    """

    def __init__(self, sentence: str) -> None:
        super().__init__(500, sentence.replace("%", "%%"))
        self.jupyterhub_message = sentence


class AccountsAndQueue(Configurable):
    """The part of the spawner that is the same on every host; mixed in before a spawner."""

    user_groups = Dict(
        key_trait=Unicode(),
        value_trait=List(Unicode()),
        help="System groups and the hub users that are put into them, {group: [user, ...]}",
    ).tag(config=True)
    start_queue = Integer(
        min=1, help="How many servers start at once; twice the processors unless set. The others wait."
    ).tag(config=True)
    queue_timeout = Integer(
        600, min=1, help="Seconds that a start may wait for its turn; they don't count as start_timeout."
    ).tag(config=True)

    _queue: ClassVar[StartQueue | None] = None
    _start_limit: int | None = None  # start_timeout as configured, while the hub is shown a longer one
    _has_turn = False  # or had, in the latest start

    @default("start_queue")
    def _default_start_queue(self) -> int:
        return default_width()

    @property
    def system_name(self) -> str:
        """The account that the server runs as."""
        spawner: Any = self
        return system_name(spawner.user.name)

    def get_env(self) -> dict[str, str]:
        """The server's environment: the system's PATH without the hub's own programs, and a UTF-8 locale."""
        spawner: Any = super()
        env: dict[str, str] = spawner.get_env()
        env["PATH"] = without_hub(env.get("PATH", SYSTEM_PATH), Paths.from_environment())
        env.setdefault("LANG", os.environ.get("LANG", "C.UTF-8"))
        return env

    async def run_pre_spawn_hook(self) -> Any:
        """The admin's hook; then make room for the queue in the time that the hub gives ``start``.

        The hub reads ``start_timeout`` before ``start`` runs, so it can't be done there.
        """
        spawner: Any = super()
        result = await maybe_future(spawner.run_pre_spawn_hook())
        if self._start_limit is None:
            self._has_turn = False
            self._start_limit = self._timeout()
            self._set_timeout(self._start_limit + self.queue_timeout)
        return result

    async def start(self) -> Any:
        """Wait for a turn; make the account; start the server; return when it answers.

        Raises:
            StartFailed: with a sentence for the user.
        """
        limit = self._timeout() if self._start_limit is None else self._start_limit
        queue = self._shared_queue()
        self._has_turn = False
        try:
            async with queue.turn(self, self.queue_timeout):
                self._has_turn = True
                return await asyncio.wait_for(self._start_now(), limit)
        except (TimeoutError, asyncio.TimeoutError) as error:
            raise StartFailed(self._too_late(limit)) from error
        finally:
            self._start_limit = None
            self._set_timeout(limit)

    async def progress(self) -> AsyncIterator[dict[str, Any]]:
        """What the waiting user sees."""
        said = None
        while not self._has_turn and getattr(self, "_spawn_pending", False):
            ahead = self._shared_queue().ahead_of(self)
            if ahead is not None and ahead != said:
                yield {"progress": 10, "message": f"Waiting in the queue, {ahead} before you"}
                said = ahead
            await asyncio.sleep(0.5)
        yield {"progress": 50, "message": "Starting your server"}

    # ---- one start

    async def _start_now(self) -> Any:
        await self._ensure_account()
        await self._ask_plugins()
        spawner: Any = super()
        address = await spawner.start()
        if address is None:
            raise StartFailed(self._ended_early(None))
        await self._wait_for_answer(address)
        return address

    async def _ensure_account(self) -> None:
        spawner: Any = self
        name, admin = self.system_name, bool(spawner.user.admin)
        account = Account(name, admin, extra_groups(spawner.user.name, self.user_groups))
        try:
            await asyncio.get_running_loop().run_in_executor(_accounts, account.ensure)
        except TljhError as error:
            spawner.log.error("the account %s could not be made: %s", name, error)
            why = name_fault(name)
            if why:
                raise StartFailed(
                    f"No account can be made for you on this server: its name would be {name!r}, and {why}. "
                    "Please ask your administrator for another user name."
                ) from error
            raise StartFailed(
                f"Your account {name} could not be made on this server. "
                "The reason is in the hub's log: please tell your administrator."
            ) from error
        spawner.use_account(name, admin)

    async def _ask_plugins(self) -> None:
        """The plugins' ``tljh_pre_spawn``: one that hangs is named and left behind, one may refuse the start."""
        from tljh.plugins import moments

        spawner: Any = self
        running: list[str] = []
        work = asyncio.get_running_loop().run_in_executor(_plugins, moments.before_start, self, running)
        try:
            await asyncio.wait_for(asyncio.shield(work), PLUGINS_LIMIT)
        except (TimeoutError, asyncio.TimeoutError):
            spawner.log.error(
                "plugin %s: its tljh_pre_spawn did not end within %s s; the server of %s starts without it",
                *(", ".join(running), PLUGINS_LIMIT, spawner.user.name),
            )
        except web.HTTPError as error:
            why = error.log_message or error.reason or "A plugin refused to start your server."
            raise StartFailed(why) from error

    async def _wait_for_answer(self, address: Any) -> None:
        """Return when the server's port answers; the hub's own first try then succeeds."""
        spawner: Any = self
        host, port = _host_and_port(address)
        look_at = time.monotonic() + _LOOK_EVERY
        while host and port:
            try:
                _, writer = await asyncio.open_connection(host, port)
            except OSError:
                await asyncio.sleep(_KNOCK_EVERY)
            else:
                writer.close()
                return
            if time.monotonic() > look_at:
                status = await spawner.poll()
                if status is not None:
                    raise StartFailed(self._ended_early(status))
                look_at = time.monotonic() + _LOOK_EVERY

    def _ended_early(self, status: int | None) -> str:
        spawner: Any = self
        how = f" (status {status})" if status else ""
        return (
            f"Your server ended while it was starting{how}. If it happens again, please tell your "
            f"administrator, who finds the reason with: {spawner.log_hint}"
        )

    def _too_late(self, limit: int) -> str:
        spawner: Any = self
        if not self._has_turn:
            return (
                f"Too many servers are starting: yours waited {self.queue_timeout} seconds for its turn. "
                "Please try again in a few minutes."
            )
        return (
            f"Your server did not answer within {limit} seconds after its start. Please try again; if it happens "
            f"again, tell your administrator, who finds what it said with: {spawner.log_hint}"
        )

    # ---- what all spawners share

    def _shared_queue(self) -> StartQueue:
        cls = AccountsAndQueue  # not type(self): subclasses wait in the same queue
        if cls._queue is None:
            cls._queue = StartQueue(self.start_queue)
        return cls._queue

    def _timeout(self) -> int:
        spawner: Any = self
        return int(spawner.start_timeout)

    def _set_timeout(self, seconds: int) -> None:
        spawner: Any = self
        spawner.start_timeout = seconds


def _host_and_port(address: Any) -> tuple[str | None, int | None]:
    """Of what a spawner's ``start`` returns: a URL, or a pair."""
    if isinstance(address, str):
        parts = urlsplit(address)
        return parts.hostname, parts.port
    host, port = address
    return str(host), int(port)


def _servers() -> Any:
    """How servers run on this host."""
    if systemd.is_running():
        from tljh.hub.servers_systemd import SystemdServers

        return SystemdServers
    from tljh.hub.servers_local import LocalServers

    return LocalServers


_Servers: Any = _servers()


class UserCreatingSpawner(AccountsAndQueue, _Servers):  # type: ignore[misc]
    """Starts a server as the system account of its user, which it makes; plugins subclass it."""
