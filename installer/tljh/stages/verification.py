"""Whether what was installed works: the hub answers through the proxy."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tljh.engine.build import Stage
from tljh.errors import TljhError
from tljh.plugins import hub_record
from tljh.resources.service import Manager
from tljh.settings.reload import RESTARTS, Endpoint, Starts
from tljh.stages.context import Context

TIMEOUT = 60.0  # seconds
ACCESS = '{"ClientAddr"'  # begins what traefik notes of each request, ours among them


class Verification(Stage[Context]):
    """Asks the hub's API as a browser would, through the proxy, until it answers as JupyterHub does."""

    name = "verification"
    priority = 90

    def check(self, context: Context) -> None:
        version = wait_for_hub(context.config, context.manager, started=context.paths.started("jupyterhub"))
        context.reporter.note(f"JupyterHub {version} answers")
        for problem in hub_record.read(context.paths.state).failed.values():
            context.reporter.warn(f"{problem}; the hub runs without its settings")


def hub_answer(config: Mapping[str, Any]) -> dict[str, str]:
    """Ask once: the hub's ``version``, or an ``error``."""
    endpoint = Endpoint.of(config)
    try:
        answer = endpoint.get("hub/api/")
        if answer.status == 200:
            return {"version": str(json.loads(answer.body)["version"])}
        return {"error": f"{endpoint.url} answers {answer.status}"}
    except (OSError, ValueError, KeyError, TypeError, http.client.HTTPException) as error:
        return {"error": f"{endpoint.url}: {str(error) or type(error).__name__}"}


def wait_for_hub(
    config: Mapping[str, Any], manager: Manager, timeout: float = TIMEOUT, *, started: Path | None = None
) -> str:
    """Wait until the hub answers through the proxy; returns its version.

    Args:
        timeout: Seconds.
        started: Where the hub's launcher writes each time it starts; then one that ends again and again is not
            waited for.

    Raises:
        TljhError: it does not; the message holds what the services last said.
    """
    begun = time.monotonic()
    deadline = begun + timeout
    starts = Starts(started)
    while True:
        answer = hub_answer(config)
        if "version" in answer:
            return answer["version"]
        if starts.too_many():
            seconds = time.monotonic() - begun
            what = f"the hub ends as soon as it is started, {RESTARTS} times in {seconds:.0f} s{_said(manager)}"
            raise TljhError(what, todo="mend what it complains of, then run the same command again")
        if time.monotonic() > deadline:
            what = f"the hub does not answer after {timeout:.0f} s: {answer['error']}{_said(manager)}"
            raise TljhError(what, todo="mend what it complains of, then run the same command again")
        time.sleep(0.1)


def _said(manager: Manager) -> str:
    tails = {name: _without_requests(manager.log_tail(name)).strip() for name in ("jupyterhub", "traefik")}
    return "".join(
        f"\n  {name} last said:\n" + "\n".join(f"    {line}" for line in lines)
        for name, tail in tails.items()
        if (lines := [line for line in tail.splitlines() if not line.startswith(ACCESS)])
    )


def _without_requests(tail: str) -> str:
    """What a service said, but for the proxy's list of requests, which are ours."""
    return "\n".join(line for line in tail.splitlines() if '"RequestPath"' not in line)


def public_url(config: Mapping[str, Any]) -> str:
    """The address to tell people: the certificate's name, or this machine's."""
    import socket

    endpoint = Endpoint.of(config)
    domains = config["https"]["letsencrypt"]["domains"]
    host = domains[0] if endpoint.https and domains else socket.gethostname()
    usual = 443 if endpoint.https else 80
    port = "" if endpoint.port == usual else f":{endpoint.port}"
    return f"{'https' if endpoint.https else 'http'}://{host}{port}{endpoint.base_url}"
