#!/usr/bin/env python3
"""Serves a folder on the loopback by HTTP, and fails in the ways that tests ask for.

    channel_server.py FOLDER --port 8900 [--fault 'cut:*humanize*'] [--fault auth:me:secret] [--log FILE]

A connection is kept for several requests (HTTP/1.1). Every answer is whole: there are no parts of a file (Range)
and no "not modified" (304), and without ``--max-age`` no answer may be used again. These are the faults; GLOB is
matched with the path of a request (``/noarch/humanize-4.9.0-0.conda``), and after TIMES such requests it is over:

    cut:GLOB[:TIMES]            the connection ends in the middle of the file
    garble:GLOB[:TIMES]         one byte in the middle is another
    hang:GLOB[:TIMES]           there is no answer until the server ends
    status:STATUS:GLOB[:TIMES]  such an answer, 503 for instance
    slow:BYTES:GLOB[:TIMES]     no more than so many bytes in a second
    auth:NAME:PASSWORD          basic authentication is wanted for everything

Only the standard library is used: it is copied into test machines, and runs there with the system's Python.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

CHUNK = 1 << 16  # bytes
NUMBERED = ("status", "slow")
KINDS = ("cut", "garble", "hang", *NUMBERED, "auth")


@dataclass
class Fault:
    """Something that goes wrong; the module's text tells what the kinds mean.

    Args:
        number: The HTTP status, or the bytes a second.
        times: How often still; ``None`` for always.
    """

    kind: str
    glob: str = "*"
    number: int = 0
    times: int | None = None
    login: str = ""

    @classmethod
    def parse(cls, text: str) -> Fault:
        """The fault that ``text`` describes.

        Raises:
            ValueError: it isn't one.
        """
        kind, *words = text.split(":")
        if kind == "auth" and len(words) == 2:
            return cls(kind, login=":".join(words))
        number = int(words.pop(0)) if kind in NUMBERED and words else 0
        if kind not in KINDS or kind == "auth" or not 1 <= len(words) <= 2:
            raise ValueError(f"not a fault: {text}")
        return cls(kind, words[0], number, int(words[1]) if len(words) == 2 else None)


class Request(NamedTuple):
    """One request that was answered: ``size`` is the bytes of the body that were sent."""

    method: str
    path: str
    status: int
    size: int


class ChannelServer(ThreadingHTTPServer):
    """Serves ``folder`` while it is entered as a context, or while ``serve_forever`` runs.

    Args:
        faults: As the module's text has them.
        port: 0 for any free one.
        log: A file that gets a line for each request.
        max_age: Seconds for which a client may use an answer again without asking.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(
        self, folder: Path | str, *faults: str, port: int = 0, log: Path | None = None, max_age: int = 0
    ) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.folder = str(folder)
        self.caching = f"max-age={max_age}" if max_age else "no-cache"
        self.requests: list[Request] = []
        self.ending = threading.Event()
        self._log = log
        self._faults = [Fault.parse(text) for text in faults]
        self._lock = threading.Lock()
        self._connections: set[socket.socket] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def __enter__(self) -> ChannelServer:
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        """Stop, and end what is still being sent."""
        self.ending.set()
        self.shutdown()
        self.server_close()
        with self._lock:
            for connection in self._connections:
                with contextlib.suppress(OSError):  # the other side was faster
                    connection.shutdown(socket.SHUT_RDWR)

    # ---- for tests

    def fail(self, *faults: str) -> None:
        """From now on, go wrong in these ways too."""
        parsed = [Fault.parse(text) for text in faults]
        with self._lock:
            self._faults += parsed

    def mend(self) -> None:
        """From now on, nothing goes wrong."""
        with self._lock:
            self._faults.clear()

    def count(self, glob: str = "*") -> int:
        """How many requests there were for such paths."""
        return sum(fnmatchcase(request.path, glob) for request in list(self.requests))

    # ---- for the handler

    def fault(self, kind: str, path: str) -> Fault | None:
        """The fault of this kind that holds for ``path``; one that is limited is used up by that."""
        with self._lock:
            for fault in self._faults:
                if fault.kind == kind and fnmatchcase(path, fault.glob) and fault.times != 0:
                    fault.times = None if fault.times is None else fault.times - 1
                    return fault
        return None

    def note(self, request: Request) -> None:
        with self._lock:
            self.requests.append(request)
            if self._log:
                with self._log.open("a") as log:
                    print(*request, file=log)

    @contextlib.contextmanager
    def connected(self, connection: socket.socket) -> Iterator[None]:
        """Remember a connection while it lasts."""
        with self._lock:
            self._connections.add(connection)
        try:
            yield
        finally:
            with self._lock:
                self._connections.discard(connection)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is no error of the server."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class Handler(SimpleHTTPRequestHandler):
    """One connection; its requests come one after the other."""

    server: ChannelServer
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # otherwise a small file waits 40 ms behind its headers

    def handle(self) -> None:
        with self.server.connected(self.connection):
            super().handle()

    def do_GET(self) -> None:
        self._answer(body=True)

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def _answer(self, body: bool) -> None:
        path = unquote(urlsplit(self.path).path)
        if self.server.fault("hang", path):
            self.server.ending.wait()
            self.close_connection = True
            return
        status, content = self._status(path)
        size = content.stat().st_size if content else 0
        self.send_response(status)
        self.send_header("Content-Length", str(size))
        self.send_header("Content-Type", self.guess_type(str(content or path)))
        self.send_header("Cache-Control", self.server.caching)
        if content:
            self.send_header("Last-Modified", self.date_time_string(int(content.stat().st_mtime)))
        if status == HTTPStatus.UNAUTHORIZED:
            self.send_header("WWW-Authenticate", 'Basic realm="test channel"')
        # One piece is always held back until the request was noted: who has the whole answer finds it counted.
        held: Callable[[], object] = self.end_headers
        sent = 0
        try:
            for part in self._parts(content, size, path) if content and body else ():
                held()
                held = partial(self.wfile.write, part)
                sent += len(part)
        finally:
            self.server.note(Request(self.command, path, status, sent))
        held()
        if body and sent < size:
            self.close_connection = True

    def _status(self, path: str) -> tuple[int, Path | None]:
        """The answer's status, and with 200 the file."""
        login = self.server.fault("auth", path)
        if login:
            wanted = base64.b64encode(login.login.encode()).decode()
            if self.headers.get("Authorization") != f"Basic {wanted}":
                return HTTPStatus.UNAUTHORIZED, None
        failing = self.server.fault("status", path)
        if failing:
            return failing.number, None
        # the parent's method leaves out "..", so that nothing outside of the folder is served
        file = Path(self.translate_path(self.path))
        if path.endswith("/"):  # a page of a package index (PEP 503)
            file /= "index.html"
        return (HTTPStatus.OK, file) if file.is_file() else (HTTPStatus.NOT_FOUND, None)

    def _parts(self, file: Path, size: int, path: str) -> Iterator[bytes]:
        """What is sent of the file, and as fast as it may be."""
        middle = size // 2
        end = middle if self.server.fault("cut", path) else size
        spoiled = bool(self.server.fault("garble", path))
        slow = self.server.fault("slow", path)
        chunk = max(1, min(CHUNK, slow.number // 20)) if slow else CHUNK
        begun, position = time.monotonic(), 0
        with file.open("rb") as source:
            while position < end:
                part = source.read(min(chunk, end - position))
                if spoiled and position <= middle < position + len(part):
                    at = middle - position
                    part = part[:at] + bytes([part[at] ^ 1]) + part[at + 1 :]
                yield part
                position += len(part)
                if slow and self.server.ending.wait(max(0.0, position / slow.number - (time.monotonic() - begun))):
                    return

    def translate_path(self, path: str) -> str:
        self.directory = self.server.folder
        return super().translate_path(path)

    def log_message(self, format: str, *words: object) -> None:
        """Nothing on standard error; ``ChannelServer.requests`` has it."""


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line that the module's text describes."""
    assert __doc__
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--port", type=int, default=0, help="0: any free one")
    parser.add_argument("--fault", action="append", default=[])
    parser.add_argument("--max-age", type=int, default=0, help="seconds for which an answer may be used again")
    parser.add_argument("--log", type=Path, help="gets a line for each request: method, path, status, bytes")
    given = parser.parse_args(arguments)
    try:
        server = ChannelServer(given.folder, *given.fault, port=given.port, log=given.log, max_age=given.max_age)
    except ValueError as error:
        parser.error(str(error))
    print(server.url, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
