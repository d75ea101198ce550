"""Reading a stored unified diff for display: files, hunks, lines with their numbers, and what changed within a line. Pure.

Lines inside a hunk are counted by its header, so a removed line that reads ``-- a/x`` is shown as the removal it is and
never taken for the head of another file. A diff that does not add up is shown line by line as text, and says so.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace

_HUNK = re.compile(r"^@@ -(\d{1,9})(?:,(\d{1,9}))? \+(\d{1,9})(?:,(\d{1,9}))? @@(.*)$")
LONGEST_LINE = 2000
MOST_LINES = 4000


@dataclass(frozen=True, slots=True)
class Line:
    """``kind`` is added, removed, same, note or head. ``middle`` is the part that differs from the line's counterpart."""

    kind: str
    text: str
    old: int | None = None
    new: int | None = None
    before: str = ""
    middle: str = ""
    after: str = ""


@dataclass(slots=True)
class File:
    name: str
    lines: list[Line] = field(default_factory=list)
    added: int = 0
    removed: int = 0


@dataclass(frozen=True, slots=True)
class Diff:
    """``odd``: something in it was not a unified diff. ``left_out``: lines beyond ``MOST_LINES``."""

    files: tuple[File, ...]
    odd: bool
    left_out: int


def read(text: str) -> Diff:
    """Reads a unified diff; never refuses, since what cannot be read must still be seen."""
    lines = text.split("\n")
    if lines[-1] == "":
        lines.pop()
    reader = _Reader()
    for raw in lines[:MOST_LINES]:
        if not (reader.inside and reader.body(raw)):
            reader.head(raw)
    for file in reader.files:
        _mark_changes(file)
    return Diff(tuple(reader.files), reader.odd or reader.inside, max(0, len(lines) - MOST_LINES))


_KINDS = {"+": "added", "-": "removed", " ": "same", "": "same", "\\": "note"}


@dataclass(slots=True)
class _Reader:
    """Where in the diff we are: the next line number of each side, and how many lines the hunk still has of each."""

    files: list[File] = field(default_factory=list)
    odd: bool = False
    old: int = 0
    new: int = 0
    old_left: int = 0
    new_left: int = 0

    @property
    def inside(self) -> bool:
        return bool(self.old_left or self.new_left)

    def body(self, raw: str) -> bool:
        """Takes a line of the hunk; False, leaving the hunk, when it cannot be one."""
        kind = _KINDS.get(raw[:1])
        if kind is None or (kind == "added" and not self.new_left) or (kind == "removed" and not self.old_left):
            self.odd, self.old_left, self.new_left = True, 0, 0
            return False
        file, before, after = self.files[-1], kind in ("removed", "same"), kind in ("added", "same")
        file.lines.append(Line(kind, raw[1:], self.old if before else None, self.new if after else None))
        if before:
            self.old, self.old_left = self.old + 1, max(0, self.old_left - 1)
        if after:
            self.new, self.new_left = self.new + 1, max(0, self.new_left - 1)
        file.added += kind == "added"
        file.removed += kind == "removed"
        return True

    def head(self, raw: str) -> None:
        """Takes a line between hunks."""
        hunk = _HUNK.match(raw)
        if hunk and self.files:
            self.old, self.new = int(hunk[1]), int(hunk[3])
            self.old_left, self.new_left = int(hunk[2] or 1), int(hunk[4] or 1)
            self.files[-1].lines.append(Line("head", raw))
        elif raw.startswith("diff --git "):
            self.files.append(File(raw.removeprefix("diff --git ")))
        elif raw.startswith("--- "):
            if not self.files or self.files[-1].lines:
                self.files.append(File(_path(raw)))
        elif raw.startswith("+++ ") and self.files:
            self.files[-1].name = self.files[-1].name if _path(raw) == "/dev/null" else _path(raw)
        elif not self._expected(raw):
            self.odd = True
            if not self.files:
                self.files.append(File(""))
            self.files[-1].lines.append(Line("note", raw))

    def _expected(self, raw: str) -> bool:
        """Git's own lines before the first hunk (index, mode, similarity), and the word on a missing last line break."""
        if not self.files:
            return False
        if raw.startswith("\\"):
            self.files[-1].lines.append(Line("note", raw))
            return True
        return not self.files[-1].lines


def _path(head: str) -> str:
    return re.sub(r"^[ab]/", "", head[4:].split("\t", maxsplit=1)[0])


def _mark_changes(file: File) -> None:
    """Pairs each block of removed lines with the added block behind it, and marks what differs within each pair."""
    at = 0
    while at < len(file.lines):
        removed = _block(file.lines, at, "removed")
        added = _block(file.lines, removed, "added")
        if removed > at and added - removed == removed - at:
            for offset in range(removed - at):
                first, second = file.lines[at + offset], file.lines[removed + offset]
                start, end = _common(first.text, second.text)
                if start or end:
                    file.lines[at + offset] = _split(first, start, end)
                    file.lines[removed + offset] = _split(second, start, end)
        at = max(added, at + 1)


def _block(lines: list[Line], start: int, kind: str) -> int:
    end = start
    while end < len(lines) and lines[end].kind == kind:
        end += 1
    return end


def _common(first: str, second: str) -> tuple[int, int]:
    """Lengths of what both lines begin and end with."""
    shorter = min(len(first), len(second), LONGEST_LINE)
    start = 0
    while start < shorter and first[start] == second[start]:
        start += 1
    end = 0
    while end < shorter - start and first[-1 - end] == second[-1 - end]:
        end += 1
    return start, end


def _split(line: Line, start: int, end: int) -> Line:
    stop = len(line.text) - end
    return replace(line, before=line.text[:start], middle=line.text[start:stop], after=line.text[stop:])
