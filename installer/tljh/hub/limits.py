"""Limits of user servers on a host without systemd: control groups where we may write, else rlimits.

One group for each server, ``<hierarchy>/tljh/<name>``, holds everything that the server starts: its limits are for
all of it together, and stopping the server ends all of it. Values and files are those of the kernel's
cgroup-v1/memory.rst, sched-bwc.rst and cgroup-v2.rst. With systemd none of this is used.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

log = logging.getLogger("tljh.hub")

ROOT = Path("/sys/fs/cgroup")
FOLDER = "tljh"
CPU_PERIOD = 100_000  # microseconds, the kernel's default
_KILL_PATIENCE = 5.0  # seconds


@dataclass(frozen=True)
class Limits:
    """What one server may use; ``None`` is without a limit.

    Attributes:
        memory: Bytes.
        cpu: Processors, for example 1.5.
    """

    memory: int | None = None
    cpu: float | None = None


@dataclass(frozen=True)
class Hierarchy:
    """The control groups of this host that we may make groups in.

    Attributes:
        version: 1 or 2; 0 where there is none.
        memory: Folder that groups with a memory limit are made in.
        cpu: The same for processor time; in version 2 it is the same folder.
    """

    version: int = 0
    memory: Path | None = None
    cpu: Path | None = None

    @property
    def folders(self) -> tuple[Path, ...]:
        """Each folder once."""
        return tuple(dict.fromkeys(folder for folder in (self.memory, self.cpu) if folder is not None))


def find_hierarchy(root: Path = ROOT) -> Hierarchy:
    """Make our folders, and say in which control groups we may limit what."""
    if (root / "cgroup.controllers").exists():
        folder = _make_folder(root, version=2)
        if folder is None:
            return Hierarchy()
        offered = set((folder / "cgroup.controllers").read_text().split())
        memory, cpu = (folder if name in offered else None for name in ("memory", "cpu"))
        return Hierarchy(2, memory, cpu)
    memory, cpu = (_make_folder(root / name, version=1) for name in ("memory", "cpu"))
    return Hierarchy(1, memory, cpu) if memory or cpu else Hierarchy()


def _make_folder(parent: Path, version: int) -> Path | None:
    probe = "cgroup.controllers" if version == 2 else "cgroup.procs"
    if not (parent / probe).exists():
        return None
    folder = parent / FOLDER
    try:
        folder.mkdir(exist_ok=True)
        if version == 2:
            # refused (EBUSY) in a container whose processes are in the topmost group
            for group in (parent, folder):
                (group / "cgroup.subtree_control").write_text("+memory +cpu")
        elif not os.access(folder / "cgroup.procs", os.W_OK):
            return None
    except OSError as error:
        log.info("no limits by %s: %s", parent, error)
        return None
    return folder


class ServerGroup:
    """The control group of one server.

    Args:
        name: Unique among the servers.
    """

    def __init__(self, hierarchy: Hierarchy, name: str) -> None:
        self.hierarchy = hierarchy
        self.name = name.replace("/", "_")

    @property
    def process_files(self) -> list[Path]:
        """Where a process writes ``0`` to become a member."""
        return [folder / self.name / "cgroup.procs" for folder in self.hierarchy.folders]

    def prepare(self, limits: Limits) -> None:
        """Make the group, with these limits and no others."""
        for folder in self.hierarchy.folders:
            (folder / self.name).mkdir(exist_ok=True)
        if self.hierarchy.memory is not None:
            self._limit_memory(self.hierarchy.memory / self.name, limits.memory)
        if self.hierarchy.cpu is not None:
            self._limit_cpu(self.hierarchy.cpu / self.name, limits.cpu)

    def _limit_memory(self, group: Path, memory: int | None) -> None:
        if self.hierarchy.version == 2:
            (group / "memory.max").write_text("max" if memory is None else str(memory))
        else:
            (group / "memory.limit_in_bytes").write_text("-1" if memory is None else str(memory))

    def _limit_cpu(self, group: Path, cpu: float | None) -> None:
        quota = None if cpu is None else max(1000, int(cpu * CPU_PERIOD))
        if self.hierarchy.version == 2:
            (group / "cpu.max").write_text(f"{'max' if quota is None else quota} {CPU_PERIOD}")
        else:
            (group / "cpu.cfs_period_us").write_text(str(CPU_PERIOD))
            (group / "cpu.cfs_quota_us").write_text(str(-1 if quota is None else quota))

    def members(self) -> set[int]:
        """The processes in it."""
        found: set[int] = set()
        for file in self.process_files:
            with contextlib.suppress(FileNotFoundError):
                found.update(int(word) for word in file.read_text().split())
        return found

    def end(self) -> None:
        """Kill what is still in it, and remove it. Takes some seconds when something doesn't die."""
        deadline = time.monotonic() + _KILL_PATIENCE
        while members := self.members():
            for pid in members:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            if time.monotonic() > deadline:
                log.warning("processes of %s do not end: %s", self.name, sorted(members))
                return
            time.sleep(0.05)
        for folder in self.hierarchy.folders:
            try:
                (folder / self.name).rmdir()
            except FileNotFoundError:
                continue
            except OSError as error:  # a process that was killed is not yet quite gone; the next start reuses it
                log.debug("%s stays: %s", folder / self.name, error)


def limits_statement(hierarchy: Hierarchy, limits: Limits) -> list[str]:
    """What of the configured limits is not, or not quite, enforced on this host; one sentence each."""
    said = []
    if limits.memory is not None and hierarchy.memory is None:
        said.append(
            "limits.memory holds for each process of a user, not for all of them together: "
            "this host lets us use no control group for memory"
        )
    if limits.cpu is not None and hierarchy.cpu is None:
        said.append("limits.cpu is not enforced: this host lets us use no control group for processor time")
    if not hierarchy.folders:
        said.append(
            "programs that a user leaves running in the background go on after the server has been stopped"
        )
    return said
