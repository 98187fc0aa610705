"""What the kernel gives to a test machine: its cgroups, its namespaces, its network. No knowledge of Debian."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
CGROUPS = Path("/sys/fs/cgroup")
CLONE_NEWNET = 0x40000000  # of <linux/sched.h>; os.setns came with Python 3.12


# ---- cgroups


def cgroups(name: str) -> list[Path]:
    """The machine's own group in each hierarchy: one with cgroup v2, one for each mount with v1."""
    if (CGROUPS / "cgroup.controllers").exists():
        return [CGROUPS / f"machine-{name}"]
    # all of them: in a hierarchy that was left out the machine would be at the host's own root
    hierarchies = [entry for entry in sorted(CGROUPS.iterdir()) if entry.is_mount() and not entry.is_symlink()]
    return [hierarchy / f"machine-{name}" for hierarchy in hierarchies]


def joining(name: str) -> str:
    """Shell that moves the shell itself into the machine's cgroups."""
    lines = []
    for path in cgroups(name):
        lines.append(f'mkdir -p "{path}";')
        if path.parent.name == "cpuset":  # takes no process before it was told which cores and memory
            for file in ("cpuset.cpus", "cpuset.mems"):
                lines.append(f'cat "{path.parent}/{file}" >"{path}/{file}";')
        lines.append(f'echo $$ >"{path}/cgroup.procs";')
    return " ".join(lines)


def remove_cgroups(name: str) -> None:
    """Drop the groups of a machine that has ended; waits 5 s for what is still ending in them."""
    deadline = time.monotonic() + 5
    while any(path.exists() for path in cgroups(name)) and time.monotonic() < deadline:
        for path in cgroups(name):
            for folder, _, _ in os.walk(path, topdown=False):
                with contextlib.suppress(OSError):  # not empty yet
                    Path(folder).rmdir()
        time.sleep(0.02)


# ---- processes


def unshare(
    name: str, private_network: bool, command: Sequence[str], log: Path, alive: int
) -> subprocess.Popen[bytes]:
    """Start ``command`` as PID 1 of new namespaces; returns the process outside that waits for it.

    The cgroups are joined first: a cgroup namespace has its root where its maker is. ``alive`` is a descriptor
    that stays open as long as that process lives.
    """
    kinds = ["--cgroup", "--mount", "--pid", "--fork", "--uts", "--ipc", "--kill-child"]
    kinds += ["--net"] if private_network else []
    with log.open("w") as console:
        return subprocess.Popen(
            ["bash", "-c", f'{joining(name)} exec unshare "$@"', "boot", *kinds, *command],
            stdin=subprocess.DEVNULL,
            stdout=console,
            stderr=console,
            start_new_session=True,
            pass_fds=(alive,),
        )


def leader_below(outer: int, token: str) -> int | None:
    """The machine's PID 1, as the host numbers it, once it is in its file system and left ``token``."""
    shown = subprocess.run(["ps", "-o", "pid=", "--ppid", str(outer)], capture_output=True, text=True, check=False)
    for word in shown.stdout.split():
        entered = ["nsenter", f"--target={word}", "--mount", "test", "-e", f"/run/machine/{token}"]
        if subprocess.run(entered, capture_output=True, check=False).returncode == 0:
            return int(word)
    return None


def start_time(pid: int) -> str | None:
    """When a process started, in clock ticks since the boot; ``None`` when there is none, or only a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in "ZX" else fields[19]


# ---- the network


def can_have_networks() -> bool:
    """Whether machines get networks of their own, or share the host's."""
    return bool(shutil.which("slirp4netns")) and Path("/dev/net/tun").exists()


def write_network(root: Path, name: str, private: bool) -> None:
    """The files of a machine that say who it is and who answers for names."""
    (root / "etc/hosts").write_text(f"127.0.0.1 localhost {name}\n::1 localhost\n")
    (root / "etc/hostname").write_text(f"{name}\n")
    names = root / "etc/resolv.conf"
    names.unlink(missing_ok=True)
    # 10.0.2.3 is slirp4netns, which asks whom the host asks
    names.write_text("nameserver 10.0.2.3\n" if private else Path("/etc/resolv.conf").read_text())


def connect(leader: int, log: Path, alive: int) -> None:
    """Give a machine a way out, by a slirp4netns that ends when the other end of the pipe ``alive`` is closed."""
    # --disable-host-loopback: what listens on the host's 127.0.0.1 is not for the machine
    options = ["--configure", "--mtu=65520", "--disable-host-loopback", f"--exit-fd={alive}"]
    with log.open("w") as output:
        subprocess.Popen(
            ["slirp4netns", *options, str(leader), "tap0"],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            pass_fds=(alive,),
        )


def call_in_network(leader: int, work: Callable[[], T]) -> T:
    """Call ``work`` in a thread of ours that is in the network of the process ``leader``."""
    outcome: list[T] = []
    failure: list[BaseException] = []

    def enter() -> None:
        try:
            with Path(f"/proc/{leader}/ns/net").open() as network:
                libc = ctypes.CDLL(None, use_errno=True)
                if libc.setns(network.fileno(), CLONE_NEWNET) != 0:
                    raise OSError(ctypes.get_errno(), "setns")
            outcome.append(work())
        except BaseException as error:
            failure.append(error)

    thread = threading.Thread(target=enter, name=f"in-network-of-{leader}")
    thread.start()
    thread.join()
    if failure:
        raise failure[0]
    return outcome[0]
