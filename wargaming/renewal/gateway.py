"""The one way out of the sandbox for a resolver: a socket on which documents of a registry can be asked for, and nothing else.

The sandbox has no network. What runs inside asks over a Unix socket shown to it; out here each path is turned into a document or
into nothing by a function that knows the registry, so neither hosts nor credentials ever go in. A build hands its one file out the same
way (``Taken``).
"""

from __future__ import annotations

import os
import socketserver
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import unquote

from immune.renewal import CannotRenew, RegistryUnreachable

SOCKET = "registry.sock"
MAX_REQUESTS = 10_000
MAX_BYTES = 1 << 30
_BUILT = "/built/"

Answer = Callable[[str], bytes | None]


class Taken:
    """The one file that what runs inside may hand out, of at most ``limit`` bytes; ``name`` is None until it did. Both are a stranger's."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.name: str | None = None
        self.content = b""


class Gateway:
    """What was asked and what went wrong: ``trouble`` is the first failure of the registry itself, ``refused`` the last document
    there was a reason not to give."""

    def __init__(self, answer: Answer, taken: Taken | None = None) -> None:
        self._answer = answer
        self._taken = taken
        self._lock = threading.Lock()
        self._requests = self._bytes = 0
        self.trouble: RegistryUnreachable | None = None
        self.refused: CannotRenew | None = None

    def document(self, path: str) -> tuple[int, bytes]:
        """Status and body for one request from inside. Never raises for what is asked."""
        with self._lock:
            self._requests += 1
            if self._requests > MAX_REQUESTS or self._bytes > MAX_BYTES:
                return 429, b"{}"
        try:
            body = self._answer(path)
        except RegistryUnreachable as error:
            self.trouble = self.trouble or error
            return 503, b"{}"
        except CannotRenew as error:
            self.refused, body = error, None
        if body is None:
            return 404, b"{}"
        with self._lock:
            self._bytes += len(body)
        return 200, body

    def room(self, path: str, length: str | None) -> int | None:
        """How many bytes are taken for this path; None when nothing is."""
        if self._taken is None or not path.startswith(_BUILT) or length is None or not length.isdecimal():
            return None
        return int(length) if len(length) < 12 and int(length) <= self._taken.limit else None

    def take(self, path: str, content: bytes) -> bool:
        """Takes the first file that is handed out; a second changes nothing."""
        with self._lock:
            if self._taken is None or self._taken.name is not None:
                return False
            self._taken.name, self._taken.content = unquote(path.removeprefix(_BUILT))[:300], content
        return True


class _Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    request_queue_size = 256
    gateway: Gateway

    def handle_error(self, request: object, client_address: object) -> None:
        """Whoever hangs up was inside; nothing of ours went wrong."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = 60

    def do_GET(self) -> None:
        status, body = self.server.gateway.document(self.path)
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_PUT(self) -> None:
        room = self.server.gateway.room(self.path, self.headers.get("Content-Length"))
        content = self.rfile.read(room) if room is not None else b""
        good = room is not None and len(content) == room and self.server.gateway.take(self.path, content)
        said = b"" if good else b"what was built is too large, or nothing is taken here"
        self.send_response(200 if good else 413)
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, format: str, *args: object) -> None:
        """Said by the outcome, not line by line."""


@contextmanager
def opened(answer: Answer, work: Path, taken: Taken | None = None) -> Iterator[tuple[Gateway, Path]]:
    """A gateway for the length of the block, and the folder to show inside: it holds the socket and nothing else."""
    work.mkdir(parents=True, exist_ok=True)
    work.chmod(0o755)
    with tempfile.TemporaryDirectory(dir=work, prefix="gateway-") as name:
        os.chmod(name, 0o755)  # noqa: S103 - the sandbox's unprivileged user passes through here
        folder = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            # Through the descriptor: the address of a socket holds no more than 107 characters.
            server = _Server(f"/proc/self/fd/{folder}/{SOCKET}", _Handler)
        finally:
            os.close(folder)
        os.chmod(Path(name, SOCKET), 0o777)  # noqa: S103
        server.gateway = Gateway(answer, taken)
        serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        serving.start()
        try:
            yield server.gateway, Path(name)
        finally:
            server.shutdown()
            server.server_close()
            serving.join()
