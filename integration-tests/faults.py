"""Faults of a machine, most of them for a ``with`` block: network, registry, disk, other programs, clock."""

from __future__ import annotations

import contextlib
import hashlib
import subprocess
import time
from collections.abc import Iterator

from disk import LOOP, make_image
from machine import Machine
from plugin_packages import Package
from server import THERE

PORT = 8905
INDEX = f"http://127.0.0.1:{PORT}/simple/"
DISK = "/srv/disk"  # what /opt/tljh leads to; its size can be used up without harm to the host
GATEWAY = "10.0.2.2"  # of slirp4netns

# holds one of apt's locks for some seconds; fcntl's locks end with the process
_HOLD = """
import fcntl, sys, time
file = open(sys.argv[1], "w")
fcntl.lockf(file, fcntl.LOCK_EX)
print("held", flush=True)
time.sleep(float(sys.argv[2]))
"""


@contextlib.contextmanager
def no_network(machine: Machine) -> Iterator[None]:
    """The cable is pulled; what is inside of the machine goes on."""
    machine.run("ip", "link", "set", "tap0", "down").check()
    try:
        yield
    finally:
        machine.sh(f"ip link set tap0 up; ip route replace default via {GATEWAY} dev tap0").check()


@contextlib.contextmanager
def no_names(machine: Machine) -> Iterator[None]:
    """Nobody answers for names."""
    kept = machine.read("/etc/resolv.conf")
    machine.write("/etc/resolv.conf", "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")
    try:
        yield
    finally:
        machine.write("/etc/resolv.conf", kept)


@contextlib.contextmanager
def registry(machine: Machine, name: str, *faults: str, page: str | None = None) -> Iterator[dict[str, str]]:
    """An index with one package that fails in these ways (``channel_server``); yields what uv is to be told.

    Args:
        page: The package's page, in place of a good one.
    """
    folder = f"/srv/faulty/{name}"
    wheel = Package(name, code="x = 1\n" + "#" * 200_000, entry="-").wheel(machine, f"{folder}/simple/{name}")
    digest = hashlib.sha256((machine.root / wheel.lstrip("/")).read_bytes()).hexdigest()
    file = wheel.rpartition("/")[2]
    good = f'<!doctype html><body><a href="{file}#sha256={digest}">{file}</a></body>\n'
    machine.write(f"{folder}/simple/{name}/index.html", good if page is None else page)
    words = ["python3", f"{THERE}/integration-tests/channel_server.py", folder, "--port", str(PORT)]
    server = machine.popen(*words, *(word for fault in faults for word in ("--fault", fault)))
    try:
        assert server.stdout and server.stdout.readline(), "the index did not start"
        yield {"UV_INDEX": INDEX, "UV_HTTP_RETRIES": "0", "UV_CACHE_DIR": f"/var/tmp/cache-{name}"}
    finally:
        machine.run("pkill", "-f", f"channel_server.py {folder}")
        server.wait(10)
        machine.run("rm", "-rf", f"/var/tmp/cache-{name}", folder)


def disk(machine: Machine, size: int = 4 << 30) -> None:
    """Put the prefix on a small disk of its own, by a link, before anything is installed.

    It is ext4 on a loop device where the host lends one, and otherwise a tmpfs.
    """
    mount = f"mount -t tmpfs -o size={size},mode=755 tmpfs {DISK}"
    if LOOP.exists():
        image = machine.folder / "small.ext4"
        make_image(image, size)
        losetup = ["losetup", "--find", "--show", str(image)]
        device = subprocess.run(losetup, check=True, capture_output=True, text=True).stdout.strip()
        mount = f"mknod {device} b 7 {device.removeprefix('/dev/loop')} && mount {device} {DISK}"
    try:
        machine.sh(f"mkdir {DISK} && {mount} && mkdir {DISK}/tljh && ln -s {DISK}/tljh /opt/tljh").check()
    finally:
        if LOOP.exists():  # it goes when it is not mounted any more
            subprocess.run(["losetup", "--detach", device], check=True)


@contextlib.contextmanager
def full(machine: Machine, left: int) -> Iterator[None]:
    """The disk is full but for so many kilobytes."""
    ballast = f"{DISK}/ballast"
    fill = f"free=$(df --output=avail -k {DISK} | tail -1); fallocate -l $((free - {left} - 4096))K {ballast}"
    # what is kept for a file's own tables comes free when it is written
    rest = f"for i in 1 2 3; do dd if=/dev/zero of={ballast}.$i bs=4k; sync {ballast}.$i; done 2>/dev/null; true"
    try:
        machine.sh(f"{fill} && {{ {'true' if left else rest}; }}").check()
        yield
    finally:
        machine.sh(f"rm -f {ballast}*").check()


@contextlib.contextmanager
def read_only(machine: Machine, folder: str) -> Iterator[None]:
    machine.sh(f"mount --bind {folder} {folder} && mount -o remount,ro,bind {folder}").check()
    try:
        yield
    finally:
        machine.run("umount", "-l", folder).check()


@contextlib.contextmanager
def apt_is_locked(machine: Machine, lock: str, seconds: float) -> Iterator[None]:
    """Another program has one of apt's locks."""
    machine.write("/srv/another-apt", _HOLD)
    holder = machine.popen("python3", "/srv/another-apt", lock, str(seconds))
    assert holder.stdout and holder.stdout.readline()
    try:
        yield
    finally:
        machine.run("pkill", "-f", "/srv/another-apt")
        holder.wait(10)


def interrupt_dpkg(machine: Machine, script: str = "exit 0") -> None:
    """A package is being configured when dpkg is killed; ``script`` is what its own script does the next time."""
    machine.sh(
        "set -e; rm -rf /srv/slow; mkdir -p /srv/slow/DEBIAN; cd /srv/slow/DEBIAN\n"
        "printf 'Package: slow-package\\nVersion: 1\\nArchitecture: all\\n' >control\n"
        "printf 'Maintainer: a <a@b>\\nDescription: x\\n' >>control\n"
        f"printf '#!/bin/sh\\n[ -e /srv/slow/again ] || sleep 30\\n{script}\\n' >postinst\n"
        "chmod 755 postinst; dpkg-deb --build /srv/slow /srv/slow.deb >/dev/null"
    ).check()
    installing = machine.popen("dpkg", "--install", "/srv/slow.deb")
    deadline = time.monotonic() + 20
    while machine.run("pgrep", "-f", "slow-package.postinst").returncode and time.monotonic() < deadline:
        time.sleep(0.1)
    machine.sh("touch /srv/slow/again; pkill -KILL -x dpkg; pkill -KILL -f slow-package.postinst")
    installing.wait(10)
    assert machine.sh("ls /var/lib/dpkg/updates").stdout.strip(), "dpkg was not interrupted"


def clock_back(machine: Machine) -> dict[str, str]:
    """Variables with which programs see the clock as it was ten years ago."""
    machine.sh("apt-get -qq update; apt-get -qq install -y faketime", timeout=120).check()
    library = machine.sh("ls /usr/lib/*/faketime/libfaketime.so.1").check().stdout.strip()
    return {"LD_PRELOAD": library, "FAKETIME": "-10y"}
