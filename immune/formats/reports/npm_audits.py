"""npm audit (6, 7 and later, the registry's bulk answer), pnpm audit and Yarn's audit. Pure.

Sources: npm's "npm audit" and Arborist's ``audit-report.js``, pnpm's ``pnpm audit --json``, Yarn 1's ``yarn audit
--json`` (one JSON value a line).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from immune.formats import limits
from immune.formats.documents import items, table, text_of
from immune.formats.reports.shapes import Gathered, texts, words
from immune.inventory import Unreadable

_GHSA = re.compile(r"GHSA(?:-[23456789cfghjmpqrvwx]{4}){3}", re.IGNORECASE)


def npm_6(source: str, document: Any) -> Gathered:
    """npm 6's report, and pnpm's, which has the same form: advisories by number, each with where it was found."""
    root = table(document)
    pnpm = "github_advisory_id" in next((table(one) for one in table(root.get("advisories")).values()), {})
    found = Gathered(source, "pnpm-audit" if pnpm else "npm-audit-6")
    for key, one in found.members("advisories", root.get("advisories")):
        places = items(one.get("findings")) or [{}]
        for place in places:
            _advisory(
                found,
                one,
                where=f"advisories[{key}]",
                version=table(place).get("version"),
                paths=texts(table(place).get("paths") or []),
            )
    return found


def _advisory(found: Gathered, one: Mapping[str, Any], *, where: str, version: Any, paths: tuple[str, ...]) -> None:
    name = words(one.get("github_advisory_id")) or words(one.get("url")) or words(one.get("id"))
    aliases = texts([*items(one.get("cves")), *_ghsas(one.get("url")), one.get("github_advisory_id")])
    found.finding(
        where,
        package=one.get("module_name"),
        version=version,
        advisory=name,
        ecosystem="npm",
        aliases=tuple(alias for alias in aliases if alias != name),
        severity=words(one.get("severity")),
        vectors=texts(table(one.get("cvss")).get("vectorString")),
        fixed_range=words(one.get("patched_versions")),
        affected_range=words(one.get("vulnerable_versions")),
        paths=paths,
        tool="npm audit",
    )


def _ghsas(value: Any) -> list[str]:
    # the letters of an id are lower case, its prefix upper
    return ["GHSA" + one[4:].lower() for one in _GHSA.findall(words(value))]


def npm_7(source: str, document: Any) -> Gathered:
    """npm 7's report: packages with what they have (``via``); a name in ``via`` only says which other package is to
    blame."""
    root = table(document)
    found = Gathered(source, "npm-audit-7", root.get("auditReportVersion", ""))
    for package, one in found.members("vulnerabilities", root.get("vulnerabilities")):
        nodes = texts(one.get("nodes") or [])
        via = one.get("via")
        causes = via
        if isinstance(via, list):
            # A text only says which other package of the report is to blame.
            causes = [cause for cause in via if not isinstance(cause, str)]
            for cause in via:
                if isinstance(cause, str) and cause not in root["vulnerabilities"]:
                    found.refuse(f"vulnerabilities[{limits.shown(package)}].via", f"{limits.shown(cause)} is not in it")
        for _, cause in found.rows(f"vulnerabilities[{limits.shown(package)}].via", causes):
            ids = _ghsas(cause.get("url"))
            fix = one.get("fixAvailable")
            found.finding(
                f"vulnerabilities[{limits.shown(package)}]",
                package=cause.get("name") or package,
                version=None,
                advisory=ids[0] if ids else words(cause.get("url")) or cause.get("source"),
                ecosystem="npm",
                severity=words(cause.get("severity")),
                vectors=texts(table(cause.get("cvss")).get("vectorString")),
                affected_range=words(cause.get("range")),
                paths=nodes,
                state=f"fix: {words(table(fix).get('name'))}@{words(table(fix).get('version'))}"
                if isinstance(fix, dict)
                else "",
                tool="npm audit",
            )
    return found


def bulk(source: str, document: Any) -> Gathered:
    """The registry's answer to a bulk question: advisories by package name."""
    found = Gathered(source, "npm-bulk-advisories")
    for package, advisories in table(document).items():
        for at, value in enumerate(items(advisories)):
            one = table(value)
            ids = _ghsas(one.get("url"))
            found.finding(
                f"{limits.shown(package)}[{at}]",
                package=package,
                version=None,
                advisory=ids[0] if ids else one.get("id"),
                ecosystem="npm",
                severity=words(one.get("severity")),
                affected_range=words(one.get("vulnerable_versions")),
                tool="npm",
            )
    return found


def yarn_1(source: str, lines: list[Any]) -> Gathered:
    """Yarn 1's lines. Raises Unreadable when Yarn reports an error and no summary: nothing was audited then."""
    found = Gathered(source, "yarn-audit")
    kinds = {text_of(table(line).get("type")) for line in lines}
    if not {"auditAdvisory", "auditSummary"} & kinds:
        said = next(
            (words(table(line).get("data")) for line in lines if table(line).get("type") == "error"), "no summary"
        )
        raise Unreadable(source, f"Yarn audited nothing: {limits.shown(said)}")
    seen: dict[Any, list[str]] = {}
    order: list[tuple[Any, Mapping[str, Any]]] = []
    for line in lines:
        if table(line).get("type") != "auditAdvisory":
            continue
        data = table(table(line).get("data"))
        one = table(data.get("advisory"))
        path = words(table(data.get("resolution")).get("path"))
        # one line per way; the advisory's own findings say the versions
        key = (words(one.get("id")), words(one.get("url")), words(one.get("module_name")))
        if key not in seen:
            order.append((key, one))
        seen.setdefault(key, []).append(path)
    for key, one in order:
        versions = texts([table(place).get("version") for place in items(one.get("findings"))]) or ("",)
        ways = texts(seen[key])
        for version in versions:
            _advisory(found, one, where=f"advisory {key[0]}", version=version, paths=ways)
    return found
