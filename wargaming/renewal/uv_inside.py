"""Runs in the sandbox: renews a uv.lock with uv itself, asking for pages and metadata over a Unix socket. Standard library only.

In by standard input: {manifest, lock, upgrades}. Out: {lock} or {error}, zlib and base64.
"""

import base64
import http.client
import http.server
import json
import os
import pathlib
import socket
import subprocess
import sys
import threading
import zlib

PUBLIC_INDEX = "https://pypi.org/simple"
PUBLIC_FILES = "https://files.pythonhosted.org/"
TOOLS, SOCKET = sys.argv[1:3]


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        status, body = ask(self.path)
        kind = "application/vnd.pypi.simple.v1+json" if self.path.startswith("/simple/") else "text/plain"
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


def main() -> dict[str, str]:
    order = json.load(sys.stdin)
    folder = pathlib.Path("project")
    folder.mkdir()
    lock = order["lock"].replace(f'"{PUBLIC_INDEX}"', f'"{own}/simple"').replace(f'"{PUBLIC_FILES}', f'"{own}/files/')
    (folder / "pyproject.toml").write_text(order["manifest"], newline="")
    if lock:
        (folder / "uv.lock").write_text(lock, newline="")
    words = [f"{TOOLS}/uv", "lock", "--no-build", "--no-python-downloads", "--python", sys.executable, "--no-progress"]
    words += ["--color", "never", "--default-index", f"{own}/simple", "--cache-dir", os.path.abspath("cache")]
    for upgrade in order["upgrades"]:
        words += ["--upgrade-package", upgrade]
    done = subprocess.run(  # noqa: S603
        words, cwd=folder, capture_output=True, text=True, errors="replace", check=False
    )
    if done.returncode != 0:
        return {"error": "uv: " + done.stderr[:20000]}
    text = (folder / "uv.lock").read_bytes().decode()
    return {"lock": text.replace(f'"{own}/simple"', f'"{PUBLIC_INDEX}"').replace(f'"{own}/files/', f'"{PUBLIC_FILES}')}


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
own = f"http://127.0.0.1:{server.server_address[1]}"
threading.Thread(target=server.serve_forever, daemon=True).start()
found = main()
sys.stdout.write(base64.b64encode(zlib.compress(json.dumps(found).encode())).decode())
