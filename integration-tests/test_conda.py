"""A user environment of conda's packages: from a real channel, kept, mended, switched, and never half there."""

from __future__ import annotations

import json
import os
import random
import re
import time
from collections.abc import Callable
from typing import Any

import channel
import pytest
from result import Result
from server import SCIENCE, Server

VERSIONS = "import humanize, emoji, sys; print(humanize.__version__, emoji.__version__, sys.prefix)"
MOMENTS = int(os.environ.get("TLJH_KILLS", "8"))  # at which a build is killed


@pytest.fixture(scope="module")
def hub(make_server: Callable[..., Server]) -> Server:
    server = make_server("conda")
    del server.machine.env["CONDA_OFFLINE"]
    channel.place(channel.local(), server.machine)
    url = channel.serve(server.machine)
    server.install("--channel", url, "--plugin", SCIENCE)
    return server


def packages(server: Server) -> dict[str, dict[str, Any]]:
    """``tljh env packages``: by name."""
    rows = json.loads(server.tljh("env", "packages", "--json").check().stdout)["packages"]
    return {row["name"]: row for row in rows}


def generation(server: Server) -> str:
    return server.machine.run("readlink", "/opt/tljh/user").check().stdout.strip()


def wish(server: Server, *specs: str) -> None:
    """Ask for these conda packages in config.yaml, and no others."""
    key = "user_environment.packages.conda"
    server.machine.run("tljh-config", "unset", key)
    for spec in specs:
        server.machine.run("tljh-config", "add-item", key, spec).check()


# ---- what an admin gets


def test_nothing_to_change_afterwards(hub: Server) -> None:
    assert hub.first_plan == (0, [])


def test_a_notebook_runs_in_it(hub: Server) -> None:
    humanize, emoji, prefix = hub.cell(VERSIONS).split()
    assert humanize.startswith("4.9."), "conda's, in the version that the plugin wants"
    assert emoji
    assert prefix == "/opt/tljh/envs/user-1", "a server never runs through the link"


def test_who_asked_for_what(hub: Server) -> None:
    found = packages(hub)
    assert (found["humanize"]["manager"], found["humanize"]["origins"]) == ("conda", ["science"])
    assert (found["emoji"]["manager"], found["emoji"]["origins"]) == ("pip", ["science"])
    assert (found["jupyterlab"]["manager"], found["jupyterlab"]["origins"]) == ("conda", ["core"])


def test_pip_of_the_environment_works_for_admins_and_for_people(hub: Server) -> None:
    hub.machine.sh("sudo -E /opt/tljh/user/bin/pip install -q pyjokes").check()
    hub.assert_converged()
    assert packages(hub)["pyjokes"]["origins"] == ["by hand"]
    pip = "import subprocess, sys; subprocess.run([sys.executable, '-m', 'pip', *'{}'.split()], check=True)"
    hub.cell(pip.format("install -q --user wikitextparser"))
    assert "wikitextparser" in hub.cell("import wikitextparser; print(wikitextparser.__name__)")


def test_the_same_command_again_changes_nothing(hub: Server) -> None:
    before, pids = hub.snapshot(), hub.pids()
    again = hub.tljh("install").check()
    assert "Nothing to change" in again.output
    assert hub.snapshot() == before
    assert hub.pids() == pids


# ---- another generation


def test_a_new_wish_makes_a_generation_and_keeps_what_was_installed_by_hand(hub: Server) -> None:
    running = hub.cell("import sys; print(sys.prefix)")
    record = json.dumps({"requested_spec": "idna", "requested_specs": ["idna ==3.7"]})
    by_hand(hub, "idna", record)
    wish(hub, "cowsay")
    hub.tljh("install").check()
    assert generation(hub) == "envs/user-2"
    found = packages(hub)
    assert found["cowsay"]["origins"] == ["config.yaml"]
    assert found["pyjokes"]["origins"] == ["by hand"]
    hub.assert_converged()
    assert hub.cell("import sys; print(sys.prefix)") == running, "a running server keeps its own"
    assert hub.machine.exists("/opt/tljh/envs/user-1"), "what a server runs from stays"


def by_hand(server: Server, name: str, more: str) -> None:
    """What ``conda install NAME`` leaves of a package that is there: its record says that it was asked for."""
    script = """
import glob, json, sys
path = glob.glob(f"/opt/tljh/user/conda-meta/{sys.argv[1]}-*.json")[0]
said = json.load(open(path)); said.update(json.loads(sys.argv[2])); json.dump(said, open(path, "w"))
"""
    server.machine.run("/usr/bin/python3", "-c", script, name, more).check()


def test_its_byte_code_is_the_other_generations(hub: Server) -> None:
    script = "cd /opt/tljh/envs && cmp user-1/{0} user-2/{0} && stat -c %h user-2/{0}"
    module = "lib/python3.11/site-packages/jupyterlab/__pycache__/labapp.cpython-311.pyc"
    hub.machine.sh(script.format(module)).check()


def test_going_back_builds_nothing(hub: Server) -> None:
    wish(hub)
    started = time.monotonic()
    hub.tljh("install").check()
    assert generation(hub) in ("envs/user-1", "envs/user-3")
    assert "cowsay" not in packages(hub)
    assert time.monotonic() - started < 60
    hub.assert_converged()


def test_a_rollback_brings_back_condas_packages(hub: Server) -> None:
    before = packages(hub)
    wish(hub, "cowsay")
    hub.tljh("install").check()
    assert "cowsay" in packages(hub)
    hub.tljh("rollback", "--yes").check()
    assert packages(hub) == before
    hub.assert_converged()
    assert hub.cell("import humanize; print('here')") == "here\n"


# ---- damage


def test_a_changed_file_is_found_and_mended(hub: Server) -> None:
    file = "/opt/tljh/user/lib/python3.11/site-packages/humanize/time.py"
    hub.machine.sh(f"echo '# spoiled' >> {file}; rm /opt/tljh/user/bin/jupyter-lab").check()
    verified = hub.tljh("env", "verify")
    assert verified.returncode == 2, verified
    assert "humanize/time.py" in verified.output and "bin/jupyter-lab" in verified.output
    hub.tljh("env", "verify", "--repair", "--yes").check()
    assert hub.tljh("env", "verify").returncode == 0
    assert "spoiled" not in hub.machine.read(file)


def test_a_removed_package_is_shown_and_mended(hub: Server) -> None:
    hub.machine.sh("rm /opt/tljh/user/conda-meta/humanize-*.json").check()
    status, changes = hub.plan()
    assert status == 2
    assert any(change["key"] == "conda:humanize" for change in changes)
    hub.tljh("install").check()
    hub.assert_converged()


# ---- what cannot be


REFUSED = {
    "no solution": (
        ["humanize >=4.12"],
        [r"science asks for humanize <4\.12", r"config\.yaml asks for humanize >=4\.12"],
    ),
    "no such package": (["there-is-no-such-package"], ["there-is-no-such-package", "config.yaml"]),
    "no spec": (["python >>3"], ["python >>3", "config.yaml"]),
    "they exclude each other": (["stays-behind", "moves-on"], ["moves-on", "science asks for humanize"]),
}  # fmt: skip


@pytest.mark.parametrize("kind", REFUSED)
def test_what_cannot_be_is_refused_and_the_old_environment_serves(hub: Server, kind: str) -> None:
    specs, words = REFUSED[kind]
    before, envs = generation(hub), hub.machine.run("ls", "/opt/tljh/envs").stdout
    wish(hub, *specs)
    refused(hub.tljh("install"), *words)
    refused(hub.tljh("plan"), *words)
    wish(hub)
    assert (generation(hub), hub.machine.run("ls", "/opt/tljh/envs").stdout) == (before, envs)
    hub.assert_converged()


def refused(result: Result, *words: str) -> None:
    assert result.returncode == 1, f"{result}"
    assert "Traceback" not in result.output, f"{result}"
    missing = [word for word in words if not re.search(word, result.output)]
    assert not missing, f"it does not say {missing}\n{result}"


FAULTS = {
    "dies mid-download": (["cut:*cowsay*"], ["cowsay"]),
    "garbage": (["garble:*cowsay*"], ["cowsay", "not the one that the channel's index"]),
    "gone": (["status:404:*cowsay*"], ["cowsay", "404"]),
    "error": (["status:500:*repodata*"], [r"127\.0\.0\.1:8900", "500"]),
}  # fmt: skip


@pytest.mark.parametrize("kind", FAULTS)
def test_a_channel_with_a_fault(hub: Server, kind: str) -> None:
    faults, words = FAULTS[kind]
    before = generation(hub)
    hub.machine.sh("rm -rf /opt/tljh/cache/conda/pkgs/cowsay* /opt/tljh/cache/conda/repodata").check()
    channel.serve(hub.machine, *faults)
    wish(hub, "cowsay")
    try:
        refused(hub.tljh("install", timeout=120), *words)
        assert generation(hub) == before
    finally:
        channel.serve(hub.machine)
        wish(hub)
    hub.assert_converged()


def test_a_disk_without_room(hub: Server) -> None:
    before = generation(hub)
    pkgs = "/opt/tljh/cache/conda/pkgs"
    hub.machine.sh(f"mount -t tmpfs -o size=64k tmpfs {pkgs}").check()
    wish(hub, "cowsay")
    try:
        refused(hub.tljh("install"), "no room left on the disk", "make room")
        assert generation(hub) == before
    finally:
        hub.machine.sh(f"umount {pkgs}").check()
        wish(hub)
    hub.assert_converged()


# ---- the plug


def test_a_build_that_is_killed_leaves_no_trace_in_the_end(hub: Server) -> None:
    """At random moments of a build: the next run ends in the same tree as an undisturbed one."""
    wishes: tuple[tuple[str, ...], ...] = (("cowsay",), ())
    wanted, seconds = [], []
    for specs in wishes:
        wish(hub, *specs)
        forget_others(hub)
        seconds.append(hub.tljh("install").check().seconds)
        wanted.append(hub.tree())
    chance = random.Random(20)
    for number, moment in enumerate(chance.uniform(0.1, min(seconds)) for _ in range(MOMENTS)):
        wish(hub, *wishes[number % 2])
        forget_others(hub)
        building = hub.machine.popen("tljh", "install")
        time.sleep(moment)
        hub.machine.sh("pkill -KILL -f 'tljh.installer|bin/tljh install|conda.worker|bytecode_worker|bin/uv'")
        building.communicate(timeout=60)
        hub.tljh("install").check()
        assert difference(hub.tree(), wanted[number % 2]) == [], f"killed after {moment:.1f} s"
        left = [
            name for name in hub.machine.run("ls", "/opt/tljh/envs").stdout.split() if name.startswith("user-")
        ]
        assert len(left) <= 3, left
    hub.assert_converged()


def forget_others(server: Server) -> None:
    """So that the next wish must be built: nothing that was built earlier is there to go back to."""
    current = generation(server).rpartition("/")[2]
    server.machine.sh(f"cd /opt/tljh/envs && ls -d user-* | grep -vx {current} | xargs -r rm -rf").check()


def difference(one: dict[str, list[str]], other: dict[str, list[str]]) -> list[str]:
    return sorted(path for path in one.keys() | other.keys() if one.get(path) != other.get(path))[:10]


# ---- another machine


def test_pypi_where_no_channel_answers(make_server: Callable[..., Server]) -> None:
    server = make_server("no-channel")
    del server.machine.env["CONDA_OFFLINE"]
    done = server.bootstrap("--admin", "admin", "--channel", "http://127.0.0.1:9/nothing").check()
    assert (
        "user environment from PyPI: the conda channel http://127.0.0.1:9/nothing does not answer" in done.output
    )
    server.assert_converged()
    refused(server.tljh("install", "--plugin", SCIENCE), "plugin science 1.0 wants humanize <4.12", "one of three")
    server.machine.run("tljh-config", "set", "user_environment.pypi_names.humanize", "humanize<4.12").check()
    server.tljh("install", "--plugin", SCIENCE).check()
    server.assert_converged()
