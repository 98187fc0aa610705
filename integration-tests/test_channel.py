"""The channels of the tests themselves: what the other tests rely on."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import channel
import pytest
from channel import Channel
from channel_server import ChannelServer, Fault
from conda_package import PLACEHOLDER, SUBDIR, small_package
from server import Server

SPECS = ("python 3.11.*", "jupyterlab", "notebook", "jupyterhub", "nbgitpuller", "jupyter-resource-usage", "pip")


def rattler(*words: str | Path) -> dict[str, Any]:
    """What rattler alone says to this."""
    command = [sys.executable, str(Path(__file__).with_name("bare_rattler.py")), *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.stdout, done.stderr
    return dict(json.loads(done.stdout))


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    prefix = tmp_path_factory.mktemp("conda") / "environment"
    found = rattler("--channel", channel.local().url, "--prefix", prefix, *SPECS, "setuptools")
    assert "error" not in found, found
    assert found["packages"]["python"].startswith("3.11.")
    return prefix


def run(*words: str | Path, **more: Any) -> str:
    done = subprocess.run(
        list(map(str, words)), capture_output=True, text=True, timeout=120, env={"LANG": "C.UTF-8"}, **more
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return str(done.stdout)


# ---- the main channel


def test_python_is_one_of_a_conda_prefix(environment: Path) -> None:
    script = """
import json, sys, sysconfig, importlib, pathlib, zoneinfo, ssl, site
parts = pathlib.Path(sys.prefix, "lib/python3.11/lib-dynload").glob("*.so")
for name in {path.name.partition(".")[0] for path in parts}:
    importlib.import_module(name)
print(json.dumps({
    "prefix": sys.prefix,
    "path": [path for path in sys.path[1:] if not path.startswith(sys.prefix)],
    "sites": site.getsitepackages(),
    "purelib": sysconfig.get_path("purelib"),
    "scripts": sysconfig.get_path("scripts"),
    "authorities": len(ssl.create_default_context().get_ca_certs()),
    "zones": zoneinfo.TZPATH[0],
    "zone": zoneinfo.ZoneInfo("Europe/Oslo").key,
}))
"""
    said = json.loads(run(environment / "bin/python", "-c", script))
    packages = str(environment / "lib/python3.11/site-packages")
    assert said["prefix"] == str(environment)
    assert said["path"] == [], "nothing outside of the environment is looked into"
    assert said["sites"] == [packages]
    assert said["purelib"] == packages
    assert said["scripts"] == str(environment / "bin")
    assert said["zones"] == str(environment / "share/zoneinfo")
    assert said["authorities"] > 100


def test_programs_run(environment: Path) -> None:
    assert run(environment / "bin/jupyter", "lab", "--version").startswith("4.")
    assert str(environment) in run(environment / "bin/pip", "--version")
    assert run(environment / "bin/jupyterhub-singleuser", "--version").strip()


def test_virtual_environments_can_be_made_of_it(environment: Path, tmp_path: Path) -> None:
    run(environment / "bin/python", "-m", "venv", tmp_path / "venv")
    assert str(tmp_path / "venv") in run(tmp_path / "venv/bin/pip", "--version")


def test_libraries_are_its_own(environment: Path) -> None:
    foreign = set()
    for library in [environment / "bin/python3.11", *environment.glob("lib/**/*.so*")]:
        for line in run("ldd", library).splitlines():
            name, arrow, path = line.strip().partition(" => ")
            if arrow and not path.startswith(str(environment)):
                foreign.add(name)
    of_system = ("libc.so", "libm.so", "libdl.so", "libpthread.so", "librt.so", "libgcc_s.so", "libstdc++.so")
    assert [name for name in foreign if not name.startswith((*of_system, "ld-linux"))] == []


def test_is_the_same_each_time(tmp_path: Path) -> None:
    kept, again = channel.second().records(), channel.build_second(tmp_path).records()
    assert {name: record["sha256"] for name, record in kept.items()} == {
        name: record["sha256"] for name, record in again.items()
    }


# ---- the others


def test_two_packages_are_in_each_others_way() -> None:
    alone = rattler("--channel", channel.local().url, "stays-behind")
    assert alone["packages"]["humanize"] == "4.9.0"
    both = rattler("--channel", channel.local().url, "stays-behind", "moves-on")
    assert "humanize" in both["error"]


def test_second_channel_comes_first() -> None:
    both = rattler("--channel", channel.second().url, "--channel", channel.local().url, "humanize")
    assert both["packages"]["humanize"] == "4.10.0"
    reverse = rattler("--channel", channel.local().url, "--channel", channel.second().url, "humanize")
    assert reverse["packages"]["humanize"] == "4.12.0"


def test_wrong_hash_is_noticed_over_http(tmp_path: Path) -> None:
    with ChannelServer(channel.spoiled().folder) as server:
        found = rattler("--channel", server.url, "--prefix", tmp_path / "there", "spoiled")
    assert "hash" in found["error"]


def test_large_index_is_solved_as_the_small_one(tmp_path: Path) -> None:
    large = channel.build_large(tmp_path, records=60_000)
    index = json.loads((tmp_path / "noarch/repodata.json").read_text())
    assert len(index["packages"]) > 1000 and len(index["packages.conda"]) > 1000
    expected = rattler("--channel", channel.local().url, *SPECS)
    assert rattler("--channel", large.url, *SPECS)["packages"] == expected["packages"]


def test_small_packages(tmp_path: Path) -> None:
    made = Channel(tmp_path / "channel").add(
        small_package("one", "1.0", depends=["two >=2"], files={"bin/one": f"#!{PLACEHOLDER}/bin/sh\n"}),
        small_package("two", "2.0"),
    )
    prefix = tmp_path / "there"
    found = rattler("--channel", made.url, "--prefix", prefix, "one")
    assert found["packages"] == {"one": "1.0", "two": "2.0"}
    assert (prefix / "bin/one").read_text() == f"#!{prefix}/bin/sh\n"
    assert (prefix / "bin/one").stat().st_mode & 0o111
    assert (prefix / "share/two/version").read_text() == "2.0\n"


# ---- in a machine


def test_is_served_in_a_machine(make_server: Callable[..., Server]) -> None:
    machine = make_server("channel").machine
    assert channel.place(channel.second(), machine) == "file:///srv/channel"
    url = channel.serve(machine, "status:500:/linux*", log="/root/requests")
    ask = f"curl -sS -o /dev/null -w '%{{http_code}}' {url}"
    assert machine.sh(f"{ask}/noarch/repodata.json").stdout == "200"
    assert machine.sh(f"{ask}/{SUBDIR}/repodata.json").stdout == "500"
    assert machine.read("/root/requests").count("\n") == 2
    channel.serve(machine)
    assert machine.sh(f"{ask}/{SUBDIR}/repodata.json").stdout == "200"
    channel.stop_serving(machine)
    assert machine.sh(f"{ask}/noarch/repodata.json").returncode != 0


# ---- the server and its faults


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "noarch").mkdir()
    (tmp_path / "noarch/file").write_bytes(bytes(range(256)) * 1000)
    return tmp_path


def fetch(server: ChannelServer, login: str = "", timeout: float = 5) -> bytes:
    address = f"{server.url}/noarch/file"
    request = urllib.request.Request(address, headers={"Authorization": login} if login else {})
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=timeout) as answer:
        return bytes(answer.read())


def test_counts_and_cuts(folder: Path) -> None:
    whole = (folder / "noarch/file").read_bytes()
    with ChannelServer(folder, "cut:*/file:1") as server:
        with pytest.raises(Exception, match="IncompleteRead"):
            fetch(server)
        assert fetch(server) == whole, "it was to be cut once"
        assert server.count("/noarch/*") == 2
        assert [request.size for request in server.requests] == [len(whole) // 2, len(whole)]


def test_counts_before_the_client_has_it_all(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    note = ChannelServer.note
    monkeypatch.setattr(ChannelServer, "note", lambda *what: (time.sleep(0.3), note(*what)))
    (folder / "noarch/file").write_bytes(b"small")
    with ChannelServer(folder, "status:503:/noarch/file:1") as server:
        with pytest.raises(urllib.error.HTTPError, match="503"):
            fetch(server)
        assert server.count() == 1
        assert fetch(server) == b"small"
        assert server.count() == 2


def test_statuses_and_logins(folder: Path) -> None:
    with ChannelServer(folder, "status:503:/noarch/*:1", "auth:me:secret") as server:
        with pytest.raises(urllib.error.HTTPError, match="401"):
            fetch(server)
        with pytest.raises(urllib.error.HTTPError, match="503"):
            fetch(server, "Basic bWU6c2VjcmV0")
        assert fetch(server, "Basic bWU6c2VjcmV0")
        server.mend()
        assert fetch(server)


def test_garbles_slows_and_hangs(folder: Path) -> None:
    whole = (folder / "noarch/file").read_bytes()
    with ChannelServer(folder, "garble:*:1") as server:
        spoiled = fetch(server)
        assert len(spoiled) == len(whole)
        assert sum(a != b for a, b in zip(spoiled, whole, strict=True)) == 1
        server.fail("slow:512000:*")
        begun = time.monotonic()
        assert fetch(server) == whole
        assert 0.3 < time.monotonic() - begun < 2
        server.mend()
        server.fail("hang:*")
        with pytest.raises(TimeoutError):
            fetch(server, timeout=0.3)


@pytest.mark.parametrize("text", ["", "cut", "auth:me", "status:often:*", "sleep:1:*", "slow:1", "cut:*:1:2"])
def test_no_such_fault(text: str) -> None:
    with pytest.raises(ValueError):
        Fault.parse(text)
