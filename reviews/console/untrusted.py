"""Making text by strangers safe to look at: what is invisible becomes visible, what is long is cut, what is a link is checked. Pure.

Escaping for HTML is not done here: these functions say which parts are text and which are marks, and the template layer
escapes both. A mark stands for one character that would otherwise act on the page or the reader: controls and escape
sequences, direction overrides, zero-width and other invisible characters, separators, lone surrogates.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from urllib.parse import urlsplit

# A run of combining marks longer than any language needs can cover the lines around it.
LONGEST_COMBINING = 4
LONGEST_URL = 2000
# Letters and symbols by category, blank by looks: Hangul fillers, the empty braille pattern.
_BLANK = frozenset("\u115f\u1160\u2800\u3164\uffa0")
_MARKED = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_PICTURES = 0x2400
_DELETE = 0x7F


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of plain text, or, when ``mark`` is not empty, what stands for one dangerous character of that name."""

    text: str
    mark: str = ""


@dataclass(frozen=True, slots=True)
class Shown:
    """What of a text is shown, and how many characters of it are not."""

    pieces: tuple[Piece, ...]
    left_out: int


def shown(text: str, limit: int, *, lines: int | None = None) -> Shown:
    """The first ``limit`` characters (and ``lines`` lines, where given) of a text that may have many lines."""
    return _shown(text, limit, lines, keep="\n\t")


def shown_line(text: str, limit: int) -> Shown:
    """The first ``limit`` characters on one line; line breaks become marks too."""
    return _shown(text, limit, None, keep="")


def plain(text: str, limit: int) -> str:
    """As ``shown_line``, as one string: for places that take no markup, such as a page title or an attribute."""
    found = shown_line(text, limit)
    return "".join(f"[{piece.mark}]" if piece.mark else piece.text for piece in found.pieces) + (
        "…" if found.left_out else ""
    )


def safe_link(url: str) -> str | None:
    """The address when a person may follow it: http or https to a named host, no credentials, nothing invisible. Else None."""
    if len(url) > LONGEST_URL or any(mark_of(character) or character.isspace() for character in url):
        return None
    try:
        parts = urlsplit(url)
        host, user = parts.hostname, parts.username
        _ = parts.port
    except ValueError:
        return None
    if parts.scheme not in ("http", "https") or not host or user is not None or "\\" in url:
        return None
    return url


def mark_of(character: str) -> str:
    """The name of a character that must not be shown as itself, such as ``U+202E``; empty for ordinary ones."""
    category = unicodedata.category(character)
    hidden = category in _MARKED or character in _BLANK or (category == "Zs" and character != " ")
    return f"U+{ord(character):04X}" if hidden else ""


def _shown(text: str, limit: int, lines: int | None, *, keep: str) -> Shown:
    cut = text[:limit]
    if lines is not None:
        cut = _first_lines(cut, lines)
    pieces: list[Piece] = []
    ordinary: list[str] = []
    combining = 0
    for character in cut:
        combining = combining + 1 if unicodedata.combining(character) else 0
        name = f"U+{ord(character):04X}" if combining > LONGEST_COMBINING else mark_of(character)
        if not name or character in keep:
            ordinary.append(character)
            continue
        if ordinary:
            pieces.append(Piece("".join(ordinary)))
            ordinary = []
        pieces.append(Piece(_picture(character, name), name))
    if ordinary:
        pieces.append(Piece("".join(ordinary)))
    return Shown(tuple(pieces), len(text) - len(cut))


def _first_lines(text: str, lines: int) -> str:
    end = -1
    for _ in range(lines):
        end = text.find("\n", end + 1)
        if end < 0:
            return text
    return text[: end + 1]


def _picture(character: str, name: str) -> str:
    """The control picture of an ASCII control, the name of anything else."""
    code = ord(character)
    if code < 0x20:
        return chr(_PICTURES + code)
    return "␡" if code == _DELETE else name
