"""What the API costs beside hand-written SQL and orjson: the same server, the same rows, the same run, over HTTP.

    python -m bench.api [--apvs 20000] [--requests 600] [--clients 50] [--only WORD …] [--format json]

Each pair is asked in alternating slices, so that a busy machine touches both sides. ``--apvs 1000000`` is the long form. The clients
are one process on the same machine, so their own cost is in both sides of every ratio.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import json
import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

from tests import environment
from tests.servers import database, lease, leases
from tests.servers.private import free_port

SLICES = 4
_numbers = count()


def fill(apvs: int, open_rounds: int) -> tuple[str, list[str]]:
    """The rows of ``apvs`` APVs and who may decide them; returns a token and the codes that wait for a decision."""
    # Needs Django set up, which needs the database's address first.
    from django.db import connection  # noqa: PLC0415

    from bench import api_rows  # noqa: PLC0415

    text = api_rows.fill(apvs, open_rounds)
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")  # as autovacuum would soon: counting reads the index alone after it
    connection.close()
    return text, [f"APV-2026-{n:07d}" for n in range(open_rounds)]


@contextmanager
def serving(clients: int) -> Iterator[int]:
    port = free_port()
    # Whichever of the two processes wakes first would take all connections and keep them, and the other rest.
    shared = {"WEB_WORKERS": "2", "GUNICORN_CMD_ARGS": f"--worker-connections {clients // 2 + 3}"}
    command = [sys.executable, "-m", "gunicorn", "-c", "deploy/gunicorn.conf.py", "bench.api_server:application"]
    server = subprocess.Popen(
        command, cwd=environment.ROOT, env={**os.environ, **shared, "WEB_HOST": "127.0.0.1", "WEB_PORT": str(port)}
    )
    try:
        for _ in range(600):
            try:
                http.client.HTTPConnection("127.0.0.1", port, timeout=5).request("GET", "/hitl/health/live")
                break
            except OSError:
                assert server.poll() is None, "the server did not start"
                time.sleep(0.1)
        yield port
    finally:
        server.terminate()
        server.wait(30)


Call = tuple[str, str, dict[str, Any] | None]


class Clients:
    """Keep-alive connections that live as long as the run, all served by one thread: fifty threads of Python would wait for each other
    and count that as the server's time."""

    def __init__(self, port: int, clients: int, token: str) -> None:
        self._port, self._token = port, token
        self._links: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        self._clients = clients
        self._loop = asyncio.new_event_loop()

    def __len__(self) -> int:
        return self._clients

    def ask(self, calls: list[Call]) -> list[float]:
        """Sends the calls over all connections; seconds of each. Raises RuntimeError for any refusal."""
        return self._loop.run_until_complete(self._ask(calls))

    async def _ask(self, calls: list[Call]) -> list[float]:
        while len(self._links) < self._clients:
            self._links.append(await self._opened())
        waiting, taken = iter([(call[1], self._written(*call)) for call in calls]), []

        async def client(number: int) -> None:
            for path, written in waiting:
                started = time.perf_counter()
                status, said = await self._answer(number, written)
                taken.append(time.perf_counter() - started)
                if status not in (b"200", b"201"):
                    raise RuntimeError(f"refused: {path} {status!r} {said[:300]!r}")

        await asyncio.gather(*(client(number) for number in range(self._clients)))
        return taken

    async def _opened(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self._port, limit=1 << 20)

    async def _answer(self, number: int, written: bytes) -> tuple[bytes, bytes]:
        while True:
            reader, writer = self._links[number]
            try:
                writer.write(written)
                head = await reader.readuntil(b"\r\n\r\n")
                break
            except (asyncio.IncompleteReadError, ConnectionError):
                # It had rested for the server's keepalive, or a server process that served its share was replaced.
                writer.close()
                self._links[number] = await self._opened()
        length = int(re.search(rb"(?i)\r\ncontent-length: (\d+)", head)[1])  # type: ignore[index]
        return head[9:12], await reader.readexactly(length)

    def _written(self, method: str, path: str, body: dict[str, Any] | None) -> bytes:
        said = json.dumps(body).encode() if body else b""
        head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {self._token}\r\n"
        return f"{head}Content-Type: application/json\r\nContent-Length: {len(said)}\r\n\r\n".encode() + said


def figures(seconds: list[float]) -> dict[str, float]:
    ordered = sorted(seconds)
    return {"median_ms": statistics.median(ordered) * 1000, "p95_ms": ordered[int(len(ordered) * 0.95)] * 1000}


def measure(clients: Clients, codes: list[str], requests: int, chosen: list[str]) -> list[dict[str, Any]]:
    from bench import api_rows  # noqa: PLC0415

    def decision(path: str) -> tuple[str, str, dict[str, Any]]:
        body = {
            "apv_code": codes[next(_numbers)],
            "decision": "approve",
            "justification": "Both runs were read.",
            "head_commit": "b" * 40,
            "patch_digest": "c" * 64,
        }
        return "POST", path, body

    def read(path: str, query: str = "") -> Any:
        return lambda: ("GET", path + (f"?{query}" if query else ""), None)

    pairs: list[tuple[str, Any, Any, float]] = [
        ("stats", read("/hitl/reviews/stats"), read("/bare/stats"), 3.0),
        *((name, read("/hitl/reviews/", query), read("/bare/reviews", query), 3.0) for name, query in api_rows.LISTS),
        # Last: it changes what the others read.
        ("decision", lambda: decision("/hitl/decisions/"), lambda: decision("/bare/decisions"), 5.0),
    ]
    if chosen:
        pairs = [pair for pair in pairs if any(word in pair[0] for word in chosen)]
    found = []
    for name, ours, bare, ceiling in pairs:
        sides: dict[str, list[float]] = {"ours": [], "bare": []}
        for call in (ours, bare):
            clients.ask([call() for _ in range(len(clients))])  # connections, plans and pools are warm after this
        for number in range(SLICES):
            order = [("ours", ours), ("bare", bare)]
            for side, call in order if number % 2 else reversed(order):
                sides[side] += clients.ask([call() for _ in range(requests // SLICES)])
        one, other = figures(sides["ours"]), figures(sides["bare"])
        found.append(
            {
                "what": name,
                "ours": one,
                "bare": other,
                "ratio": one["median_ms"] / other["median_ms"],
                "tail": one["p95_ms"] / one["median_ms"],
                "ceiling": ceiling,
            }
        )
    return found


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.api", description=__doc__.splitlines()[0])
    parser.add_argument("--apvs", type=int, default=20_000)
    parser.add_argument("--requests", type=int, default=600, help="per side and address")
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--only", nargs="*", default=[], help="pairs whose name holds one of these words")
    parser.add_argument("--format", choices=["text", "json"], default="text")
    chosen = parser.parse_args()
    environment.prepare()
    os.environ |= {"DJANGO_SETTINGS_MODULE": "config.settings", "API_RATE_PER_MINUTE": "0", "LOG_LEVEL": "ERROR"}
    try:
        with database(lease("postgresql"), "bench_api") as url:
            os.environ["DATABASE_URL"] = url
            subprocess.run([sys.executable, "manage.py", "migrate", "-v0"], cwd=environment.ROOT, check=True)
            import django  # noqa: PLC0415

            django.setup()
            needed = min(chosen.apvs, 2 * (chosen.requests + chosen.clients))
            token, codes = fill(chosen.apvs, needed)
            with serving(chosen.clients) as port:
                found = measure(Clients(port, chosen.clients, token), codes, chosen.requests, chosen.only)
    finally:
        leases.end_run()
    if chosen.format == "json":
        print(json.dumps({"apvs": chosen.apvs, "clients": chosen.clients, "pairs": found}))
    else:
        print(f"{chosen.apvs} APVs, {chosen.clients} keep-alive clients, milliseconds")
        print(
            f"{'':22}{'ours p50':>10}{'ours p95':>10}{'bare p50':>10}{'bare p95':>10}{'ratio':>8}{'at most':>9}{'p95/p50':>9}"
        )
        for row in found:
            one, other = row["ours"], row["bare"]
            print(
                f"{row['what']:22}{one['median_ms']:10.1f}{one['p95_ms']:10.1f}{other['median_ms']:10.1f}"
                f"{other['p95_ms']:10.1f}{row['ratio']:8.2f}{row['ceiling']:9.1f}{row['tail']:9.2f}"
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
