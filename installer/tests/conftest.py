"""What holds for every unit test: no process is started and no network is reached."""

from __future__ import annotations

import logging
import os
import socket
import subprocess
from collections.abc import Iterator
from typing import NoReturn

import pytest


@pytest.fixture(autouse=True)
def our_logger_as_it_was() -> Iterator[None]:
    """The hub's configuration and the installer's log each set the logger up; no test is to see another's."""
    logger = logging.getLogger("tljh")
    before = (logger.level, logger.propagate, list(logger.handlers))
    yield
    logger.level, logger.propagate, logger.handlers = before


@pytest.fixture(autouse=True)
def no_processes_and_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail the test that tries."""

    def refuse(what: str):
        def refused(*args: object, **kwargs: object) -> NoReturn:
            pytest.fail(f"a unit test tried to {what}: {args[:2]}")

        return refused

    monkeypatch.setattr(subprocess, "Popen", refuse("start a process"))
    monkeypatch.setattr(os, "system", refuse("start a process"))
    monkeypatch.setattr(os, "fork", refuse("start a process"))
    monkeypatch.setattr(socket.socket, "connect", refuse("reach the network"))
    monkeypatch.setattr(socket, "create_connection", refuse("reach the network"))
