"""Two small servers that keep what they were sent: one takes HTTP posts, one takes mail."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.github_server.transport import context as server_context


class Posts(ThreadingHTTPServer):
    """Answers with ``status`` and ``headers``; ``got`` holds (path, headers, body). With a certificate's file it speaks TLS."""

    daemon_threads = True

    def __init__(self, certificate: Path | None = None) -> None:
        super().__init__(("127.0.0.1", 0), _Post)
        self.scheme = "https" if certificate else "http"
        if certificate:
            self.socket = server_context(certificate).wrap_socket(self.socket, server_side=True)
        self.forget()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that does not trust us hangs up: that is what some tests are about."""

    def forget(self) -> None:
        self.got: list[tuple[str, dict[str, str], bytes]] = []
        self.status, self.headers = 200, {}  # type: int, dict[str, str]

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.server_port}/hook?key=s3cret"


class _Post(BaseHTTPRequestHandler):
    server: Posts

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.got.append((self.path, {k.lower(): v for k, v in self.headers.items()}, body))
        self.send_response(self.server.status)
        for name, value in {**self.server.headers, "Content-Length": "2"}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet: tests look at what was kept."""


class Mails(socketserver.ThreadingTCPServer):
    """Takes mail as RFC 5321 has it, without extensions; ``got`` holds (recipients, message)."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Mail)
        self.got: list[tuple[list[str], str]] = []

    @property
    def port(self) -> int:
        return int(self.server_address[1])


class _Mail(socketserver.StreamRequestHandler):
    server: Mails

    def handle(self) -> None:
        self._say("220 here")
        to: list[str] = []
        for line in self.rfile:
            word = line.decode().strip()
            verb = word[:4].upper()
            if verb == "RCPT":
                to.append(word.partition("<")[2].partition(">")[0])
                if "refused@" in word:
                    self._say("550 no such person")
                    continue
            if verb == "DATA":
                self._say("354 go on")
                self.server.got.append((to, self._message()))
                to = []
            if verb == "QUIT":
                self._say("221 bye")
                return
            self._say("250 ok")

    def _message(self) -> str:
        lines = []
        for line in self.rfile:
            if line == b".\r\n":
                break
            lines.append(line.decode())
        return "".join(lines)

    def _say(self, text: str) -> None:
        self.wfile.write(f"{text}\r\n".encode())


@contextmanager
def served(server: Any) -> Iterator[Any]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
