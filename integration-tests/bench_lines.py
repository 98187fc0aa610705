"""What benchmarks measure and print: seconds beside what they are compared with, and the limit."""

from __future__ import annotations

import os
import resource
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Cost:
    """What something took, in seconds: by the clock, and of all processors together (user and system)."""

    wall: float
    cpu: float = 0.0

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.wall + other.wall, self.cpu + other.cpu)


@dataclass(frozen=True)
class Line:
    """One measured thing: seconds, what they are compared with, and the limit of the one that counts."""

    what: str
    seconds: float
    against: float | None = None
    limit_ratio: float | None = None
    limit_seconds: float | None = None
    more: str = ""

    @property
    def holds(self) -> bool:
        """Whether it is within its limit; also when it has none."""
        if self.limit_ratio and self.against:
            return self.seconds <= self.limit_ratio * self.against
        return not self.limit_seconds or self.seconds <= self.limit_seconds

    def __str__(self) -> str:
        ratio = f"{self.seconds / self.against:7.2f} ×" if self.against else " " * 9
        said = f"{self.what:<60}{self.seconds:8.2f} s {ratio}"
        limit = f"{self.limit_ratio} ×" if self.limit_ratio and self.against else ""
        limit = limit or (f"{self.limit_seconds} s" if self.limit_seconds else "")
        verdict = f"   at most {limit}: {'yes' if self.holds else 'NO'}" if limit else ""
        return f"{said}{verdict}{'   ' + self.more if self.more else ''}".rstrip()


@dataclass(frozen=True)
class Memory:
    """The most memory that a process had, in megabytes."""

    what: str
    megabytes: float
    limit: float | None = None
    more: str = ""

    @property
    def holds(self) -> bool:
        """Whether it is within its limit; also when it has none."""
        return self.limit is None or self.megabytes <= self.limit

    def __str__(self) -> str:
        verdict = f"            at most {self.limit:.0f} MB: {'yes' if self.holds else 'NO'}" if self.limit else ""
        return f"{self.what:<60}{self.megabytes:8.0f} MB{verdict}{'   ' + self.more if self.more else ''}".rstrip()


class Meter:
    """Runs from when it is made; processor seconds are our own, and those of processes that we waited for."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._used = _used()

    def cost(self) -> Cost:
        """What it took until now."""
        return Cost(time.monotonic() - self._started, _used() - self._used)


def _used() -> float:
    everybody = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(usage.ru_utime + usage.ru_stime for usage in map(resource.getrusage, everybody))


def timed(work: Callable[[], object]) -> float:
    """Seconds by the clock."""
    meter = Meter()
    work()
    return meter.cost().wall


def used_by(pid: int) -> float:
    """Processor seconds of a process, of all below it and of those that these have waited for."""
    try:
        # the name, in parentheses, may hold anything; proc(5) counts from the state after it
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        below = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK") + sum(used_by(int(child)) for child in below)


def median(times: int, work: Callable[[], object]) -> float:
    """The middle one of several runs, in seconds by the clock."""
    work()  # what is read for the first time is not the question here
    return statistics.median(timed(work) for _ in range(times))


def middle(costs: Sequence[Cost]) -> Cost:
    """The median of each of the two."""
    return Cost(statistics.median(one.wall for one in costs), statistics.median(one.cpu for one in costs))


def compared(what: str, ours: Sequence[Cost], theirs: Sequence[Cost], limit: float | None = None) -> Line:
    """A line about runs of two sides that were made by turns; its ratio is the clock's.

    Processor seconds are told beside it: where others work on the same machine, they say more.
    """
    mine, bare = middle(ours), middle(theirs)
    more = (
        f"[processors: {mine.cpu:.2f} against {bare.cpu:.2f} s, {mine.cpu / bare.cpu:.2f} ×]" if bare.cpu else ""
    )
    return Line(what, mine.wall, bare.wall, limit, more=more)


def limited(what: str, ours: Sequence[Cost], limit: float | None = None) -> Line:
    """A line about runs that have nothing beside them; the limit is seconds by the clock."""
    mine = middle(ours)
    return Line(what, mine.wall, limit_seconds=limit, more=f"[processors: {mine.cpu:.2f} s]")
