"""A report in which something else stands where its findings should is never a clean one, whatever the format."""

from __future__ import annotations

import copy
import functools
import io
import json
from collections.abc import Iterator
from typing import Any

import pytest

from immune.formats import reports
from immune.formats.reports import parse_in_batches, parse_report
from immune.inventory import Unreadable

PURL = "pkg:npm/leaky@1.0.0"
# One row each: the smallest document of its kind, and the way to what the row stands in.
DOCUMENTS: dict[str, Any] = {
    "trivy": {"SchemaVersion": 2, "Results": [{"Target": "a", "Vulnerabilities": [{"VulnerabilityID": "CVE-1", "PkgName": "leaky"}]}]},
    "trivy kubernetes": {"ClusterName": "c", "Resources": [{"Results": [{"Vulnerabilities": [{"VulnerabilityID": "C", "PkgName": "l"}]}]}]},
    "trivy list": [{"Target": "a", "Vulnerabilities": [{"VulnerabilityID": "CVE-1", "PkgName": "leaky"}]}],
    "grype": {"descriptor": {}, "matches": [{"vulnerability": {"id": "CVE-1"}, "artifact": {"name": "leaky", "version": "1"}}]},
    "osv-scanner": {"results": [{"packages": [{"package": {"name": "leaky"}, "vulnerabilities": [{"id": "CVE-1"}]}]}]},
    "pip-audit": {"dependencies": [{"name": "leaky", "version": "1", "vulns": [{"id": "CVE-1"}]}]},
    "pip-audit list": [{"name": "leaky", "version": "1", "vulns": [{"id": "CVE-1"}]}],
    "npm 6": {"advisories": {"1": {"id": 1, "module_name": "leaky", "findings": [{"version": "1"}]}}},
    "npm 7": {"auditReportVersion": 2, "vulnerabilities": {"leaky": {"via": [{"source": 1, "name": "leaky"}]}}},
    "npm bulk": {"leaky": [{"id": 1, "vulnerable_versions": "<1", "severity": "high"}]},
    "snyk": {"packageManager": "npm", "vulnerabilities": [{"id": "S-1", "packageName": "leaky"}]},
    "snyk list": [{"packageManager": "npm", "vulnerabilities": [{"id": "S-1", "packageName": "leaky"}]}],
    "dependabot": [{"security_advisory": {"ghsa_id": "GHSA-1"}, "dependency": {"package": {"name": "leaky"}}}],
    "dependabot webhook": {"action": "created", "alert": {"security_advisory": {"ghsa_id": "GHSA-1"}}},
    "dependabot graphql": {"data": {"repository": {"vulnerabilityAlerts": {"nodes": [{"id": "A-1"}]}}}},
    "dependabot edges": {"data": {"repository": {"vulnerabilityAlerts": {"edges": [{"node": {"id": "A-1"}}]}}}},
    "sarif": {"version": "2.1.0", "runs": [{"results": [{"ruleId": "CVE-1"}]}]},
    "cyclonedx": {"bomFormat": "CycloneDX", "specVersion": "1.5", "vulnerabilities": [{"id": "CVE-1", "affects": [{"ref": PURL}]}]},
    "cyclonedx parts": {"bomFormat": "CycloneDX", "specVersion": "1.5", "components": [{"name": "a", "components": [{"name": "leaky"}]}]},
    "spdx": {"spdxVersion": "SPDX-2.3", "SPDXID": "x", "packages": [{"name": "leaky"}]},
    "openvex": {"@context": "https://openvex.dev/ns", "statements": [{"vulnerability": {"name": "CVE-1"}, "status": "affected"}]},
    "csaf": {"document": {"csaf_version": "2.0"}, "vulnerabilities": [{"cve": "CVE-1", "product_status": {"known_affected": ["P1"]}}]},
}  # fmt: skip
# What only describes: in its place anything may stand, and the row is read all the same or has lost its id.
WRONG = [7, "text", True, [7]]


def ways(value: Any, way: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to every list and object in a document but the document itself."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in inside:
        if isinstance(one, (dict, list)):
            yield (*way, key)
            yield from ways(one, (*way, key))


def altered(document: Any, way: tuple[Any, ...], wrong: Any) -> Any:
    changed = copy.deepcopy(document)
    held = changed
    for key in way[:-1]:
        held = held[key]
    held[way[-1]] = wrong
    return changed


def read(document: Any) -> tuple[int, int]:
    """(rows, refusals), read whole; and row by row, which must come to the same."""
    data = json.dumps(document).encode()
    whole = parse_report(data)
    parts = list(parse_in_batches(io.BytesIO(data)))
    rows = [len(one.findings) + len(one.statements) + len(one.components) for one in (whole, *parts)]
    assert sum(rows[1:]) == rows[0]
    return rows[0], len(whole.refused) + sum(len(one.refused) for one in parts)


def test_every_reader_of_json_is_tried() -> None:
    readers = {reader for _, reader in reports._KINDS}
    assert {reports._reading("r", document) for document in DOCUMENTS.values()} == readers


@pytest.mark.parametrize("name", DOCUMENTS)
def test_something_else_where_the_findings_stand_is_refused(name: str) -> None:
    document = DOCUMENTS[name]
    rows, refused = read(document)
    assert (rows > 0, refused) == (True, 0)
    tried = 0
    for way in ways(document):
        stood = functools.reduce(lambda held, key: held[key], way, document)
        # An object of something else in the place of a list; in the place of an object it is one that says nothing.
        for wrong in (*WRONG, *([{"odd": 7}] if isinstance(stood, list) else [])):
            changed = altered(document, way, wrong)
            try:
                left, said = read(changed)
            except Unreadable:
                left, said = 0, 1
            assert left >= rows or said, (way, wrong)
            tried += 1
    assert tried >= len(WRONG)
