"""NuGet: SemVer 2.0.0 with up to four numbers, pre-release words without regard to case. Pure.

Source: Microsoft's NuGet documentation, "Package versioning".
"""

from __future__ import annotations

from immune.versions.base import type_of_key
from immune.versions.semver import SemverOrder


class NuGetOrder(SemverOrder):
    ecosystem = "NuGet"
    purl_type = "nuget"

    def parse(self, version: str) -> type_of_key:
        return super().parse(version.lower())

    def normalize_name(self, name: str) -> str:
        return name.strip().lower()
