"""From a bundle, on a machine whose network has no way out: the same hub as where the bundle was made."""

from __future__ import annotations

import json
from collections.abc import Callable

import channel
import pytest
from server import ADMIN, SCIENCE, Server, generated_password

BUNDLE = "/root/hub.tar.zst"
VERSIONS = (
    "import humanize, emoji, jupyterlab as lab; print(humanize.__version__, emoji.__version__, lab.__version__)"
)
# what uv notes of a wheel that it read from a folder: when that file was changed
NOTE = "uv_cache.json"


@pytest.fixture(scope="module")
def online(make_server: Callable[..., Server]) -> Server:
    """Where bundles are made: conda's packages from a channel that only this machine has."""
    server = make_server("bundle-online")
    del server.machine.env["CONDA_OFFLINE"]
    channel.place(channel.local(), server.machine)
    url = channel.serve(server.machine)
    server.install("--channel", url, "--plugin", SCIENCE)
    return server


@pytest.fixture(scope="module")
def made(online: Server) -> Server:
    online.tljh("bundle", "create", BUNDLE, timeout=600).check()
    return online


@pytest.fixture(scope="module")
def bare(made: Server, make_server: Callable[..., Server]) -> Server:
    """A machine that never saw the network, with the two files on it."""
    server = make_server("bundle-offline", cache=False)
    cut_off(server)
    for name in ("hub.tar.zst", "bootstrap.py"):
        server.machine.copy_in(made.machine.root / "root" / name, f"/root/{name}")
    return server


@pytest.fixture(scope="module")
def offline(bare: Server) -> Server:
    bare.first = from_bundle(bare, BUNDLE, "--admin", ADMIN).check()
    bare.password = generated_password(bare.first.output)
    bare.first_plan = bare.plan()
    return bare


def cut_off(server: Server) -> None:
    """Take the machine's only way out for good: what is left is the loopback of its own network namespace."""
    if server.machine.run("ip", "link", "delete", "tap0").returncode != 0:
        pytest.skip("this host gives machines no network of their own")
    # nothing may help it from inside either
    server.machine.env.clear()


def from_bundle(server: Server, bundle: str, *arguments: str, timeout: float = 900.0):  # type: ignore[no-untyped-def]
    return server.machine.run("python3", "/root/bootstrap.py", "--bundle", bundle, *arguments, timeout=timeout)


def versions(server: Server) -> dict[str, tuple[str, str]]:
    rows = json.loads(server.tljh("env", "packages", "--json").check().stdout)["packages"]
    return {row["name"]: (row["manager"], row["version"]) for row in rows}


# ---- the bundle


def test_what_a_bundle_holds(made: Server) -> None:
    shown = json.loads(made.tljh("bundle", "show", BUNDLE, "--json").check().stdout)
    kinds = {name.partition("/")[0] for name in shown["files"]}
    assert kinds == {"bootstrap.py", "uv", "wheels", "conda", "apt", "lock"}
    assert {"lock/conda-lock.yml", "lock/requirements-hub.lock", "apt/Packages"} <= set(shown["files"])
    assert [name for name in shown["files"] if name.startswith("apt/git_")]
    assert shown["system"] == "debian 12"
    assert any("science" in spec for spec in shown["plugins"])


def test_the_same_machine_gives_the_same_bundle(made: Server) -> None:
    again = json.loads(made.tljh("bundle", "create", "/root/again.tar.zst", "--json", timeout=600).check().stdout)
    before = json.loads(made.tljh("bundle", "show", BUNDLE, "--json").check().stdout)
    assert again["files"] == before["files"]
    assert again["sha256"] == before["sha256"]
    made.machine.run("rm", "/root/again.tar.zst").check()


def test_to_make_one_changes_nothing(made: Server) -> None:
    made.assert_converged()
    assert made.machine.sh("ls -A /root | grep '^[.]hub'").stdout == "", "work was left behind"


# ---- before anything is changed


def test_there_is_no_way_out(bare: Server) -> None:
    links = bare.machine.run("ip", "-o", "link").check().stdout
    assert links.count("\n") == 1 and " lo: " in links, links
    assert bare.machine.run("ip", "route").stdout == ""
    assert bare.machine.run("curl", "-sS", "-m", "5", "https://pypi.org/simple/").returncode != 0


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        # a byte in the middle; the last part is missing; the last bytes are missing
        ("printf X | dd of=$F bs=1 seek=$(($(stat -c %s $F) / 2)) conv=notrunc status=none", "/"),
        ("truncate -s $(($(stat -c %s $F) * 9 / 10)) $F", "wheels/"),
        ("truncate -s -3 $F", "the file ends too early"),
    ],
)
def test_a_damaged_bundle_is_refused_before_any_change(bare: Server, damage: str, said: str) -> None:
    before = bare.snapshot()
    bare.machine.sh(f"F=/root/damaged.tar.zst; cp {BUNDLE} $F; {damage}").check()
    refused = from_bundle(bare, "/root/damaged.tar.zst", "--admin", ADMIN)
    bare.machine.run("rm", "/root/damaged.tar.zst").check()
    assert refused.returncode == 1
    assert "damaged, cut off or was changed: " in refused.stderr
    assert said in refused.stderr.partition("was changed: ")[2], refused.stderr
    assert bare.snapshot() == before
    assert not bare.machine.exists("/opt/tljh")


def test_a_bundle_for_another_system_says_both(bare: Server) -> None:
    bare.machine.run("sed", "-i", 's/VERSION_ID="12"/VERSION_ID="13"/', "/usr/lib/os-release").check()
    refused = from_bundle(bare, BUNDLE, "--admin", ADMIN)
    bare.machine.run("sed", "-i", 's/VERSION_ID="13"/VERSION_ID="12"/', "/usr/lib/os-release").check()
    assert refused.returncode == 1
    assert "found:  debian 13, " in refused.stderr and "needed: debian 12, " in refused.stderr
    assert not bare.machine.exists("/opt/tljh")


# ---- installed from it


def test_nothing_to_change_afterwards(offline: Server) -> None:
    assert offline.first_plan == (0, [])


def test_a_notebook_has_the_same_versions(online: Server, offline: Server) -> None:
    assert offline.cell(VERSIONS) == online.cell(VERSIONS)
    assert versions(offline) == versions(online)
    hubs = [json.loads(server.tljh("status", "--json").check().stdout)["hub"] for server in (online, offline)]
    assert hubs[0] == hubs[1]


def test_the_user_environment_is_the_same_tree(online: Server, offline: Server) -> None:
    here, there = offline.tree(), online.tree()
    noted = [path for path in here if path.endswith(f".dist-info/{NOTE}")]
    listing = [path.replace(NOTE, "RECORD") for path in noted]  # which names the note too
    assert set(here) - set(noted) == set(there)
    assert [path for path in there if here[path] != there[path] and path not in listing] == []


def test_it_keeps_to_itself(offline: Server) -> None:
    modes = offline.machine.run("stat", "-c", "%a %U", "/opt/tljh/state/bundle").check().stdout
    assert modes == "700 root\n"


def test_the_same_command_again_changes_nothing(offline: Server) -> None:
    pids = offline.pids()
    again = from_bundle(offline, BUNDLE).check()
    assert "Nothing to change" in again.output
    assert offline.pids() == pids
    offline.assert_converged()


def test_what_is_damaged_is_mended_from_the_bundle(offline: Server) -> None:
    offline.machine.sh("apt-get remove -qq -y git && ! command -v git").check()
    offline.machine.sh("rm -r /opt/tljh/user/lib/python3*/site-packages/humanize*").check()
    offline.machine.sh("rm -rf /opt/tljh/cache").check()
    offline.tljh("env", "verify", "user", "--repair", "--yes").check()
    offline.tljh("install").check()
    offline.assert_converged()
    assert offline.machine.run("git", "--version").returncode == 0
    assert "4.9" in offline.cell("import humanize; print(humanize.__version__)")


def test_what_is_not_in_the_bundle_is_said(offline: Server) -> None:
    asked = offline.tljh("install", "--plugin", "tljh-that-is-not-there")
    assert asked.returncode == 1
    assert "bundle" in asked.output
    offline.assert_converged()


def test_the_bundle_can_be_given_up(offline: Server) -> None:
    offline.tljh("bundle", "remove").check()
    assert not offline.machine.exists("/opt/tljh/state/bundle")
    offline.assert_converged()
