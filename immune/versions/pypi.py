"""PyPI: PEP 440 order and PEP 503 names, parsed here for speed and checked against ``packaging`` by the tests. Pure.

The key follows PEP 440's rules directly: epoch, release without trailing zeros, then the pre/post/dev/local parts with
sentinels where a part is absent. Versions from before PEP 440 ("0.9-doduo") have no place in that order: ``key``
refuses them, so that no range is evaluated on a guess; ``compare`` alone falls back to setuptools' old rule, which puts
all of them below every PEP 440 version.
"""

from __future__ import annotations

import re

from immune.versions.base import MAX_VERSION_LENGTH, Unparsable, VersionOrder, type_of_key

# PEP 440, appendix B, lower-cased input.
_PATTERN = re.compile(
    r"""\s*v?
    (?:(?P<epoch>[0-9]+)!)?
    (?P<release>[0-9]+(?:\.[0-9]+)*)
    (?:[-_.]?(?P<pre>alpha|a|beta|b|preview|pre|c|rc)[-_.]?(?P<pre_n>[0-9]+)?)?
    (?:-(?P<post_n1>[0-9]+)|(?P<post>[-_.]?(?:post|rev|r)[-_.]?(?P<post_n2>[0-9]+)?))?
    (?P<dev>[-_.]?dev[-_.]?(?P<dev_n>[0-9]+)?)?
    (?:\+(?P<local>[a-z0-9]+(?:[-_.][a-z0-9]+)*))?\s*""",
    re.VERBOSE | re.ASCII,
)
_PRE_RANK = {"a": 0, "alpha": 0, "b": 1, "beta": 1, "c": 2, "rc": 2, "pre": 2, "preview": 2}

# (pre, post, dev, local): a dev release of a final sorts below its pre-releases, a final above them.
_BEFORE_ALL_PRE = (-1, 0)
_AFTER_ALL_PRE = (9, 0)
_NO_POST = -1
_NO_DEV = (1, 0)

_LEGACY_PART = re.compile(r"(\d+|[a-z]+|\.|-)", re.ASCII)
_LEGACY_WORDS = {"pre": "c", "preview": "c", "-": "final-", "rc": "c", "dev": "@"}
_SEPARATORS = re.compile(r"[-_.]+")


def _numbers(release: str) -> tuple[int, ...]:
    parts = [*map(int, release.split("."))]
    while parts[-1] == 0 and len(parts) > 1:
        parts.pop()
    return tuple(parts)


class PyPIOrder(VersionOrder):
    ecosystem = "PyPI"
    purl_type = "pypi"
    zeros_end_nothing = True

    def parse(self, version: str) -> type_of_key:
        # Nearly all versions are numbers and dots: int() and split are quicker than the pattern.
        if version.isascii() and version.replace(".", "").isdigit():
            if ".." in version or version[0] == "." or version[-1] == ".":
                raise Unparsable(version, "not a PEP 440 version")
            return 0, _numbers(version), _AFTER_ALL_PRE, _NO_POST, _NO_DEV, ()
        match = _PATTERN.fullmatch(version.lower())
        if match is None:
            raise Unparsable(version, "not a PEP 440 version")
        pre, pre_n, post_n1, post, post_n2, dev, dev_n, local = match.group(
            "pre", "pre_n", "post_n1", "post", "post_n2", "dev", "dev_n", "local"
        )
        has_post = post is not None or post_n1 is not None
        if pre is not None:
            pre_key = (_PRE_RANK[pre], int(pre_n or 0))
        else:
            pre_key = _BEFORE_ALL_PRE if dev is not None and not has_post else _AFTER_ALL_PRE
        return (
            int(match["epoch"] or 0),
            _numbers(match["release"]),
            pre_key,
            int(post_n1 or post_n2 or 0) if has_post else _NO_POST,
            (0, int(dev_n or 0)) if dev is not None else _NO_DEV,
            _local_key(local),
        )

    def compare(self, a: str, b: str) -> int:
        left, right = self._any_key(a), self._any_key(b)
        return 0 if left == right else -1 if left < right else 1

    def _any_key(self, version: str) -> type_of_key:
        try:
            return (1, self.key(version))
        except Unparsable:
            if len(version) > MAX_VERSION_LENGTH:
                raise
            return (0, _legacy_key(version))

    def is_prerelease(self, version: str) -> bool:
        _, _, pre, _, dev, _ = self.key(version)
        return pre not in (_AFTER_ALL_PRE, _BEFORE_ALL_PRE) or dev != _NO_DEV

    def release(self, version: str) -> tuple[int, ...]:
        return tuple(self.key(version)[1])

    def normalize_name(self, name: str) -> str:
        return _SEPARATORS.sub("-", name.strip()).lower()


def _local_key(local: str | None) -> tuple[tuple[int, int | str], ...]:
    # Numeric parts sort above words, and more parts above fewer (PEP 440, local version identifiers).
    if local is None:
        return ()
    return tuple((1, int(part)) if part.isdigit() else (0, part) for part in re.split(r"[-_.]", local))


def _legacy_key(version: str) -> tuple[str, ...]:
    """setuptools' order from before PEP 440 (``pkg_resources.parse_version``, as packaging < 22 kept it)."""
    parts: list[str] = []
    pieces = [piece for piece in _LEGACY_PART.split(version.lower()) if piece and piece != "."]
    for piece in [*(_LEGACY_WORDS.get(piece, piece) for piece in pieces), "final"]:
        word = piece.zfill(8) if piece[0].isdigit() else f"*{piece}"
        if word.startswith("*"):
            if word < "*final":
                while parts and parts[-1] == "*final-":
                    parts.pop()
            while parts and parts[-1] == "00000000":
                parts.pop()
        parts.append(word)
    return tuple(parts)
