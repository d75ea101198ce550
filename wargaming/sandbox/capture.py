"""Keeping the output of a program that may write without end: head, tail, last line and a bounded compressed copy."""

from __future__ import annotations

import zlib

from wargaming.sandbox.base import HEAD_BYTES, STORED_BYTES, TAIL_BYTES


class Capture:
    """One stream. Memory stays bounded whatever is fed to it."""

    def __init__(self) -> None:
        self.total = 0
        self._head = bytearray()
        self._tail = bytearray()
        self._stored = 0
        self._packer = zlib.compressobj(6)
        self._packed = bytearray()

    def feed(self, data: bytes) -> None:
        self.total += len(data)
        if len(self._head) < HEAD_BYTES:
            self._head += data[: HEAD_BYTES - len(self._head)]
        self._tail += data
        if len(self._tail) > 2 * TAIL_BYTES:
            del self._tail[:-TAIL_BYTES]
        if self._stored < STORED_BYTES:
            kept = data[: STORED_BYTES - self._stored]
            self._stored += len(kept)
            self._packed += self._packer.compress(kept)

    def head(self) -> str:
        return bytes(self._head).decode("utf-8", "replace")

    def tail(self) -> str:
        return bytes(self._tail[-TAIL_BYTES:]).decode("utf-8", "replace")

    def last_line(self) -> str:
        """The last line that is not blank; "" when its beginning is no longer kept, for half a line is no line."""
        text = bytes(self._tail[-TAIL_BYTES:])
        complete = self.total <= TAIL_BYTES
        stripped = text.rstrip()
        start = stripped.rfind(b"\n")
        if start < 0 and not complete:
            return ""
        # cut at the line's own end, not at its trailing blanks: "REPRODUCED: " with nothing behind it stays as written
        end = text.find(b"\n", len(stripped))
        line = text[start + 1 : end if end >= 0 else len(text)]
        return line.rstrip(b"\r").decode("utf-8", "replace")

    def packed(self) -> bytes:
        return bytes(self._packed) + self._packer.copy().flush()
