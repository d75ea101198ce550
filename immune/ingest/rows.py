"""One finding of a report as it is compared and kept: normalised, bounded, with a severity of ours. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import orjson
from packageurl import PackageURL

from immune.findings import Place
from immune.formats.limits import shown
from immune.formats.reports import Finding
from immune.inventory import Dependency, Refusal
from immune.severity import Rating, SeverityVector, rate
from immune.versions import ECOSYSTEMS, base_ecosystem, normalize_name

MAX_NAME, MAX_ID, MAX_ECOSYSTEM, MAX_VERSION = 300, 120, 60, 200
MAX_TARGET, MAX_STATE, MAX_KEPT = 1000, 100, 50  # characters; MAX_KEPT: aliases, fixes and the like of one finding

Package = tuple[str, str]  # (ecosystem without suffix, normalised name)


@dataclass(frozen=True, slots=True)
class Row:
    """One finding. ``ecosystem`` with its suffix ("Debian:12"); "" where neither report nor purl says it."""

    ecosystem: str
    advisory: str
    aliases: tuple[str, ...]
    version: str
    fixed: tuple[str, ...]
    severity: str
    score: float | None
    target: str
    state: str
    suppressed: bool

    def packed(self) -> bytes:
        return orjson.dumps([getattr(self, name) for name in self.__slots__])


def unpacked(data: bytes) -> Row:
    found = orjson.loads(data)
    found[2], found[4] = tuple(found[2]), tuple(found[4])
    return Row(*found)


def row_of(finding: Finding) -> tuple[Package, bytes] | Refusal:
    """The package and the packed row of a finding, or why it cannot become one: no package named, a text too long or unstorable."""
    ecosystem = finding.ecosystem or ecosystem_of(finding.purl)
    where = finding.target + (f":{finding.line}" if finding.line else "")
    about = f"{where} {finding.package} {finding.advisory}".strip()
    if not finding.package:
        return Refusal(shown(about, 300), f"names a place and no package: {shown(finding.advisory, 120)}")
    name = normalize_name(ecosystem, finding.package)
    version = finding.version or ""
    lengths = ((name, MAX_NAME), (finding.advisory, MAX_ID), (ecosystem, MAX_ECOSYSTEM), (version, MAX_VERSION))
    if any(len(text) > most for text, most in lengths) or not name:
        return Refusal(shown(about, 300), "a name, id or version that is too long to be one")
    rating = _rated(finding.vectors, finding.severity)
    aliases = tuple(a for a in finding.aliases if len(a) <= MAX_ID and a != finding.advisory)[:MAX_KEPT]
    row = Row(
        ecosystem=ecosystem,
        advisory=finding.advisory,
        aliases=aliases,
        version=version,
        fixed=tuple(v for v in finding.fixed if len(v) <= MAX_VERSION)[:MAX_KEPT],
        severity=rating.severity.value,
        score=rating.score,
        target=where[:MAX_TARGET],
        state=finding.state[:MAX_STATE],
        suppressed=finding.suppressed,
    )
    package = (base_ecosystem(ecosystem), name)
    try:
        "".join(package).encode()
        return package, row.packed()
    except (orjson.JSONEncodeError, UnicodeEncodeError):
        return Refusal(shown(about, 300), "text with half characters, which cannot be stored")


def row_of_place(place: Place) -> bytes:
    """The packed row of what our own matching found in a component of an SBOM."""
    return Row(
        ecosystem=place.ecosystem,
        advisory=place.group.canonical,
        aliases=(),
        version=place.version,
        fixed=place.fixed,
        severity=place.group.severity,
        score=place.group.score,
        target=place.manifest,
        state="",
        suppressed=False,
    ).packed()


def component_of(dependency: Dependency) -> Dependency | Refusal:
    """A component of an SBOM with its name in its ecosystem's spelling, or why it cannot be kept."""
    ecosystem = dependency.ecosystem or ecosystem_of(dependency.requirement)
    name = normalize_name(ecosystem, dependency.name)
    lengths = ((name, MAX_NAME), (ecosystem, MAX_ECOSYSTEM), (dependency.version or "", MAX_VERSION))
    if not name or any(len(text) > most for text, most in lengths):
        return Refusal(shown(dependency.name, 300), "a component's name or version that is too long to be one")
    try:
        f"{ecosystem}{name}{dependency.version}{dependency.requirement}{dependency.manifest}".encode()
    except UnicodeEncodeError:
        return Refusal(shown(dependency.name, 300), "text with half characters, which cannot be stored")
    return replace(dependency, ecosystem=ecosystem, name=name, manifest=dependency.manifest[:MAX_TARGET])


@lru_cache(maxsize=8192)
def _rated(vectors: tuple[str, ...], word: str) -> Rating:
    # A word nobody knows stays UNKNOWN, and unknown is not low.
    return rate([SeverityVector("CVSS", vector) for vector in vectors], word)


@lru_cache(maxsize=8192)
def ecosystem_of(purl: str) -> str:
    """The ecosystem of a package URL, also of distributions ("pkg:deb/ubuntu/…" → Ubuntu); else its type; "" for no URL."""
    try:
        url = PackageURL.from_string(purl)
    except ValueError:
        return ""
    namespace = base_ecosystem(url.namespace or "")
    return namespace if namespace in ECOSYSTEMS and url.type in ("deb", "apk", "rpm") else base_ecosystem(url.type)
