"""Real conda channels for the tests, made of what can be had anywhere: Debian's Python and PyPI's wheels.

``local()`` has what a user environment holds and a little more, ``second()`` another version of one of its
packages, ``spoiled()`` a package that is not what its index tells. They are kept below ``debian.home()``, and are
made anew when what they are made of changes, and each day, since the newest versions are in them. Tests make
others with ``Channel(folder).add(small_package(…))``. They are served by ``channel_server``, here or in a machine.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import channel_server
import debian
from conda_package import MACHINE, SUBDIR, CondaPackage, small_package
from machine import Machine
from result import MachineError

HERE = Path(__file__).parent
LISTS = HERE.parent / "installer/tljh/requirements"
# beside what every user environment holds: versions to choose from, and to change between
ALONE = (
    "cowsay==6.0",
    "cowsay==6.1",
    "humanize==4.9.0",
    "humanize==4.12.0",
    "idna==3.7",
    "six==1.16.0",
)
ALONE_IN_SECOND = ("humanize==4.10.0",)
INSTALLERS = ("pip", "setuptools", "wheel")
SERVER = "/srv/channel_server.py"  # in a machine
PORT = 8900
DAY = 86400.0  # seconds


@dataclass(frozen=True)
class Channel:
    """A channel's folder."""

    folder: Path

    @property
    def url(self) -> str:
        return self.folder.absolute().as_uri()

    def add(self, *packages: CondaPackage) -> Channel:
        """Write these into it, and its index anew."""
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(lambda package: package.write(self.folder), packages))
        return self.index()

    def index(self) -> Channel:
        """Write its index anew (seconds: 1 for 150 packages).

        Raises:
            subprocess.CalledProcessError: rattler failed; its own words are on standard error.
        """
        for subdir in ("noarch", SUBDIR):
            (self.folder / subdir).mkdir(parents=True, exist_ok=True)
        command = [sys.executable, str(HERE / "channel_index.py"), str(self.folder)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return self

    def records(self) -> dict[str, dict[str, Any]]:
        """What the index tells of each package, by file name."""
        found: dict[str, dict[str, Any]] = {}
        for index in self.folder.glob("*/repodata.json"):
            found.update(json.loads(index.read_text())["packages.conda"])
        return found

    def spoil(self, name: str) -> Channel:
        """Let the index tell another sha256 of the packages of this name."""
        import zstandard

        for index in self.folder.glob("*/repodata.json"):
            content = json.loads(index.read_text())
            for record in content["packages.conda"].values():
                if record["name"] == name:
                    record["sha256"] = hashlib.sha256(b"another file").hexdigest()
            text = json.dumps(content).encode()
            index.write_bytes(text)
            index.with_name("repodata.json.zst").write_bytes(zstandard.compress(text))
        return self


# ---- the channels that tests share


def local() -> Channel:
    """The channel that user environments are made of; the first call of a day takes up to a minute."""
    return _kept("local", build)


def second() -> Channel:
    """Has ``humanize`` in a version that ``local`` doesn't have, and that is neither its newest nor its oldest."""
    return _kept("second", build_second)


def spoiled() -> Channel:
    """Has the package ``spoiled``, whose sha256 in the index is not the file's."""
    return _kept("spoiled", lambda folder: Channel(folder).add(small_package("spoiled", "1.0")).spoil("spoiled"))


def large() -> Channel:
    """What ``local`` has, in an index of conda-forge's size: see ``synthetic_repodata``; made in some 20 s."""
    return _kept("large", build_large)


def build(folder: Path) -> Channel:
    """Build the main channel in an empty folder.

    Raises:
        subprocess.CalledProcessError: apt, dpkg, uv, patchelf or rattler failed; see standard error.
        requests.RequestException: a wheel could not be had.
        ValueError: something that was downloaded is not as expected.
    """
    # what they need is only needed to build
    import channel_debs
    import channel_python
    import channel_wheels
    from conda_from_wheel import convert, wanted_extras
    from packaging.utils import parse_wheel_filename

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        debs = pool.submit(channel_debs.fetch, channel_python.DEBS)
        wheels = channel_wheels.fetch(wanted(), ALONE, _downloads())
        extras = wanted_extras(wheels)
        named = {wheel: parse_wheel_filename(wheel.name)[0] for wheel in wheels}
        installers = {wheel.name: wheel.read_bytes() for wheel in wheels if named[wheel] in INSTALLERS}
        list(pool.map(lambda wheel: convert(wheel, extras.get(named[wheel], ())).write(folder), wheels))
        python = channel_python.packages(debs.result(), installers)
        return Channel(folder).add(*python, *conflicting())


def build_second(folder: Path) -> Channel:
    """Build the second channel in an empty folder."""
    import channel_wheels
    from conda_from_wheel import convert

    wheels = channel_wheels.fetch((), ALONE_IN_SECOND, _downloads())
    return Channel(folder).add(*map(convert, wheels))


def build_large(folder: Path, records: int = 500_000) -> Channel:
    """Build, in an empty folder, a channel with so many records in its index, those of ``local`` among them."""
    import synthetic_repodata

    synthetic_repodata.write(folder, records, local().folder)
    return Channel(folder)


def conflicting() -> tuple[CondaPackage, CondaPackage]:
    """Two packages that can't be in one environment: they want different versions of ``humanize``."""
    return (
        small_package("stays-behind", "1.0", depends=["humanize <4.10"]),
        small_package("moves-on", "1.0", depends=["humanize >=4.12"]),
    )


def wanted() -> list[str]:
    """What every user environment holds, JupyterHub as the hub environment wants it, and what builds packages."""
    hubs = [line for line in _requirements("hub.txt") if re.match(r"jupyterhub\b(?!-)", line)]
    return [*_requirements("user.txt"), *hubs, *INSTALLERS]


def _requirements(name: str) -> list[str]:
    lines = (line.partition("#")[0].strip() for line in (LISTS / name).read_text().splitlines())
    return [line for line in lines if line]


# ---- where they are kept


def _home() -> Path:
    return debian.home() / "channels"


def _downloads() -> Path:
    return debian.home() / "wheels"


def _kept(name: str, make: Callable[[Path], Channel]) -> Channel:
    """The channel ``name`` of today's set; made when it isn't there."""
    today = _home() / _digest()
    folder = today / name
    today.mkdir(parents=True, exist_ok=True)
    with (today / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two test runs may want it at the same moment
        if not folder.exists():
            _forget_old(today)
            partial = today / f"{name}.partial"
            shutil.rmtree(partial, ignore_errors=True)  # an earlier build was interrupted
            make(partial)
            partial.replace(folder)
    return Channel(folder)


def _digest() -> str:
    """Stands for all that the channels are made of. The newest versions are taken to stay the same for a day."""
    modules = [*HERE.glob("channel*.py"), *HERE.glob("conda_*.py")]
    modules += [HERE / "unfreeze.py", HERE / "synthetic_repodata.py"]
    parts = [MACHINE, date.today().isoformat(), *wanted()]
    parts += [path.read_text() for path in sorted(modules) if path.name != Path(channel_server.__file__).name]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def _forget_old(today: Path) -> None:
    """Drop earlier days' sets, but for those that a test run may still use."""
    for folder in _home().iterdir():
        if folder != today and time.time() - folder.stat().st_mtime > DAY:
            shutil.rmtree(folder)


# ---- in a test machine


def place(channel: Channel, machine: Machine, target: str = "/srv/channel") -> str:
    """Copy a channel into a machine, in place of what was at ``target``; returns its ``file://`` address there."""
    machine.run("rm", "-rf", target).check()
    machine.copy_in(channel.folder, target)
    machine.run("chmod", "-R", "u=rwX,go=rX", target).check()
    return f"file://{target}"


def serve(
    machine: Machine,
    *faults: str,
    folder: str = "/srv/channel",
    port: int = PORT,
    log: str | None = None,
    max_age: int = 0,
) -> str:
    """Serve a folder of the machine on its loopback, in place of what was served there at ``port``.

    Args:
        faults: What is to go wrong: see ``channel_server``.
        log: A file in the machine that gets a line for each request.
        max_age: Seconds for which a client may use an answer again.

    Returns:
        The address.

    Raises:
        MachineError: it does not answer within 10 s.
    """
    stop_serving(machine, port)
    machine.copy_in(Path(channel_server.__file__), SERVER)
    words = ["/usr/bin/python3", SERVER, folder, "--port", str(port), "--max-age", str(max_age)]
    words += [word for fault in faults for word in ("--fault", fault)]
    words += ["--log", log] if log else []
    if machine.kind == "systemd":
        machine.run("systemd-run", "--quiet", "--collect", f"--unit={_unit(port)}", *words).check()
    else:
        machine.run("sh", "-c", 'setsid "$@" >/dev/null 2>&1 </dev/null &', "serve", *words).check()
    listening = f"ss -Hltn sport = :{port} | grep -q ."
    if machine.sh(f"for n in $(seq 100); do {listening} && exit 0; sleep 0.1; done; exit 1").returncode:
        raise MachineError(f"{machine.name}: nothing answers at port {port}")
    return f"http://127.0.0.1:{port}"


def stop_serving(machine: Machine, port: int = PORT) -> None:
    """End what ``serve`` started, also in the middle of an answer; nothing when it isn't there."""
    if machine.kind == "systemd":
        machine.run("systemctl", "kill", "--signal=KILL", _unit(port))
        machine.run("systemctl", "stop", _unit(port))
    else:
        machine.run("pkill", "-KILL", "-f", f"{SERVER} .*--port {port}\\b")


def _unit(port: int) -> str:
    return f"test-channel-{port}.service"
