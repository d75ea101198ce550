"""Hostile and damaged reports: read as far as they can be, or Unreadable; never anything else, never by accident clean."""

from __future__ import annotations

import functools
import gzip
import io
import json
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from immune.formats import reports
from immune.formats.reports import Report, Status, parse_report
from immune.inventory import Unreadable
from tests.immune.formats.corpus import DATA

from .test_wrong_types import DOCUMENTS


def said(document: object) -> Report:
    return parse_report(json.dumps(document).encode(), source="r")


def refused(data: bytes, reason: str) -> None:
    began = time.monotonic()
    with pytest.raises(Unreadable, match=reason):
        parse_report(data, source="r")
    assert time.monotonic() - began < 20


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b" \n\t", "empty"),
        (b"\xef\xbb\xbf", "empty"),
        (b"null", "neither"),
        (b"[]", "empty list"),
        (b"{}", "unknown kind"),
        (b"[{}]", "unknown kind"),
        (b"[1,2]", "unknown kind"),
        (b'{"error": {"code": "ENOLOCK"}}', "error the tool reported"),
        (b'{"results": [], "results": []}', "twice"),
        (b'{"a":' * 100_000, "too deep"),
        (b"[" * 1_000_000, "too deep"),
        (b"\xff\xfe\x00", "utf-16"),
        (b'{"a": "\xff"}', "utf-8"),
        (b"\x1f\x8b\x08broken", "gzip"),
        (gzip.compress(b'{"a": 1}', mtime=0)[:-6], "gzip"),
        (b"<?xml version='1.0'?><!DOCTYPE a [<!ENTITY x 'y'>]><bom>&x;</bom>", "entities"),
        (b"<bom>" + b"<a>" * 1000, "too deep"),
        (b"<bom", "not XML"),
        (b"<html/>", "unknown kind"),
        (b"<bom/>", "CycloneDX without a version"),
        (b'{"bomFormat": "CycloneDX", "specVersion": "9.9"}', "9.9"),
        (b'{"bomFormat": "CycloneDX", "specVersion": "1.5", "components": {}}', "components is no list"),
        (b'{"document": {"csaf_version": "3.0"}}', "3.0"),
        (b'{"runs": [], "version": "2.0.0"}', "SARIF 2.0.0"),
        (b'{"spdxVersion": "SPDX-9", "SPDXID": "x"}', "SPDX-9"),
        (b"SPDXVersion: SPDX-9\n", "SPDX-9"),
        (b'{"data": {"repository": {"vulnerabilityAlerts": 1}}, "data": 1}', "twice"),
        (b'{"type":"error","data":"no network"}\n{"type":"info","data":"x"}\n', "audited nothing: no network"),
        (b'{"a":1}\n{"b":2}\n', "unknown kind"),
    ],
    ids=lambda value: repr(value[:30]),
)
def test_what_cannot_be_understood_is_refused_with_the_reason(data, reason):
    refused(data, reason)


def test_a_bomb_in_gzip_is_refused_in_bounded_memory():
    bomb = gzip.compress(b" " * (reports.MAX_REPORT + 10))
    assert len(bomb) < 200_000
    refused(bomb, "larger than")


def test_a_stream_is_read_no_further_than_the_limit():
    class Endless(io.RawIOBase):
        asked = 0

        def readable(self) -> bool:
            return True

        def read(self, size: int = -1) -> bytes:
            self.asked += size
            return b" " * size

    stream = Endless()
    with pytest.raises(Unreadable, match="larger than"):
        parse_report(stream, source="r")
    assert stream.asked == reports.MAX_REPORT + 1


def test_reports_are_told_apart_by_content_not_by_name():
    document = {"matches": [], "descriptor": {"name": "grype", "version": "1"}}
    assert parse_report(json.dumps(document).encode("utf-16"), source="trivy.json").format == "grype"
    assert parse_report(gzip.compress(json.dumps(document).encode())).format == "grype"


def test_a_finding_without_an_id_is_refused_not_dropped():
    found = said({"matches": [{"vulnerability": {}, "artifact": {"name": "x"}}], "descriptor": {}})
    assert (found.findings, [r.source for r in found.refused]) == ((), ["r:matches[0]"])


def test_an_unknown_vex_status_never_suppresses():
    found = said(
        {
            "@context": "https://openvex.dev/ns/v0.2.0",
            "statements": [{"vulnerability": {"name": "CVE-1"}, "status": "probably_fine", "products": []}],
        }
    )
    assert (found.statements, len(found.refused)) == ((), 1)


def test_not_affected_without_any_reason_is_refused():
    statement = {"vulnerability": {"name": "CVE-1"}, "status": "not_affected", "products": [{"@id": "pkg:npm/a@1"}]}
    document = {
        "@context": "https://openvex.dev/ns/v0.2.0",
        "statements": [statement, {**statement, "impact_statement": "never called"}],
    }
    found = said(document)
    assert [s.impact for s in found.statements] == ["never called"]
    assert "justification" in found.refused[0].reason


def test_an_unknown_analysis_state_is_refused_and_the_finding_stays_open():
    found = said(
        {
            "bomFormat": "CycloneDX",
            "specVersion": "1.5",
            "vulnerabilities": [{"id": "CVE-1", "analysis": {"state": "fine"}, "affects": [{"ref": "a"}]}],
        }
    )
    assert (found.statements, len(found.refused)) == ((), 1)
    assert [f.suppressed for f in found.findings] == [False]


@pytest.mark.parametrize(
    ("state", "status", "suppressed"),
    [
        ("resolved", Status.FIXED, True),
        ("exploitable", Status.AFFECTED, False),
        ("in_triage", Status.UNDER_INVESTIGATION, False),
        ("false_positive", Status.NOT_AFFECTED, True),
        ("not_affected", Status.NOT_AFFECTED, True),
    ],
)
def test_cyclonedx_states_are_vex_states(state, status, suppressed):
    found = said(
        {
            "bomFormat": "CycloneDX",
            "specVersion": "1.5",
            "vulnerabilities": [{"id": "CVE-1", "analysis": {"state": state}, "affects": [{"ref": "a"}]}],
        }
    )
    assert ([s.status for s in found.statements], [f.suppressed for f in found.findings]) == ([status], [suppressed])


def test_a_failed_run_and_a_further_page_are_said():
    sarif = said({"version": "2.1.0", "runs": [{"invocations": [{"executionSuccessful": False}], "results": []}]})
    assert "did not finish" in sarif.refused[0].reason
    pages = {"vulnerabilityAlerts": {"nodes": [], "pageInfo": {"hasNextPage": True}}}
    assert "more pages" in said({"data": {"repository": pages}}).refused[0].reason


def test_csaf_products_become_purls_wherever_they_stand_in_the_tree():
    product = {"product_id": "P1", "product_identification_helper": {"purl": "pkg:npm/a@1.0.0"}}
    tree = {
        "branches": [{"branches": [{"product": product}]}],
        "relationships": [{"full_product_name": {"product_id": "P2"}}],
    }
    vulnerability = {
        "cve": "CVE-1",
        "product_status": {"known_not_affected": ["P1", "P2"], "recommended": ["P1"]},
        "flags": [{"label": "component_not_present", "product_ids": ["P1"]}],
    }
    found = said({"document": {"csaf_version": "2.0"}, "product_tree": tree, "vulnerabilities": [vulnerability]})
    assert [(s.status, s.products, s.justification) for s in found.statements] == [
        (Status.NOT_AFFECTED, ("pkg:npm/a@1.0.0",), "component_not_present"),
        (Status.NOT_AFFECTED, ("P2",), ""),
    ]


def test_deep_trees_of_components_and_branches_are_walked_without_recursion():
    component: dict = {"name": "leaf", "version": "1", "purl": "pkg:npm/leaf@1"}
    for number in range(300):
        component = {"name": f"n{number}", "components": [component]}
    found = said({"bomFormat": "CycloneDX", "specVersion": "1.5", "components": [component]})
    assert [c.name for c in found.components if c.version] == ["leaf"]
    assert len(found.components) == 301


def test_nul_characters_do_not_reach_a_database():
    found = said(
        {
            "matches": [{"vulnerability": {"id": "CVE-1\0"}, "artifact": {"name": "a\0b", "version": "1"}}],
            "descriptor": {},
        }
    )
    assert "\0" not in repr(found).replace("\\x00", "\0")


def test_groups_that_hold_every_id_take_no_quadratic_time():
    ids = [f"CVE-{number}" for number in range(20_000)]
    package = {
        "package": {"name": "a", "version": "1", "ecosystem": "npm"},
        "vulnerabilities": [{"id": one} for one in ids],
        "groups": [{"ids": ids}] * 3,
    }
    began = time.monotonic()
    found = said({"results": [{"source": {"path": "p"}, "packages": [package]}]})
    assert time.monotonic() - began < 20
    assert len(found.findings) == 20_000
    assert max(len(one.aliases) for one in found.findings) <= 100


@functools.cache
def seeds() -> list[bytes]:
    """One of every kind of JSON there is a reader for, and the small real ones."""
    own = [json.dumps(one).encode() for one in DOCUMENTS.values()]
    if not DATA.is_dir():
        return [
            *own,
            b'{"matches": [{"vulnerability": {"id": "CVE-1"}, "artifact": {}}], "descriptor": {}}',
            b"SPDXVersion: SPDX-2.3\nPackageName: a\n",
        ]
    files = sorted(p for p in (DATA / "reports").glob("*/*") if p.suffix != ".xz" and 20 < p.stat().st_size < 6000)
    return [*own, *(path.read_bytes() for path in files)]


@st.composite
def damaged(draw) -> bytes:
    data = draw(st.sampled_from(seeds()))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(data)))
        end = min(len(data), start + draw(st.integers(0, 40)))
        junk = draw(
            st.sampled_from(
                [
                    b"",
                    b"null",
                    b"[]",
                    b"{}",
                    b"1",
                    b'"',
                    b"}",
                    b"]",
                    b"<",
                    b"\x00",
                    b"\xff",
                    b"true",
                    b"1e999",
                    b"[[",
                    b'"\\ud800"',
                    data[start:end] * 2,
                ]
            )
        )
        data = data[:start] + junk + data[end:]
    return data


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(damaged())
def test_a_damaged_report_is_a_report_or_unreadable(data):
    try:
        found = parse_report(data, source="r")
    except Unreadable as error:
        assert error.reason != "" and error.source == "r"  # noqa: PT017, PT018 - the refusal is what is examined
        return
    assert all(one.advisory for one in found.findings)
    assert all(one.reason for one in found.refused)


def mangled(value: object, wrong: object, at: list[int]) -> object:
    """The document with its n-th value replaced, counted through the whole tree."""
    at[0] -= 1
    if at[0] == 0:
        return wrong
    if isinstance(value, dict):
        return {key: mangled(inner, wrong, at) for key, inner in value.items()}
    if isinstance(value, list):
        return [mangled(inner, wrong, at) for inner in value]
    return value


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_a_value_of_a_wrong_type_anywhere_breaks_nothing(data):
    seed = data.draw(st.sampled_from(seeds()))
    try:
        document = json.loads(seed)
    except ValueError:
        return
    wrong = data.draw(st.sampled_from([None, True, 7, 1.5, "x", "", [], [1], {}, {"a": 1}, [None], [[]], -1]))
    broken = mangled(document, wrong, [data.draw(st.integers(1, 120))])
    try:
        parse_report(json.dumps(broken).encode(), source="r")
    except Unreadable:
        return
