#!/usr/bin/env python3
"""How long plugins take: loaded, asked, merged and planned at 10, 50, 200 and 400 of them; and the hub's start.

Needs no machine and no network: the plugins are made in a temporary folder as they would be installed (a module
and its ``dist-info`` each), and each asks for 50 packages. With 200 all must be done within a second, and twice as
many may take twice as long. Usage: ``python3 bench_plugins.py``, with an interpreter that has this project's
requirements.
"""

from __future__ import annotations

import argparse
import compileall
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve()
INSTALLER = HERE.parents[1] / "installer"
sys.path.insert(0, str(INSTALLER))

from bench_lines import Line, Meter, timed  # noqa: E402
from tljh.engine.facts import Facts  # noqa: E402
from tljh.engine.machine import Machine  # noqa: E402
from tljh.engine.plan import make_plan  # noqa: E402
from tljh.plugins.contributions import PluginReport, collect, environments, first_problem_error, merged  # noqa: E402
from tljh.resources.apt import AptPackages  # noqa: E402
from tljh.resources.locks.lock import Lock, Requested  # noqa: E402

NUMBERS = (10, 50, 200, 400)
COUNTED = 200
LIMIT = 1.0  # seconds for COUNTED plugins
HUB_LIMIT = 0.002  # seconds for each plugin
TIMES = 5

MODULE = '''"""A plugin like many."""

import json
import pathlib

from tljh.hooks import hookimpl


@hookimpl
def tljh_extra_apt_packages():
    return [f"bench-{number}-{{i}}" for i in range(20)]


@hookimpl
def tljh_extra_user_pip_packages():
    return [f"bench-{number}-{{i}}>=1.0" for i in range(25)]


@hookimpl
def tljh_extra_hub_pip_packages():
    return [f"bench-shared-{{i}}" for i in range(5)]


@hookimpl
def tljh_custom_jupyterhub_config(c):
    c.JupyterHub.template_vars.update({{"bench_{number}": "here"}})
    c.JupyterHub.services.append({{"name": "bench-{number}", "url": "http://127.0.0.1:1"}})


@hookimpl
def tljh_post_install():
    pathlib.Path("bench").write_text(json.dumps("{number}"))
'''

METADATA = (
    """Metadata-Version: 2.1
Name: tljh-bench-{number}
Version: 1.0
Summary: A plugin like many
Requires-Dist: requests

"""
    + "A paragraph of the README, which is part of the metadata of most packages.\n" * 40
)


def make_plugins(folder: Path, count: int) -> None:
    """Plugins as pip leaves them: a module and its ``dist-info`` each, with byte code."""
    for index in range(count):
        number = f"{index:03}"
        (folder / f"tljh_bench_{number}.py").write_text(MODULE.format(number=number))
        about = folder / f"tljh_bench_{number}-1.0.dist-info"
        about.mkdir()
        (about / "METADATA").write_text(METADATA.format(number=number))
        (about / "entry_points.txt").write_text(f"[tljh]\nbench_{number} = tljh_bench_{number}\n")
        (about / "RECORD").write_text(f"tljh_bench_{number}.py,,\n")
        (about / "INSTALLER").write_text("uv\n")
    compileall.compile_dir(folder, quiet=1)


def variables(folder: Path) -> dict[str, str]:
    """The environment of a process that has these plugins, and no installation."""
    prefix = str(folder / "tljh")
    return {"PYTHONPATH": f"{folder}:{INSTALLER}", "TLJH_PLUGINS_OFF": "", "TLJH_INSTALL_PREFIX": prefix}


@dataclass(frozen=True)
class Times:
    """Seconds of each part by the clock, and of the processors for all; for one number of plugins."""

    collect: float
    merge: float
    plan: float
    processors: float

    @property
    def all(self) -> float:
        return self.collect + self.merge + self.plan


def measured(folder: Path, count: int) -> Times:
    """One look at all plugins, as ``tljh plan`` on a machine that is as wanted does it."""
    whole = meter = Meter()
    reports = collect(Machine(), Path(sys.executable), variables=variables(folder))
    collected = meter.cost().wall
    assert len([report for report in reports if report.name.startswith("bench_")]) == count
    assert first_problem_error(reports) is None
    meter = Meter()
    wanted, rows = merge(reports)
    together = meter.cost().wall
    facts = Facts(Machine())
    meter = Meter()
    facts.deb_packages  # noqa: B018  # dpkg's list is as long without plugins
    reading = meter.cost().cpu
    lock = Lock(tuple(rows), ())
    meter = Meter()
    plan(wanted, rows, lock, facts, count)
    return Times(collected, together, meter.cost().wall, whole.cost().cpu - reading)


def merge(reports: Sequence[PluginReport]) -> tuple[dict[str, str], list[Requested]]:
    wanted: dict[str, str] = {}
    for row in merged(reports, "tljh_extra_apt_packages"):
        wanted.setdefault(row.value, row.plugin)
    hooks = ("tljh_extra_user_pip_packages", "tljh_extra_hub_pip_packages", "tljh_extra_user_conda_packages")
    rows = [Requested(row.value, row.plugin) for hook in hooks for row in merged(reports, hook)]
    assert environments(reports) == []
    return wanted, rows


def plan(wanted: dict[str, str], rows: Sequence[Requested], lock: Lock, facts: Facts, count: int) -> None:
    assert lock.asks_for_the_same(rows)
    resources = [AptPackages.of(wanted, print)]
    changes = make_plan(resources, facts, {}).changes()
    assert len([change for change in changes if change.key.startswith("bench-")]) == 20 * count


def hub_start(folder: Path) -> float:
    """Seconds that plugins add to the hub's start, in a process that has imported what the hub has anyway."""
    command = [sys.executable, str(HERE), "--hub", str(folder)]
    env = {**os.environ, **variables(folder)}
    return float(subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout)


def start_hub(folder: Path) -> None:
    """In a process of its own: load the plugins, let them configure the hub, print the seconds."""
    import jupyterhub.app  # noqa: F401
    from tljh.plugins import runtime
    from traitlets.config import Config

    c = Config()
    c.JupyterHub.authenticator_class = "firstuseauthenticator.FirstUseAuthenticator"
    c.JupyterHub.services = [{"name": "cull-idle", "command": ["python3", "-m", "jupyterhub_idle_culler"]}]
    for number in range(50):
        c.Spawner[f"trait_{number}"] = number
    state = folder / f"state-{os.getpid()}"
    state.mkdir()
    print(timed(lambda: runtime.run_hub_hooks(c, state_dir=state)))


def bench(numbers: Sequence[int]) -> list[Line]:
    """Best of several runs each, so that others' work on the same machine counts little."""
    lines: list[Line] = []
    steps: list[tuple[int, float]] = []
    none = started = 0.0
    for count in (0, *numbers):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            make_plugins(folder, count)
            measured(folder, count)  # what is read for the first time is not the question here
            best = min((measured(folder, count) for _ in range(TIMES)), key=lambda times: times.all)
            starts = min(hub_start(folder) for _ in range(TIMES))
        if count == 0:
            none, started = best.processors, starts
            lines.append(Line("no plugin", best.all))
            continue
        parts = f"[collect {best.collect:.3f}, merge {best.merge:.3f}, plan {best.plan:.3f} s; "
        parts += f"processors {best.processors:.3f} s]"
        limit = LIMIT if count == COUNTED else None
        lines.append(Line(f"{count} plugins of 50 packages", best.all, limit_seconds=limit, more=parts))
        each = (best.processors - none) / count
        against = steps[-1] if steps else None
        lines.append(
            Line(
                f"  each {each * 1000:.2f} ms of the processors"
                + (f", compared with {against[0]}" if against else ""),
                each,
                against[1] if against else None,
            )
        )
        steps.append((count, each))
        added = starts - started
        said = f"  the hub's start: {added / count * 1000:.2f} ms each"
        lines.append(Line(said, added, limit_seconds=HUB_LIMIT * count))
    return lines


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hub", metavar="FOLDER", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.hub:
        start_hub(arguments.hub)
        return 0
    lines = bench(NUMBERS)
    for line in lines:
        print(line)
    return 0 if all(line.holds for line in lines) else 1


if __name__ == "__main__":
    sys.exit(main())
