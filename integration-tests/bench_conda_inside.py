"""Does in a test machine what its installer does with conda environments, and measures the parts.

Run by the hub environment's interpreter; one thing a call, as an install does it once:

    wishes                                   what the user environment is asked to hold, as conda specs
    solve CHANNEL… [--cache FOLDER]          solve that from these channels
    build NAME                               build, verify and switch to /opt/tljh/envs/NAME-1, as a first build is
    link NAME [--compiled]                   only link conda's packages there, and give them byte code
    check                                    what an install that changes nothing does about the user environment
    pip NAME REQUIREMENT… [--cache FOLDER]   solve and install these beside the conda packages of that environment
    command -- WORD…                         run a command, to compare with

Prints one object of JSON: ``parts`` (name → seconds by the clock and of the processors; ``whole``, and a name for
each kind of program that was run), ``packages`` (how many),
``peak`` (the most memory that a process which it started had, in megabytes), ``seconds`` (what rattler's process
says that it took), ``specs`` (of ``wishes``) and ``output`` (of ``command``).
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench_lines import Cost, Meter
from tljh.engine.processes import Completed
from tljh.engine.resource import Diff
from tljh.paths import Paths
from tljh.reporter import Reporter
from tljh.resources.conda.environment import conda_distributions
from tljh.resources.environments.bytecode import compile_environment
from tljh.resources.environments.environment import Environment
from tljh.resources.environments.pip_part import compile_part, install_part
from tljh.resources.locks.lock import Lock, Requested
from tljh.stages import config, plugins, run, user_environment
from tljh.stages.context import Context, Options

KINDS = {
    r"conda\.worker$": "rattler",
    r"uv pip compile ": "resolve",
    r"uv pip install ": "install",
    r"bytecode_worker\.py ": "byte code",
    r"singleuser\.py --version|start_new_kernel": "verification",
}
"""What is in a command line → what it is for."""


class Work:
    """What can be asked for, in a context like an installer's."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.parts: dict[str, Cost] = {}
        self.said: dict[str, Any] = {}
        fact = context.facts.environment(context.paths.user)
        lock = Lock.of_record(fact.record) if fact else None
        assert lock, "the user environment is not complete"
        self.lock = lock
        self._run = context.machine.run
        self._running: list[Meter] = []
        self._counting = threading.Lock()
        context.machine.run = self._noting  # type: ignore[method-assign]

    # ---- measuring

    @contextmanager
    def measured(self, name: str) -> Iterator[None]:
        """Note what is inside under ``name``."""
        meter = Meter()
        yield
        self.parts[name] = self.parts.get(name, Cost(0.0)) + meter.cost()

    def _noting(self, command: Sequence[str | Path], **more: Any) -> Completed:
        """``Machine.run``; what runs side by side is of one kind, and is noted as one."""
        with self._counting:
            self._running.append(self._running[0] if self._running else Meter())
        try:
            done = self._run(command, **more)
        finally:
            with self._counting:
                meter = self._running.pop()
                if not self._running:
                    name = self._kind(command, more.get("input") or "")
                    self.parts[name] = self.parts.get(name, Cost(0.0)) + meter.cost()
        if "conda.worker" in str(command[-1]):
            self.said["seconds"] = json.loads(done.stdout).get("seconds")
        return done

    def _kind(self, command: Sequence[str | Path], input: str) -> str:
        line = " ".join(map(str, command))
        kind = next((kind for pattern, kind in KINDS.items() if re.search(pattern, line)), "other programs")
        return {"solve": "solve", "install": "link"}[json.loads(input)["op"]] if kind == "rattler" else kind

    def wishes(self, channels: list[str]) -> list[Requested]:
        """What the user environment was asked for, but for pip's part; from these channels where some are."""
        rows = [row for row in self.lock.requested if row.manager in ("conda", "either", "if there")]
        if not channels:
            return [*(row for row in self.lock.requested if row.manager == "channel"), *rows]
        return [*(Requested(url, "bench", "channel") for url in channels), *rows]

    # ---- what can be asked for

    def say_wishes(self) -> None:
        self.said["specs"] = [row.requirement for row in self.wishes([]) if row.manager in ("conda", "either")]

    def solve(self, channels: list[str], cache: Path | None) -> Lock:
        conda = self.context.conda
        conda.cache = cache or conda.cache
        solved = conda.resolve(self.wishes(channels), {}, place=Path("/nonexistent"))
        self.said["packages"] = len(solved.conda)
        return solved

    def build(self, name: str) -> None:
        target = self._place(name)
        with self.measured("whole"):
            environment = Environment(
                f"environment:{name}",
                link=target.with_name(name),
                lock=self.solve([], None),
                target=target,
                builder=self.context.conda,
                finish=user_environment.let_people_install,
                verify=user_environment.verify(self.context.paths),
            )
            environment.change(Diff({}, environment.desired(), {}), self.context.machine)

    def link(self, name: str, compiled: bool) -> None:
        self.said["packages"] = len(self.lock.conda)
        path = self._place(name)
        self.context.conda.link(self.lock, path)
        if compiled:
            self._byte_code(path)

    def check(self) -> None:
        context = self.context
        config.look_first(context)
        plugins.look(context)
        config.look(context)
        context.facts.refresh()
        with self.measured("check"):
            user_environment.look(context)
            stage = user_environment.UserEnvironment()
            found = [put for put in stage.resources(context) if isinstance(put, Environment)]
            assert [put.observe(context.facts) == put.desired() for put in found] == [True], "it is to be changed"

    def pip(self, name: str, requirements: list[str], cache: Path | None) -> None:
        path = self.context.paths.envs / f"{name}-1"
        rows = [Requested(line, "bench") for line in requirements]
        builder = self.context.builder
        builder.cache = cache or builder.cache
        with self.measured("whole"):
            there = conda_distributions(path)
            lines = compile_part(builder, rows, {}, python=path / "bin" / "python", there=there)
            install_part(builder, lines, path, rows)
            self._byte_code(path)
        self.said["packages"] = len(lines)

    def _byte_code(self, path: Path) -> None:
        compile_environment(self.context.machine, path / "bin" / "python", path)

    def command(self, words: list[str]) -> None:
        with self.measured("whole"):
            self.said["output"] = self.context.machine.run(words).stdout

    def _place(self, name: str) -> Path:
        """Where an environment is to be built."""
        target = self.context.paths.envs / f"{name}-1"
        assert not target.exists(), f"{target} is there already"
        return target


def main() -> None:
    assert __doc__
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["wishes", "solve", "build", "link", "check", "pip", "command"])
    parser.add_argument("words", nargs="*")
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--compiled", action="store_true")
    given = parser.parse_args()
    os.umask(0o022)
    with run.opened(Options(), Paths.from_environment(), Reporter(quiet=True), planning=True) as context:
        work = Work(context)
        calls: dict[str, Callable[[], object]] = {
            "wishes": work.say_wishes,
            "solve": lambda: work.solve(given.words, given.cache),
            "build": lambda: work.build(*given.words),
            "link": lambda: work.link(*given.words, given.compiled),
            "check": work.check,
            "command": lambda: work.command(given.words),
            "pip": lambda: work.pip(given.words[0], given.words[1:], given.cache),
        }
        calls[given.what]()
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    parts = {name: (spent.wall, spent.cpu) for name, spent in work.parts.items()}
    print(json.dumps({"parts": parts, "peak": peak, **work.said}))


if __name__ == "__main__":
    main()
