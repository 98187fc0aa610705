"""Nothing is lost when an installer is killed, the power fails, or a disk spoils what the installer knows.

``TLJH_KILLS`` says how many kills at random (a few otherwise, 200 for a night), ``TLJH_SEED`` which ones;
``TLJH_EVERY_STEP=yes`` adds one at each journaled step, ``TLJH_PURGES`` so many of an uninstall.
"""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Iterator

import crash
import crash_purge
import pytest
from crash import Crashes

KILLS = int(os.environ.get("TLJH_KILLS", "2"))
SEED = int(os.environ.get("TLJH_SEED", "5"))
PURGES = int(os.environ.get("TLJH_PURGES", "0"))
EVERY_STEP = os.environ.get("TLJH_EVERY_STEP") == "yes"
STORE = "/opt/tljh/state/tljh.sqlite"
CONFIG = "/opt/tljh/config/config.yaml"


@pytest.fixture(scope="module")
def crashes() -> Iterator[Crashes]:
    made = crash.made("it-crash", rounds=1, upgrades=KILLS > 20)
    yield made
    made.machine.remove()


def test_killed_at_any_moment(crashes: Crashes) -> None:
    failed = [kill for kill in crashes.some(KILLS, SEED) if kill.problems]
    assert not failed, "\n".join(map(str, failed))


@pytest.mark.skipif(not EVERY_STEP, reason="takes an hour: TLJH_EVERY_STEP=yes")
def test_killed_at_every_step(crashes: Crashes) -> None:
    failed = [kill for kill in crashes.each_step() if kill.problems]
    assert not failed, "\n".join(map(str, failed))


@pytest.mark.skipif(not PURGES, reason="takes two minutes each: TLJH_PURGES=20; test_uninstall.py has one")
def test_an_uninstall_killed_at_any_moment() -> None:
    made = crash_purge.purges("it-purges")
    failed = [kill for kill in made.some(PURGES, SEED) if kill.problems]
    made.machine.remove()
    assert not failed, "\n".join(map(str, failed))


# ---- one at a time

# what a killed run leaves: a program that has its lock, whose text names a process that is gone
HOLDING = """exec 9<>/opt/tljh/state/tljh.lock; flock 9
printf '{"pid": 4000000, "command": "tljh install -v", "started": "10:11:12"}' >/opt/tljh/state/tljh.lock
touch /run/held; sleep 3"""


def test_what_a_killed_run_started_is_waited_for_and_named(crashes: Crashes) -> None:
    machine = crashes.machine
    holding = machine.popen("sh", "-c", HOLDING)
    while not machine.exists("/run/held"):
        time.sleep(0.1)
    done = crashes.server.tljh("install").check()
    assert holding.wait(10) == 0
    said = (
        r"waiting for sh \(pid \d+\)(, sleep \(pid \d+\))?, which an earlier run \(pid 4000000: tljh install -v\)"
    )
    assert re.search(said, done.output), done.output
    assert done.output.count("waiting for") <= 2, "it says so when it changes, not all the time"


def test_changes_of_the_config_during_an_install_are_not_lost(crashes: Crashes) -> None:
    machine = crashes.machine
    command = crash.COMMANDS[crash.OTHER[crashes.now]]
    install = machine.popen(*command)
    names = [f"person{number}" for number in range(8)]
    setting = [machine.popen("tljh-config", "add-item", "users.allowed", name) for name in names]
    assert [process.wait(120) for process in setting] == [0] * len(names)
    assert install.wait(300) == 0, install.communicate()[0]
    config = machine.read(CONFIG)
    assert [name for name in names if name not in config] == []
    crashes.arrived(crash.OTHER[crashes.now])
    machine.sh("tljh-config unset users.allowed && tljh install").check()


def test_interrupted_at_the_keyboard(crashes: Crashes) -> None:
    machine = crashes.machine
    # a suite that was started in the background ignores the signal, and so would all that it starts
    script = "import signal, subprocess, sys, time; signal.signal(2, signal.default_int_handler);"
    script += " p = subprocess.Popen(sys.argv[1:]); time.sleep(3); p.send_signal(2);"
    words = crash.COMMANDS[crash.OTHER[crashes.now]]
    done = machine.run("python3", "-c", f"{script} sys.exit(p.wait())", *words)
    assert done.returncode == 128 + signal.SIGINT, done.output
    assert "what is done so far stays done, and the same command goes on from here" in done.output
    machine.run(*words).check()
    crashes.arrived(crash.OTHER[crashes.now])
    assert crash.difference(crashes.undisturbed["seen"][crashes.now], crashes.look()) == []


# ---- a disk that spoils what is known

SPOIL = f"""
file = open("{STORE}", "r+b")
file.seek(4096)
file.write(b"nonsense" * 2048)
"""


def test_a_damaged_state_database_is_put_back(crashes: Crashes) -> None:
    machine, server = crashes.machine, crashes.server
    machine.run("python3", "-c", SPOIL).check()
    for verb in ("plan", "install"):
        refused = server.tljh(verb)
        assert refused.returncode == 1
        assert f"the state database {STORE} is damaged" in refused.output
        assert "its last good copy is /opt/tljh/state/backups/tljh-" in refused.output
        assert "tljh doctor --fix" in refused.output
    ill = server.tljh("doctor")
    assert ill.returncode == 1 and "state database" in ill.output
    mended = server.tljh("doctor", "--fix").check()
    assert "put back: /opt/tljh/state/backups/tljh-" in mended.output
    assert "nothing was done since" in mended.output
    server.assert_converged()
    machine.sh(f"rm {STORE}.damaged-*").check()
    assert crash.difference(crashes.undisturbed["seen"][crashes.now], crashes.look()) == []
    server.wait()
