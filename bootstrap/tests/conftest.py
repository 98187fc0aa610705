"""No unit test starts a process, reaches the network or needs root; a console that writes nowhere but memory."""

import importlib.util
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

# By its path and under a name of its own: for pytest "bootstrap" is the folder that these tests are in.
spec = importlib.util.spec_from_file_location("bootstrap_file", Path(__file__).parent.parent / "bootstrap.py")
sys.modules["bootstrap_file"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(sys.modules["bootstrap_file"])


@pytest.fixture(autouse=True)
def no_processes_and_no_network(monkeypatch):
    def refuse(what):
        def refused(*args, **kwargs):
            pytest.fail(f"a unit test tried to {what}: {args[:2]}")

        return refused

    monkeypatch.setattr(subprocess, "Popen", refuse("start a process"))
    monkeypatch.setattr(sys.modules["bootstrap_file"], "sync_disk", lambda folder: None)
    monkeypatch.setattr(os, "fork", refuse("start a process"))
    monkeypatch.setattr(os, "execve", refuse("become another program"))
    monkeypatch.setattr(socket.socket, "connect", refuse("reach the network"))
    monkeypatch.setattr(socket, "create_connection", refuse("reach the network"))
