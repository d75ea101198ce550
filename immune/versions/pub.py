"""Pub (Dart): SemVer 2.0.0, except that build metadata counts, after everything else. Pure.

A version with build metadata sorts above the same one without. Source: pub_semver, ``Version.compareTo``.
"""

from __future__ import annotations

from immune.versions.base import type_of_key
from immune.versions.semver import SemverOrder, identifiers


class PubOrder(SemverOrder):
    ecosystem = "Pub"
    purl_type = "pub"

    def parse(self, version: str) -> type_of_key:
        build = version.strip().partition("+")[2]
        return (*super().parse(version), identifiers(build) if build else ())
