#!/usr/bin/env python3
"""How long conda's user environment takes, and how much memory, beside bare rattler and bare uv.

Everything happens in one fresh machine. The two sides take turns, so that what else the computer does meets both;
processor seconds are told beside the clock's. Both sides are whole processes, started the same way.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import channel
from bench_lines import Cost, Line, Memory, Meter, compared, limited, used_by
from machine import Machine
from server import SCIENCE, THERE, Server

PYTHON = "/opt/tljh/hub/bin/python"
UV = "/opt/tljh/bin/uv"
ENVS = "/opt/tljh/envs"
INSIDE = f"{THERE}/integration-tests/bench_conda_inside.py"
BARE = f"{THERE}/integration-tests/bare_rattler.py"
LARGE = "/srv/large"  # where the channel of conda-forge's size is seen in the machine
LARGE_PORT = 8901
LONG = 86_400  # seconds for which an index may be used again: longer than a benchmark takes
FIVE = ("cowsay", "stays-behind", "humanize ==4.9.0", "idna ==3.7", "six ==1.16.0")
"""Packages in which two generations differ."""
PIP = (("emoji",), ("pandas", "flask", "sympy", "networkx"))
"""What pip's part is asked for: as little as can be, and 150 MB; of what these need, conda has some.

The first has no limit: to find the few of 15,000 files that have no byte code takes longer than uv's install."""
ALIKE = ("--link-mode", "copy", "--compile-bytecode")
"""So that uv alone leaves what we leave: files that no cache shares, and their byte code."""
MEMORY = 600.0  # megabytes

Measured = tuple[dict[str, Cost], dict[str, Any]]


@dataclass
class Bench:
    """A server whose user environment is conda's, and how often each thing is done."""

    server: Server
    rounds: int
    made: list[str] = field(default_factory=list)

    # ---- one measured call

    def inside(self, *words: str, env: dict[str, str] | None = None) -> Measured:
        """What ``bench_conda_inside`` measured: the parts, and all that it says."""
        done = self.server.machine.run(PYTHON, INSIDE, *words, env=env).check()
        said = json.loads(done.stdout.splitlines()[-1])
        return {name: Cost(*pair) for name, pair in said["parts"].items()}, said

    def command(self, *words: str, env: dict[str, str] | None = None) -> Cost:
        """What a command in the machine takes."""
        return self.inside("command", "--", *words, env=env)[0]["whole"]

    def fresh(self, folder: str) -> str:
        """A path below ``folder`` that nothing has had before.

        Where many files have just been removed, ext4 makes new ones two times slower, for a minute or so. So
        nothing is removed until all is measured.
        """
        self.made.append(f"{folder}/bench{len(self.made)}")
        return self.made[-1]

    def environment(self) -> str:
        """The name of an environment that is not there; see ``bench_conda_inside``."""
        return self.fresh(ENVS).rpartition("/")[2]

    # ---- what is measured

    def first_builds(self) -> list[Line | Memory]:
        """The whole first build from a warm cache, against bare rattler and compileall."""
        specs = self.inside("wishes")[1]["specs"]
        bare = [PYTHON, BARE, "--channel", f"http://127.0.0.1:{channel.PORT}", "--cache", self.fresh("/root")]
        ours: dict[str, list[Cost]] = {}
        theirs: dict[str, list[Cost]] = {"rattler": [], "compileall": []}
        peaks = []
        for number in range(self.rounds + 1):
            prefix = self.fresh("/root")
            parts, said = self.inside("build", self.environment())
            rattler = self.command(*bare, "--prefix", prefix, *specs)
            compileall = self.command(f"{prefix}/bin/python", "-m", "compileall", "-q", "-j2", f"{prefix}/lib")
            if number:  # the first round fills caches
                peaks.append(self.inside("link", self.environment())[1]["peak"])
                for name, spent in parts.items():
                    ours.setdefault(name, []).append(spent)
                theirs["rattler"].append(rattler)
                theirs["compileall"].append(compileall)
        bare_whole = [rattler + compileall for rattler, compileall in zip(*theirs.values(), strict=True)]
        packages = said["packages"]
        return [
            compared(
                f"first build of {packages} packages, verified, from a warm cache",
                ours.pop("whole"),
                bare_whole,
                1.3,
            ),
            *(compared(f"  its {name}", costs, bare_whole) for name, costs in ours.items()),
            *(compared(f"  bare: {name}", costs, bare_whole) for name, costs in theirs.items()),
            Memory("memory: install (link)", max(peaks), MEMORY),
        ]

    def switches(self) -> list[Line | Memory]:
        """``tljh install`` until the next generation serves, which differs from the last in five packages."""
        until, whole = [], []
        for number in range(2 * self.rounds):
            self._wish(() if number % 2 else FIVE)
            self._hide_others()
            switched, ended = self._switched()
            until.append(switched)
            whole.append(ended)
        self._wish(())
        self.server.tljh("install").check()
        looking = [self.command("tljh", "plan") for _ in range(2 * self.rounds)]
        return [
            limited("five packages differ: tljh install until switched", until, 6.0),
            limited("  until it has ended", whole),
            limited("tljh plan, nothing to change: what it takes to look", looking),
        ]

    def _wish(self, specs: Sequence[str]) -> None:
        key = "user_environment.packages.conda"
        self.server.machine.run("tljh-config", "unset", key)
        for spec in specs:
            self.server.machine.run("tljh-config", "add-item", key, spec).check()

    def _hide_others(self) -> None:
        """So that nothing that was built earlier can be gone back to, and nothing is there to be removed."""
        place = self.fresh("/opt/tljh")
        script = f"mkdir {place} && cd {ENVS} && ls -d user-* | grep -vx $(basename $(readlink ../user))"
        self.server.machine.sh(f"{script} | xargs -r mv -t {place}").check()

    def _switched(self) -> tuple[Cost, Cost]:
        """What it takes until the link leads elsewhere, and until all is done."""
        link = self.server.machine.root / "opt/tljh/user"
        before, meter = os.readlink(link), Meter()
        process = self.server.machine.popen("tljh", "install")
        while os.readlink(link) == before and process.poll() is None:
            time.sleep(0.005)
        switched = Cost(meter.cost().wall, used_by(process.pid))
        said, _ = process.communicate()
        assert process.returncode == 0 and os.readlink(link) != before, f"it did not switch\n{said}"
        return switched, meter.cost()

    def checks(self) -> list[Line | Memory]:
        """What an install that changes nothing does about the user environment."""
        costs = [self.inside("check")[0]["check"] for _ in range(2 * self.rounds + 1)]
        return [limited("converged check of the user environment", costs, 0.15)]

    def solves(self) -> list[Line | Memory]:
        """A solve from an index of conda-forge's size, against bare rattler, and its memory."""
        http = channel.serve(self.server.machine, folder=LARGE, port=LARGE_PORT, max_age=LONG)
        specs = self.inside("wishes")[1]["specs"]
        lines: list[Line | Memory] = []
        for kind, url in (("http", http), ("file", f"file://{LARGE}")):
            for cache in ("cold", "warm"):
                lines += self._solves(kind, cache, url, specs)
        channel.stop_serving(self.server.machine, LARGE_PORT)
        return lines

    def _solves(self, kind: str, cache: str, url: str, specs: Sequence[str]) -> list[Line | Memory]:
        ours, theirs, calls, bare_calls, peaks, bare_peaks = [], [], [], [], [], []
        places: tuple[str, str] | None = None
        for number in range(self.rounds + (cache == "warm")):
            if places is None or cache == "cold":
                places = self.fresh("/root"), self.fresh("/root")
            parts, said = self.inside("solve", url, "--cache", places[0])
            bare = [PYTHON, BARE, "--channel", url, "--cache", places[1], *specs]
            bare_parts, bare_said = self.inside("command", "--", *bare)
            answer = json.loads(bare_said["output"])
            peaks.append(said["peak"])
            bare_peaks.append(answer["peak"])
            if number or cache == "cold":  # otherwise the first round fills the cache
                ours.append(parts["solve"])
                calls.append(Cost(said["seconds"]))
                theirs.append(bare_parts["whole"])
                bare_calls.append(Cost(answer["solve"]))
        return [
            compared(f"solve, {kind}, {cache} index of 500,000 records", ours, theirs, 1.2),
            compared("  without the start of the process", calls, bare_calls, 1.2),
            Memory(f"memory: solve, {kind}, {cache}", max(peaks), MEMORY, f"bare: {max(bare_peaks):.0f} MB"),
        ]

    def pip_parts(self) -> list[Line | Memory]:
        """pip's part, against ``uv pip install`` of the same into an environment that is alike."""
        return [line for asked in PIP for cache in ("cold", "warm") for line in self._pip_parts(asked, cache)]

    def _pip_parts(self, asked: Sequence[str], cache: str) -> list[Line | Memory]:
        ours: dict[str, list[Cost]] = {}
        theirs = []
        places: tuple[str, str] | None = None
        for number in range(self.rounds + (cache == "warm")):
            if places is None or cache == "cold":
                places = self.fresh("/root"), self.fresh("/root")
            mine, bare = self.environment(), self.environment()
            self.inside("link", mine, "--compiled")
            self.inside("link", bare, "--compiled")
            parts, said = self.inside("pip", mine, *asked, "--cache", places[0])
            python = f"{ENVS}/{bare}-1/bin/python"
            words = (UV, "pip", "install", "--quiet", *ALIKE, "--python", python, *asked)
            bare_cost = self.command(*words, env={"UV_CACHE_DIR": places[1]})
            if number or cache == "cold":  # otherwise the first round fills the cache
                theirs.append(bare_cost)
                for name, spent in parts.items():
                    ours.setdefault(name, []).append(spent)
        what = f"pip's part, {', '.join(asked)} ({said['packages']}), {cache} cache"
        return [
            compared(what, ours["whole"], theirs, 1.2 if len(asked) > 1 else None),
            compared("  its resolve", ours["resolve"], theirs),
            compared("  its install", ours["install"], theirs),
            compared("  its byte code", ours["byte code"], theirs),
        ]


def server_with_conda() -> Server:
    """A machine whose user environment comes from the tests' channel; the large one is there too."""
    machine = Machine("bench-conda", binds={channel.large().folder: LARGE}).up()
    server = Server(machine, cache=False)
    del machine.env["CONDA_OFFLINE"]
    channel.place(channel.local(), machine)
    server.install("--channel", channel.serve(machine, max_age=LONG), "--plugin", SCIENCE)
    return server


SECTIONS = {
    "switch": Bench.switches,
    "check": Bench.checks,
    "build": Bench.first_builds,
    "solve": Bench.solves,
    "pip": Bench.pip_parts,
}


def measure(rounds: int, wanted: Sequence[str] = (), server: Server | None = None) -> None:
    """Measure and print.

    Args:
        rounds: How often each thing is measured; the median counts.
        wanted: Names of ``SECTIONS``; all when empty.
        server: One that is there already.
    """
    mine = server or server_with_conda()
    bench = Bench(mine, rounds)
    try:
        for name, section in SECTIONS.items():
            for line in section(bench) if name in (wanted or SECTIONS) else ():
                print(line, flush=True)
        load = Path("/proc/loadavg").read_text().split()[:2]
        print(f"load of this computer, in the last minute and the last five: {', '.join(load)}")
    finally:
        if not server:
            mine.machine.remove()


def main() -> None:
    assert __doc__
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="how often each thing is measured")
    parser.add_argument("sections", nargs="*", choices=[*SECTIONS, []], help="all when none is named")
    given = parser.parse_args()
    measure(given.rounds, given.sections)


if __name__ == "__main__":
    main()
