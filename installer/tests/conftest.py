"""What holds for every unit test: no process is started and no network is reached."""

from __future__ import annotations

import logging
import os
import socket
import subprocess
from typing import NoReturn

import pytest


@pytest.fixture(autouse=True)
def our_loggers_speak() -> None:
    """JupyterHub's logging configuration switches off whatever loggers there are when it is first loaded."""
    for name in [name for name in logging.root.manager.loggerDict if name.split(".")[0] == "tljh"]:
        logging.getLogger(name).disabled = False


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
