# ruff: noqa: E501 - tables of samples read best a row a line
"""Every shared report against what a plain reading of it found (``expected/reports.jsonl.gz``)."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from typing import Any

import pytest

from immune.formats.reports import Report, parse_report
from immune.inventory import Unreadable
from tests.immune.formats.corpus import DATA, needs_data


def _expected() -> list[dict[str, Any]]:
    place = DATA / "expected/reports.jsonl.gz"
    if not place.is_file():
        return []
    with gzip.open(place, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


EXPECTED = _expected()
# Recognised and refused by name: the list of formats to read does not hold them (docs/formats.md).
NOT_READ = {
    "cargo-audit",
    "bundler-audit",
    "dependency-track-fpf",
    "gitlab-dependency-scanning",
    "govulncheck",
    "snyk-rest-api",
    "trivy-operator",
}
# Refused although the plain reading took them, with the reason why nothing else would be right.
REFUSED = {
    "csaf/csaf-2.0-mandatory-tests.index.json": "JSON of an unknown kind",
    "csaf/csaf_unsupported_version.json": "CSAF 1.2: only 2.0 is read",
    "cyclonedx-conformance/1.4-invalid-bomformat-1.4.json": "JSON of an unknown kind",
    "cyclonedx-conformance/1.5-invalid-bomformat-1.5.json": "JSON of an unknown kind",
    "npm-registry-advisories/audit-all-severities-package-lock.json": "a lock file is not read",
    "npm-registry-advisories/audit-omit-package-lock.json.gz": "a lock file is not read",
    "snyk/snyk-to-html-lodash.patched.vuln.json": "JSON of an unknown kind",
    "spdx/SPDXXMLExample-v2.2.spdx.xml": "SPDX as XML is not read",
    "spdx/SPDXYAMLExample-v2.2.spdx.yaml": "neither JSON, XML nor SPDX tag-value",
    "spdx/example11-spdx3.0-sbom.spdx3.json": "SPDX 3 is not read",
    "trivy/legacy_no_vuln.json": "neither JSON, XML nor SPDX tag-value",
    "yarn-audit/empty_with_error.json": "Yarn audited nothing",
}
# Where we differ from the plain reading, and why.
DIFFERENT = {
    "snyk/snyk-to-html-test-report-with-reachability.json": "A licence issue (snyk:lic:…) is listed among the vulnerabilities; it is none, and left out.",
    "sarif/tutorial-Suppressions.sarif": "Three of the results' suppressions are under review or rejected (SARIF 3.35.3); the plain reading counts any suppression, we count accepted ones.",
}


def report(name: str) -> Report:
    return parse_report((DATA / name).read_bytes(), source=name)


def short(name: str) -> str:
    return name.removeprefix("reports/")


def none(value: str | None) -> str | None:
    return value or None


ROWS = {
    "trivy": (
        lambda f: (f.target, f.package, f.version, f.advisory, f.severity, ", ".join(f.fixed)),
        lambda i: (i["target"], i["package"], i["version"], i["id"], i["severity"], i["fixed"] or ""),
    ),
    "grype": (
        lambda f: (f.package, f.version, f.advisory, f.severity, f.fixed, f.state),
        lambda i: (
            i["package"],
            i["version"].replace("\0", "\ufffd"),
            i["id"],
            i["severity"],
            tuple(i["fixed"]),
            i["fix_state"] or "",
        ),
    ),
    "osv-scanner": (
        lambda f: (f.target, f.ecosystem, f.package, f.version, f.advisory),
        lambda i: (i["path"], i["ecosystem"], i["package"], i["version"], i["id"]),
    ),
    "pip-audit": (
        lambda f: (f.package, f.version, f.advisory, f.fixed),
        lambda i: (i["package"], i["version"], i["id"], tuple(i["fixed"])),
    ),
    "npm-audit-v6": (
        lambda f: (f.package, f.version, f.advisory, f.severity, f.affected_range, f.fixed_range, len(f.paths)),
        lambda i: (i["package"], i["version"], i["id"], i["severity"], i["range"], i["fixed"], i["paths"]),
    ),
    "npm-audit-v7": (
        lambda f: (f.package, f.advisory, f.severity, f.affected_range, f.state),
        lambda i: (i["package"], i["id"], i["severity"], i["range"], f"fix: {i['fix_available']}"),
    ),
    "npm-registry-advisories": (
        lambda f: (f.package, f.version, f.advisory, f.severity, f.affected_range, f.fixed_range),
        lambda i: (i["package"], i.get("version"), i["id"], i["severity"], i["range"], i.get("fixed", "")),
    ),
    "yarn-audit": (
        lambda f: (f.package, f.advisory, f.severity, f.affected_range, f.fixed_range),
        lambda i: (i["package"], i["id"], i["severity"], i["range"], i["fixed"]),
    ),
    "snyk": (
        lambda f: (f.package, f.version, f.advisory, f.severity, f.fixed, f.state == "upgradable"),
        lambda i: (i["package"], i["version"], i["id"], i["severity"], tuple(i["fixed"] or ()), bool(i["upgradable"])),
    ),
    "github-graphql-vulnerability-alerts": (
        lambda f: (f.package, f.ecosystem.upper(), f.affected_range, f.fixed, f.severity, f.state),
        lambda i: (
            i["package"],
            i["ecosystem"] or "",
            i["range"] or "",
            (i["fixed"],) if i["fixed"] else (),
            i["severity"],
            i["state"] or "",
        ),
    ),
    "sarif": (
        lambda f: (f.tool, f.advisory, f.target, f.line, f.suppressed),
        lambda i: (i["tool"], i["id"], i["uri"] or "", i["line"], i["suppressed"]),
    ),
}
ROWS["pnpm-audit"] = ROWS["npm-audit-v6"]

WITH_ROWS = [e for e in EXPECTED if e["format"] in ROWS and e["parses"] and short(e["file"]) not in REFUSED]


@needs_data
@pytest.mark.parametrize("entry", WITH_ROWS, ids=lambda e: short(e["file"]))
def test_findings_are_the_expected_ones(entry):
    found = report(entry["file"])
    ours, theirs = ROWS[entry["format"]]
    got, want = Counter(map(ours, found.findings)), Counter(map(theirs, entry.get("items", [])))
    if short(entry["file"]) in DIFFERENT:
        assert got != want  # else the difference is none any more
        return
    assert got == want
    assert len(found.findings) == entry.get("findings", 0)


@needs_data
@pytest.mark.parametrize("entry", [e for e in WITH_ROWS if e["format"] == "sarif"], ids=lambda e: short(e["file"]))
def test_a_sarif_results_own_level_goes_before_its_rules(entry):
    for one, item in zip(report(entry["file"]).findings, entry.get("items", []), strict=True):
        if item["level"] is not None:
            assert one.severity == item["level"]


@needs_data
@pytest.mark.parametrize("entry", [e for e in EXPECTED if e["format"] == "openvex"], ids=lambda e: short(e["file"]))
def test_openvex_statements_are_the_expected_ones(entry):
    got = [(s.advisory, s.stated, none(s.justification), s.products) for s in report(entry["file"]).statements]
    assert got == [(i["id"], i["status"], i["justification"], tuple(i["products"])) for i in entry.get("items", [])]


@needs_data
@pytest.mark.parametrize(
    "entry",
    [e for e in EXPECTED if e["format"] == "csaf" and "findings" in e and short(e["file"]) not in REFUSED],
    ids=lambda e: short(e["file"]),
)
def test_csaf_statements_are_the_expected_ones(entry):
    found = report(entry["file"])
    got: Counter = Counter()
    for one in found.statements:
        got[one.advisory, one.stated] += len(one.products)
    want: Counter = Counter()
    for item in entry["items"]:
        for status, count in item["status"].items():
            if status != "recommended":
                want[item["id"], status] += count
    assert got == want
    assert {s.justification for s in found.statements} - {""} == {label for i in entry["items"] for label in i["flags"]}


@needs_data
@pytest.mark.parametrize(
    "entry",
    [
        e
        for e in EXPECTED
        if e["format"].startswith("cyclonedx") and "components" in e and short(e["file"]) not in REFUSED
    ],
    ids=lambda e: short(e["file"]),
)
def test_cyclonedx_vulnerabilities_and_analyses_are_the_expected_ones(entry):
    found = report(entry["file"])
    items = entry.get("items", [])
    got = Counter((f.advisory, f.target, none(f.state), none(f.justification), f.severity) for f in found.findings)
    want = Counter(
        (i["id"], reference, i["state"], i["justification"], next(iter(i["severity"]), "") or "")
        for i in items
        for reference in i["affects"] or [""]
    )
    assert got == want
    assert [(s.advisory, s.stated) for s in found.statements] == [(i["id"], i["state"]) for i in items if i["state"]]
    assert found.version == entry["spec"]


@needs_data
@pytest.mark.parametrize("entry", [e for e in EXPECTED if e.get("packages")], ids=lambda e: short(e["file"]))
def test_spdx_packages_are_all_there(entry):
    named = {(one.raw_name, one.version) for one in report(entry["file"]).components}
    assert len(named) <= entry["packages"] <= len(report(entry["file"]).components)


@needs_data
@pytest.mark.parametrize(
    ("name", "others"),
    [
        ("reports/cyclonedx-sbom/cern-lhc-vdm-editor-e564943-bom", (".json", ".xml")),
        ("reports/cyclonedx-vex-vdr/valid-vulnerability-1.4", (".json", ".xml")),
    ],
)
def test_the_same_bom_says_the_same_in_json_and_xml(name, others):
    first, second = (report(name + ending) for ending in others)

    def said(one: Report):
        return (
            [(c.ecosystem, c.name, c.version) for c in one.components],
            [(f.advisory, f.package, f.version, f.severity, f.state) for f in one.findings],
            [(s.advisory, s.status, s.justification, s.products) for s in one.statements],
        )

    assert said(first) == said(second)


@needs_data
def test_a_bom_in_gzipped_xml_with_vulnerabilities_inside_components_is_read():
    found = report("reports/cyclonedx-vex-vdr/grype_dd_1_14_1.xml.gz")
    assert (found.format, len(found.findings)) == ("cyclonedx-xml", 312)  # as many as DefectDojo's own test expects


@needs_data
@pytest.mark.parametrize(
    "entry", [e for e in EXPECTED if e["format"] in NOT_READ or not e["parses"]], ids=lambda e: short(e["file"])
)
def test_what_is_not_read_is_refused_with_a_reason(entry):
    with pytest.raises(Unreadable) as refused:
        report(entry["file"])
    assert refused.value.source == entry["file"]
    assert refused.value.reason


@needs_data
@pytest.mark.parametrize(("name", "reason"), REFUSED.items())
def test_refusals_are_for_the_stated_reason(name, reason):
    with pytest.raises(Unreadable) as refused:
        report(f"reports/{name}")
    assert refused.value.reason.startswith(reason)


@needs_data
@pytest.mark.parametrize(
    ("name", "rows"),
    [
        (
            "reports/github-webhooks/dependabot_alert.created.json",
            [("semver", "npm", "GHSA-c2qf-rxjj-qqgw", ("CVE-2022-25883",), "medium", ("7.5.2",), "open", False)],
        ),
        (
            "reports/github-webhooks/repository_vulnerability_alert.create.json",
            [("rack", "", "GHSA-qqgx-2p2h-9c37", ("CVE-2018-16470",), "moderate", ("2.0.6",), "open", False)],
        ),
        (
            "reports/github-rest-examples/dependabot-alerts-repo.json",
            [
                ("django", "PyPI", "GHSA-rf4j-j272-fj86", ("CVE-2018-6188",), "high", ("2.0.2",), "dismissed", True),
                ("ansible", "PyPI", "GHSA-8f4m-hccc-8qph", ("CVE-2021-20191",), "medium", ("2.8.19",), "open", False),
            ],
        ),
    ],
)
def test_dependabots_alerts_are_read_from_rest_and_webhooks(name, rows):
    got = [
        (f.package, f.ecosystem, f.advisory, f.aliases, f.severity, f.fixed, f.state, f.suppressed)
        for f in report(name).findings
    ]
    assert got == rows


@needs_data
@pytest.mark.parametrize(
    "path",
    sorted(p for p in (DATA / "reports/github-webhooks").glob("*.json") if "alert" not in p.name),
    ids=lambda p: p.name,
)
def test_other_webhooks_are_no_reports(path):
    with pytest.raises(Unreadable):
        parse_report(path.read_bytes())


@needs_data
def test_licence_issues_are_not_vulnerabilities():
    name = "reports/snyk/snyk-to-html-test-report-with-reachability.json"
    (entry,) = [e for e in EXPECTED if e["file"] == name]
    assert [f.advisory for f in report(name).findings] == [
        i["id"] for i in entry["items"] if not i["id"].startswith("snyk:lic:")
    ]


@needs_data
def test_a_suppression_under_review_or_rejected_does_not_suppress():
    name = "reports/sarif/tutorial-Suppressions.sarif"
    results = json.loads((DATA / name).read_text(encoding="utf-8-sig"))["runs"][0]["results"]
    states = [{s.get("status", "accepted") for s in result.get("suppressions", [])} for result in results]
    assert [f.suppressed for f in report(name).findings] == [state == {"accepted"} for state in states]
    assert {"underReview", "rejected"} <= set().union(*states)
