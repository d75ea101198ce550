"""npm, Go, crates.io, Hex, Swift and Bitnami: Semantic Versioning 2.0.0 precedence, read leniently. Pure.

Lenient as advisories and lock files are: a leading ``v`` (Go), fewer or more than three numbers, surrounding blanks.
Build metadata never counts (section 10), which also covers Go's ``+incompatible``; Go pseudo-versions are ordinary
pre-releases. Numbers are of any size.
"""

from __future__ import annotations

import re

from immune.versions.base import Unparsable, VersionOrder, type_of_key

_PATTERN = re.compile(
    r"\s*[vV=]*(?P<numbers>[0-9]+(?:\.[0-9]+)*)"
    r"(?:-(?P<pre>[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?"
    r"(?:\+(?P<build>[0-9A-Za-z.-]*))?\s*",
    re.ASCII,
)
# A release sorts above each of its pre-releases: identifiers compare as (0, number) < (1, word) < the end marker.
_RELEASE = ((2,),)


def _identifier(part: str) -> tuple[int, int | str]:
    return (0, int(part)) if part.isdigit() else (1, part)


def identifiers(text: str) -> tuple[tuple[int, int | str], ...]:
    """The comparable form of dot-separated identifiers (section 11.4)."""
    return tuple(_identifier(part) for part in text.split("."))


class SemverOrder(VersionOrder):
    zeros_end_nothing = True

    def parse(self, version: str) -> type_of_key:
        match = _PATTERN.fullmatch(version)
        if match is None:
            raise Unparsable(version, "not a semantic version")
        numbers = [int(part) for part in match["numbers"].split(".")]
        while len(numbers) > 1 and numbers[-1] == 0:
            numbers.pop()
        pre = match["pre"]
        return tuple(numbers), _RELEASE if pre is None else identifiers(pre)

    def is_prerelease(self, version: str) -> bool:
        return self.key(version)[1] is not _RELEASE

    def release(self, version: str) -> tuple[int, ...]:
        return tuple(self.key(version)[0])


class NpmOrder(SemverOrder):
    ecosystem = "npm"
    purl_type = "npm"

    def purl_parts(self, name: str) -> tuple[str, str]:
        scope, slash, rest = name.partition("/")
        return (scope, rest) if slash and scope.startswith("@") else ("", name)


class GoOrder(SemverOrder):
    ecosystem = "Go"
    purl_type = "golang"

    def purl_parts(self, name: str) -> tuple[str, str]:
        namespace, _, last = name.rpartition("/")
        return namespace, last


class CratesOrder(SemverOrder):
    ecosystem = "crates.io"
    purl_type = "cargo"


class HexOrder(SemverOrder):
    ecosystem = "Hex"
    purl_type = "hex"

    def normalize_name(self, name: str) -> str:
        return name.strip().lower()


class SwiftOrder(SemverOrder):
    ecosystem = "SwiftURL"


class BitnamiOrder(SemverOrder):
    ecosystem = "Bitnami"
    purl_type = "bitnami"
