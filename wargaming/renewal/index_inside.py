"""Runs in the sandbox beside a Python resolver or builder: an index on the loopback whose documents are asked for over a Unix socket.

Standard library only. What the resolver is told of files lies here too, so that it never asks for another host.
"""

import base64
import http.client
import http.server
import json
import socket
import sys
import threading
import zlib
from collections.abc import Callable
from typing import Any

PUBLIC_INDEX = "https://pypi.org/simple"
PUBLIC_FILES = "https://files.pythonhosted.org/"
TOOLS, SOCKET = sys.argv[1:3]


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.answer(whole=True)

    def do_HEAD(self) -> None:
        self.answer(whole=False)

    def answer(self, *, whole: bool) -> None:
        status, body = ask(self.path)
        kind = kind_of(self.path)
        body = body.replace(PUBLIC_FILES.encode(), f"{own}/files/".encode()) if "json" in kind else body
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if whole:
            self.wfile.write(body)

    def log_message(self, format: str, *words: object) -> None:
        """Said by the outcome."""


def kind_of(path: str) -> str:
    """What a document is, by its address: a project's page ends in a slash, a file never does."""
    if path.startswith("/pypi/"):
        return "application/json"
    return "application/vnd.pypi.simple.v1+json" if path.endswith("/") else "application/octet-stream"


def ask(path: str, method: str = "GET", body: bytes | None = None) -> tuple[int, bytes]:
    outside = http.client.HTTPConnection("gateway", timeout=120)
    outside.sock = socket.socket(socket.AF_UNIX)
    outside.sock.connect(SOCKET)
    try:
        outside.request(method, path, body)
        answer = outside.getresponse()
        return answer.status, answer.read()
    finally:
        outside.close()


def answer(renew: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Reads the order from standard input and writes what ``renew`` makes of it, packed, as the one thing on standard output."""
    threading.Thread(target=server.serve_forever, daemon=True).start()
    found = renew(json.load(sys.stdin))
    out.write(base64.b64encode(zlib.compress(json.dumps(found).encode())).decode())
    out.flush()


# Kept, since a resolver run in this process is given another to talk to.
out = sys.stdout
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
own = f"http://127.0.0.1:{server.server_address[1]}"
