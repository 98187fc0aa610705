"""User servers as plain processes, on a host without systemd: real accounts, limits as far as the host lets us."""

from __future__ import annotations

import asyncio
import ctypes
import os
import pwd
import resource
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from jupyterhub.spawner import LocalProcessSpawner, set_user_setuid
from jupyterhub.utils import random_port
from traitlets import Bool, List, Unicode

from tljh.hub.accounts import system_name
from tljh.hub.environment import real_paths
from tljh.hub.limits import Hierarchy, Limits, ServerGroup, find_hierarchy
from tljh.paths import Paths

_PR_SET_NO_NEW_PRIVS = 38  # linux/prctl.h
_libc = ctypes.CDLL(None)  # loaded before any fork


@cache
def hierarchy() -> Hierarchy:
    """The control groups of this host; looked for once."""
    return find_hierarchy()


def process_started(pid: int) -> int | None:
    """When a process started, in clock ticks since boot (proc(5), field 22); ``None`` when it is gone or dead."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = text.rpartition(")")[2].split()  # the name before it may hold anything
    return None if fields[0] in "ZX" else int(fields[19])


class LocalServers(LocalProcessSpawner):  # type: ignore[misc]
    """LocalProcessSpawner under the accounts that we make, with the settings of SystemdSpawner that make sense."""

    extra_paths = List(Unicode(), help="Folders to prepend to the server's PATH").tag(config=True)
    default_shell = Unicode("/bin/bash", help="Shell of terminals in the server").tag(config=True)
    username_template = Unicode("{USERNAME}", help="Not used here: the account is known").tag(config=True)
    disable_user_sudo = Bool(True, help="Forbid that anything in the server becomes root").tag(config=True)

    popen_kwargs: Any
    _started: int | None = None

    @classmethod
    def section_names(cls) -> list[str]:
        """Also what is set for SystemdSpawner holds: one configuration for both kinds of host."""
        names: list[str] = super().section_names()
        after = names.index("LocalProcessSpawner") + 1
        return [*names[:after], "SystemdSpawner", *names[after:]]

    @property
    def group(self) -> ServerGroup:
        """The control group of this server."""
        name = system_name(self.user.name)
        return ServerGroup(hierarchy(), f"{name}--{self.name}" if self.name else name)

    @property
    def output_file(self) -> Path:
        """What the server prints; begun anew at each start."""
        return Paths.from_environment().state / "servers" / f"{self.group.name}.log"

    @property
    def log_hint(self) -> str:
        """Where an administrator reads what the server said."""
        return str(self.output_file)

    def use_account(self, name: str, admin: bool) -> None:
        """Start the server as this system account."""
        self.username_template = name
        self.disable_user_sudo = not admin

    def user_env(self, env: dict[str, str]) -> dict[str, str]:
        """Who the user is, and the user environment's programs first."""
        account = pwd.getpwnam(system_name(self.user.name))
        search_path = [*real_paths(self.extra_paths), env.get("PATH", os.defpath)]
        mine = {"USER": account.pw_name, "LOGNAME": account.pw_name, "HOME": account.pw_dir}
        return {**env, **mine, "SHELL": self.default_shell, "PATH": os.pathsep.join(search_path)}

    def make_preexec_fn(self, name: str) -> Callable[[], None]:
        """What the new process does first: it enters its control group, then gives up root."""
        become = set_user_setuid(system_name(self.user.name))
        groups = [str(file) for file in self.group.process_files]
        # per process, because there is nothing better
        data_limit = self.mem_limit if hierarchy().memory is None else None
        no_sudo = self.disable_user_sudo

        def first() -> None:
            for file in groups:
                handle = os.open(file, os.O_WRONLY)
                os.write(handle, b"0")
                os.close(handle)
            if data_limit:
                resource.setrlimit(resource.RLIMIT_DATA, (data_limit, data_limit))
            become()
            if no_sudo:
                _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)

        return first

    async def start(self) -> tuple[str, int]:
        """Start the process in its control group."""
        self.port = random_port()
        group = self.group
        await asyncio.to_thread(group.end)  # what a server that ended by itself left
        group.prepare(Limits(memory=self.mem_limit, cpu=self.cpu_limit))
        with self._output():
            address: tuple[str, int] = await super().start()
        self._started = process_started(self.pid)
        return address

    @contextmanager
    def _output(self) -> Iterator[None]:
        """Print into a file of its own: the hub's output ends when the hub is restarted."""
        self.output_file.parent.mkdir(mode=0o700, exist_ok=True)
        configured = self.popen_kwargs
        handle = os.open(self.output_file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
        streams = {"stdin": subprocess.DEVNULL, "stdout": handle, "stderr": subprocess.STDOUT}
        self.popen_kwargs = {**streams, **configured}
        try:
            yield
        finally:
            self.popen_kwargs = configured
            os.close(handle)

    async def poll(self) -> int | None:
        """As LocalProcessSpawner's; after a restart of the hub the pid may belong to somebody else by now."""
        resumed = self.proc is None and self.pid
        if resumed and self._started is not None and process_started(self.pid) != self._started:
            self.clear_state()
        status: int | None = await super().poll()
        if status is not None:  # kernels of a server that ended by itself end too, as in a unit of systemd
            await asyncio.to_thread(self.group.end)
        return status

    async def stop(self, now: bool = False) -> None:
        """Stop the server, then end whatever else it started."""
        await super().stop(now=now)
        await asyncio.to_thread(self.group.end)

    def get_state(self) -> dict[str, Any]:
        """With the time at which the process started: a pid alone doesn't say which one is meant."""
        state: dict[str, Any] = super().get_state()
        if self.pid and self._started is not None:
            state["started"] = self._started
        return state

    def load_state(self, state: dict[str, Any]) -> None:
        super().load_state(state)
        self._started = state.get("started")

    def clear_state(self) -> None:
        super().clear_state()
        self._started = None
