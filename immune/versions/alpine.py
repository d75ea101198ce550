"""Alpine, Wolfi and Chainguard: the order of apk. Pure.

``number{.number}[letter[number]]{_suffix[number]}[~hash][-rN]``. Numbers after the first compare as fractions when they
begin with a zero. Suffixes alpha, beta, pre, rc sort below the plain version, cvs, svn, git, hg, p above it. Hashes
cannot be ordered and do not count. ``compare`` alone also places malformed versions, by their well-formed beginning;
``key`` refuses them. Source: apk-package(5); the number after the letter is of older packages ("1.9.5p2").
"""

from __future__ import annotations

import re

from immune.versions.base import MAX_VERSION_LENGTH, Unparsable, VersionOrder, type_of_key

_SUFFIXES = ("alpha", "beta", "pre", "rc", "", "cvs", "svn", "git", "hg", "p")
_RANK = {name: rank for rank, name in enumerate(_SUFFIXES)}
_PLAIN = (_RANK[""], 0)
_PATTERN = re.compile(
    r"(?P<numbers>[0-9]+(?:\.[0-9]+)*)(?:(?P<letter>[a-z])(?P<letter_n>[0-9]*))?"
    r"(?P<suffixes>(?:_(?:alpha|beta|pre|rc|cvs|svn|git|hg|p)[0-9]*)*)(?:~[0-9a-f]+)?(?:-r(?P<build>[0-9]+))?",
    re.ASCII,
)
_SUFFIX = re.compile(r"_([a-z]+)([0-9]*)", re.ASCII)


def _number(text: str, first: bool) -> tuple[int, int | str]:
    # "02" is a fraction: below every number without the zero, and by its digits among its like.
    return (0, text) if not first and text.startswith("0") else (1, int(text))


class AlpineOrder(VersionOrder):
    ecosystem = "Alpine"

    def parse(self, version: str) -> type_of_key:
        match = _PATTERN.fullmatch(version.strip())
        if match is None:
            raise Unparsable(version, "not an Alpine version")
        return self._key(match)

    def compare(self, a: str, b: str) -> int:
        left, right = self._any_key(a), self._any_key(b)
        return 0 if left == right else -1 if left < right else 1

    def _any_key(self, version: str) -> type_of_key:
        try:
            return (1, self.key(version), 1, "")
        except Unparsable:
            if len(version) > MAX_VERSION_LENGTH:
                raise
            text = version.strip()
            match = _PATTERN.match(text)
            # apk reads as far as it can, and what has more behind it is less than what ends there.
            return (1, self._key(match), 0, text) if match else (0, (), 0, text)

    def _key(self, match: re.Match[str]) -> type_of_key:
        numbers = [_number(text, index == 0) for index, text in enumerate(match["numbers"].split("."))]
        while len(numbers) > 1 and numbers[-1] == (0, "0"):
            numbers.pop()
        suffixes = [(_RANK[name], int(number or 0)) for name, number in _SUFFIX.findall(match["suffixes"])]
        return (
            tuple(numbers),
            (match["letter"] or "", int(match["letter_n"] or 0)),
            (*suffixes, _PLAIN),
            int(match["build"] or 0),
        )

    def is_prerelease(self, version: str) -> bool:
        return any(suffix < _PLAIN for suffix in self.key(version)[2])

    def release(self, version: str) -> tuple[int, ...]:
        return tuple(int(number) for _, number in self.key(version)[0])


class _Relative(AlpineOrder):
    def __init__(self, ecosystem: str) -> None:
        self.ecosystem = ecosystem


RELATIVES = tuple(_Relative(name) for name in ("Wolfi", "Chainguard", "MinimOS"))
