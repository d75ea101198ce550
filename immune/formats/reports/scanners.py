"""Trivy, Grype, OSV-Scanner and pip-audit: tools that list a package and what it has. Pure.

Sources: Trivy's ``pkg/types/report.go``, Grype's ``grype/presenter/models``, OSV-Scanner's "Output", pip-audit's
``_format/json.py``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from immune.formats.documents import items, table, text_of
from immune.formats.reports.shapes import MAX_ALIASES, Gathered, from_purl, texts, words
from immune.inventory import Unreadable

_TRIVY_TYPES = {
    "pip": "PyPI", "pipenv": "PyPI", "poetry": "PyPI", "uv": "PyPI", "python-pkg": "PyPI",
    "npm": "npm", "yarn": "npm", "pnpm": "npm", "node-pkg": "npm", "bun": "npm",
    "gomod": "Go", "gobinary": "Go", "cargo": "crates.io", "rustbinary": "crates.io",
    "pom": "Maven", "jar": "Maven", "gradle": "Maven", "bundler": "RubyGems", "gemspec": "RubyGems",
}  # fmt: skip
_GRYPE_TYPES = {
    "python": "PyPI", "npm": "npm", "go-module": "Go", "rust-crate": "crates.io", "java-archive": "Maven", "gem": "RubyGems",
}  # fmt: skip


def trivy(source: str, document: Any) -> Gathered:
    """Trivy's JSON: schema 2, the older bare list, and its Kubernetes report (results inside resources)."""
    root = table(document)
    found = Gathered(source, "trivy", root.get("SchemaVersion", ""))
    results = [one for _, one in found.rows("Results", document if isinstance(document, list) else root.get("Results"))]
    for section in ("Resources", "Findings", "Vulnerabilities"):
        for at, resource in found.rows(section, root.get(section)):
            results += [one for _, one in found.rows(f"{section}[{at}].Results", resource.get("Results"))]
    for entry in results:
        target = words(entry.get("Target"))
        ecosystem = _TRIVY_TYPES.get(words(entry.get("Type")), "")
        for at, one in found.rows(target, entry.get("Vulnerabilities")):
            _trivy_row(found, one, target=target, ecosystem=ecosystem, where=f"{target}[{at}]")
    return found


def _trivy_row(found: Gathered, one: Any, *, target: str, ecosystem: str, where: str) -> None:
    purl = words(table(one.get("PkgIdentifier")).get("PURL"))
    vectors = [
        text_of(table(score).get(field))
        for score in table(one.get("CVSS")).values()
        for field in ("V40Vector", "V3Vector", "V2Vector")
    ]
    found.finding(
        where,
        package=one.get("PkgName"),
        version=one.get("InstalledVersion"),
        advisory=one.get("VulnerabilityID"),
        ecosystem=from_purl(purl)[0] or ecosystem,
        purl=purl,
        aliases=texts(one.get("VendorIDs")),
        severity=words(one.get("Severity")),
        vectors=texts(vectors),
        fixed=texts(words(one.get("FixedVersion")).split(",")),
        target=target,
        paths=texts(one.get("PkgPath")),
        state=words(one.get("Status")),
        tool="Trivy",
    )


def grype(source: str, document: Any) -> Gathered:
    """Grype's JSON. Matches its own configuration ignored are not there; what it lists counts."""
    root = table(document)
    found = Gathered(source, "grype", table(root.get("descriptor")).get("version", ""))
    for at, match in found.rows("matches", root.get("matches")):
        one = table(match.get("vulnerability"))
        artifact = table(match.get("artifact"))
        related = [table(other).get("id") for other in items(match.get("relatedVulnerabilities"))]
        purl = words(artifact.get("purl"))
        locations = [table(place).get("path") for place in items(artifact.get("locations"))]
        found.finding(
            f"matches[{at}]",
            package=artifact.get("name"),
            version=artifact.get("version"),
            advisory=one.get("id"),
            ecosystem=from_purl(purl)[0] or _GRYPE_TYPES.get(words(artifact.get("type")), ""),
            purl=purl,
            aliases=tuple(alias for alias in texts(related) if alias != one.get("id")),
            severity=words(one.get("severity")),
            vectors=texts([table(score).get("vector") for score in items(one.get("cvss"))]),
            fixed=texts(table(one.get("fix")).get("versions") or []),
            target=next(iter(texts(locations)), ""),
            state=words(table(one.get("fix")).get("state")),
            tool="Grype",
        )
    return found


def osv_scanner(source: str, document: Any) -> Gathered:
    """OSV-Scanner's JSON: whole OSV records per package; the groups tell which ids are one vulnerability."""
    found = Gathered(source, "osv-scanner")
    for place, result in found.rows("results", table(document).get("results")):
        target = words(table(result.get("source")).get("path"))
        for number, entry in found.rows(f"results[{place}].packages", result.get("packages")):
            package = table(entry.get("package"))
            grouped = _grouped(items(entry.get("groups")))
            inside = f"results[{place}].packages[{number}].vulnerabilities"
            for at, record in found.rows(inside, entry.get("vulnerabilities")):
                name = words(record.get("id"))
                found.finding(
                    f"{target}[{at}]",
                    package=package.get("name"),
                    version=package.get("version") or package.get("commit"),
                    advisory=name,
                    ecosystem=words(package.get("ecosystem")),
                    aliases=tuple(
                        a for a in texts([*items(record.get("aliases")), *grouped.get(name, ())]) if a != name
                    ),
                    severity=words(table(record.get("database_specific")).get("severity")),
                    vectors=texts([table(score).get("score") for score in items(record.get("severity"))]),
                    fixed=texts(list(_osv_fixes(record, package.get("name")))),
                    target=target,
                    tool="OSV-Scanner",
                )
    return found


def _grouped(groups: list[Any]) -> dict[str, tuple[str, ...]]:
    """Id to the other names of its vulnerability. A group of more names than any has is cut: it is held once per id."""
    found: dict[str, tuple[str, ...]] = {}
    for group in groups:
        names = texts([*items(table(group).get("ids")), *items(table(group).get("aliases"))])[:MAX_ALIASES]
        found.update(dict.fromkeys(names, names))
    return found


def _osv_fixes(record: Any, name: Any) -> Iterable[str]:
    for affected in items(record.get("affected")):
        if table(table(affected).get("package")).get("name") != name:
            continue
        for span in items(table(affected).get("ranges")):
            if table(span).get("type") == "GIT":
                continue
            for event in items(table(span).get("events")):
                if fixed := words(table(event).get("fixed")):
                    yield fixed


def pip_audit(source: str, document: Any) -> Gathered:
    """pip-audit's JSON, with ``dependencies`` or the older bare list. A skipped dependency is a refusal: not
    audited."""
    found = Gathered(source, "pip-audit")
    rows = document if isinstance(document, list) else table(document).get("dependencies")
    if not isinstance(rows, list):
        raise Unreadable(source, "dependencies is no list")
    for at, entry in found.rows("dependencies", rows):
        if entry.get("skip_reason"):
            found.refuse(
                f"dependencies[{at}]", f"{words(entry.get('name'))} was not audited: {words(entry.get('skip_reason'))}"
            )
        for _, record in found.rows(f"dependencies[{at}].vulns", entry.get("vulns")):
            found.finding(
                f"dependencies[{at}]",
                package=entry.get("name"),
                version=entry.get("version"),
                advisory=record.get("id"),
                ecosystem="PyPI",
                aliases=texts(record.get("aliases") or []),
                fixed=texts(record.get("fix_versions") or []),
                tool="pip-audit",
            )
    return found
