"""Runs in the sandbox beside a Python resolver: an index on the loopback whose documents are asked for over a Unix socket.

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
        status, body = ask(self.path)
        kind = "application/vnd.pypi.simple.v1+json" if self.path.startswith("/simple/") else "text/plain"
        if self.path.startswith("/pypi/"):
            kind = "application/json"
        body = body.replace(PUBLIC_FILES.encode(), f"{own}/files/".encode()) if "json" in kind else body
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *words: object) -> None:
        """Said by the outcome."""


def ask(path: str) -> tuple[int, bytes]:
    outside = http.client.HTTPConnection("gateway", timeout=120)
    outside.sock = socket.socket(socket.AF_UNIX)
    outside.sock.connect(SOCKET)
    try:
        outside.request("GET", path)
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
