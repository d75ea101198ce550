"""Twenty clients resume while eight writers write and the server is killed again and again: each sees everything once, in order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from tests.reviews.live.serving import HERE, Resuming, Served
from tests.servers import private_redis
from tests.worlds import Child

WRITER = "tests.immune.events.writer"
CLIENTS, WRITERS, KILLS = 20, 8, 3


async def watched(served: Served, disturb: Callable[[], None]) -> list[Resuming]:
    """Writers write, clients follow, and ``disturb`` is called between thirds of what the first client sees."""
    world = served.world
    rooms = await asyncio.to_thread(world.call, f"{WRITER}:repositories", 2)
    tokens = await asyncio.to_thread(world.call, f"{HERE}:cast", rooms)
    owners = ["ana", "bruno"] * (CLIENTS // 2)
    clients = [Resuming(served.url, tokens[owner]) for owner in owners]
    carla = Resuming(served.url, tokens["carla"])
    running = [asyncio.ensure_future(client.run()) for client in (*clients, carla)]
    try:
        async with asyncio.timeout(240):
            await asyncio.gather(*(client.reached(1) for client in clients))
            writers = [
                await asyncio.to_thread(world.start, f"{WRITER}:write", f"w{n}", 50, rooms, 0.1) for n in range(WRITERS)
            ]
            for part in range(1, KILLS + 1):
                await clients[0].reached(part * WRITERS * 15)
                await asyncio.to_thread(disturb)
            await asyncio.gather(*(asyncio.to_thread(writer.result, 200) for writer in writers))
            everything = [tuple(row) for row in await asyncio.to_thread(world.call, f"{HERE}:visible", None)]
            first_room = [tuple(row) for row in await asyncio.to_thread(world.call, f"{HERE}:visible", rooms[0])]
            await asyncio.gather(*(client.reached(everything[-1][0]) for client in (*clients, carla)))
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
    assert len(everything) > 300
    assert 0 < len(first_room) < len(everything)
    for client, owner in zip(clients, owners, strict=True):
        assert client.frames == (everything if owner == "ana" else first_room)
    assert carla.frames == []
    # Every client came back by its position, and none had to load anew.
    assert sum(client.resyncs for client in clients) == 0
    return clients


@pytest.mark.parametrize(
    ("server", "database"), [("embedded", "sqlite"), ("uvicorn", "postgresql"), ("daphne", "postgresql")]
)
async def test_each_client_sees_everything_once_in_order_across_kills_of_the_server(
    server: str, database: str, new_served: Callable[..., Served]
) -> None:
    served = await asyncio.to_thread(new_served, server, database)
    killed: list[Child] = []

    def kill_and_start() -> None:
        assert served.process is not None
        killed.append(served.process)
        served.kill()
        served.start()

    clients = await watched(served, kill_and_start)
    assert len(killed) == KILLS
    assert all(client.connections > 1 for client in clients)


async def test_each_client_sees_everything_once_in_order_while_redis_restarts(
    new_served: Callable[..., Served],
) -> None:
    with private_redis() as redis:
        served = await asyncio.to_thread(new_served, "uvicorn", "postgresql", REDIS_URL=redis.url)
        await watched(served, redis.restart)
        assert served.process is not None
        assert served.process.running
