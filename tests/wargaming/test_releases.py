"""When a release was published: asked of a registry that speaks, and never guessed where it does not."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from wargaming.releases import npm_time, published, youngest

WHEEL = {"url": "demo-1.0-py3-none-any.whl", "filename": "demo-1.0-py3-none-any.whl", "hashes": {}}
SDIST = {"url": "demo-1.0.tar.gz", "filename": "demo-1.0.tar.gz", "hashes": {}}
OTHER = {"url": "demo-2.0-py3-none-any.whl", "filename": "demo-2.0-py3-none-any.whl", "hashes": {}}


@pytest.fixture
def index(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, object]]]:
    """A Python index of one project; what it lists may be changed."""
    listed: list[dict[str, object]] = []

    class Index(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps({"files": listed}).encode()
            self.send_response(200 if self.path == "/simple/demo/" else 404)
            self.send_header("Content-Type", "application/vnd.pypi.simple.v1+json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Index)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    for name in ("PIP_INDEX_URL", "UV_INDEX_URL", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("UV_DEFAULT_INDEX", f"http://127.0.0.1:{server.server_port}/simple")
    yield listed
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_release_is_as_young_as_its_youngest_file(index: list[dict[str, object]]) -> None:
    index += [
        WHEEL | {"upload-time": "2026-01-01T10:00:00Z"},
        SDIST | {"upload-time": "2026-03-01T10:00:00.5+00:00"},
        OTHER | {"upload-time": "2026-09-01T10:00:00Z"},
    ]
    assert published("PyPI", "demo", "1.0") == datetime(2026, 3, 1, 10, 0, 0, 500000, UTC)
    del index[1]["upload-time"]
    assert published("PyPI", "demo", "1.0") is None, "one file of which nobody knows is not old"
    assert published("PyPI", "demo", "3.0") is None
    assert published("PyPI", "absent", "1.0") is None
    assert published("crates.io", "demo", "1.0") is None


def test_a_registry_that_does_not_answer_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://127.0.0.1:1/simple")
    assert published("PyPI", "demo", "1.0") is None


@pytest.mark.parametrize(
    "document", [b"", b"[]", b"{}", b'{"time": []}', b'{"time": {"1.0.0": 7}}', b'{"time": {"1.0.0": "soon"}}', b"\xff"]
)
def test_a_packument_that_says_nothing_says_nothing(document: bytes) -> None:
    assert npm_time(document, "1.0.0") is None


def test_a_packument_says_when() -> None:
    document = b'{"time": {"created": "2020-01-01T00:00:00Z", "1.0.0": "2026-02-03T04:05:06.789Z"}}'
    assert npm_time(document, "1.0.0") == datetime(2026, 2, 3, 4, 5, 6, 789000, UTC)
    assert youngest([]) is None
