#!/usr/bin/env python3
"""Fresh Debian machines in about a second: one with a real systemd as PID 1, one without (a container).

    machine.py base [SUITE]               build the base file system (done by `up` when it isn't there)
    machine.py up NAME [SUITE] [--container]   a fresh machine, booted
    machine.py run NAME COMMAND…          run a command in it as root
    machine.py stop|boot|kill|rm NAME     power off · boot again · pull the plug · drop it with its disk

A machine is a writable layer over a base (``debian.py``) in fresh PID, mount, IPC, UTS, cgroup and network
namespaces. What is true in it, so that tests can rely on it:

* its disk is a file system of its own (``disk.py``), and outlives `stop` and `kill`; `/run` and `/tmp` don't, as
  on a server;
* memory and CPU limits set inside are enforced by the kernel, on cgroup v1 and v2;
* it has a loopback of its own, so that several hubs and one on the host don't want the same port, and reaches
  the outside through slirp4netns, which needs no rule or address on the host. Where that isn't possible
  (no /dev/net/tun) it shares the host's network, and only one hub at a time can run;
* the host's package index, proxy and certificate settings hold in it.

It works inside such a machine too. Needs root, util-linux, e2fsprogs and mmdebstrap. Docker is not used, though
where there is one it could do the same.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import debian
import namespaces
from disk import Disk
from result import MachineError, Result

T = TypeVar("T")
HERE = Path(__file__).parent
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Machine:
    """One machine with systemd as PID 1.

    Args:
        name: Its host name, and the name of its folder below ``debian.home()``.
        suite: The Debian release of its base.
        env: Variables that every command run in it gets.
        binds: Folders of the host (a shared download cache) and where they are seen inside.
        own_network: Where that is possible, not the host's; what passes through it takes processor time.
    """

    kind: ClassVar[str] = "systemd"

    def __init__(
        self,
        name: str,
        suite: str = "bookworm",
        env: Mapping[str, str] | None = None,
        binds: Mapping[Path, str] | None = None,
        own_network: bool = True,
    ) -> None:
        self.name = name
        self.suite = suite
        self.env = dict(env or {})
        self.binds = dict(binds or {})
        self.own_network = own_network
        self.folder = debian.home() / name
        self.disk = Disk(self.folder, suite)
        self.root = self.disk.root

    # ---- its life

    def up(self) -> Machine:
        """A fresh machine, booted. One of the same name that was left over is dropped."""
        debian.base(self.suite)
        self.remove()
        self.disk.make()
        kept = {"kind": self.kind, "suite": self.suite, "binds": {str(k): v for k, v in self.binds.items()}}
        (self.folder / "machine.json").write_text(json.dumps(kept))
        self.boot()
        return self

    def boot(self) -> None:
        """Start it; returns when it is up (seconds: about 1 with systemd).

        Raises:
            MachineError: it ended, or did not come up within 60 s.
        """
        if self.running:
            return
        if not self.disk.mount():
            raise MachineError(f"{self.name}: its disk can't be mounted")
        private = self.own_network and namespaces.can_have_networks()
        debian.adopt_settings(self.root)
        namespaces.write_network(self.root, self.name, private)
        for source in self.binds:
            source.mkdir(parents=True, exist_ok=True)
        pairs = [word for source, target in self.binds.items() for word in (str(source), target.lstrip("/"))]
        token = uuid.uuid4().hex
        enter = ["bash", str(HERE / "enter.sh"), str(self.root), self.name, self.kind, token, *pairs]
        watching, alive = os.pipe()  # closed when the machine ends, which ends its network
        try:
            outer = namespaces.unshare(self.name, private, enter, self.folder / "console.log", alive)
            leader = self._wait_for_leader(outer, token)
            if private:
                namespaces.connect(leader, self.folder / "network.log", watching)
        finally:
            os.close(watching)
            os.close(alive)
        self._wait_until_up(outer)

    def stop(self) -> None:
        """Power it off in good order, at most 60 s; its disk is kept."""
        leader = self.leader
        if leader is None:
            return
        self._power_off(leader)
        deadline = time.monotonic() + 60
        while self.running and time.monotonic() < deadline:
            time.sleep(0.05)
        self.kill()

    def kill(self) -> None:
        """Pull the plug: SIGKILL to everything in it, nothing is flushed; its disk is kept."""
        leader = self.leader
        if leader is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(leader, signal.SIGKILL)
            deadline = time.monotonic() + 10
            while self.running and time.monotonic() < deadline:
                time.sleep(0.05)
        (self.folder / "leader").unlink(missing_ok=True)
        namespaces.remove_cgroups(self.name)

    def cut_power(self) -> None:
        """Pull the plug of its disk as well: what was not synced is lost."""
        self.disk.stop()
        self.kill()
        self.disk.unmount()

    def reboot(self) -> None:
        """Power off and boot again."""
        self.stop()
        self.boot()

    def remove(self) -> None:
        """Pull the plug and drop its disk."""
        if not self.folder.exists():
            return
        self.kill()
        self.disk.unmount()
        subprocess.run(["rm", "-rf", "--one-file-system", str(self.folder)], check=True)

    @property
    def leader(self) -> int | None:
        """The process id, seen from the host, of its PID 1; ``None`` when it isn't running."""
        try:
            pid, started = (self.folder / "leader").read_text().split()
        except (FileNotFoundError, ValueError):
            return None
        # ids are used again: the same process has the same start time
        return int(pid) if namespaces.start_time(int(pid)) == started else None

    @property
    def running(self) -> bool:
        return self.leader is not None

    # ---- what is done in it

    def command(self, *words: str | Path, env: Mapping[str, str] | None = None) -> list[str]:
        """The host's command line that runs ``words`` in the machine as root."""
        leader = self.leader
        if leader is None:
            raise MachineError(f"{self.name} is not running")
        variables = {
            **debian.settings(),
            "HOME": "/root",
            "USER": "root",
            "LOGNAME": "root",
            "LANG": "C.UTF-8",
            "PATH": PATH,
            "TERM": "dumb",
            "DEBIAN_FRONTEND": "noninteractive",
            **self.env,
            **(env or {}),
        }
        pairs = [f"{name}={value}" for name, value in variables.items()]
        nsenter = ["nsenter", f"--target={leader}", "--all", "env", "-i", "--chdir=/root", *pairs]
        return [*self._prefix(), *nsenter, *map(str, words)]

    def run(
        self,
        *words: str | Path,
        timeout: float = 600.0,
        env: Mapping[str, str] | None = None,
        input: str | None = None,
        stream: bool = False,
    ) -> Result:
        """Run a command in the machine as root and wait for its end.

        Args:
            timeout: Seconds after which it is killed.
            input: What it reads; otherwise its standard input is empty.
            stream: Let it write to our terminal; the result's texts are then empty.

        Raises:
            AssertionError: it did not end in time; the message holds what it had printed.
        """
        started = time.monotonic()
        shown = tuple(map(str, words))
        try:
            done = subprocess.run(
                self.command(*words, env=env),
                capture_output=not stream,
                text=True,
                errors="replace",
                timeout=timeout,
                **({"stdin": subprocess.DEVNULL} if input is None else {"input": input}),
            )
        except subprocess.TimeoutExpired as error:
            said = b"".join(part for part in (error.stdout, error.stderr) if isinstance(part, bytes))
            raise AssertionError(f"{shown} did not end in {timeout:.0f} s\n{said.decode()[-4000:]}") from None
        return Result(shown, done.returncode, done.stdout or "", done.stderr or "", time.monotonic() - started)

    def sh(self, script: str, **options: Any) -> Result:
        """Run a line of shell, as ``run`` does."""
        return self.run("sh", "-c", script, **options)

    def popen(self, *words: str | Path, env: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
        """Start a command in the machine; both its streams come on ``stdout``."""
        return subprocess.Popen(
            self.command(*words, env=env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )

    def inside(self, work: Callable[[], T]) -> T:
        """Call ``work`` here, in a thread whose network is the machine's: ``127.0.0.1`` is then the machine.

        Processes and threads that it starts are in that network too, but see the host's files.
        """
        leader = self.leader
        if leader is None:
            raise MachineError(f"{self.name} is not running")
        return namespaces.call_in_network(leader, work)

    # ---- its files

    def copy_in(self, source: Path, target: str, ignore: Callable[..., Iterable[str]] | None = None) -> None:
        """Copy a file or folder of the host to ``target`` in the machine."""
        there = self.root / target.lstrip("/")
        there.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, there, ignore=ignore, symlinks=True, dirs_exist_ok=True)
        else:
            shutil.copyfile(source, there)

    def read(self, path: str) -> str:
        return self.run("cat", path).check().stdout

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        script = 'mkdir -p "$(dirname "$1")" && cat > "$1" && chmod "$2" "$1"'
        self.run("sh", "-c", script, "write", path, f"{mode:o}", input=text).check()

    def exists(self, path: str) -> bool:
        return self.run("test", "-e", path).returncode == 0

    def snapshot(
        self, roots: Sequence[str], skip: Sequence[str] = (), content: bool = False
    ) -> dict[str, list[object]]:
        """Every path below ``roots`` with its mode, owner, size, and modification time or sha256.

        Args:
            skip: Beginnings of paths that are left out.
            content: sha256 instead of the modification time: slower, for "as it was before".
        """
        asked = json.dumps([list(roots), list(skip), content])
        listing = self.run("/usr/bin/python3", "-c", (HERE / "listing.py").read_text(), asked).check().stdout
        return dict(json.loads(listing))

    # ---- how it is done

    def _prefix(self) -> list[str]:
        """What a command is started through, on the host."""
        return []

    def _wait_for_leader(self, outer: subprocess.Popen[bytes], token: str) -> int:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and outer.poll() is None:
            leader = namespaces.leader_below(outer.pid, token)
            if leader:
                (self.folder / "leader").write_text(f"{leader} {namespaces.start_time(leader)}")
                threading.Thread(target=outer.wait, daemon=True).start()  # reaps it when it ends
                return leader
            time.sleep(0.02)
        raise MachineError(f"{self.name} did not start\n{self.console()}")

    def _wait_until_up(self, outer: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and outer.poll() is None:
            if self._is_up():
                return
            time.sleep(0.05)
        raise MachineError(f"{self.name} did not come up\n{self.console()}")

    def _is_up(self) -> bool:
        # "degraded": a unit of the base that has no business in a namespace failed; the machine is up
        return (
            self.run("systemctl", "is-system-running").stdout.strip() in ("running", "degraded") and self._online()
        )

    def _online(self) -> bool:
        return self.run("ip", "route", "show", "default").stdout.strip() != ""

    def _power_off(self, leader: int) -> None:
        self.run("systemctl", "poweroff")

    def console(self) -> str:
        """The last lines of what it printed while booting."""
        path = self.folder / "console.log"
        return "\n".join(path.read_text(errors="replace").splitlines()[-15:]) if path.exists() else ""


class Container(Machine):
    """The same Debian without systemd: PID 1 only reaps, as in a container under Docker or in WSL.

    Commands run in it belong to its cgroups, so that a program which looks at ``/proc/self/cgroup`` and
    writes limits below it finds what it would find there.
    """

    kind = "container"

    def _prefix(self) -> list[str]:
        return ["bash", "-c", f'{namespaces.joining(self.name)} exec "$@"', "join"]

    def _is_up(self) -> bool:
        return self._online()

    def _power_off(self, leader: int) -> None:
        os.kill(leader, signal.SIGTERM)


def existing(name: str) -> Machine:
    """A machine that ``up`` made earlier, perhaps in another process.

    Raises:
        MachineError: there is none.
    """
    try:
        kept = json.loads((debian.home() / name / "machine.json").read_text())
    except FileNotFoundError:
        raise MachineError(f"there is no machine {name}: machine.py up {name}") from None
    make = Container if kept["kind"] == "container" else Machine
    return make(name, kept["suite"], binds={Path(k): v for k, v in kept["binds"].items()})


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line that the module's text describes."""
    assert __doc__
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("verb", choices=["base", "up", "run", "boot", "stop", "kill", "rm"])
    parser.add_argument("name", nargs="?", default="bookworm")
    parser.add_argument("--container", action="store_true", help="without systemd")
    parser.add_argument("words", nargs=argparse.REMAINDER)
    given = parser.parse_args(arguments)
    container = given.container or "--container" in given.words
    try:
        if given.verb == "base":
            print(debian.base(given.name))
        elif given.verb == "up":
            suite = next((word for word in given.words if not word.startswith("-")), "bookworm")
            print((Container if container else Machine)(given.name, suite).up().leader)
        elif given.verb == "run":
            return existing(given.name).run(*given.words, stream=True, timeout=86400).returncode
        else:
            machine = existing(given.name)
            {"boot": machine.boot, "stop": machine.stop, "kill": machine.kill, "rm": machine.remove}[given.verb]()
    except MachineError as error:
        print(f"machine.py: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
