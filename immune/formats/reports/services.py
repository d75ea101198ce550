"""Snyk's and GitHub's findings: services that answer with alerts. Pure.

Sources: Snyk CLI "snyk test --json"; GitHub's REST "Dependabot alerts", GraphQL ``RepositoryVulnerabilityAlert`` and
the webhooks ``dependabot_alert`` and ``repository_vulnerability_alert``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from immune.formats import limits
from immune.formats.documents import items, table
from immune.formats.reports.shapes import Gathered, texts, words
from immune.inventory import Unreadable

_MANAGERS = {
    "pip": "PyPI", "poetry": "PyPI", "pipenv": "PyPI", "npm": "npm", "yarn": "npm", "pnpm": "npm", "golangdep": "Go",
    "gomodules": "Go", "go": "Go", "maven": "Maven", "gradle": "Maven", "rubygems": "RubyGems", "rust": "crates.io",
    "cargo": "crates.io", "nuget": "NuGet", "composer": "Packagist",
}  # fmt: skip


def snyk(source: str, document: Any) -> Gathered:
    """``snyk test --json``, one project or a list of them. Licence issues are no vulnerabilities and left out."""
    found = Gathered(source, "snyk")
    projects = document if isinstance(document, list) else [document]
    for _, entry in found.rows("", projects):
        if entry.get("error"):
            found.refuse(words(entry.get("path")), f"Snyk could not test it: {limits.shown(words(entry.get('error')))}")
        target = words(entry.get("displayTargetFile")) or words(entry.get("path"))
        for at, one in found.rows(f"{target}.vulnerabilities", entry.get("vulnerabilities")):
            if one.get("type") == "license":
                continue
            _snyk_row(found, one, entry, where=f"{target}[{at}]", target=target)
    return found


def _snyk_row(found: Gathered, one: Mapping[str, Any], project: Mapping[str, Any], *, where: str, target: str) -> None:
    manager = words(one.get("packageManager")) or words(project.get("packageManager"))
    identifiers = table(one.get("identifiers"))
    found.finding(
        where,
        package=one.get("packageName") or one.get("moduleName") or one.get("name"),
        version=one.get("version"),
        advisory=one.get("id"),
        ecosystem=_MANAGERS.get(manager, ""),
        aliases=texts([*items(identifiers.get("CVE")), *items(identifiers.get("GHSA"))]),
        severity=words(one.get("severity")),
        vectors=texts(one.get("CVSSv3")),
        fixed=texts(one.get("fixedIn") or []),
        target=target,
        state="upgradable" if one.get("isUpgradable") is True else "",
        paths=texts([" > ".join(texts(one.get("from") or []))]),
        tool="Snyk",
    )


def alerts(source: str, document: Any) -> Gathered:
    """A list of Dependabot alerts, or a webhook with one."""
    webhook = isinstance(document, dict)
    found = Gathered(source, "dependabot-webhook" if webhook else "dependabot-rest")
    rows = [document.get("alert")] if webhook else document
    for at, value in enumerate(rows):
        one = table(value)
        advisory = table(one.get("security_advisory"))
        hole = table(one.get("security_vulnerability"))
        dependency = table(one.get("dependency"))
        package = table(dependency.get("package")) or table(hole.get("package"))
        old = "affected_package_name" in one
        ids = texts(
            [advisory.get("ghsa_id"), advisory.get("cve_id"), one.get("ghsa_id"), one.get("external_identifier")]
        )
        ids = texts([*ids, *[table(pair).get("value") for pair in items(advisory.get("identifiers"))]])
        found.finding(
            f"alert {words(one.get('number')) or at}",
            package=one.get("affected_package_name") if old else package.get("name"),
            version=None,
            advisory=ids[0] if ids else None,
            ecosystem=_MANAGERS.get(words(package.get("ecosystem")).lower(), ""),
            aliases=ids[1:],
            severity=words(hole.get("severity")) or words(advisory.get("severity")) or words(one.get("severity")),
            vectors=texts(table(advisory.get("cvss")).get("vector_string")),
            fixed=texts(table(hole.get("first_patched_version")).get("identifier") or one.get("fixed_in")),
            affected_range=words(hole.get("vulnerable_version_range")) or words(one.get("affected_range")),
            target=words(dependency.get("manifest_path")),
            state=words(one.get("state")),
            suppressed=words(one.get("state")) in {"dismissed", "auto_dismissed"},
            justification=words(one.get("dismissed_reason")),
            tool="Dependabot",
        )
    return found


def graphql(source: str, document: Any) -> Gathered:
    """``vulnerabilityAlerts`` of a repository. Raises Unreadable when GitHub answered with errors only."""
    found = Gathered(source, "dependabot-graphql")
    data = table(document).get("data")
    if not isinstance(data, dict):
        raise Unreadable(source, "GitHub answered with errors, not with data")
    for error in items(table(document).get("errors")):
        found.refuse("errors", f"GitHub answered in part: {limits.shown(words(table(error).get('message')))}")
    for repository in repositories(data):
        listed = table(repository.get("vulnerabilityAlerts"))
        nodes = listed.get("nodes")
        if nodes is None:
            nodes = [edge.get("node") for _, edge in found.rows("edges", listed.get("edges"))]
        if "nodes" not in listed and "edges" not in listed:
            # So it answers who may not see them: null is no empty list.
            found.refuse(f"{words(repository.get('name'))} vulnerabilityAlerts", "holds neither nodes nor edges")
        if table(listed.get("pageInfo")).get("hasNextPage") is True:
            found.refuse(f"{words(repository.get('name'))} pageInfo", "there are more pages than this one")
        _graphql_rows(found, nodes, repository=words(repository.get("name")))
    return found


def repositories(data: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The repositories an answer speaks of: the one asked for, or those a search or an owner lists."""
    holders = [data.get("repository"), *items(table(data.get("search")).get("nodes"))]
    for owner in ("organization", "user", "viewer"):
        holders += items(table(table(data.get(owner)).get("repositories")).get("nodes"))
    return [table(one) for one in holders if "vulnerabilityAlerts" in table(one)]


def _graphql_rows(found: Gathered, nodes: Any, *, repository: str) -> None:
    for at, one in found.rows(repository, nodes):
        hole = table(one.get("securityVulnerability"))
        advisory = table(hole.get("advisory")) or table(one.get("securityAdvisory"))
        package = table(hole.get("package"))
        ids = [table(pair).get("value") for pair in items(advisory.get("identifiers"))]
        # an answer that did not ask for identifiers still has the alert's own id
        named = texts([advisory.get("ghsaId"), *ids]) or texts(one.get("id"))
        found.finding(
            f"{repository}[{at}]",
            package=package.get("name"),
            version=None,
            advisory=named[0] if named else None,
            ecosystem=_MANAGERS.get(words(package.get("ecosystem")).lower(), ""),
            aliases=named[1:],
            severity=words(hole.get("severity")) or words(advisory.get("severity")),
            vectors=texts(table(advisory.get("cvss")).get("vectorString")),
            fixed=texts(table(hole.get("firstPatchedVersion")).get("identifier")),
            affected_range=words(hole.get("vulnerableVersionRange")),
            target=words(one.get("vulnerableManifestPath")),
            state=words(one.get("state")),
            suppressed=words(one.get("state")).upper() in {"DISMISSED", "AUTO_DISMISSED"},
            justification=words(one.get("dismissReason")),
            tool="Dependabot",
        )
