"""Servers and clients of the live feed's tests: real ones, over real sockets; the processes may be killed and come back."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import time
from dataclasses import dataclass, field
from typing import Any

import websockets
from websockets.asyncio.client import ClientConnection, connect

from tests.worlds import Child, World

HERE = "tests.reviews.live.inside"
SERVERS = ("embedded", "uvicorn", "daphne")


# ── the server, from outside ─────────────────────────────────────────────────────────────────────────────────────────────


@dataclass
class Served:
    """One server of a world, on one port whatever happens to it."""

    world: World
    server: str
    port: int
    process: Child | None = None

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/hitl/ws"

    def start(self) -> Served:
        self.process = self.world.start(f"{HERE}:serve", self.server, self.port)
        return self.until_it_listens()

    def until_it_listens(self) -> Served:
        assert self.process is not None
        deadline = time.monotonic() + 60
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return self
            assert self.process.running, self.process.output()
            assert time.monotonic() < deadline, self.process.output()
            time.sleep(0.02)  # between two looks; a server tells nobody that it listens

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()


def token_header(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def opened(served: Served, token: str, **options: Any) -> ClientConnection:
    """A connection that has been acknowledged."""
    client = await connect(served.url, additional_headers=token_header(token), **options)
    assert json.loads(await client.recv())["type"] == "connection_ack"
    return client


async def said(client: ClientConnection, frame: dict[str, Any] | str) -> dict[str, Any]:
    """Sends a frame and returns the next one that comes back."""
    await client.send(frame if isinstance(frame, str) else json.dumps(frame))
    return await heard(client)


async def heard(client: ClientConnection, timeout: float = 20) -> dict[str, Any]:
    async with asyncio.timeout(timeout):
        return json.loads(await client.recv())


@dataclass
class Resuming:
    """A client as the live page is one: keeps the last position, comes back after a loss, never asks for anything twice."""

    url: str
    token: str
    position: int = 0
    channels: tuple[str, ...] = ("apvs",)
    frames: list[tuple[int, str]] = field(default_factory=list)
    connections: int = 0
    resyncs: int = 0
    grew: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> None:
        while True:
            with contextlib.suppress(OSError, websockets.WebSocketException, TimeoutError):
                async with connect(self.url, additional_headers=token_header(self.token), open_timeout=10) as client:
                    self.connections += 1
                    asking = asyncio.ensure_future(self._ask(client))
                    try:
                        async for text in client:
                            await self._take(client, json.loads(text))
                    finally:
                        asking.cancel()
            await asyncio.sleep(0.1)  # as a page waits before it comes back

    async def _ask(self, client: ClientConnection) -> None:
        while True:
            await asyncio.sleep(0.5)
            await client.send('{"type": "ping"}')

    async def _take(self, client: ClientConnection, frame: dict[str, Any]) -> None:
        if frame["type"] == "connection_ack":
            await client.send(json.dumps({"type": "subscribe", "channels": self.channels, "since": self.position}))
        elif frame["type"] == "resync":
            self.resyncs += 1
        elif "data" in frame:
            self.frames.append((frame["position"], frame["data"].get("why", "")))
        if "data" in frame or frame["type"] == "pong":
            self.position = max(self.position, frame["position"])
            self.grew.set()

    async def reached(self, position: int) -> None:
        while self.position < position:
            self.grew.clear()
            await self.grew.wait()


def environment_for(server: str, port: int) -> dict[str, str]:
    more = {"PORT": str(port), "ALLOWED_HOSTS": "127.0.0.1"}
    return more if server != "embedded" else {**more, "SWEEP_SECONDS": "3600", "CHECKPOINT_SECONDS": "3600"}
