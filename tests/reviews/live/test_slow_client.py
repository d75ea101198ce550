"""A client that does not read is dropped and may resume; it neither delays the others nor grows the server without bound."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Callable

from websockets.asyncio.client import connect

from tests.reviews.live.serving import HERE, Resuming, Served, opened, said, token_header

WRITER = "tests.immune.events.writer"


async def test_a_slow_client_is_dropped_and_gets_everything_when_it_comes_back(
    new_served: Callable[..., Served],
) -> None:
    served = await asyncio.to_thread(new_served, "uvicorn", "sqlite")
    world = served.world
    rooms = await asyncio.to_thread(world.call, f"{WRITER}:repositories", 2)
    tokens = await asyncio.to_thread(world.call, f"{HERE}:cast", rooms)
    # Small buffers on our side, so that it is the server's that fill; nothing is read after the confirmation.
    small = socket.create_connection(("127.0.0.1", served.port))
    small.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    slow = await connect(
        served.url, sock=small, additional_headers=token_header(tokens["ana"]), max_queue=1, ping_interval=None
    )
    assert json.loads(await slow.recv())["type"] == "connection_ack"
    confirmed = await said(slow, {"type": "subscribe", "channels": ["wargames"]})
    slow.transport.pause_reading()

    quick = Resuming(served.url, tokens["ana"], position=confirmed["position"], channels=("wargames",))
    following = asyncio.ensure_future(quick.run())
    last = await asyncio.to_thread(world.call, f"{HERE}:happen", rooms[0], 20_000, "wargame.progress")
    async with asyncio.timeout(60):
        await quick.reached(last)
        # Dropped: the server no longer counts it among its sockets.
        while await sockets_open(served) > 1:
            await asyncio.sleep(0.2)  # between two looks
    following.cancel()
    assert [position for position, _why in quick.frames] == list(range(confirmed["position"] + 1, last + 1))
    slow.transport.abort()
    small.close()

    async with await opened(served, tokens["ana"]) as again:
        await said(again, {"type": "subscribe", "channels": ["wargames"], "since": confirmed["position"]})
        async with asyncio.timeout(60):
            positions = [json.loads(await again.recv())["position"] for _ in range(last - confirmed["position"])]
    assert positions == list(range(confirmed["position"] + 1, last + 1))


async def sockets_open(served: Served) -> int:
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    writer.write(b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
    text = (await reader.read()).decode()
    writer.close()
    [line] = [line for line in text.splitlines() if line.startswith("hitl_websocket_connections_active ")]
    return int(float(line.split()[1]))


async def test_events_before_the_bounded_replay_are_answered_with_resync(new_served: Callable[..., Served]) -> None:
    served = await asyncio.to_thread(new_served, "uvicorn", "sqlite")
    rooms = await asyncio.to_thread(served.world.call, f"{WRITER}:repositories", 1)
    tokens = await asyncio.to_thread(served.world.call, f"{HERE}:cast", rooms)
    last = await asyncio.to_thread(served.world.call, f"{HERE}:happen", rooms[0], 50_100, "wargame.progress")
    async with await opened(served, tokens["ana"]) as client:
        await said(client, {"type": "subscribe", "channels": ["wargames"], "since": 1})
        frame = json.loads(await client.recv())
        assert (frame["type"], frame["reason"], frame["position"]) == ("resync", "since_too_old", last)
        assert (await said(client, {"type": "ping"}))["type"] == "pong"
