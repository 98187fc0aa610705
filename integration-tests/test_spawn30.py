"""A class of 30 logs in for the first time, all at the same moment."""

import asyncio

import client
from server import URL, Server


def test_thirty_first_logins_at_once(hub: Server) -> None:
    people = [f"pupil{number:02}" for number in range(30)]
    hub.allow(*people)

    async def works(person: client.Hub) -> None:
        await person.open()

    outcome = hub.machine.inside(
        lambda: asyncio.run(client.many(people, "class-of-30", URL, timeout=120, then=works))
    )
    print(outcome)
    assert not outcome.failures, f"{outcome}"
    assert len(outcome.ready) == 30 and outcome.wall <= 120, f"{outcome}"
