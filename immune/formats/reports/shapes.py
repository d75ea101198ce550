"""What any scanner report, SBOM or VEX document comes to, as plain values. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from packageurl import PackageURL

from immune.formats import limits
from immune.inventory import Dependency, Origin, Refusal, Unreadable


class Status(StrEnum):
    """VEX's four states (CISA, "Minimum Requirements for VEX"); the vocabularies of the formats map onto them."""

    NOT_AFFECTED = "not_affected"
    AFFECTED = "affected"
    FIXED = "fixed"
    UNDER_INVESTIGATION = "under_investigation"


@dataclass(frozen=True, slots=True)
class Finding:
    """One vulnerability that a tool says one package has. Texts are as the tool wrote them."""

    package: str  # "" where the tool names a place, not a package (SARIF)
    version: str | None
    advisory: str  # the id the tool leads with
    ecosystem: str = ""  # OSV ecosystem where the report says so, else ""
    purl: str = ""
    aliases: tuple[str, ...] = ()
    severity: str = ""  # the tool's word; "" is unknown, never low
    vectors: tuple[str, ...] = ()  # CVSS vectors, whole
    fixed: tuple[str, ...] = ()  # versions
    fixed_range: str = ""  # where the tool gives a range of fixed versions
    affected_range: str = ""
    target: str = ""  # file, image or manifest it was found in
    line: int | None = None
    state: str = ""  # the tool's own: open, dismissed, wont-fix …
    paths: tuple[str, ...] = ()  # ways it is brought in
    suppressed: bool = False  # the report itself says so
    justification: str = ""  # why suppressed
    tool: str = ""


@dataclass(frozen=True, slots=True)
class Statement:
    """What a VEX document says about one vulnerability in some products."""

    advisory: str
    status: Status
    products: tuple[str, ...]  # purls or the document's own references
    aliases: tuple[str, ...] = ()
    justification: str = ""  # VEX's word where there is one, else the format's own
    stated: str = ""  # the format's own word for the status
    impact: str = ""
    action: str = ""
    parts: tuple[
        tuple[str, str], ...
    ] = ()  # (product, purl of the part of it that is meant), where the document says so


@dataclass(frozen=True, slots=True)
class Report:
    """Everything one report says."""

    format: str
    version: str = ""
    findings: tuple[Finding, ...] = ()
    statements: tuple[Statement, ...] = ()
    components: tuple[Dependency, ...] = ()
    refused: tuple[Refusal, ...] = field(default=())
    tool: str = ""  # where the format is of many tools and the report says which wrote it


MAX_FINDINGS = 1_000_000
MAX_FIELD = 4096
MAX_ALIASES = 100  # names of one vulnerability


class Gathered:
    """The growing report: checks each row, turns odd types into refusals."""

    def __init__(self, source: str, format: str, version: Any = "") -> None:
        self.source = source
        self.format = format
        self.version = words(version)
        self.tool = ""
        self.findings: list[Finding] = []
        self.statements: list[Statement] = []
        self.components: list[Dependency] = []
        self.refused: list[Refusal] = []

    def finding(self, where: str, *, package: Any, version: Any, advisory: Any, **more: Any) -> None:
        """One finding; refused when it has no id. ``where`` says in the report's own terms which it is."""
        if not words(advisory):
            self.refuse(where, "a finding without an id")
            return
        self._count(len(self.findings))
        self.findings.append(
            Finding(package=words(package), version=words(version) or None, advisory=words(advisory), **more)
        )

    def statement(
        self, where: str, *, advisory: Any, status: Status | None, products: tuple[str, ...], **more: Any
    ) -> None:
        """One statement; refused without an id or with a status nobody knows: it must not suppress by accident."""
        if not words(advisory) or status is None:
            self.refuse(where, f"a statement without an id or a known status: {limits.shown(str(more.get('stated')))}")
            return
        self._count(len(self.statements))
        self.statements.append(Statement(advisory=words(advisory), status=status, products=products, **more))

    def component(self, where: str, *, name: Any, version: Any, purl: Any, **more: Any) -> None:
        """One component of an SBOM, by its purl where it has one."""
        self._count(len(self.components))
        ecosystem, named, pinned = from_purl(words(purl))
        label = named or words(name)
        if not label:
            self.refuse(where, "a component without a name")
            return
        found = pinned or words(version) or None
        self.components.append(
            Dependency(
                ecosystem=ecosystem,
                name=label,
                version=found,
                manifest=self.source,
                raw_name=words(name),
                requirement=words(purl),
                origin=Origin.REGISTRY if ecosystem else Origin.URL,
                reason=""
                if found and ecosystem
                else "no version given"
                if ecosystem
                else "no purl of a known ecosystem",
                **more,
            )
        )

    def rows(self, where: str, value: Any) -> Iterator[tuple[int, Mapping[str, Any]]]:
        """The objects of a list that findings stand in, with their places. Absent or null is none; anything else in the place of the
        list or of an object is refused: passed over, it would read as nothing found."""
        if value is not None and not isinstance(value, list):
            self.refuse(where, "is no list")
            return
        for at, one in enumerate(value or ()):
            if isinstance(one, dict):
                yield at, one
            else:
                self.refuse(f"{where}[{at}]", "is no object")

    def members(self, where: str, value: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """The same of an object that holds objects, with their keys."""
        if value is not None and not isinstance(value, dict):
            self.refuse(where, "is no object")
            return
        for key, one in (value or {}).items():
            if isinstance(one, dict):
                yield key, one
            else:
                self.refuse(f"{where}[{limits.shown(key)}]", "is no object")

    def refuse(self, where: str, reason: str) -> None:
        self.refused.append(Refusal(f"{self.source}:{where}" if where else self.source, reason))

    def _count(self, held: int) -> None:
        if held >= MAX_FINDINGS:
            raise Unreadable(self.source, f"more than {MAX_FINDINGS} rows")

    def report(self) -> Report:
        return Report(
            self.format,
            self.version,
            tuple(self.findings),
            tuple(self.statements),
            tuple(self.components),
            tuple(self.refused),
            self.tool,
        )


def words(value: Any) -> str:
    """A field as text: texts cut to a bound and without NULs (a database refuses them), whole numbers as written."""
    if isinstance(value, str):
        return value[:MAX_FIELD].replace("\0", "\ufffd").strip()
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else ""


def texts(values: Any) -> tuple[str, ...]:
    """The texts of a list, each once, in order; of a lone text, that one."""
    found = values if isinstance(values, list | tuple) else [values]
    return tuple(dict.fromkeys(one for one in map(words, found) if one))


_ECOSYSTEMS = {
    "pypi": "PyPI",
    "npm": "npm",
    "golang": "Go",
    "cargo": "crates.io",
    "maven": "Maven",
    "gem": "RubyGems",
    "nuget": "NuGet",
    "composer": "Packagist",
    "hex": "Hex",
    "pub": "Pub",
}


def from_purl(purl: str) -> tuple[str, str, str]:
    """(OSV ecosystem, name as OSV writes it, version) of a purl; empty texts for what it does not say.

    Source: purl-spec. An ecosystem is given only for package types that OSV's language ecosystems cover.
    """
    if not purl.startswith("pkg:"):
        return "", "", ""
    try:
        parsed = PackageURL.from_string(purl)
    except ValueError:
        return "", "", ""
    ecosystem = _ECOSYSTEMS.get(parsed.type, "")
    namespace = parsed.namespace or ""
    joined = {"maven": ":"}.get(parsed.type, "/")
    name = f"{namespace}{joined}{parsed.name}" if namespace and ecosystem else parsed.name
    return ecosystem, name, parsed.version or ""
