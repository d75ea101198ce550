"""How a requirements file is cut into logical lines, with the way back to each character's place. Pure.

The rules are pip's (``pip/_internal/req/req_file.py``, "Requirements File Format" in its documentation): physical lines
end where ``str.splitlines`` says, a trailing backslash joins the next line, a comment line ends a joined one, a ``#``
after whitespace starts a comment. Parser and editor both read through here, so an edit touches what was parsed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

# pip's form of an environment variable: braces and capitals only.
VARIABLE = re.compile(r"\$\{([A-Z0-9_]+)\}")


@dataclass(frozen=True, slots=True)
class LogicalLine:
    """One joined line without its comment. ``segments`` are (start in ``text``, start in the file, length), in
    order."""

    number: int  # of its first physical line, 1-based
    text: str
    comment: str
    segments: tuple[tuple[int, int, int], ...]

    def span(self, start: int, end: int) -> tuple[int, int] | None:
        """Where ``text[start:end]`` stands in the file; None when a line break lies inside it."""
        for begin, origin, length in self.segments:
            if begin <= start and end <= begin + length:
                return origin + start - begin, origin + end - begin
        return None

    def stretch(self, start: int, end: int) -> tuple[int, int] | None:
        """Where ``text[start:end]`` begins and ends in the file, line breaks and backslashes between included."""
        first, last = self.span(start, start + 1), self.span(end - 1, end)
        return (first[0], last[1]) if first and last else None


def logical_lines(text: str) -> Iterator[LogicalLine]:
    """Every logical line that holds more than space and comment."""
    offset = 0
    number = 0
    first = 0
    pieces: list[tuple[str, int]] = []
    for raw in text.splitlines(keepends=True):
        number += 1
        content = raw.splitlines()[0]
        start = offset
        offset += len(raw)
        if number == 1 and content.startswith("\ufeff"):
            content, start = content[1:], start + 1
        is_comment = content.lstrip().startswith("#")
        if content.endswith("\\") and not is_comment:
            if not pieces:
                first = number
            # pip strips backslashes on both sides of a continued line
            led = len(content) - len(content.lstrip("\\"))
            pieces.append((content.strip("\\"), start + led))
            continue
        if is_comment:
            # a space is put before it, so that the comment is seen as one after joining too
            pieces.append((" ", -1))
        pieces.append((content, start))
        line = _joined(first or number, pieces)
        pieces, first = [], 0
        if line:
            yield line
    if pieces:
        line = _joined(first, pieces)
        if line:
            yield line


def _joined(number: int, pieces: list[tuple[str, int]]) -> LogicalLine | None:
    joined = "".join(piece for piece, _ in pieces)
    code = joined[: _comment_start(joined)]
    if not code.strip():
        return None
    segments, at = [], 0
    for piece, origin in pieces:
        if origin >= 0 and piece:
            segments.append((at, origin, len(piece)))
        at += len(piece)
    return LogicalLine(number, code.rstrip(), joined[len(code) :].strip(), tuple(segments))


def _comment_start(line: str) -> int:
    # By search, not by the pattern pip has: that one takes quadratic time on a run of spaces.
    at = line.find("#")
    while at != -1:
        if at == 0 or line[at - 1].isspace():
            return at
        at = line.find("#", at + 1)
    return len(line)
