"""SARIF 2.1.0: results of any tool, by rule and place. Pure.

Source: OASIS, "Static Analysis Results Interchange Format (SARIF) Version 2.1.0". A result names a rule and a file,
not a package; what a scanner of dependencies puts into ids and properties is kept as it is. A suppression that is
under review or was rejected (3.35.3) does not suppress: the result counts until somebody accepted it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from immune.formats.documents import items, table
from immune.formats.reports.shapes import Gathered, from_purl, texts, words
from immune.inventory import Unreadable


def sarif(source: str, document: Any) -> Gathered:
    """Every result of every run. Raises Unreadable for another version than 2.1; a run that failed is a refusal."""
    root = table(document)
    version = words(root.get("version"))
    if not version.startswith("2.1"):
        raise Unreadable(source, f"SARIF {version or 'without a version'}: only 2.1 is read")
    found = Gathered(source, "sarif", version)
    tools: dict[str, None] = {}
    for number, run in found.rows("runs", root.get("runs")):
        driver = table(table(run.get("tool")).get("driver"))
        tools.setdefault(words(driver.get("name")))
        for invocation in items(run.get("invocations")):
            if table(invocation).get("executionSuccessful") is False:
                found.refuse(f"runs[{number}]", f"{words(driver.get('name'))} did not finish: its results are not all")
        rules = [table(rule) for rule in items(driver.get("rules"))]
        for at, result in found.rows(f"runs[{number}].results", run.get("results")):
            _result(found, result, rules, tool=words(driver.get("name")), where=f"runs[{number}].results[{at}]")
    found.tool = " and ".join(sorted(tool for tool in tools if tool))
    return found


def _result(found: Gathered, one: Mapping[str, Any], rules: list[Mapping[str, Any]], *, tool: str, where: str) -> None:
    rule = _rule(one, rules)
    place = table(next(iter(items(one.get("locations"))), {}))
    physical = table(place.get("physicalLocation"))
    line = table(physical.get("region")).get("startLine")
    properties = {**table(rule.get("properties")), **table(one.get("properties"))}
    purl = words(properties.get("purl"))
    ecosystem, package, version = from_purl(purl)
    held = [table(s) for s in items(one.get("suppressions"))]
    suppressed = bool(held) and all(words(s.get("status")) in {"", "accepted"} for s in held)
    level = words(one.get("level")) or words(table(rule.get("defaultConfiguration")).get("level"))
    found.finding(
        where,
        package=package,
        version=version,
        advisory=one.get("ruleId") or table(one.get("rule")).get("id") or rule.get("id"),
        ecosystem=ecosystem,
        purl=purl,
        severity=level,
        vectors=texts(properties.get("cvss")),
        target=words(table(physical.get("artifactLocation")).get("uri")),
        line=line if isinstance(line, int) and not isinstance(line, bool) else None,
        state=words(one.get("baselineState")) or words(one.get("kind")),
        suppressed=suppressed,
        justification=next((words(s.get("justification")) for s in held if suppressed and s.get("justification")), ""),
        tool=tool,
    )


def _rule(one: Mapping[str, Any], rules: list[Mapping[str, Any]]) -> Mapping[str, Any]:
    index = one.get("ruleIndex", table(one.get("rule")).get("index"))
    if isinstance(index, int) and not isinstance(index, bool) and 0 <= index < len(rules):
        return rules[index]
    return {}
