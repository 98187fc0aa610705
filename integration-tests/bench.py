#!/usr/bin/env python3
"""How long it takes, as ratios that were measured in one run: ``make bench``.

Everything is measured on fresh Debian 12 machines of the test harness with cold caches, one after the other; then
comes the conda environment (``bench_conda``).
The measure for an install is what nobody can do without: bare ``uv pip install --compile-bytecode`` of the same
two package sets. apt's time is measured by itself, on another fresh machine, and reported apart. The machines use
the host's network (port 80 must be free): one of their own takes a share of the processors that varies.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics

import bench_conda
import client
from bench_lines import Line, median, timed
from machine import Machine
from server import ADMIN, THERE, URL, Server, generated_password

APT = "git sudo"  # what tljh.stages.system_packages wants for itself


def fresh(name: str) -> Machine:
    return Machine(name, own_network=False).up()


def fresh_install(server: Server) -> float:
    """Seconds until a server was spawned and has answered."""

    def until_answer() -> None:
        done = server.bootstrap("--admin", ADMIN).check()
        server.password = generated_password(done.output)

        async def first_server() -> None:
            async with client.Hub(ADMIN, server.password, URL) as person:
                await person.login()
                await person.spawn()
                await person.open()

        server.machine.inside(lambda: asyncio.run(first_server()))

    return timed(until_answer)


def bare_apt(number: int) -> float:
    """What the system's own packages take by themselves: during an install other things are fetched meanwhile."""
    machine = fresh(f"bench-apt-{number}")
    script = f"apt-get update -qq && apt-get install -qq -y --no-install-recommends {APT}"
    try:
        return timed(lambda: machine.sh(script, env={"DEBIAN_FRONTEND": "noninteractive"}).check())
    finally:
        machine.remove()


def bare_uv(server: Server) -> float:
    """The two package sets by uv alone, from a cold cache, with the uv that bootstrap brought."""
    version = server.machine.run(
        "/opt/tljh/hub/bin/python", "-c", "import jupyterhub; print(jupyterhub.__version__)"
    )
    lists = f"{THERE}/installer/tljh/requirements"
    sets = {"hub": f"-r {lists}/hub.txt", "user": f"-r {lists}/user.txt jupyterhub=={version.stdout.strip()}"}
    uv = server.machine.sh("ls /opt/tljh/bin/uv || command -v uv").stdout.split()[0]
    script = "\n".join(
        f"{uv} venv -q --python /usr/bin/python3 /root/bare-{name}\n"
        f"{uv} pip install -q --compile-bytecode --python /root/bare-{name}/bin/python {what}"
        for name, what in sets.items()
    )
    env = {"UV_CACHE_DIR": "/root/bare-cache"}
    seconds = timed(lambda: server.machine.sh(f"set -e\n{script}", env=env).check())
    server.machine.sh("rm -rf /root/bare-*").check()
    return seconds


THOUSAND = """
from tljh.engine.store import Store
from tljh.paths import Paths
with Store(Paths.from_environment().store) as store:
    newest = store.generations(1)[0]
    record = {key: value for key, value in newest.items() if key != "id"}
    for number in range(1000):
        run = store.begin_run(f"tljh-config reload ({number})")
        store.add_generation(run, "tljh-config reload", {**record, "config": f"limits: {{memory: {number}M}}"})
        store.end_run(run, "done")
"""


def long_history(server: Server) -> float:
    """What it takes to list a thousand generations."""
    server.machine.run("/opt/tljh/hub/bin/python", "-c", THOUSAND, timeout=300).check()
    return median(5, lambda: server.tljh("history").check())


def rollback(server: Server) -> float:
    """Back from a setting and a package."""
    server.config("set", "limits.memory", "1G")
    server.config("add-item", "user_environment.packages.pip", "isodate")
    server.tljh("install").check()
    return timed(lambda: server.tljh("rollback", "--yes").check())


def hub_start(server: Server) -> float:
    server.machine.run("systemctl", "stop", "jupyterhub").check()

    def start() -> None:
        server.machine.run("systemctl", "start", "jupyterhub").check()
        server.wait()

    return timed(start)


def thirty(server: Server) -> client.Class:
    people = [f"pupil{number:02}" for number in range(30)]
    server.allow(*people)
    return server.machine.inside(lambda: asyncio.run(client.many(people, "class-of-30", URL)))


def main() -> int:
    assert __doc__
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="fresh installs to take the median of")
    parser.add_argument("--only", choices=["install", "conda"], help="one part of it")
    given = parser.parse_args()
    good = given.only == "conda" or install(given.rounds)
    if given.only != "install":
        bench_conda.measure(given.rounds + 1)
    return 0 if good else 1


def install(rounds: int) -> bool:
    """Installs from PyPI, what an installed machine does, and 30 people at once; whether all got a server."""
    installs, bare, apt = [], [], []
    server: Server | None = None
    for number in range(rounds):
        if server:
            server.machine.remove()
        server = Server(fresh(f"bench-{number}"), cache=False)
        installs.append(fresh_install(server))
        bare.append(bare_uv(server))
        server.machine.stop()
        apt.append(bare_apt(number))
        print(f"round {number + 1}: install {installs[-1]:.1f} s, apt alone {apt[-1]:.1f} s, "
              f"uv alone {bare[-1]:.1f} s", flush=True)  # fmt: skip
    assert server
    server.machine.boot()
    server.wait()
    again = server
    alone = statistics.median(bare)
    without_apt = statistics.median(total - its for total, its in zip(installs, apt, strict=True))
    lines = [
        Line("bare uv pip install of the two package sets", alone),
        Line("fresh install to the first answer, without apt", without_apt, alone, limit_ratio=1.6),
        Line("apt alone", statistics.median(apt), alone),
        Line(
            "bootstrap again, nothing to change",
            median(5, lambda: again.bootstrap("--admin", ADMIN).check()),
            alone,
            limit_seconds=2.0,
        ),
        Line(
            "tljh install, nothing to change", median(5, lambda: again.tljh("install").check()), alone, None, 0.7
        ),
        Line("tljh plan", median(5, lambda: again.tljh("plan").check()), alone, None, 0.5),
        Line("tljh --help", median(5, lambda: again.tljh("--help").check()), alone, None, 0.15),
        Line("tljh rollback of a setting and a package", rollback(again), alone, limit_seconds=5.0),
        Line(
            "tljh history, 1,000 generations",
            long_history(again),
            alone,
            limit_seconds=0.2,
        ),
        Line("hub start to the first 200 through the proxy", hub_start(again), alone),
    ]
    many = thirty(again)
    lines.append(
        Line(f"30 parallel first logins and spawns ({len(many.ready)} of 30)", many.wall, alone, None, 120.0)
    )
    seconds = timed(lambda: again.tljh("uninstall", "--purge", "--yes").check())
    lines.append(Line("tljh uninstall --purge", seconds, alone, limit_seconds=10.0))
    print(*lines, many, sep="\n")
    again.machine.remove()
    return len(many.ready) == 30


if __name__ == "__main__":
    raise SystemExit(main())
