"""``tljh-config reload``: the hub or the proxy with the config.yaml of now, and not done until it answers.

What can be found wrong beforehand is, and then nothing is restarted. User servers and their routes stay. How
services are restarted is in ``tljh.resources``.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Protocol

from tljh.engine.machine import Machine
from tljh.engine.outside import check_room
from tljh.errors import TljhError, UsageError
from tljh.paths import Paths
from tljh.settings.hub_files import check_hub_files, rehearse
from tljh.settings.journal import ReloadNote, digests, noting_reload

COMPONENTS = ("hub", "proxy")
DEADLINE = 60.0  # seconds
RESTARTS = 3  # of a service that never answered: it won't


class ServiceControl(Protocol):
    """What keeps the services running; the managers of ``tljh.resources`` are such."""

    def start(self, name: str) -> None:
        """Start it, or restart it with what is on disk now."""

    def log_tail(self, name: str) -> str:
        """The end of what it last said."""


@dataclass(frozen=True)
class Answer:
    """What came back from an HTTP request."""

    status: int
    body: bytes


@dataclass(frozen=True)
class Endpoint:
    """Where this machine serves the hub to its users."""

    host: str
    port: int
    https: bool
    base_url: str

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Endpoint:
        """Where these settings say."""
        https = bool(config["https"]["enabled"])
        where = config["https" if https else "http"]
        address = where["address"].strip("[]")
        host = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(address, address)
        base = config["base_url"].strip("/")
        return cls(host, where["port"], https, f"/{base}/" if base else "/")

    @property
    def url(self) -> str:
        """The hub's URL from this machine, for messages."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.https else 'http'}://{host}:{self.port}{self.base_url}"

    def get(self, path: str, timeout: float = 5.0) -> Answer:
        """Ask for a path below the hub's base URL; proxies of the environment are not used.

        Args:
            path: Relative, such as ``hub/api``.
            timeout: Seconds.

        Raises:
            OSError: nothing answers. http.client.HTTPException: what answers doesn't speak HTTP.
        """
        connection: http.client.HTTPConnection
        if self.https:
            # it is this machine, by its address: its certificate is for the names that users type
            connection = http.client.HTTPSConnection(
                self.host,
                self.port,
                timeout=timeout,
                context=ssl._create_unverified_context(),
            )
        else:
            connection = http.client.HTTPConnection(self.host, self.port, timeout=timeout)
        try:
            connection.request("GET", self.base_url + path)
            response = connection.getresponse()
            return Answer(response.status, response.read(1_000_000))
        finally:
            connection.close()


def check_authenticator(name: str) -> None:
    """Raise what keeps ``auth.type`` from being found, before a hub is stopped that then can't start.

    Raises:
        TljhError: it is neither a registered name nor an importable class.
    """
    if entry_points(group="jupyterhub.authenticators", name=name.lower()):
        return
    module, _, attribute = name.rpartition(".")
    try:
        getattr(import_module(module), attribute)
    except Exception as error:  # importing somebody's class can raise anything
        raise TljhError(
            f"auth.type is {name}, which can't be imported: {error}",
            whose="config.yaml",
            todo="Correct the name, or install the plugin that brings it; nothing was restarted.",
        ) from error


def check_hub(
    paths: Paths, machine: Machine | None = None, authenticator: Callable[[str], None] = check_authenticator
) -> dict[str, Any]:
    """Raise what can be found to keep the hub from starting, before one that runs is stopped.

    Returns:
        The settings that it would start with.

    Raises:
        TljhError: config.yaml, a file of jupyterhub_config.d or ``auth.type`` can't be used.
    """
    from tljh.configurer import load_config

    config = load_config(paths.config_file)
    check_hub_files(paths.hub_config_d)
    authenticator(config["auth"]["type"])
    rehearse(paths, machine or Machine(), Path(os.path.realpath(paths.hub)))
    return config


@dataclass
class Starts:
    """How often a service has been started while it is waited for: its launcher writes a file each time.

    Attributes:
        file: That file; ``None`` where the service is not ours and has none.
    """

    file: Path | None
    seen: set[int] = field(default_factory=set)

    def too_many(self) -> bool:
        """Look once more; whether the service ends as soon as it is started, so that it is not worth waiting."""
        with contextlib.suppress(FileNotFoundError):
            self.seen |= {self.file.stat().st_mtime_ns} if self.file else set()
        return len(self.seen) > RESTARTS


Get = Callable[[Endpoint, str], Answer]


@dataclass
class Reloader:
    """Reloads one component.

    Attributes:
        services: What restarts the services.
        paths: Where the installation is.
        deadline: Seconds until a component must answer.
        get: Asks an endpoint for a path.
        sleep: Waits so many seconds.
        clock: The time in seconds.
        check_authenticator: Raises what keeps ``auth.type`` from being found.
    """

    services: ServiceControl
    paths: Paths
    deadline: float = DEADLINE
    get: Get = Endpoint.get
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    check_authenticator: Callable[[str], None] = check_authenticator
    machine: Machine | None = None
    note: ReloadNote = field(default_factory=ReloadNote)

    def hub(self) -> None:
        """Restart the hub and wait until its API answers through the proxy; user servers go on.

        Raises:
            TljhError: config.yaml or a file of jupyterhub_config.d can't be used (nothing was restarted), or the
                hub doesn't answer in time.
        """
        config = check_hub(self.paths, self.machine, self.check_authenticator)
        self._restart("jupyterhub")
        self._wait("jupyterhub", Endpoint.of(config), self._hub_answers)

    def proxy(self) -> None:
        """Write traefik's configuration, restart it and wait until it answers; the live routes stay.

        The hub is restarted too when its routes had to move between HTTP and HTTPS: it would go on to write them
        for the entry point that it knows.

        Raises:
            TljhError: the configuration can't be used (nothing was restarted), or it doesn't answer in time.
        """
        from tljh.configurer import load_config
        from tljh.traefik import Places, desired_files, ensure_traefik_config

        config = load_config(self.paths.config_file)
        before = digests([*desired_files(config, self.paths)])
        written = ensure_traefik_config(self.paths.state, config, self.machine)
        self.note.files(before, written)
        moved = Places(self.paths.state).rules in written
        self._restart("traefik")
        endpoint = Endpoint.of(config)
        self._wait("traefik", endpoint, self._anything_answers)
        if moved:
            self._restart("jupyterhub")
            self._wait("jupyterhub", endpoint, self._hub_answers)

    def _restart(self, service: str) -> None:
        check_room(self.paths.state, f"to restart {service}")
        self.note.restarted(service)
        self.services.start(service)

    def _hub_answers(self, endpoint: Endpoint) -> str:
        """Empty when the hub's API answers as it should; else what is wrong."""
        answer = self.get(endpoint, "hub/api")
        if answer.status != 200:
            return f"the answer was {answer.status} {http.client.responses.get(answer.status, '')}".rstrip()
        try:
            said = json.loads(answer.body)
        except ValueError:
            said = None
        return "" if isinstance(said, dict) and "version" in said else "something else than the hub answered"

    def _anything_answers(self, endpoint: Endpoint) -> str:
        self.get(endpoint, "")
        return ""

    def _wait(self, service: str, endpoint: Endpoint, check: Callable[[Endpoint], str]) -> None:
        """Until ``check`` finds nothing wrong, the deadline is over, or the service ends again and again."""
        end = self.clock() + self.deadline
        starts = Starts(self.paths.started(service))
        while True:
            try:
                wrong = check(endpoint)
            except (OSError, http.client.HTTPException) as error:
                wrong = str(error) or type(error).__name__
            if not wrong:
                return
            if starts.too_many():
                what = f"but ended as soon as it was started, {RESTARTS} times"
                break
            if self.clock() >= end:
                what = f"but did not answer at {endpoint.url} within {self.deadline:g} seconds: {wrong}"
                break
            self.sleep(0.2)
        said = "\n".join(f"    {line}" for line in self.services.log_tail(service).splitlines()[-15:])
        raise TljhError(
            f"{service} was restarted, {what}" + (f"; it last said:\n{said}" if said else ""),
            todo="Mend what it complains of, then reload again. User servers were not touched.",
        )


def reload_component(component: str, paths: Paths, services: ServiceControl) -> None:
    """Reload ``hub`` or ``proxy`` and wait until it answers.

    Raises:
        UsageError: there is no such component.
        TljhError: as for ``Reloader.hub`` and ``Reloader.proxy``.
    """
    if component not in COMPONENTS:
        raise UsageError(f"there is no component {component}", todo=f"Use one of: {', '.join(COMPONENTS)}.")
    with noting_reload(component, paths) as note:
        reloader = Reloader(services, paths, note=note)
        reloader.hub() if component == "hub" else reloader.proxy()
