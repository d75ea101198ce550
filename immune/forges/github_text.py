"""Text for GitHub: untrusted words that cannot act there, and signed markers by which our own work is found. Pure.

Advisories, outputs and comments of people end up in pull requests. Shown by GitHub they could notify people
(``@name``), close or mention issues (``fixes #1``), link, load images or pretend to be one of our markers.
``markdown`` makes text appear as it is and do nothing; ``plain`` does so for titles and commit messages, where no
Markdown is read; ``fenced`` for blocks. Markers are HMAC-signed and bound to repository, kind and key. Rules: GitHub
Flavored Markdown Spec 0.29.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import unicodedata
from dataclasses import dataclass
from urllib.parse import quote, unquote

from immune.forges.base import Body, Style, words

# GitHub takes 65,536 characters for a body; the rest is left for our own frame around the text.
MAX_BODY = 60_000
_GAP = "\u200b"  # zero-width space: seen by no one, and neither a mention nor a reference continues across it

_MARKDOWN_PUNCTUATION = re.compile(r"([\\`*_{}\[\]()#+\-.!|~>:$^=])")
_MENTION = re.compile(r"@(?=[A-Za-z0-9])")
_ISSUE = re.compile(r"#(?=\d)")
_GH_ISSUE = re.compile(r"\b(GH)-(?=\d)", re.IGNORECASE)
_ADDRESS = re.compile(r"(?i)\b(https?|ftp|mailto|ssh|git)(:)|\b(www)(\.)")
_COMMIT = re.compile(r"(?i)\b[0-9a-f]{7,40}\b")
_ORDERS = re.compile(r"(?i)\[(skip ci|ci skip|no ci|skip actions|actions skip)\]|skip-checks:|co-authored-by:")
# Only as the last line: a marker copied into the text above it counts for nothing.
_MARKER = re.compile(r"<!-- immune:1:([a-z-]{1,30}):([A-Za-z0-9._~%-]{1,200}):([0-9a-f]{64}) -->\s*\Z")
_KIND = re.compile(r"[a-z-]{1,30}")


def visible(text: str) -> str:
    """The text with control, bidirectional and other invisible characters spelled out as ``[U+202E]``."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n")
    return "".join(
        f"[U+{ord(sign):04X}]"
        if sign not in ("\n", "\t", _GAP) and unicodedata.category(sign) in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp")
        else sign
        for sign in lines
    )


def _unbound(text: str) -> str:
    """No mention, reference, address, commit id or order in it is taken for one. Doing it twice changes nothing."""
    text = _MENTION.sub("@" + _GAP, text.replace(_GAP, ""))
    text = _ISSUE.sub("#" + _GAP, text)
    text = _GH_ISSUE.sub(r"\1-" + _GAP, text)
    text = _ORDERS.sub(lambda found: found[0][:2] + _GAP + found[0][2:], text)
    text = _ADDRESS.sub(lambda found: (found[1] or found[3]) + _GAP + (found[2] or found[4]), text)
    return _COMMIT.sub(lambda found: _GAP.join(re.findall(".{1,6}", found[0])), text)


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: max(limit - 20, 0)] + " … (cut)"


def plain(text: str, limit: int = 240) -> str:
    """One line for a title or the first line of a commit message."""
    return _unbound(_cut(" ".join(visible(text).split()), limit))


def message(text: str, limit: int = 4000) -> str:
    """A commit message: lines stay, nothing in them acts.

    The message is part of a commit's identity, so whoever makes a commit neutralises its message before the first use.
    """
    return _unbound(_cut(visible(text), limit))


def markdown(text: str, limit: int = MAX_BODY) -> str:
    """Text that appears in Markdown as it is, and does nothing."""
    lines = []
    for line in _cut(visible(text), limit // 3).split("\n"):
        escaped = line.replace("&", "&amp;").replace("<", "&lt;")
        # The gaps go in before the escapes: a backslash would hide a mention from us, not from GitHub.
        escaped = _MARKDOWN_PUNCTUATION.sub(r"\\\1", _unbound(escaped).lstrip(" \t"))
        lines.append(re.sub(r"^(\d+)(?=\\?[.)])", r"\1" + _GAP, escaped))
    return "\n".join(lines)


def fenced(text: str, limit: int = MAX_BODY) -> str:
    """Text as a code block, with a fence longer than any in it."""
    shown = _cut(visible(text), limit)
    longest = max((len(run) for run in re.findall(r"`+", shown)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{shown}\n{fence}"


def rendered(body: Body, limit: int = MAX_BODY) -> str:
    """A body as Markdown: our styles around words that do nothing."""
    if isinstance(body, str):
        return markdown(body, limit)
    pieces = []
    for part in body:
        if part.style is Style.BLOCK:
            pieces.append(fenced(part.text, 20_000))
        elif part.style is Style.PARAGRAPH:
            pieces.append(markdown(part.text, 20_000))
        else:
            sign = "###" if part.style is Style.HEADING else "-"
            pieces.append(f"{sign} {markdown(' '.join(part.text.split()), 500)}")
    whole = "\n\n".join(pieces)
    if len(whole) > limit:
        # Cutting Markdown could open a block that then swallows the marker: what is too long is shown as one block.
        return fenced(words(body), limit)
    return whole


@dataclass(frozen=True, slots=True)
class Markers:
    """Signs what we leave at GitHub, and tells ours from copies. ``keys``: the first signs, all are recognised."""

    repository: str
    keys: tuple[bytes, ...]

    def __post_init__(self) -> None:
        if not self.keys or any(len(key) < 16 for key in self.keys):
            raise ValueError("markers need a key of at least 16 bytes")

    def sign(self, kind: str, key: str) -> str:
        """An invisible comment naming ``kind`` and ``key``.

        Raises ``ValueError`` for a key that is empty or too long.
        """
        # Percent-encoded, and with no two hyphens in a row, no key can end the comment it stands in.
        written = quote(key, safe="").replace("--", "%2D%2D")
        if not _KIND.fullmatch(kind) or not 0 < len(written) <= 200:
            raise ValueError(f"not a marker key: {kind!r} {key!r}")
        return f"<!-- immune:1:{kind}:{written}:{self._signature(self.keys[0], kind, key)} -->"

    def key_in(self, text: str | None, kind: str) -> str | None:
        """The key of our marker of this kind, signed for this repository, in which the text ends; None without one."""
        found = _MARKER.search(text or "")
        if found is None or found[1] != kind:
            return None
        key = unquote(found[2])
        ours = any(hmac.compare_digest(self._signature(secret, kind, key), found[3]) for secret in self.keys)
        return key if ours else None

    def has(self, text: str | None, kind: str, key: str) -> bool:
        """Whether the text ends in our marker for this key."""
        return self.key_in(text, kind) == key

    def signed(self, body: Body, kind: str, key: str) -> str:
        """A whole text for GitHub: the body made harmless, and the marker below it."""
        return f"{rendered(body)}\n\n{self.sign(kind, key)}"

    def _signature(self, secret: bytes, kind: str, key: str) -> str:
        said = f"immune marker 1\n{self.repository.lower()}\n{kind}\n{key}".encode()
        return hmac.new(secret, said, hashlib.sha256).hexdigest()
