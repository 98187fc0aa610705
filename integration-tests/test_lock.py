"""A lock: written by one machine, read by others and by other programs, followed without a solve."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import channel
import pytest
from result import Result
from server import SCIENCE, Server

LOCK = "/root/lock"
VERSIONS = (
    "import humanize, emoji, jupyterlab; print(humanize.__version__, emoji.__version__, jupyterlab.__version__)"
)
CONDA_LOCK = "/opt/tljh/tools/conda-lock/bin/conda-lock"
# the record says which lock it was built from, and the lock one hash where a solve has several
NOT_COMPARED = ("tljh-environment.json",)


def serve(server: Server) -> str:
    del server.machine.env["CONDA_OFFLINE"]
    channel.place(channel.local(), server.machine)
    return channel.serve(server.machine)


@pytest.fixture(scope="module")
def first(make_server: Callable[..., Server]) -> Server:
    """Solves, and writes a lock."""
    server = make_server("lock")
    server.install("--channel", serve(server), "--plugin", SCIENCE)
    server.tljh("lock", "-o", LOCK).check()
    return server


@pytest.fixture(scope="module")
def second(make_server: Callable[..., Server], first: Server, tmp_path_factory: pytest.TempPathFactory) -> Server:
    """Installed from the first one's lock; its channel has no index, so that nothing could be solved."""
    server = make_server("locked")
    url = serve(server)
    server.machine.sh("rm /srv/channel/*/repodata*").check()
    folder = tmp_path_factory.mktemp("lock")
    for name in ("conda-lock.yml", "requirements-hub.lock"):
        (folder / name).write_text(first.machine.read(f"{LOCK}/{name}"))
    server.machine.copy_in(folder, LOCK)
    server.install("--lock", LOCK, "--plugin", SCIENCE, "--channel", url)
    return server


def generation(server: Server) -> str:
    return server.machine.run("readlink", "/opt/tljh/user").check().stdout.strip()


def refused(result: Result, *words: str) -> None:
    assert result.returncode == 1, f"{result}"
    assert "Traceback" not in result.output, f"{result}"
    missing = [word for word in words if not re.search(word, result.output)]
    assert not missing, f"it does not say {missing}\n{result}"


# ---- the file


def test_conda_lock_renders_it(first: Server) -> None:
    words = (
        CONDA_LOCK,
        "render",
        "-k",
        "explicit",
        "-p",
        "linux-64",
        "--filename-template",
        "/root/{platform}.lock",
    )
    first.machine.run(*words, f"{LOCK}/conda-lock.yml", timeout=120).check()
    rendered = first.machine.read("/root/linux-64.lock")
    assert "@EXPLICIT" in rendered
    assert re.search(r"(?m)^http://127\.0\.0\.1:\d+/noarch/humanize-4\.9\.0-.*\.conda#[0-9a-f]{32}$", rendered)
    assert re.search(r"(?m)^# pip emoji @ https://\S+\.whl#sha256=[0-9a-f]{64}$", rendered)


def test_rattler_reads_it(first: Server) -> None:
    script = f"""
import os, rattler
lock = rattler.LockFile.from_path("{LOCK}/conda-lock.yml")
packages = lock.default_environment().packages(lock.platforms()[0])
found = {{package.name: type(package).__name__ for package in packages}}
print(found["jupyterlab"], found["emoji"], flush=True)
os._exit(0)
"""
    said = first.machine.run("/opt/tljh/hub/bin/python", "-I", "-c", script).check().stdout
    assert said.split() == ["CondaLockedBinaryPackage", "PypiLockedPackage"]


def test_pip_reads_the_hubs(first: Server) -> None:
    words = ("/opt/tljh/bin/uv", "pip", "install", "--dry-run", "--require-hashes", "--no-deps")
    first.machine.run(
        *words, "--python", "/opt/tljh/hub/bin/python", "-r", f"{LOCK}/requirements-hub.lock"
    ).check()


def test_a_second_one_is_the_same(first: Server) -> None:
    first.tljh("lock", "-o", "/root/again").check()
    first.machine.run("diff", "-r", LOCK, "/root/again").check()
    said = json.loads(first.tljh("lock", "--json", "-o", "/root/again").check().stdout)
    assert said["files"]["conda-lock.yml"]["packages"]["linux-64"]["conda"] > 100
    assert said["moves"] == []


# ---- a machine that follows it


def test_both_have_the_same_tree_and_run_the_same(first: Server, second: Server) -> None:
    one, two = first.tree(), second.tree()
    differing = {path for path in {*one, *two} if one.get(path) != two.get(path)}
    assert differing <= set(NOT_COMPARED)
    assert first.cell(VERSIONS) == second.cell(VERSIONS)


def test_the_hubs_packages_are_the_same(first: Server, second: Server) -> None:
    list_them = "/opt/tljh/bin/uv pip freeze --python /opt/tljh/hub/bin/python | grep -v ' @ '"
    assert first.machine.sh(list_them).check().stdout == second.machine.sh(list_them).check().stdout


def test_nothing_to_change_afterwards(second: Server) -> None:
    assert second.first_plan == (0, [])
    again = second.tljh("install").check()
    assert "Nothing to change" in again.output


def test_what_the_lock_does_not_have_is_refused(second: Server) -> None:
    before = generation(second)
    second.config("add-item", "user_environment.packages.conda", "cowsay")
    words = (r"config\.yaml asks for cowsay; the lock does not have it", "tljh lock --upgrade")
    refused(second.tljh("install"), *words)
    refused(second.tljh("plan"), *words)
    second.config("unset", "user_environment.packages.conda")
    assert generation(second) == before
    second.assert_converged()


def test_a_file_that_was_changed_is_refused(second: Server) -> None:
    before = generation(second)
    spoil = f"sed '0,/ sha256: ..../s// sha256: 0000/' {LOCK}/conda-lock.yml > /root/bad/x.yml"
    second.machine.sh(f"mkdir -p /root/bad && {spoil}").check()
    words = ("a conda package is not the one that .* the lock speaks of", "hash mismatch|sha256")
    refused(second.tljh("install", "--lock", "/root/bad/x.yml"), *words)
    assert generation(second) == before
    second.assert_converged()


BROKEN = {
    "another platform": ("s/platform: linux-64/platform: osx-64/", ["is for osx-64", "this machine is linux-"]),
    "no hash": ("0,/^    sha256:/{/^    sha256:/d}", [r"x\.yml line \d+: \S+ has no sha256"]),
    "no YAML": ("7s/^/]/", [r"x\.yml line 7", "broken YAML"]),
    "another version": ("s/^version: 1/version: 6/", ["version 6", "expected version 1"]),
}  # fmt: skip


@pytest.mark.parametrize("kind", BROKEN)
def test_a_lock_that_cannot_be_used(second: Server, kind: str) -> None:
    expression, words = BROKEN[kind]
    second.machine.sh(f"mkdir -p /root/bad && sed '{expression}' {LOCK}/conda-lock.yml > /root/bad/x.yml").check()
    refused(second.tljh("install", "--lock", "/root/bad/x.yml"), *words)
    refused(second.tljh("install", "--lock", "http://127.0.0.1:9/x.yml"), "127.0.0.1:9", "could not be fetched")
    second.assert_converged()


# ---- renewed


def test_an_upgrade_moves_what_is_named(second: Server) -> None:
    channel.place(channel.local(), second.machine)
    second.config("add-item", "user_environment.packages.conda", "cowsay")
    said = json.loads(second.tljh("lock", "--upgrade", "cowsay", "--json", "-o", "/root/new").check().stdout)
    assert [(move["name"], move["before"]) for move in said["moves"]] == [("cowsay", None)]
    assert generation(second) == "envs/user-1", "a lock changes nothing but locks"
    second.tljh("install").check()
    assert generation(second) == "envs/user-2"
    assert said["follows"] and packages(second)["cowsay"]["origins"] == ["config.yaml"]
    second.assert_converged()


def test_a_rollback_brings_back_the_lock(second: Server) -> None:
    kept = "/opt/tljh/state/lock/conda-lock.yml"
    now = second.machine.read(kept)
    newest = json.loads(second.tljh("history", "-n", "1", "--json").check().stdout)["generations"][0]["generation"]
    second.tljh("rollback", "--yes").check()
    assert generation(second) == "envs/user-1"
    assert "cowsay" not in second.machine.read(kept)
    second.assert_converged()
    second.tljh("rollback", "--yes", str(newest)).check()
    assert (generation(second), second.machine.read(kept)) == ("envs/user-2", now)
    second.assert_converged()


def packages(server: Server) -> dict[str, dict[str, Any]]:
    rows = json.loads(server.tljh("env", "packages", "--json").check().stdout)["packages"]
    return {row["name"]: row for row in rows}


def test_what_was_installed_by_hand_stays_beside_it(second: Server) -> None:
    second.machine.sh("sudo -E /opt/tljh/user/bin/pip install -q pyjokes").check()
    second.assert_converged()
    second.config("unset", "user_environment.packages.conda")
    second.tljh("install", "--lock", LOCK).check()
    found = packages(second)
    assert "cowsay" not in found and found["pyjokes"]["origins"] == ["by hand"]
    second.assert_converged()


def test_a_machine_can_be_let_go(second: Server) -> None:
    second.tljh("lock", "--release").check()
    assert not second.machine.exists("/opt/tljh/state/lock")
    second.assert_converged()
