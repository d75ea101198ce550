"""How much of an untrusted manifest is read before it is refused, and how its bytes become text. Pure.

The numbers are far above every real file seen (the largest lock file in the shared data has one million characters) and
far below what would hurt: refusing is bounded in time and memory because every parser checks before it works.
"""

from __future__ import annotations

import re

from immune.inventory import Unreadable

MAX_CHARACTERS = 32 * 1024 * 1024  # one manifest or lock file
MAX_LINES = 500_000  # of one file; empty ones cost time too
MAX_LINE = 1024 * 1024  # one logical line of a requirements file, hashes included
MAX_OPTIONS = 128 * 1024  # the options of one line: some 1,500 hashes; shlex takes quadratic time on a long word
MAX_REQUIREMENT = 16 * 1024  # one PEP 508 requirement, without its hashes
MAX_STRING = 64 * 1024  # one name, version, address or constraint
MAX_PATH = 1000  # of a manifest below the root
MAX_DEPTH = 64  # nesting of includes, of objects, of dependency trees
MAX_INCLUDES = 256  # files one requirements file may pull in
MAX_DEPENDENCIES = 500_000  # rows one manifest may hold
MAX_EDGES = 2_000_000  # arrows of one lock file's graph


def decode(source: str, data: bytes) -> str:
    """The text of a manifest: UTF-8, UTF-16/32 when a byte order mark says so, what an XML declaration says. Raises
    Unreadable otherwise.

    No guessing by locale: a file that is none of these would be read differently on another machine.
    """
    if len(data) > MAX_CHARACTERS:
        raise Unreadable(source, f"larger than {MAX_CHARACTERS} bytes")
    encoding = _declared(data) if data[:100].lstrip().startswith(b"<?xml") else "utf-8"
    for mark, name in (
        (b"\xff\xfe\x00\x00", "utf-32"),
        (b"\x00\x00\xfe\xff", "utf-32"),
        (b"\xff\xfe", "utf-16"),
        (b"\xfe\xff", "utf-16"),
    ):
        if data.startswith(mark):
            encoding = name
            break
    try:
        # Not "utf-8-sig": the mark stays in the text, so that an edited file keeps it. Parsers skip it with
        # without_mark.
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        raise Unreadable(source, f"not {encoding} text (byte {error.start})") from error


_XML_ENCODING = re.compile(rb"^\s*<\?xml[^>]{0,200}?encoding\s*=\s*[\"']([A-Za-z0-9._-]{1,40})[\"']")
_SINGLE_BYTE = frozenset(
    {"us-ascii", "ascii", "iso-8859-1", "latin1", "latin-1", "iso-8859-15", "windows-1252", "cp1252"}
)


def _declared(data: bytes) -> str:
    """The encoding an XML declaration names, when it is one that cannot hide markup; else UTF-8."""
    found = _XML_ENCODING.match(data[:400])
    name = found[1].decode("ascii").lower() if found else "utf-8"
    return name if name in _SINGLE_BYTE else "utf-8"


def check_size(source: str, text: str) -> None:
    """Raises Unreadable when the text is larger, or has more lines, than any manifest may."""
    if len(text) > MAX_CHARACTERS:
        raise Unreadable(source, f"larger than {MAX_CHARACTERS} characters")
    if text.count("\n") > MAX_LINES:
        raise Unreadable(source, f"more than {MAX_LINES} lines")


def without_mark(text: str) -> str:
    """The text without the byte order mark an editor may have left at its start."""
    return text.removeprefix("\ufeff")


_CREDENTIALS = re.compile(r"(?<=://)(?!git@)[^/@\s]{1,4096}@")


def without_credentials(text: str) -> str:
    """The text with the user and password of every address masked: what is written in a report is read by many."""
    return _CREDENTIALS.sub("***@", text)


def shown(text: str, limit: int = 120) -> str:
    """A piece of untrusted text, short, printable and without credentials, for a reason."""
    text = without_credentials(text[: limit * 64])
    cut = text if len(text) <= limit else text[:limit] + "…"
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in cut)
