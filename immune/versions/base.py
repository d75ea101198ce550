"""What a version order is: the one interface every ecosystem implements. Pure.

A key is any value that compares with ``<`` and ``==`` against keys of the same order and hashes with ``==``. Keys are
cached, since the same few thousand version strings come back in every repository.
"""

from __future__ import annotations

import re
from functools import cached_property, lru_cache
from typing import Any

# Longer than any release ever published; beyond it is an attack on the parser, not a version.
MAX_VERSION_LENGTH = 512
CACHED_KEYS = 1 << 17

# Whole numbers without leading zeros, and not more of them than versions have.
_PLAIN = re.compile(r"(?:0|[1-9][0-9]*)(?:\.(?:0|[1-9][0-9]*)){0,6}", re.ASCII)
_MOST_ZEROS = 6

type_of_key = Any  # tuples of differing shapes, one shape per order; compared only among themselves


class Unparsable(ValueError):
    """A version, or an ecosystem, that cannot be ordered. Never to be read as "not affected"."""

    def __init__(self, version: str, reason: str) -> None:
        shown = version if len(version) <= 80 else version[:77] + "..."
        super().__init__(f"{shown!r}: {reason}")
        self.version = shown
        self.reason = reason


class VersionOrder:
    """How one ecosystem orders, names and writes its packages. Subclasses implement ``parse`` and say the rest."""

    ecosystem: str = ""
    purl_type: str = ""
    # Whether "1.0" and "1.0.0" are one version.
    zeros_end_nothing: bool = False

    def parse(self, version: str) -> type_of_key:
        """The comparable key of a version; raises Unparsable. Not cached: callers use ``key``."""
        raise NotImplementedError

    @cached_property
    def _cached(self) -> Any:
        return lru_cache(maxsize=CACHED_KEYS)(self.parse)

    def key(self, version: str) -> type_of_key:
        """The comparable key of a version; raises Unparsable."""
        if len(version) > MAX_VERSION_LENGTH:
            raise Unparsable(version, "version is too long")
        return self._cached(version)

    def compare(self, a: str, b: str) -> int:
        """-1, 0 or 1; raises Unparsable."""
        left, right = self.key(a), self.key(b)
        return 0 if left == right else -1 if left < right else 1

    def is_plain(self, version: str) -> bool:
        """Whether the version is plain numbers, of which every other plain spelling can be written down."""
        return self.zeros_end_nothing and _PLAIN.fullmatch(version) is not None

    def plain_spellings(self, version: str) -> tuple[str, ...]:
        """All plain spellings of a plain version, itself among them: they differ in the ".0" they end with."""
        while version.endswith(".0"):
            version = version[:-2]
        return tuple(version + ".0" * zeros for zeros in range(_MOST_ZEROS + 1))

    def is_prerelease(self, version: str) -> bool:
        """Whether installers of this ecosystem avoid the version unless asked for it; raises Unparsable."""
        raise NotImplementedError

    def release(self, version: str) -> tuple[int, ...]:
        """The leading numbers (major, minor, patch, ...), for naming the size of a step; raises Unparsable."""
        raise NotImplementedError

    def normalize_name(self, name: str) -> str:
        """The name two spellings of one package share."""
        return name.strip()

    def purl_parts(self, name: str) -> tuple[str, str]:
        """(namespace, name) as package URLs split them."""
        return "", name


class UnknownOrder(VersionOrder):
    """The order of an ecosystem nobody taught us: nothing can be compared, and every question says so."""

    def __init__(self, ecosystem: str) -> None:
        self.ecosystem = ecosystem

    def parse(self, version: str) -> type_of_key:
        raise Unparsable(version, f"no version order is known for {self.ecosystem or 'this ecosystem'}")

    def is_prerelease(self, version: str) -> bool:
        raise Unparsable(version, f"no version order is known for {self.ecosystem or 'this ecosystem'}")

    def release(self, version: str) -> tuple[int, ...]:
        raise Unparsable(version, f"no version order is known for {self.ecosystem or 'this ecosystem'}")
