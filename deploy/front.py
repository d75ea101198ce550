"""One address for `make stack`: WebSockets go to the live process, everything else to the web process.

What nginx does in front of the containers, in the least that will do for trying it: a connection belongs to the process its
first request names (a WebSocket always opens a connection of its own). Not for the open internet; `deploy/nginx` is.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys

LIVE_PREFIX = b"/hitl/ws"
HEAD_LIMIT = 64 * 1024
HEAD_SECONDS = 30
UNAVAILABLE = (
    b"HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/plain\r\nContent-Length: 31\r\nConnection: close\r\n\r\n"
    b"the process behind is not there"
)


def is_live(head: bytes) -> bool:
    """Whether a request head asks for the live feed. The target is the second word of its first line."""
    words = head.split(b"\r\n", 1)[0].split(b" ")
    return len(words) == 3 and words[1].split(b"?", 1)[0].rstrip(b"/") == LIVE_PREFIX


async def pour(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    """Copies until the source ends, then ends the sink's side too."""
    with contextlib.suppress(ConnectionError):
        while chunk := await source.read(64 * 1024):
            sink.write(chunk)
            await sink.drain()
        if sink.can_write_eof():
            sink.write_eof()


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, web: int, live: int) -> None:
    """One client's connection, from its first request head to its end."""
    backend: asyncio.StreamWriter | None = None
    try:
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), HEAD_SECONDS)
        try:
            answers, backend = await asyncio.open_connection("127.0.0.1", live if is_live(head) else web)
        except OSError:
            writer.write(UNAVAILABLE)
            await writer.drain()
            return
        backend.write(head)
        await asyncio.gather(pour(reader, backend), pour(answers, writer))
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError, ConnectionError):
        pass  # a client that says nothing, too much or goes away gets no answer
    finally:
        for end in filter(None, (backend, writer)):
            end.close()
            with contextlib.suppress(ConnectionError):
                await end.wait_closed()


async def main() -> None:
    host, port = os.environ.get("HOST", "127.0.0.1"), int(os.environ.get("PORT", "8003"))
    web, live = int(os.environ.get("WEB_PORT", "8004")), int(os.environ.get("LIVE_PORT", "8005"))
    ended = asyncio.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(name, ended.set)
    connections: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(serve(reader, writer, web, live))
        connections.add(task)
        task.add_done_callback(connections.discard)

    try:
        server = await asyncio.start_server(accept, host, port, limit=HEAD_LIMIT)
    except OSError as error:
        sys.exit(f"front: cannot listen on {host}:{port} ({error.strerror}); choose another PORT")
    print(f"front: http://{host}:{port}", flush=True)
    await ended.wait()
    server.close()
    for task in connections:
        task.cancel()
    await asyncio.gather(*connections, return_exceptions=True)


if __name__ == "__main__":
    asyncio.run(main())
