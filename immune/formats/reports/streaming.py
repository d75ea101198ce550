"""Reports too large to hold: read row by row, in flat memory, and handed on in batches. Pure but for reading its
stream.

The findings of the great scanners stand in one list, sometimes inside another. Two passes over a seekable stream: the
first keeps what stands around the rows (the tool, its rules, the target), the second reads the rows, since either may
come first. Each batch is made into a small document of the same kind and read by the same reader as a whole report.
"""

from __future__ import annotations

import codecs
import gzip
import json
from collections.abc import Iterator
from typing import Any, BinaryIO, NoReturn, cast

from immune.formats import limits
from immune.formats.documents import unique_pairs
from immune.formats.reports.shapes import Report
from immune.inventory import Unreadable

MAX_STREAM = 1024 * 1024 * 1024  # bytes, after unpacking
MAX_ROW = 16 * 1024 * 1024  # characters of one row, or of what stands around the rows
_CHUNK = 256 * 1024

# The list that holds the rows: directly, or one list further in under this name.
_INNER = {"matches": "", "dependencies": "", "Results": "Vulnerabilities", "runs": "results", "results": "packages"}

_Heads = list[dict[str, Any]]


class _Pull:
    """Reads JSON from a stream piece by piece: an object's keys, a list's places, or a whole value."""

    def __init__(self, source: str, stream: BinaryIO) -> None:
        self.source = source
        self._stream = stream
        self._decode = codecs.getincrementaldecoder("utf-8")()
        self._json = json.JSONDecoder(object_pairs_hook=unique_pairs)
        self._text = ""
        self._at = 0
        self._read = 0
        self._ended = False

    def _more(self) -> None:
        data = self._stream.read(max(_CHUNK, len(self._text) - self._at))
        self._read += len(data)
        if self._read > MAX_STREAM:
            raise Unreadable(self.source, f"larger than {MAX_STREAM} bytes")
        self._ended = not data
        try:
            self._text = self._text[self._at :] + self._decode.decode(data, final=self._ended)
        except UnicodeDecodeError as error:
            raise Unreadable(self.source, "not utf-8 text") from error
        self._at = 0

    def peek(self) -> str:
        """The next character that is no white space; "" at the end."""
        while True:
            while self._at < len(self._text) and self._text[self._at] in " \t\r\n\ufeff":
                self._at += 1
            if self._at < len(self._text):
                return self._text[self._at]
            if self._ended:
                return ""
            self._more()

    def take(self, wanted: str) -> None:
        if self.peek() != wanted:
            self._stop(f"expected {wanted!r}")
        self._at += 1

    def value(self) -> Any:
        """The whole value that begins here."""
        self.peek()
        while True:
            try:
                found, end = self._json.raw_decode(self._text, self._at)
            except RecursionError as error:
                raise Unreadable(self.source, "JSON nested too deep") from error
            except ValueError as error:
                if self._ended or not isinstance(error, json.JSONDecodeError):
                    self._stop(str(error))
            else:
                # a number at the end of what was read may go on
                if end < len(self._text) or self._ended:
                    self._at = end
                    return found
            if len(self._text) - self._at > MAX_ROW:
                self._stop(f"one value longer than {MAX_ROW} characters")
            self._more()

    def members(self) -> Iterator[str]:
        """The keys of the object that begins here; who asks reads each value before the next."""
        self.take("{")
        seen: set[str] = set()
        while self.peek() != "}":
            if seen:
                self.take(",")
            key = self.value()
            if not isinstance(key, str) or key in seen or len(seen) > limits.MAX_LINES:
                self._stop("a key that is no text or stands twice")
            seen.add(key)
            self.take(":")
            yield key
        self.take("}")

    def places(self) -> Iterator[int]:
        """The places of the list that begins here; who asks reads each value before the next."""
        self.take("[")
        count = 0
        while self.peek() != "]":
            if count:
                self.take(",")
            yield count
            count += 1
        self.take("]")

    def end(self) -> None:
        if self.peek():
            self._stop("more than one value")

    def _stop(self, reason: str) -> NoReturn:
        raise Unreadable(self.source, f"not JSON: {limits.shown(reason)}")


def streamable(pull: _Pull) -> str:
    """The key whose rows can be read one by one; "" when the document has none. Reads up to that key."""
    if pull.peek() != "{":
        return ""
    for key in pull.members():
        if key in _INNER and pull.peek() == "[":
            return key
        pull.value()
    return ""


def batches(source: str, stream: BinaryIO, *, size: int) -> Iterator[dict[str, Any]]:
    """Small documents of the same kind as the one in ``stream``, of at most ``size`` rows each; none when it has no
    rows to read one by one. Raises Unreadable."""
    stream.seek(0)
    unpacked = _unpacked(stream)
    key = streamable(_Pull(source, unpacked))
    if not key:
        return
    unpacked.seek(0)
    around = [(top, inner) for top, inner, row in _walk(_Pull(source, unpacked), key) if row is _END]
    unpacked.seek(0)
    number = 0
    rows: list[Any] = []
    for _, _, row in _walk(_Pull(source, unpacked), key):
        if row is not _END:
            rows.append(row)
        if len(rows) >= size or (row is _END and (rows or number == 0)):
            top, inner = around[min(number, len(around) - 1)]
            yield _document(key, around[-1][0] or top, inner, rows)
            rows = []
            # what is said once of a run is not said again with its next batch
            inner.pop("invocations", None)
        if row is _END:
            number += 1


_END = object()


def _walk(pull: _Pull, key: str) -> Iterator[tuple[dict[str, Any], dict[str, Any], Any]]:
    """(what stands beside the list, what stands beside the rows, row); after each inner list, and at the end, _END."""
    top: dict[str, Any] = {}
    inner_key = _INNER[key]
    for name in pull.members():
        if name != key:
            top[name] = pull.value()
            continue
        for _ in pull.places():
            if not inner_key:
                yield top, {}, pull.value()
                continue
            if pull.peek() != "{":
                raise Unreadable(pull.source, f"an entry of {key} is no object")
            inner: dict[str, Any] = {}
            for field in pull.members():
                if field != inner_key or pull.peek() != "[":
                    inner[field] = pull.value()
                    continue
                for _ in pull.places():
                    yield top, inner, pull.value()
            yield top, inner, _END
    pull.end()
    yield top, {}, _END


def _document(key: str, top: dict[str, Any], inner: dict[str, Any], rows: list[Any]) -> dict[str, Any]:
    inner_key = _INNER[key]
    if not inner_key:
        return {**top, key: list(rows)}
    # What stands in the place of the list goes on to the reader, which refuses it.
    return {**top, key: [{inner_key: list(rows), **inner}] if inner or rows else []}


def _unpacked(stream: BinaryIO) -> BinaryIO:
    start = stream.read(2)
    stream.seek(0)
    return cast(BinaryIO, gzip.GzipFile(fileobj=stream)) if start == b"\x1f\x8b" else stream


def is_empty(report: Report) -> bool:
    """Nothing in it at all: a batch that only closes a list."""
    return not (report.findings or report.statements or report.components or report.refused)
