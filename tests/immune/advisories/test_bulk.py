"""Fetching an export from a real server on this machine: conditionally, resumed, bounded, refused."""

from __future__ import annotations

import hashlib
import io
import json
import os
import sys
import threading
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from immune.advisories.bulk import BulkError, Limits, Reason, bulk_url, fetch_bulk
from immune.advisories.sources import read_advisories


def export(*identifiers, padding=0):
    """A bulk export as OSV makes them; padding is incompressible."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for identifier in identifiers:
            archive.writestr(f"{identifier}.json", json.dumps({"id": identifier, "modified": "2026-01-01T00:00:00Z"}))
        archive.writestr("padding.bin", os.urandom(padding))
    return buffer.getvalue()


@dataclass
class Shop:
    """What the server offers, how it misbehaves, and what it was asked."""

    body: bytes = b""
    etag: str = ""
    last_modified: str = ""
    break_after: int | None = None  # bytes, once
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    chunked: bool = False
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    url: str = ""

    def sell(self, body):
        self.body = body
        self.etag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'

    @property
    def template(self):
        return self.url + "/{ecosystem}/all.zip"


class Clerk(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    shop: Shop

    def log_message(self, *_):
        return

    def do_GET(self):
        shop = self.shop
        shop.asked.append((self.path, dict(self.headers)))
        if shop.status:
            self.answer(shop.status, b"no", {})
            return
        validators = {"ETag": shop.etag, "Last-Modified": shop.last_modified}
        validators = {name: value for name, value in validators.items() if value}
        asked = self.headers
        if (shop.etag and asked.get("If-None-Match") == shop.etag) or (
            not shop.etag and shop.last_modified and asked.get("If-Modified-Since") == shop.last_modified
        ):
            self.answer(304, b"", validators)
            return
        start = 0
        if asked.get("Range") and asked.get("If-Range") in validators.values():
            start = int(asked["Range"].removeprefix("bytes=").removesuffix("-"))
            if start >= len(shop.body):
                self.answer(416, b"", validators)
                return
            validators["Content-Range"] = f"bytes {start}-{len(shop.body) - 1}/{len(shop.body)}"
        self.answer(206 if start else 200, shop.body[start:], validators)

    def answer(self, status, body, headers):
        shop = self.shop
        self.send_response(status)
        for name, value in {**headers, **shop.headers}.items():
            self.send_header(name, value)
        if shop.chunked:
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            # A client that has had enough hangs up, as it should.
            with suppress(ConnectionError):
                for begin in range(0, len(body), 65536):
                    piece = body[begin : begin + 65536]
                    self.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
                self.wfile.write(b"0\r\n\r\n")
            return
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        cut, shop.break_after = shop.break_after, None
        with suppress(ConnectionError):
            self.wfile.write(body[:cut])
        if cut is not None:
            self.close_connection = True


class Counter(ThreadingHTTPServer):
    def handle_error(self, request, client_address):
        # A client that hangs up is part of what is tested; anything else is shown.
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


@pytest.fixture
def shop() -> Iterator[Shop]:
    offered = Shop()
    server = Counter(("127.0.0.1", 0), type("Handler", (Clerk,), {"shop": offered}))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    offered.url = f"http://127.0.0.1:{server.server_port}"
    yield offered
    server.shutdown()
    server.server_close()
    thread.join()


def ids(fetched):
    return sorted(record.id for record in read_advisories([fetched.path]))


def test_an_export_is_fetched_once_and_then_only_asked_about(shop, tmp_path):
    shop.sell(export("A-1", "A-2"))
    first = fetch_bulk("crates.io", tmp_path, template=shop.template)
    again = fetch_bulk("crates.io", tmp_path, template=shop.template)
    assert (first.changed, ids(first)) == (True, ["A-1", "A-2"])
    assert (again.changed, again.received, again.path, again.sha256) == (False, 0, first.path, first.sha256)
    assert [path for path, _ in shop.asked] == ["/crates.io/all.zip"] * 2
    assert shop.asked[1][1]["If-None-Match"] == shop.etag


def test_a_changed_export_replaces_the_old_one(shop, tmp_path):
    shop.sell(export("A-1"))
    fetch_bulk("PyPI", tmp_path, template=shop.template)
    shop.sell(export("A-1", "A-2"))
    second = fetch_bulk("PyPI", tmp_path, template=shop.template)
    assert (second.changed, ids(second)) == (True, ["A-1", "A-2"])


def test_a_date_serves_where_there_is_no_tag(shop, tmp_path):
    shop.body, shop.last_modified = export("A-1"), "Wed, 21 Oct 2026 07:28:00 GMT"
    fetch_bulk("PyPI", tmp_path, template=shop.template)
    assert fetch_bulk("PyPI", tmp_path, template=shop.template).changed is False


def test_a_server_without_validators_is_read_again_and_its_digest_tells(shop, tmp_path):
    shop.body = export("A-1")
    assert fetch_bulk("PyPI", tmp_path, template=shop.template).changed is True
    again = fetch_bulk("PyPI", tmp_path, template=shop.template)
    assert (again.changed, again.received) == (False, len(shop.body))


def test_an_answer_that_breaks_off_is_gone_on_with(shop, tmp_path):
    shop.sell(export("A-1", padding=500_000))
    shop.break_after = 300_000
    fetched = fetch_bulk("PyPI", tmp_path, template=shop.template)
    assert ids(fetched) == ["A-1"]
    assert fetched.path.read_bytes() == shop.body
    assert shop.asked[1][1]["Range"] == "bytes=300000-"
    assert fetched.received == len(shop.body)


def test_a_later_call_goes_on_where_an_earlier_one_stopped(shop, tmp_path):
    shop.sell(export("A-1", padding=500_000))
    shop.break_after = 300_000
    with pytest.raises(BulkError) as failure:
        fetch_bulk("PyPI", tmp_path, template=shop.template, limits=Limits(attempts=1))
    assert (failure.value.reason, failure.value.retryable) == (Reason.INTERRUPTED, True)
    assert not (tmp_path / "PyPI.zip").exists()
    fetched = fetch_bulk("PyPI", tmp_path, template=shop.template)
    assert fetched.path.read_bytes() == shop.body
    assert fetched.received == len(shop.body) - 300_000


def test_what_was_begun_is_thrown_away_when_the_export_changed_meanwhile(shop, tmp_path):
    shop.sell(export("A-1", padding=500_000))
    shop.break_after = 300_000
    with pytest.raises(BulkError):
        fetch_bulk("PyPI", tmp_path, template=shop.template, limits=Limits(attempts=1))
    shop.sell(export("A-2", padding=10))
    fetched = fetch_bulk("PyPI", tmp_path, template=shop.template)
    assert ids(fetched) == ["A-2"]
    assert fetched.path.read_bytes() == shop.body


def test_a_part_longer_than_the_export_is_thrown_away(shop, tmp_path):
    shop.sell(export("A-1"))
    (tmp_path / "PyPI.part").write_bytes(b"x" * 100_000)
    note = {"url": shop.url + "/PyPI/all.zip", "etag": shop.etag, "last_modified": "", "size": 1, "sha256": ""}
    (tmp_path / "PyPI.part.json").write_text(json.dumps(note))
    assert ids(fetch_bulk("PyPI", tmp_path, template=shop.template)) == ["A-1"]


@pytest.mark.parametrize("note", ["", "{", "[]", '{"url": 3}', '{"unknown": 1}'])
def test_a_broken_note_is_as_none(shop, tmp_path, note):
    shop.sell(export("A-1"))
    (tmp_path / "PyPI.zip").write_bytes(b"old")
    (tmp_path / "PyPI.zip.json").write_text(note)
    assert ids(fetch_bulk("PyPI", tmp_path, template=shop.template)) == ["A-1"]


@pytest.mark.parametrize("chunked", [False, True])
def test_an_export_beyond_the_bound_is_refused_and_nothing_is_kept(shop, tmp_path, chunked):
    shop.sell(export("A-1", padding=500_000))
    shop.chunked = chunked
    with pytest.raises(BulkError) as failure:
        fetch_bulk("PyPI", tmp_path, template=shop.template, limits=Limits(size=100_000))
    assert (failure.value.reason, failure.value.retryable) == (Reason.TOO_LARGE, False)
    assert [path.name for path in tmp_path.iterdir()] == ["PyPI.lock"]


def test_a_page_in_place_of_an_archive_leaves_the_old_one_standing(shop, tmp_path):
    shop.sell(export("A-1"))
    good = fetch_bulk("PyPI", tmp_path, template=shop.template)
    shop.sell(b"<html>please log in</html>")
    with pytest.raises(BulkError) as failure:
        fetch_bulk("PyPI", tmp_path, template=shop.template)
    assert failure.value.reason is Reason.NOT_AN_ARCHIVE
    assert ids(good) == ["A-1"]


@pytest.mark.parametrize(
    ("status", "headers", "reason", "retryable"),
    [
        (404, {}, Reason.REFUSED, False),
        (403, {}, Reason.REFUSED, False),
        (429, {}, Reason.REFUSED, True),
        (503, {}, Reason.REFUSED, True),
        (302, {"Location": "http://127.0.0.1:9/elsewhere"}, Reason.REDIRECTED, False),
    ],
)
def test_a_no_is_told_apart_from_a_later(shop, tmp_path, status, headers, reason, retryable):
    shop.status, shop.headers = status, headers
    with pytest.raises(BulkError) as failure:
        fetch_bulk("PyPI", tmp_path, template=shop.template)
    assert (failure.value.reason, failure.value.retryable) == (reason, retryable)
    assert len(shop.asked) == 1


def test_an_encoding_nobody_asked_for_is_refused(shop, tmp_path):
    shop.sell(export("A-1"))
    shop.headers = {"Content-Encoding": "gzip"}
    with pytest.raises(BulkError) as failure:
        fetch_bulk("PyPI", tmp_path, template=shop.template)
    assert failure.value.reason is Reason.REFUSED


def test_nobody_at_the_address_is_offline(shop, tmp_path):
    gone = ThreadingHTTPServer(("127.0.0.1", 0), Clerk)
    port = gone.server_port
    gone.server_close()
    with pytest.raises(BulkError, match="cannot be reached") as failure:
        fetch_bulk("PyPI", tmp_path, template=f"http://127.0.0.1:{port}/{{ecosystem}}")
    assert (failure.value.reason, failure.value.retryable) == (Reason.OFFLINE, True)


def test_a_call_that_takes_too_long_ends(shop, tmp_path):
    shop.sell(export("A-1", padding=500_000))
    with pytest.raises(BulkError) as failure:
        fetch_bulk("PyPI", tmp_path, template=shop.template, limits=Limits(seconds=0.0))
    assert failure.value.reason is Reason.TIMED_OUT


def test_two_at_once_do_not_write_one_file(shop, tmp_path):
    shop.sell(export("A-1"))
    seen = []
    given = Clerk.do_GET

    def second_call(clerk):
        # While the first is being answered, another one asks for the same.
        try:
            fetch_bulk("PyPI", tmp_path, template=shop.template)
        except BulkError as error:
            seen.append(error.reason)
        given(clerk)

    Clerk.do_GET = second_call
    try:
        assert ids(fetch_bulk("PyPI", tmp_path, template=shop.template)) == ["A-1"]
    finally:
        Clerk.do_GET = given
    assert seen == [Reason.BUSY]


@pytest.mark.parametrize(
    "template",
    [
        "ftp://example.org/{ecosystem}",
        "/srv/{ecosystem}",
        "https://example.org/all.zip",
        "https://u:p@example.org/{ecosystem}",
    ],
)
def test_an_address_that_is_none_is_refused(template):
    with pytest.raises(BulkError) as failure:
        bulk_url("PyPI", template)
    assert failure.value.reason is Reason.BAD_ADDRESS


def test_a_name_cannot_lead_elsewhere(shop, tmp_path):
    shop.sell(export("A-1"))
    fetched = fetch_bulk("../../Red Hat", tmp_path, template=shop.template)
    assert fetched.path.parent == tmp_path
    assert shop.asked[0][0] == "/..%2F..%2FRed%20Hat/all.zip"
