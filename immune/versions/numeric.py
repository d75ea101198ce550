"""CRAN and Hackage: numbers compared one after the other, the longer of two equal beginnings the newer. Pure.

Sources: R's ``package_version`` (separators . and -); the Haskell PVP.
"""

from __future__ import annotations

import re

from immune.versions.base import Unparsable, VersionOrder, type_of_key


class _NumericOrder(VersionOrder):
    pattern: re.Pattern[str]

    def parse(self, version: str) -> type_of_key:
        text = version.strip()
        if not self.pattern.fullmatch(text):
            raise Unparsable(version, f"not a {self.ecosystem} version")
        return tuple(int(part) for part in re.split(r"[.-]", text))

    def is_prerelease(self, version: str) -> bool:
        self.key(version)
        return False

    def release(self, version: str) -> tuple[int, ...]:
        return tuple(self.key(version))


class CranOrder(_NumericOrder):
    ecosystem = "CRAN"
    purl_type = "cran"
    pattern = re.compile(r"[0-9]+(?:[.-][0-9]+)*", re.ASCII)


class HackageOrder(_NumericOrder):
    ecosystem = "Hackage"
    purl_type = "hackage"
    pattern = re.compile(r"[0-9]+(?:\.[0-9]+)*", re.ASCII)
