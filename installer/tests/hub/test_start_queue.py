from __future__ import annotations

import asyncio

import pytest
from tljh.hub.start_queue import StartQueue, default_width


def test_no_more_than_the_width_are_inside_and_the_others_keep_their_order() -> None:
    async def scenario() -> tuple[int, list[int]]:
        queue = StartQueue(2)
        inside, most, order = 0, 0, []

        async def one(number: int) -> None:
            nonlocal inside, most
            async with queue.turn(number, 10.0):
                inside += 1
                most = max(most, inside)
                order.append(number)
                await asyncio.sleep(0)
                inside -= 1

        await asyncio.gather(*(one(number) for number in range(8)))
        return most, order

    assert asyncio.run(scenario()) == (2, list(range(8)))


def test_who_waits_knows_how_many_are_before() -> None:
    async def scenario() -> list[int | None]:
        queue = StartQueue(1)
        async with queue.turn("first", 1.0):

            async def wait(who: str) -> None:
                async with queue.turn(who, 1.0):
                    pass

            tasks = [asyncio.create_task(wait(who)) for who in ("second", "third")]
            await asyncio.sleep(0)
            seen = [queue.ahead_of(who) for who in ("first", "second", "third")]
        await asyncio.gather(*tasks)
        return [*seen, queue.ahead_of("third")]

    assert asyncio.run(scenario()) == [None, 0, 1, None]


def test_patience_ends_and_a_failure_gives_the_place_back() -> None:
    async def scenario() -> None:
        queue = StartQueue(1)
        with pytest.raises(ValueError, match="inside"):
            async with queue.turn("fails", 1.0):
                raise ValueError("inside")
        async with queue.turn("holds", 1.0):
            with pytest.raises(TimeoutError):
                async with queue.turn("waits", 0.01):
                    pass
            assert queue.ahead_of("waits") is None
        async with queue.turn("next", 1.0):
            pass

    asyncio.run(scenario())


def test_the_default_is_twice_the_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: {0, 1, 2})
    assert default_width() == 6
