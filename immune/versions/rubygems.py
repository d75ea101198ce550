"""RubyGems: the order of ``Gem::Version``. Pure.

A version is a run of numbers and words; words sort below numbers, so any word makes a pre-release; trailing zeros of
the numbers and of the part from the first word on do not count, and a missing segment compares as 0.
Source: rubygems, lib/rubygems/version.rb (``canonical_segments`` and ``<=>``).
"""

from __future__ import annotations

import re

from immune.versions.base import Unparsable, VersionOrder, type_of_key

_PATTERN = re.compile(r"\s*[0-9]+(?:\.[0-9a-zA-Z]+)*(?:-[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?\s*", re.ASCII)
_SEGMENT = re.compile(r"[0-9]+|[a-z]+", re.IGNORECASE | re.ASCII)
_END = (1,)


def _segments(version: str) -> list[int | str]:
    # A hyphen marks a pre-release: "1.0-x" is "1.0.pre.x".
    text = version.strip().replace("-", ".pre.")
    return [int(part) if part.isdigit() else part for part in _SEGMENT.findall(text)]


def _without_trailing_zeros(segments: list[int | str]) -> list[int | str]:
    end = len(segments)
    while end and segments[end - 1] == 0:
        end -= 1
    return segments[:end]


class RubyGemsOrder(VersionOrder):
    ecosystem = "RubyGems"
    purl_type = "gem"
    zeros_end_nothing = True

    def parse(self, version: str) -> type_of_key:
        if not _PATTERN.fullmatch(version):
            raise Unparsable(version, "not a RubyGems version")
        segments = _segments(version)
        first_word = next((i for i, part in enumerate(segments) if isinstance(part, str)), len(segments))
        canonical = _without_trailing_zeros(segments[:first_word]) + _without_trailing_zeros(segments[first_word:])
        # As tuples: a word, after the zeros that stand before it, sorts below the end, and a number above it.
        key: list[tuple[int, ...] | tuple[int, int, str]] = []
        zeros = 0
        for part in canonical:
            if part == 0:
                zeros += 1
            elif isinstance(part, str):
                key.append((0, zeros, part))
                zeros = 0
            else:
                key.extend([(2, 0)] * zeros)
                key.append((2, part))
                zeros = 0
        return (*key, _END)

    def is_prerelease(self, version: str) -> bool:
        return any(part[0] == 0 for part in self.key(version))

    def release(self, version: str) -> tuple[int, ...]:
        self.key(version)
        numbers: list[int] = []
        for part in _segments(version):
            if isinstance(part, str):
                break
            numbers.append(part)
        return tuple(numbers)
