"""Events per second: record → commit → delivered to a socket, on SQLite and PostgreSQL, beside bare INSERTs of the same run.

``python -m bench.events [--events N] [--sockets N]``. Prints one table; every ratio is against the bare INSERT of its database: one row of
the same width, committed by itself, on one connection.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import signal
import statistics
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from uuid import UUID

from tests import environment
from tests.reviews.live.serving import HERE, Served, environment_for, opened
from tests.servers import private_redis
from tests.servers.private import free_port
from tests.worlds import worlds

DATABASES = ("sqlite", "postgresql")


@dataclass(frozen=True)
class Line:
    """One row of the table."""

    what: str
    figure: str
    rate: float | None = None


# ── what runs in the world's processes ───────────────────────────────────────────────────────────────────────────────────


def bare(count: int) -> float:
    """INSERTs a second, each a transaction of its own."""
    from django.db import connection  # noqa: PLC0415 - needs Django set up

    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE bare (id INTEGER PRIMARY KEY, kind TEXT, subject TEXT, body TEXT, hash TEXT)")
        body = "x" * 300
        began = time.perf_counter()
        for number in range(count):
            cursor.execute(
                "INSERT INTO bare VALUES (%s, %s, %s, %s, %s)", [number, "apv.moved", "apv:1", body, "f" * 64]
            )
        return count / (time.perf_counter() - began)


def record(room: str, count: int, each: int, kind: str = "wargame.progress") -> float:
    """Events a second through ``act``, ``each`` of them in one unit of work. Handlers hear of apv.moved, none of wargame.progress."""
    from immune.events.actors import SYSTEM  # noqa: PLC0415 - needs Django set up
    from immune.events.log import act  # noqa: PLC0415 - needs Django set up

    data = {
        "apv.moved": {"from": "open", "to": "remediating", "why": "bench", "apv_code": "APV-2026-000001"},
        "wargame.progress": {
            "apv_code": "APV-2026-000001",
            "step": "reproduce",
            "phase": "before",
            "outcome": "confirmed",
        },
    }[kind]
    began = time.perf_counter()
    for _ in range(count // each):
        with act(SYSTEM) as log:
            for _ in range(each):
                log.record(kind, subject="apv:1", repository=UUID(room), data=data)
    return count / (time.perf_counter() - began)


def serve_and_write(room: str, port: int) -> None:
    """The embedded way: the server's own process records an event at each SIGUSR1."""
    wanted = threading.Semaphore(0)
    signal.signal(signal.SIGUSR1, lambda *_: wanted.release())

    def write() -> None:
        while wanted.acquire():
            record(room, 1, 1)

    threading.Thread(target=write, daemon=True).start()
    from tests.reviews.live.inside import serve  # noqa: PLC0415 - needs Django set up

    serve("uvicorn", port)


# ── the measurements ─────────────────────────────────────────────────────────────────────────────────────────────────────


async def received(
    served: Served, token: str, sockets: int, count: int, write: Callable[[], Awaitable[object]]
) -> float:
    """Frames a second over all sockets, from the beginning of the writing to the last frame at the last socket."""
    clients = [await opened(served, token, max_queue=None) for _ in range(sockets)]
    for client in clients:
        await client.send('{"type": "subscribe", "channels": ["wargames"]}')
        await client.recv()

    async def all_of(client: object) -> None:
        for _ in range(count):
            await client.recv(decode=False)  # type: ignore[attr-defined]

    began = time.perf_counter()
    await asyncio.gather(write(), *(all_of(client) for client in clients))
    seconds = time.perf_counter() - began
    await asyncio.gather(*(client.close() for client in clients))
    return sockets * count / seconds


async def latency(served: Served, token: str, count: int, ring: Callable[[], object]) -> list[float]:
    """Milliseconds from the event's own time, taken before its commit, to its frame in the client."""
    client = await opened(served, token)
    await client.send('{"type": "subscribe", "channels": ["wargames"]}')
    await client.recv()
    found = []
    for _ in range(count):
        frame = json.loads((await asyncio.gather(client.recv(), asyncio.to_thread(ring)))[0])
        found.append((datetime.now().astimezone() - datetime.fromisoformat(frame["timestamp"])).total_seconds() * 1000)
    await client.close()
    return found


async def measured(database: str, folder: Path, events: int, sockets: int) -> list[Line]:
    port = free_port()
    with contextlib.ExitStack() as rooms:
        make = rooms.enter_context(worlds(folder))
        more = environment_for("uvicorn", port)
        if database == "postgresql":
            more["REDIS_URL"] = rooms.enter_context(private_redis()).url
        world = make(database, **more)
        [room] = world.call("tests.immune.events.writer:repositories", 1)
        token = world.call(f"{HERE}:cast", [room])["ana"]
        ours = "bench.events:record"
        served = Served(world, "uvicorn", port)

        async def writing(count: int, each: int) -> None:
            await asyncio.to_thread(world.call, ours, room, count, each)

        base = world.call("bench.events:bare", events)
        lines = [Line("bare INSERT and commit", "", base)]
        lines.append(Line("record → commit, one event each", "", world.call(ours, room, events, 1)))
        lines.append(Line("record → commit, ten events each", "", world.call(ours, room, events, 10)))
        rate = world.call(ours, room, events, 1, "apv.moved")
        lines.append(Line("the same, two handlers owed each", "", rate))
        writers = [world.start(ours, room, events // 4, 1) for _ in range(4)]
        lines.append(Line("record → commit, four writers", "", sum(writer.result(300) for writer in writers)))
        served.start()
        rate = await received(served, token, 1, events, lambda: writing(events, 1))
        lines.append(Line("record → commit → one socket", "", rate))
        rate = await received(served, token, sockets, events, lambda: writing(events, 100))
        lines.append(Line(f"frames to {sockets} sockets", "", rate))
        waits = sorted(await latency(served, token, 30, lambda: world.call(ours, room, 1, 1)))
        how = "through Redis" if database == "postgresql" else "by the poll"
        lines.append(Line(f"to a socket, idle, {how}", _spread(waits)))
        served.kill()
        process = served.process = world.start("bench.events:serve_and_write", room, port)
        await asyncio.to_thread(served.until_it_listens)
        waits = sorted(await latency(served, token, 30, lambda: process.signal(signal.SIGUSR1)))
        lines.append(Line("to a socket, idle, same process", _spread(waits)))
        return lines


def _spread(waits: list[float]) -> str:
    return f"{statistics.median(waits):.1f} ms median, {waits[-2]:.1f} ms 95 %"


def table(database: str, lines: list[Line]) -> str:
    base = lines[0].rate or 1
    rows = [f"{database}", f"  {'':36}{'per second':>12}{'× bare':>9}"]
    for line in lines:
        if line.rate is None:
            rows.append(f"  {line.what:36}{line.figure}")
        else:
            rows.append(f"  {line.what:36}{line.rate:>12,.0f}{line.rate / base:>9.2f}")
    return "\n".join(rows)


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="bench.events", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--events", type=int, default=2000, help="events of each measurement (default 2000)")
    parser.add_argument("--sockets", type=int, default=100, help="sockets of the fan-out (default 100)")
    parser.add_argument("--database", choices=DATABASES, action="append", help="only this one")
    options = parser.parse_args(words)
    environment.prepare()
    with tempfile.TemporaryDirectory() as folder:
        for database in options.database or DATABASES:
            print(table(database, asyncio.run(measured(database, Path(folder), options.events, options.sockets))))


if __name__ == "__main__":
    main()
