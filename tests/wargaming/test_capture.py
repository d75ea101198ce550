"""Bounded memory for unbounded output, and what counts as the last line."""

import zlib

import pytest

from wargaming.sandbox.base import HEAD_BYTES, STORED_BYTES, TAIL_BYTES
from wargaming.sandbox.capture import Capture


def captured(*chunks: bytes) -> Capture:
    capture = Capture()
    for chunk in chunks:
        capture.feed(chunk)
    return capture


@pytest.mark.parametrize(
    ("output", "line"),
    [
        (b"a\nREPRODUCED: x\n", "REPRODUCED: x"),
        (b"REPRODUCED: x", "REPRODUCED: x"),
        (b"REPRODUCED: x\n\n  \n\t\n", "REPRODUCED: x"),
        (b"REPRODUCED: x\r\n", "REPRODUCED: x"),
        (b"REPRODUCED: \n", "REPRODUCED: "),
        (b"  indented\n", "  indented"),
        (b"REPRODUCED: x\nmore", "more"),
        (b"\n\n", ""),
        (b"", ""),
        (b"\xff\xfe", "\ufffd\ufffd"),
    ],
)
def test_the_last_line_is_the_last_that_is_not_blank(output, line):
    assert captured(output).last_line() == line
    assert captured(*(output[at : at + 1] for at in range(len(output)))).last_line() == line


def test_a_line_longer_than_what_is_kept_is_no_line():
    assert captured(b"NOT PRESENT: " + b"x" * TAIL_BYTES).last_line() == ""


def test_fifty_megabytes_leave_a_head_a_tail_and_a_bounded_copy():
    chunk = bytes(range(32, 96)) * 1024
    capture = captured(b"first\n", *[chunk] * 800, b"\nlast\n")
    assert capture.total > 50_000_000
    assert len(capture.head()) == HEAD_BYTES
    assert capture.head().startswith("first")
    assert len(capture.tail()) == TAIL_BYTES
    assert capture.last_line() == "last"
    assert len(zlib.decompress(capture.packed())) == STORED_BYTES
