#!/usr/bin/env python3
"""Kills an installer at every step and at any moment; the same command must then end as if nothing had been.

    crash.py up NAME                    a machine with a hub, gone to and fro between two states undisturbed
    crash.py again NAME                 the same with the checkout as it is now
    crash.py kill NAME [--kills 20] [--how all|alone|power|any] [--at step|moment|time|any] [--seed 1]
    crash.py steps NAME                 a kill at each journaled step in turn, in both directions
    crash.py rm NAME

Two wanted states take turns: without and with a plugin that brings a thing of each kind; now and then bootstrap
brings another version of the project. On the way the installer is killed; then the same command must end well,
and the machine must be what it is undisturbed. No reset is needed in between, and what piles up from kill to kill
shows.

The power fails in earnest: the machine's disk is shut down without its journal being written (``disk.py``), so
what nobody has synced is gone, as the man pages say it may be.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import re
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import debian
from machine import Machine
from plugin_life import WELCOME
from plugin_packages import Package
from server import THERE, Server

HERE = Path(__file__).parent
SHARED_CACHE = {debian.home() / "uv-cache": "/var/cache/uv-shared"}

MORE = """
        @tljh.hookimpl
        def tljh_extra_hub_pip_packages(self):
            return ["iniconfig"]

        @tljh.hookimpl
        def tljh_environments(self):
            return {{"aside": {{"packages": {{"pip": ["six"]}}}}}}

        @tljh.hookimpl
        def tljh_post_install(self):
            Path("/var/tmp/welcome-was-here").touch()

        @tljh.hookimpl
        def tljh_extra_apt_packages(self):"""
PLUGIN = Package(
    "tljh-welcome",
    WELCOME.replace("\n        @tljh.hookimpl\n        def tljh_extra_apt_packages(self):", MORE).format(
        word="hello"
    ),
    entry="tljh_welcome:Welcome",
)
WITHOUT, WITH, UPGRADE, PURGE = "without", "with", "upgrade", "purge"
COMMANDS = {
    PURGE: ("tljh", "uninstall", "--purge", "--yes"),
    UPGRADE: ("python3", f"{THERE}/bootstrap/bootstrap.py"),
    WITHOUT: ("tljh", "plugin", "remove", "welcome", "--yes"),
    WITH: ("tljh", "install", "--plugin", f"/srv/plugins/{PLUGIN.file_name}"),
}
OTHER = {WITHOUT: WITH, WITH: WITHOUT}


# what runs inside the machine
AT_STEP, AT_TIME, LOOK = ((HERE / f"crash_{name}.py").read_text() for name in ("at_step", "at_time", "look"))


@dataclass
class Kill:
    """One kill and what came of it.

    Attributes:
        wanted: The state that the command was to reach.
        how: ``all`` (the installer and all that it started), ``alone`` (the installer) or ``power``.
        at: What was counted: ``step``, ``moment`` or ``time``.
        number: Which of them, or how many seconds.
        what: What was about to happen.
        seconds: How long the same command took afterwards.
        problems: What is not as on an undisturbed machine; empty: all is well.
    """

    wanted: str
    how: str
    at: str
    number: float
    what: str = ""
    seconds: float = 0.0
    problems: Sequence[str] = ()

    def __str__(self) -> str:
        end = "ok" if not self.problems else "FAILED\n    " + "\n    ".join(self.problems[:40])
        return f"{self.wanted:7} {self.how:5} {self.at} {self.number:g} [{self.what}] {self.seconds:.1f} s: {end}"


class Crashes:
    """A machine on which installers are killed.

    Args:
        server: It has a hub.
    """

    def __init__(self, server: Server) -> None:
        self.server, self.machine = server, server.machine
        self.log = self.machine.folder / "kills.jsonl"

    # ---- undisturbed

    def prepare(self, rounds: int, *, upgrades: bool) -> None:
        """Install, and see what comes without a kill."""
        self.lay_ready()
        self.server.install("--plugin", f"/srv/plugins/{PLUGIN.file_name}")
        self.see_undisturbed(rounds, upgrades=upgrades)

    def lay_ready(self) -> None:
        """What an install needs beside the checkout."""
        PLUGIN.wheel(self.machine)
        # reading the package lists is not what is to be tested, and here one of apt's helpers gets lost at times
        self.machine.sh("timeout 60 apt-get -qq update || timeout 60 apt-get -qq update").check()

    def see_undisturbed(self, rounds: int, *, upgrades: bool = True) -> None:
        """See both states undisturbed, and count the steps between them and those of an upgrade."""
        self.machine.write("/etc/python3.11/sitecustomize.py", AT_STEP)
        seen: dict[str, list[dict[str, Any]]] = {WITHOUT: [], WITH: []}
        counted: dict[str, float] = {}
        for _ in range(rounds):
            for wanted, looks in seen.items():
                counted |= self.counted(wanted)
                looks.append(self.look())
        if upgrades:
            self._new_version()
            counted |= self.counted(UPGRADE)
        for wanted, (first, *others) in seen.items():
            for other in others:
                assert not difference(first, other), f"{wanted}: {difference(first, other)}"
        saved = {"counted": counted, "seen": {wanted: looks[-1] for wanted, looks in seen.items()}, "now": WITH}
        self._reference.write_text(json.dumps(saved))

    def counted(self, wanted: str) -> dict[str, float]:
        """Go to a state, undisturbed: how long that takes, and its steps and moments."""
        seconds = self.run(wanted, CRASH_AT="0:step:all")
        steps, moments = map(int, self.machine.read("/run/crash-seen").split())
        return {f"{wanted} time": seconds, f"{wanted} step": steps, f"{wanted} moment": moments}

    def _new_version(self) -> None:
        """Another version of the project, to be brought by bootstrap; the state stays what it is."""
        file = f"{THERE}/installer/tljh/paths.py"
        self.machine.sh(f"echo '# {time.time()}' >>{file} && sync --file-system {file}").check()

    @property
    def _reference(self) -> Path:
        return self.machine.folder / "undisturbed.json"

    @property
    def undisturbed(self) -> dict[str, Any]:
        """What ``prepare`` has seen."""
        return dict(json.loads(self._reference.read_text()))

    def run(self, wanted: str, **env: str) -> float:
        """Go to a state; returns the seconds."""
        self.machine.run("rm", "-f", "/run/crash-seen", "/run/crash-said", "/run/crash-now")
        words = ["sh", "-c", 'CRASH_PID=$$ exec "$@"', "sh", *COMMANDS[wanted]] if env else COMMANDS[wanted]
        done = self.machine.run(*words, env=env, timeout=600)
        if done.returncode:
            raise AssertionError(f"{' '.join(COMMANDS[wanted])}: {done.returncode}\n{done.output[-3000:]}")
        return done.seconds

    def look(self) -> dict[str, Any]:
        """What the machine is."""
        return dict(json.loads(self.machine.run("/usr/bin/python3", "-c", LOOK).check().stdout))

    # ---- killed

    def kill(self, kill: Kill) -> Kill:
        """Go to a state and be killed; run the same command; compare.

        Where the command ended before its time had come, nothing was killed: it is compared all the same.
        """
        self.machine.run("rm", "-f", "/run/crash-seen", "/run/crash-said", "/run/crash-now")
        if kill.wanted == UPGRADE:
            self._new_version()
        words, env = self._killed(kill)
        process = self.machine.popen(*words, env=env)
        kill.what = self._wait(process, kill)
        try:
            kill.problems = self.afterwards(kill)
        except AssertionError as error:
            kill.problems = [str(error)]
        with self.log.open("a") as file:
            file.write(json.dumps(asdict(kill)) + "\n")
        return kill

    def afterwards(self, kill: Kill) -> Sequence[str]:
        """Run the same command again; returns what differs from an undisturbed machine."""
        kill.seconds = self.run(kill.wanted)
        self.server.wait()
        state = self.now if kill.wanted == UPGRADE else kill.wanted
        return difference(self.undisturbed["seen"][state], self.look())

    def _killed(self, kill: Kill) -> tuple[Sequence[str], Mapping[str, str]]:
        command = COMMANDS[kill.wanted]
        if kill.at == "time":
            return ("/usr/bin/python3", "-c", AT_TIME, str(kill.number), kill.how, *command), {}
        asked = {"CRASH_AT": f"{kill.number:.0f}:{kill.at}:{kill.how}"}
        return ("sh", "-c", 'CRASH_PID=$$ exec "$@"', "sh", *command), asked

    def _wait(self, process: subprocess.Popen[str], kill: Kill) -> str:
        """Wait until it is killed, cut the power if that is asked for; returns what was about to happen."""
        deadline = time.monotonic() + 600
        now = self.machine.root / "run/crash-now"
        while process.poll() is None and time.monotonic() < deadline:
            if kill.how == "power" and self.machine.exists("/run/crash-now"):
                said = self.machine.run("cat", "/run/crash-said").stdout
                self.machine.cut_power()
                process.wait(60)
                self.machine.boot()
                return said or f"{now.name}"
            time.sleep(0.1)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(1)
        return self.machine.run("cat", "/run/crash-said").stdout or f"it ended first: {process.returncode}"

    def some(self, kills: int, seed: int, how: str = "any", at: str = "any") -> Iterator[Kill]:
        """So many kills, of all sorts unless one is named."""
        chosen = random.Random(seed)
        counted = self.undisturbed["counted"]
        for _ in range(kills):
            upgrades = [UPGRADE] if f"{UPGRADE} time" in counted else []
            wanted = chosen.choice([OTHER[self.now]] * 4 + upgrades)
            yield self._done(self.kill(one(wanted, counted, chosen, how, at)))

    def each_step(self, first: int = 1, how: str = "all") -> Iterator[Kill]:
        """A kill at each journaled step in turn, in both directions."""
        counted = self.undisturbed["counted"]
        for number in range(first, max(counted[f"{wanted} step"] for wanted in OTHER) + 1):
            for _ in OTHER:
                yield self._done(self.kill(Kill(OTHER[self.now], how, "step", number)))

    @property
    def now(self) -> str:
        """The state that the machine is in."""
        return str(self.undisturbed["now"])

    def _done(self, kill: Kill) -> Kill:
        if kill.wanted != UPGRADE:
            self.arrived(kill.wanted)
        return kill

    def arrived(self, state: str) -> None:
        """Note the state that the machine is in."""
        self._reference.write_text(json.dumps({**self.undisturbed, "now": state}))


def one(wanted: str, counted: Mapping[str, Any], chosen: random.Random, how: str, at: str) -> Kill:
    """A kill at random: of a sort that is not named, and at any time until the command ends undisturbed."""
    kind = chosen.choice(["step", "moment", "time", "time"]) if at == "any" else at
    way = chosen.choice(["all", "all", "alone", "power"]) if how == "any" else how
    last = counted[f"{wanted} {kind}"]
    number = chosen.uniform(0.1, 0.8 * last) if kind == "time" else chosen.randint(1, last)
    return Kill(wanted, way, kind, number)


# the project itself, of which one kill may have brought another version than the next
PROJECT = re.compile(
    r"/site-packages/(tljh|the_littlest_jupyterhub-[^/]*)/|/state/wheels/|/hub-N/tljh-environment.json$"
)


def difference(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """What differs between two looks, a line for each thing."""
    found = []
    for name, value in one.items():
        if isinstance(value, dict):
            paths = sorted(path for path in {**value, **other[name]} if value.get(path) != other[name].get(path))
            paths = [path for path in paths if not PROJECT.search(path)]
            found += [f"{path}: {value.get(path)} -> {other[name].get(path)}" for path in paths]
        else:
            found += [f"{name}: - {row}" for row in value if row not in other[name]]
            found += [f"{name}: + {row}" for row in other[name] if row not in value]
    return found


def made(name: str, rounds: int = 2, *, upgrades: bool = True) -> Crashes:
    """A fresh machine with a hub, which has been to both states, so many times."""
    crashes = Crashes(Server(Machine(name, binds=SHARED_CACHE).up()))
    crashes.prepare(rounds, upgrades=upgrades)
    return crashes


def existing(name: str, *, newly: bool = False) -> Crashes:
    """One that ``made`` has made.

    Args:
        newly: Put the checkout as it is now into it.
    """
    machine = Machine(name, binds=SHARED_CACHE)
    machine.boot()
    return Crashes(Server(machine, checkout=newly))


def sorts_of_kills(parser: argparse.ArgumentParser) -> None:
    """The options that say how many kills, and which."""
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--how", default="any", choices=["all", "alone", "power", "any"])
    parser.add_argument("--at", default="any", choices=["step", "moment", "time", "any"])
    parser.add_argument("--seed", type=int, default=1)


def tell(kills: Iterable[Kill]) -> int:
    """Print each kill when it is done; the exit status says whether all ended well."""
    failed = 0
    for kill in kills:
        print(kill, flush=True)
        failed += bool(kill.problems)
    return 1 if failed else 0


def main() -> int:
    """The command line; the exit status says whether all ended well."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("verb", choices=["up", "again", "kill", "steps", "rm"])
    parser.add_argument("name")
    sorts_of_kills(parser)
    parser.add_argument("--first", type=int, default=1)
    given = parser.parse_args()
    if given.verb == "up":
        print(json.dumps(made(given.name).undisturbed["counted"]))
        return 0
    if given.verb == "rm":
        Machine(given.name).remove()
        return 0
    crashes = existing(given.name, newly=given.verb == "again")
    if given.verb == "again":
        crashes.server.bootstrap().check()
        for wanted in (WITH, WITHOUT, WITH):  # also what an earlier checkout has left comes to rest
            crashes.run(wanted)
        crashes.see_undisturbed(1)
        print(json.dumps(crashes.undisturbed["counted"]))
        return 0
    if given.verb == "steps":
        done = crashes.each_step(given.first, "all" if given.how == "any" else given.how)
    else:
        done = crashes.some(given.kills, given.seed, given.how, given.at)
    return tell(done)


if __name__ == "__main__":
    sys.exit(main())
