"""A person with a browser, without the browser: logs in, starts a server, runs code in a kernel.

Speaks what JupyterLab speaks: the login form with its ``_xsrf`` field, JupyterHub's REST API with the cookie of
the session, the kernel's messages over a websocket, all through the proxy. ``many`` lets a whole class do it at
the same moment. It knows nothing of how the hub was installed.
"""

from __future__ import annotations

import asyncio
import json
import re
import ssl
import statistics
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

import aiohttp
from yarl import URL

# what a browser tells about its requests, which JupyterHub 5 and later look at
_NAVIGATE = {"Sec-Fetch-Mode": "navigate"}
_SCRIPT = {"Sec-Fetch-Mode": "cors", "Sec-Fetch-Site": "same-origin"}
_KERNEL_ENDED = ("restarting", "autorestarting", "dead")


class ClientError(Exception):
    """The hub said no; the message holds the status and the beginning of its answer."""


@dataclass
class Answer:
    """A status and a body."""

    status: int
    text: str

    def json(self) -> Any:
        return json.loads(self.text)


class Hub:
    """One person's session, to be used with ``async with``.

    Args:
        name: Who logs in.
        password: With FirstUseAuthenticator the first one of an account becomes its password.
        url: Where the proxy is, without a slash at the end.
        tls: Certificates to trust with https; ``False`` trusts all.
        host: What to send as ``Host`` and as the name in TLS when ``url`` holds an address.
    """

    def __init__(
        self,
        name: str,
        password: str,
        url: str = "http://127.0.0.1",
        tls: ssl.SSLContext | bool = True,
        host: str | None = None,
    ) -> None:
        self.name = name
        self.password = password
        self.url = url
        self._tls = tls
        self._host = host

    async def __aenter__(self) -> Hub:
        self.session = aiohttp.ClientSession(
            cookie_jar=aiohttp.CookieJar(unsafe=True),  # "unsafe": cookies of an IP address count too
            connector=aiohttp.TCPConnector(ssl=self._tls),
            timeout=aiohttp.ClientTimeout(total=300),
            headers={**_NAVIGATE, **({"Host": self._host} if self._host else {})},
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.session.close()

    # ---- the hub

    async def login(self) -> None:
        """Fill in and send the login form.

        Raises:
            ClientError: the hub didn't take it; the message holds the page's text.
        """
        async with self.session.get(f"{self.url}/hub/login") as answer:
            page = await answer.text()
            if answer.status != 200:
                raise ClientError(f"login page: {answer.status} {_text(page)}")
        found = re.search(r'name="_xsrf"\s+value="([^"]+)"', page)
        form = {
            "username": self.name,
            "password": self.password,
            "_xsrf": found[1] if found else self._xsrf("/hub/"),
        }
        target = f"{self.url}/hub/login?next=%2Fhub%2Fhome"
        async with self.session.post(target, data=form, allow_redirects=False) as answer:
            if answer.status != 302:
                raise ClientError(f"login of {self.name}: {answer.status} {_text(await answer.text())}")
        async with self.session.get(f"{self.url}/hub/home") as answer:  # also brings the hub's own _xsrf
            if answer.status != 200:
                raise ClientError(f"home of {self.name}: {answer.status}")

    async def api(self, method: str, path: str, **options: Any) -> Answer:
        """A request to JupyterHub's REST API (``path`` begins with a slash)."""
        headers = {"X-XSRFToken": self._xsrf("/hub/"), "Referer": f"{self.url}/hub/home", **_SCRIPT}
        async with self.session.request(method, f"{self.url}/hub/api{path}", headers=headers, **options) as answer:
            return Answer(answer.status, await answer.text())

    async def spawn(self, timeout: float = 180.0, every: float = 0.1) -> float:
        """Start the server and wait until the hub calls it ready.

        Args:
            timeout: Seconds.
            every: Seconds between two questions; more of them with many clients.

        Returns:
            The seconds it took.
        """
        started = time.monotonic()
        answer = await self.api("POST", f"/users/{self.name}/server", json={})
        if answer.status not in (201, 202, 400):  # 400: it is running already, or being started
            raise ClientError(f"start of {self.name}: {answer.status} {answer.text[:300]}")
        while True:
            answer = await self.api("GET", f"/users/{self.name}")
            server = answer.json().get("servers", {}).get("")
            spent = time.monotonic() - started
            if server and server["ready"]:
                return spent
            if spent > timeout or (server is None and spent > 5):
                raise ClientError(f"{self.name} has no server after {spent:.0f} s: {answer.text[:300]}")
            await asyncio.sleep(every)

    async def stop(self, timeout: float = 60.0) -> float:
        """Stop the server and wait until it is gone; returns the seconds it took."""
        started = time.monotonic()
        await self.api("DELETE", f"/users/{self.name}/server")
        while (await self.api("GET", f"/users/{self.name}")).json()["servers"]:
            if time.monotonic() - started > timeout:
                raise ClientError(f"{self.name}'s server is still there after {timeout:.0f} s")
            await asyncio.sleep(0.1)
        return time.monotonic() - started

    # ---- the user's server

    async def open(self, path: str = "/lab") -> str:
        """Open a page of the user's server, logging in to it on the way; returns the page.

        Raises:
            ClientError: it isn't there, or it isn't a Jupyter page.
        """
        async with self.session.get(f"{self.url}/user/{self.name}{path}") as answer:
            page = await answer.text()
            if answer.status != 200 or "jupyter-config-data" not in page:
                raise ClientError(f"{answer.url}: {answer.status} {_text(page)}")
            return page

    async def server_api(self, method: str, path: str, **options: Any) -> Answer:
        """A request to the user's server (``/api/status`` …); ``open`` comes first."""
        headers = {"X-XSRFToken": self._xsrf(f"/user/{self.name}/"), **_SCRIPT}
        async with self.session.request(
            method, f"{self.url}/user/{self.name}{path}", headers=headers, **options
        ) as answer:
            return Answer(answer.status, await answer.text())

    async def kernel(self, kind: str = "python3") -> str:
        """Start a kernel; returns its id."""
        answer = await self.server_api("POST", "/api/kernels", json={"name": kind})
        if answer.status != 201:
            raise ClientError(f"kernel of {self.name}: {answer.status} {answer.text[:300]}")
        return str(answer.json()["id"])

    async def run(self, kernel: str, code: str, timeout: float = 60.0) -> str:
        """Run code as a cell does.

        Returns:
            What it printed, its value, or ``Name: message`` of its exception, in their order;
            ``KERNEL restarting`` at the end when the kernel was killed meanwhile.
        """
        url = (
            f"{self.url.replace('http', 'ws', 1)}/user/{self.name}/api/kernels/{kernel}/channels"
            f"?_xsrf={self._xsrf(f'/user/{self.name}/')}"
        )
        message = _execute_request(code)
        said: list[str] = []
        async with self.session.ws_connect(url, headers={"Origin": self.url}, max_msg_size=0) as socket:
            await socket.send_json(message)
            try:
                await asyncio.wait_for(_listen(socket, message["header"]["msg_id"], said), timeout)
            except asyncio.TimeoutError:
                raise ClientError(f"no end of the cell after {timeout:.0f} s: {''.join(said)[-500:]}") from None
        return "".join(said)

    def _xsrf(self, path: str) -> str:
        cookies = self.session.cookie_jar.filter_cookies(URL(self.url + path))
        return cookies["_xsrf"].value if "_xsrf" in cookies else ""


def _execute_request(code: str) -> dict[str, Any]:
    # https://jupyter-client.readthedocs.io/en/stable/messaging.html#execute
    header = {
        "msg_id": uuid.uuid4().hex,
        "session": uuid.uuid4().hex,
        "username": "",
        "msg_type": "execute_request",
        "version": "5.3",
    }
    content = {
        "code": code,
        "silent": False,
        "store_history": False,
        "user_expressions": {},
        "allow_stdin": False,
    }
    return {
        "header": header,
        "parent_header": {},
        "metadata": {},
        "content": content,
        "channel": "shell",
        "buffers": [],
    }


async def _listen(socket: Any, asked: str, said: list[str]) -> None:
    """Collect what a cell says until its kernel is idle again, or gone."""
    async for frame in socket:
        if frame.type != aiohttp.WSMsgType.TEXT:
            continue
        message = json.loads(frame.data)
        kind, content = message["msg_type"], message["content"]
        if kind == "status" and content["execution_state"] in _KERNEL_ENDED:
            said.append(f"KERNEL {content['execution_state']}")
            return
        if message["parent_header"].get("msg_id") != asked:
            continue
        if kind == "stream":
            said.append(content["text"])
        elif kind == "execute_result":
            said.append(content["data"]["text/plain"])
        elif kind == "error":
            said.append(f"{content['ename']}: {content['evalue']}")
        elif kind == "status" and content["execution_state"] == "idle":
            return
    said.append("CLOSED")


def _text(page: str) -> str:
    """The words of a page, for a message."""
    page = re.sub(r"(?s)<(script|style).*?</\1>", " ", page)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page)).strip()[:400]


# ---- whole stories


def run_cell(
    name: str, password: str, code: str, url: str = "http://127.0.0.1", *, kernel: str = "python3", **options: Any
) -> str:
    """Log in, start the server when it isn't running, run one cell in a kernel of its own, close the kernel."""

    async def story() -> str:
        async with Hub(name, password, url, **options) as hub:
            await hub.login()
            await hub.spawn()
            await hub.open()
            running = await hub.kernel(kernel)
            said = await hub.run(running, code, timeout=180)
            await hub.server_api("DELETE", f"/api/kernels/{running}")
            return said

    return asyncio.run(story())


@dataclass
class Class:
    """How it went for many people at once. Times are seconds from the common start."""

    people: int
    ready: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    wall: float = 0.0

    def __str__(self) -> str:
        times = self.ready or [0.0]
        summary = (
            f"{len(self.ready)} of {self.people} ready after {self.wall:.1f} s "
            f"(first {min(times):.1f}, median {statistics.median(times):.1f}, last {max(times):.1f} s)"
        )
        return "\n".join([summary, *self.failures[:5]])


async def many(
    people: Sequence[str],
    password: str,
    url: str = "http://127.0.0.1",
    timeout: float = 300.0,
    then: Callable[[Hub], Awaitable[object]] | None = None,
) -> Class:
    """All of ``people`` log in for the first time, and start their servers, at the same moment.

    Args:
        timeout: Seconds for each of them.
        then: What each does with a ready server before it is stopped.
    """
    outcome = Class(len(people))
    started = time.monotonic()

    async def one(name: str) -> None:
        async with Hub(name, password, url) as hub:
            try:
                await hub.login()
                await hub.spawn(timeout, every=1.0)
                outcome.ready.append(time.monotonic() - started)
                outcome.wall = time.monotonic() - started
                await all_ready.wait()
                if then:
                    await then(hub)
                await hub.stop()
            except (ClientError, aiohttp.ClientError, asyncio.TimeoutError) as error:
                outcome.failures.append(f"{name}: {error!r}")

    # nobody's server is stopped before everybody's was started: all of them run together
    all_ready = asyncio.Event()

    async def release() -> None:
        while len(outcome.ready) + len(outcome.failures) < len(people):
            await asyncio.sleep(0.2)
        all_ready.set()

    await asyncio.gather(release(), *(one(name) for name in people))
    return outcome


async def wait_for_hub(url: str = "http://127.0.0.1", timeout: float = 60.0) -> float:
    """Wait for the login page's 200 through the proxy; returns the seconds it took.

    Raises:
        ClientError: it didn't come in time; the message says what came last.
    """
    started = time.monotonic()
    last = "nothing"
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=False)) as session:
        while time.monotonic() - started < timeout:
            try:
                async with session.get(f"{url}/hub/login", timeout=aiohttp.ClientTimeout(total=5)) as answer:
                    if answer.status == 200:
                        return time.monotonic() - started
                    last = f"status {answer.status}"
            except (aiohttp.ClientError, asyncio.TimeoutError) as error:
                last = repr(error)
            await asyncio.sleep(0.05)
    raise ClientError(f"no login page at {url} after {timeout:.0f} s, last: {last}")
