"""How each ecosystem orders its versions, names its packages and writes package URLs. Pure.

``order_for("PyPI")`` is where everything starts. An ecosystem without an order here raises Unparsable: what cannot be
ordered is reported as such and is never "not affected".
"""

from __future__ import annotations

from functools import lru_cache
from urllib.parse import unquote

from packageurl import PackageURL

from immune.versions import alpine, rpm
from immune.versions.alpine import AlpineOrder
from immune.versions.base import UnknownOrder, Unparsable, VersionOrder
from immune.versions.debian import DebianOrder, UbuntuOrder
from immune.versions.maven import MavenOrder
from immune.versions.nuget import NuGetOrder
from immune.versions.numeric import CranOrder, HackageOrder
from immune.versions.packagist import PackagistOrder
from immune.versions.pub import PubOrder
from immune.versions.pypi import PyPIOrder
from immune.versions.rpm import RpmOrder
from immune.versions.rubygems import RubyGemsOrder
from immune.versions.semver import (
    BitnamiOrder,
    CratesOrder,
    GoOrder,
    HexOrder,
    NpmOrder,
    SemverOrder,
    SwiftOrder,
)

__all__ = [
    "ECOSYSTEMS",
    "Unparsable",
    "VersionOrder",
    "base_ecosystem",
    "compare",
    "ecosystem_of_purl",
    "normalize_name",
    "order_for",
    "order_or_unknown",
    "purl",
    "semver_order",
]

ECOSYSTEMS: dict[str, VersionOrder] = {
    order.ecosystem: order
    for order in (
        PyPIOrder(),
        NpmOrder(),
        GoOrder(),
        CratesOrder(),
        MavenOrder(),
        RubyGemsOrder(),
        NuGetOrder(),
        PackagistOrder(),
        PubOrder(),
        HexOrder(),
        SwiftOrder(),
        BitnamiOrder(),
        CranOrder(),
        HackageOrder(),
        DebianOrder(),
        UbuntuOrder(),
        AlpineOrder(),
        *alpine.RELATIVES,
        RpmOrder(),
        *rpm.RELATIVES,
    )
}
# Other tools' words for the same ecosystems (GitHub's advisory API, package URL types, vers schemes).
_SYNONYMS = {
    "pip": "PyPI",
    "cargo": "crates.io",
    "rust": "crates.io",
    "golang": "Go",
    "gem": "RubyGems",
    "composer": "Packagist",
    "deb": "Debian",
    "apk": "Alpine",
    "rpm": "Red Hat",
    "redhat": "Red Hat",
    "swift": "SwiftURL",
    "erlang": "Hex",
}
_BY_LOWER = {**{name.lower(): name for name in ECOSYSTEMS}, **_SYNONYMS}
_BY_PURL_TYPE = {order.purl_type: order for order in ECOSYSTEMS.values() if order.purl_type}
# Ranges of type SEMVER are ordered by SemVer whatever the ecosystem (OSV schema, affected[].ranges[].type).
semver_order = SemverOrder()


@lru_cache(maxsize=4096)
def base_ecosystem(ecosystem: str) -> str:
    """The ecosystem without its OSV suffix ("Debian:12" -> "Debian"), in its official spelling where known here."""
    base = ecosystem.partition(":")[0].strip()
    return _BY_LOWER.get(base.lower(), base)


def order_for(ecosystem: str) -> VersionOrder:
    """The version order of an OSV ecosystem name, suffix allowed; raises Unparsable when there is none here."""
    order = ECOSYSTEMS.get(base_ecosystem(ecosystem))
    if order is None:
        raise Unparsable(ecosystem, "no version order is known for this ecosystem")
    return order


def order_or_unknown(ecosystem: str) -> VersionOrder:
    """``order_for``, or for an unknown ecosystem an order that refuses every version."""
    return ECOSYSTEMS.get(base_ecosystem(ecosystem)) or UnknownOrder(base_ecosystem(ecosystem))


def compare(ecosystem: str, a: str, b: str) -> int:
    """-1, 0 or 1; raises Unparsable for an unknown ecosystem or a version that cannot be read."""
    return order_for(ecosystem).compare(a, b)


def normalize_name(ecosystem: str, name: str) -> str:
    """The package name in its ecosystem's one spelling; names of unknown ecosystems are only stripped."""
    order = ECOSYSTEMS.get(base_ecosystem(ecosystem))
    return order.normalize_name(name) if order else name.strip()


def purl(ecosystem: str, name: str, version: str | None = None) -> str:
    """The package URL of a package (purl-spec); raises Unparsable for an unknown ecosystem or a name without a URL."""
    order = order_for(ecosystem)
    if not order.purl_type:
        raise Unparsable(ecosystem, "no package URL form is known for this ecosystem")
    namespace, bare = order.purl_parts(order.normalize_name(name))
    try:
        return PackageURL(order.purl_type, namespace or None, bare, version).to_string()
    except ValueError as error:
        raise Unparsable(name, f"no package URL can be written: {error}") from error


def ecosystem_of_purl(text: str) -> tuple[str, str, str | None]:
    """(ecosystem, normalised name, version) of a package URL; raises Unparsable for other types and malformed text."""
    try:
        url = PackageURL.from_string(text)
    except ValueError as error:
        raise Unparsable(text, f"not a package URL: {error}") from error
    order = _BY_PURL_TYPE.get(url.type)
    if order is None:
        raise Unparsable(text, f"package URL type {url.type!r} has no ecosystem here")
    joint = ":" if order.ecosystem == "Maven" else "/"
    name = f"{url.namespace}{joint}{url.name}" if url.namespace else url.name
    if order.ecosystem == "npm":
        name = _as_written(text, name)
    return order.ecosystem, order.normalize_name(name), url.version


def _as_written(text: str, name: str) -> str:
    """An npm name in the letters of its URL: "JSONStream" and "jsonstream" are two packages, whatever the type says."""
    path = unquote(text.partition("#")[0].partition("?")[0])
    start = path.lower().find(name.lower())
    return path[start : start + len(name)] if start >= 0 else name
