"""Keeping services running where there is no systemd: supervisor, spoken to over its Unix socket.

supervisor was chosen because it needs no apt, listens on a socket that only root can open, and leaves user
servers alone when the hub is restarted.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from tljh.engine.facts import Facts
from tljh.engine.machine import Machine
from tljh.errors import TljhError

START_TIMEOUT = 15.0  # seconds until supervisord answers
STOP_TIMEOUT = 60.0  # seconds until it has ended
NOT_RUNNING = 70  # supervisor's fault NOT_RUNNING


@dataclass(frozen=True)
class Program:
    """One service as supervisor runs it."""

    name: str
    command: str
    directory: Path
    priority: int


def configuration(state: Path, programs: Sequence[Program]) -> str:
    """The text of ``supervisord.conf`` (supervisor's own documentation, "Configuration File")."""
    head = f"""; Written by the installer; changes here do not last.
[supervisord]
logfile={state}/supervisord.log
logfile_maxbytes=5MB
logfile_backups=2
pidfile={state}/supervisord.pid
umask=022
user=root
minfds=4096

[unix_http_server]
file={state}/supervisor.sock
chmod=0700

[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface

[supervisorctl]
serverurl=unix://{state}/supervisor.sock
"""
    return head + "".join(_section(state, program) for program in programs)


def _section(state: Path, program: Program) -> str:
    # stopasgroup and killasgroup stay off: the hub's user servers outlive it
    return f"""
[program:{program.name}]
command={program.command}
directory={program.directory}
priority={program.priority}
autostart=true
autorestart=true
startsecs=1
startretries=1000000
stopwaitsecs=30
stopasgroup=false
killasgroup=false
redirect_stderr=true
stdout_logfile={state}/{program.name}.log
stdout_logfile_maxbytes=10MB
stdout_logfile_backups=3
"""


def _no_answer() -> tuple[type[Exception], ...]:
    """What is raised when supervisord doesn't run or doesn't know a program; imported where there is one."""
    from http.client import HTTPException
    from xmlrpc.client import Fault

    return OSError, HTTPException, Fault


@dataclass
class Supervisor:
    """supervisord with its programs.

    Attributes:
        environment: The hub environment, by its link; supervisord is started by its real path.
        state_folder: Where its configuration, socket and logs are.
    """

    environment: Path
    state_folder: Path
    # not the installer's machine: a daemon must not inherit the install lock
    machine: Machine = field(default_factory=Machine)

    @property
    def config(self) -> Path:
        return self.state_folder / "supervisord.conf"

    def _server(self) -> Any:
        import xmlrpc.client

        from supervisor.xmlrpc import SupervisorTransport

        socket = f"unix://{self.state_folder}/supervisor.sock"
        server = xmlrpc.client.ServerProxy("http://127.0.0.1", SupervisorTransport(None, None, socket))
        return server.supervisor

    def _known(self, name: str) -> dict[str, Any] | None:
        """What supervisord says of a program; ``None`` when it does not answer or does not know it."""
        try:
            return cast("dict[str, Any]", self._server().getProcessInfo(name))
        except _no_answer():
            return None

    @property
    def runs(self) -> bool:
        """Whether supervisord answers."""
        try:
            return bool(self._server().getPID())
        except _no_answer():
            return False

    def state(self, facts: Facts, name: str) -> Mapping[str, str]:
        known = self._known(name)
        listed = f"[program:{name}]" in facts.text(self.config)
        if known is None:
            return {"enabled": "yes", "active": "supervisord does not run"} if listed else {}
        state = str(known["statename"])
        return {"enabled": "yes" if listed else "no", "active": "yes" if state == "RUNNING" else state.lower()}

    def start(self, name: str) -> None:
        if not self.runs:
            self.start_all()
            return
        server = self._server()
        added, changed, removed = server.reloadConfig()[0]
        for gone in (*changed, *removed):
            self._stop_group(gone)
            server.removeProcessGroup(gone)
        for new in (*added, *changed):
            server.addProcessGroup(new)
        self.stop(name)
        server.startProcess(name, False)

    def start_all(self) -> None:
        """Start supervisord, and with it every service."""
        self.machine.run([self._program("supervisord"), "-c", self.config], cwd=self.state_folder)
        deadline = time.monotonic() + START_TIMEOUT
        while not self.runs:
            if time.monotonic() > deadline:
                raise TljhError(
                    f"supervisord does not answer after {START_TIMEOUT:.0f} s",
                    todo=f"see {self.state_folder}/supervisord.log",
                )
            time.sleep(0.1)

    def run_in_foreground(self) -> None:
        """Become supervisord: fit to be a container's first process. Does not return."""
        program = str(self._program("supervisord"))
        os.chdir(self.state_folder)
        os.execv(program, [program, "--nodaemon", "-c", str(self.config)])

    def _program(self, name: str) -> Path:
        return Path(os.path.realpath(self.environment)) / "bin" / name

    def stop(self, name: str) -> None:
        from xmlrpc.client import Fault

        try:
            self._server().stopProcess(name, True)
        except Fault as fault:
            if fault.faultCode != NOT_RUNNING:
                raise TljhError(f"supervisor could not stop {name}: {fault.faultString}") from fault

    def _stop_group(self, name: str) -> None:
        self._server().stopProcessGroup(name, True)

    def stop_all(self) -> None:
        """Stop every service and supervisord itself; user servers go on."""
        if not self.runs:
            return
        server = self._server()
        process = Path(f"/proc/{server.getPID()}")
        server.shutdown()
        deadline = time.monotonic() + STOP_TIMEOUT
        while process.exists():  # it stops answering long before its programs have ended
            if time.monotonic() > deadline:
                raise TljhError(
                    f"supervisord is still stopping its programs after {STOP_TIMEOUT:.0f} s",
                    todo=f"see {self.state_folder}/supervisord.log",
                )
            time.sleep(0.1)

    def remove(self, name: str) -> None:
        if self._known(name) is not None:
            self.stop(name)
            self._server().removeProcessGroup(name)

    def failing(self, name: str) -> str:
        return ""  # supervisor does not count how often a program has ended

    def log_tail(self, name: str) -> str:
        text = (self.machine.read(self.state_folder / f"{name}.log") or b"").decode(errors="replace")
        return "\n".join(text.splitlines()[-15:])
