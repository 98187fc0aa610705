"""How many user servers start at once: the others wait for their turn, first come, first served.

A server takes about two seconds of processor time until it answers; when thirty start together, all are late
and most are given up. What a start consists of is the spawner's.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


def default_width() -> int:
    """Twice the processors that we may use."""
    return 2 * max(1, len(os.sched_getaffinity(0)))


class StartQueue:
    """A queue in front of ``width`` places.

    Args:
        width: How many may be inside at once.
    """

    def __init__(self, width: int) -> None:
        self.width = width
        self._places = asyncio.Semaphore(width)
        self._waiting: list[object] = []

    @asynccontextmanager
    async def turn(self, who: object, patience: float) -> AsyncIterator[None]:
        """Wait for a place, and hold it.

        Args:
            who: Whose turn it is, for ``ahead_of``.
            patience: Seconds to wait.

        Raises:
            TimeoutError: no place became free in time.
        """
        self._waiting.append(who)
        try:
            await asyncio.wait_for(self._places.acquire(), patience)
        except asyncio.TimeoutError as error:  # another class than TimeoutError before Python 3.11
            raise TimeoutError from error
        finally:
            self._waiting.remove(who)
        try:
            yield
        finally:
            self._places.release()

    def ahead_of(self, who: object) -> int | None:
        """How many wait before ``who``; ``None`` when it doesn't wait (any more)."""
        return self._waiting.index(who) if who in self._waiting else None
