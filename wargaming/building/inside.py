"""Runs in the sandbox: builds one wheel with uv, asking for files over a Unix socket. Standard library only.

In by standard input: {source}, the file name of the source distribution. The wheel goes out over the socket; the answer is
{wheel}, its name, or {error}, the builder's last words, zlib and base64.
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
import urllib.parse
import zlib

TOOLS, SOCKET = sys.argv[1:3]
LAST_WORDS = 500


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.answer(True)

    def do_HEAD(self) -> None:
        self.answer(False)

    def answer(self, whole: bool) -> None:
        status, body = ask("GET", self.path)
        kind = "application/vnd.pypi.simple.v1+json" if self.path.endswith("/") else "application/octet-stream"
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if whole:
            self.wfile.write(body)

    def log_message(self, format: str, *words: object) -> None:
        """Said by the outcome."""


def ask(method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
    outside = http.client.HTTPConnection("gateway", timeout=120)
    outside.sock = socket.socket(socket.AF_UNIX)
    outside.sock.connect(SOCKET)
    try:
        outside.request(method, path, body)
        answer = outside.getresponse()
        return answer.status, answer.read()
    finally:
        outside.close()


def main() -> dict[str, str]:
    source = json.load(sys.stdin)["source"]
    status, content = ask("GET", "/source")
    if status != 200:
        return {"error": f"the registry gave no {source}"}
    pathlib.Path(source).write_bytes(content)
    words = [
        f"{TOOLS}/uv",
        "build",
        "--wheel",
        "--out-dir",
        "out",
        "--no-config",
        "--no-sources",
        "--no-create-gitignore",
    ]
    words += ["--no-python-downloads", "--python", sys.executable, "--no-progress", "--color", "never"]
    words += ["--default-index", f"{own}/simple", "--cache-dir", os.path.abspath("cache"), source]
    # A build of today and one of next year are to give the same bytes.
    environment = {**os.environ, "SOURCE_DATE_EPOCH": "315532800"}
    done = subprocess.run(  # noqa: S603
        words, env=environment, capture_output=True, text=True, errors="replace", check=False
    )
    wheels = sorted(pathlib.Path("out").glob("*.whl"))
    if done.returncode != 0 or len(wheels) != 1:
        return {"error": "…" + (done.stdout + done.stderr).strip()[-LAST_WORDS:]}
    try:
        status, said = ask("PUT", f"/built/{urllib.parse.quote(wheels[0].name)}", wheels[0].read_bytes())
    except OSError:
        # Refused by its size alone, the way is closed while the rest is still being written.
        return {"error": "what was built is too large"}
    return {"wheel": wheels[0].name} if status == 200 else {"error": said.decode("utf-8", "replace")}


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
own = f"http://127.0.0.1:{server.server_address[1]}"
threading.Thread(target=server.serve_forever, daemon=True).start()
found = main()
sys.stdout.write(base64.b64encode(zlib.compress(json.dumps(found).encode())).decode())
