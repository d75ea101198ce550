"""What one OSV record becomes, and every way it is refused."""

from __future__ import annotations

import copy
import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from immune.advisories.osv import MAX_ITEMS, AdvisoryRecord, Event, Range, Reference, read_osv
from immune.inventory import Unreadable
from immune.severity import Severity, SeverityVector

V3 = "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"
FULL = {
    "schema_version": "1.6.0",
    "id": "GHSA-1234-abcd-5678",
    "modified": "2026-01-02T03:04:05.123456789Z",
    "published": "2025-12-31T23:00:00-02:00",
    "aliases": ["CVE-2026-1", "CVE-2026-1"],
    "related": ["CVE-2026-2"],
    "summary": "A boat sinks",
    "details": "When the water comes in.",
    "severity": [{"type": "CVSS_V3", "score": V3}],
    "affected": [
        {
            "package": {"ecosystem": "PyPI", "name": "Big_Boat", "purl": "pkg:pypi/big-boat"},
            "ranges": [
                {"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "1.0"}]},
                {"type": "GIT", "repo": "https://example.org/boat", "events": [{"introduced": "0"}]},
            ],
            "versions": ["0.9"],
            "ecosystem_specific": {"imports": [{"path": "boat/hull", "symbols": ["Open", "Hull.Close"]}]},
        },
        {"ranges": [{"type": "GIT", "repo": "https://example.org/boat", "events": [{"introduced": "0"}]}]},
    ],
    "references": [{"type": "FIX", "url": "https://example.org/fix"}],
    "database_specific": {"severity": "LOW", "cwe_ids": ["CWE-79", "nonsense"]},
}
UNSET = object()


def changed(**more):
    made = copy.deepcopy(FULL)
    for path, value in more.items():
        *where, last = path.split("__")
        target = made
        for step in where:
            target = target[int(step) if step.isdigit() else step]
        key = int(last) if last.isdigit() else last
        if value is UNSET:
            del target[key]
        else:
            target[key] = value
    return made


def test_a_full_record_is_read_whole():
    record = read_osv(FULL, "here")
    assert record.id == "GHSA-1234-abcd-5678"
    assert record.aliases == ("CVE-2026-1",)
    assert record.related == ("CVE-2026-2",)
    assert record.modified == datetime(2026, 1, 2, 3, 4, 5, 123456, tzinfo=UTC)
    assert record.published == datetime(2026, 1, 1, 1, 0, tzinfo=UTC)
    assert record.withdrawn is None
    assert record.references == (Reference("FIX", "https://example.org/fix"),)
    assert record.cwes == ("CWE-79",)
    boat, only_git = record.affected
    assert (boat.ecosystem, boat.name, boat.raw_name) == ("PyPI", "big-boat", "Big_Boat")
    assert boat.ranges[0] == Range("ECOSYSTEM", (Event("introduced", "0"), Event("fixed", "1.0")))
    assert boat.ranges[1].repo == "https://example.org/boat"
    assert boat.symbols == ("boat/hull.Open", "boat/hull.Hull.Close")
    assert (only_git.ecosystem, only_git.name) == ("", "")
    assert record.severities == (SeverityVector("CVSS_V3", V3),)
    assert (record.rating.severity, record.rating.score) == (Severity.CRITICAL, 9.8)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"id": UNSET}, "id"),
        ({"id": ""}, "id"),
        ({"id": "../../etc"}, "id"),
        ({"id": "A\nB"}, "id"),
        ({"id": "x" * 300}, "id"),
        ({"modified": UNSET}, "modified"),
        ({"modified": 1735776000}, "modified"),
        ({"modified": "2026-13-01T00:00:00Z"}, "modified"),
        ({"modified": "0001-01-01T00:00:00+23:59"}, "modified"),
        ({"withdrawn": True}, "withdrawn"),
        ({"published": "2026-01-01"}, "published"),
        ({"aliases": "CVE-2026-1"}, "aliases"),
        ({"aliases": [["CVE-2026-1"]]}, "aliases[0]"),
        ({"summary": 7}, "summary"),
        ({"details": "x" * 300_000}, "details"),
        ({"severity": {"CVSS_V3": V3}}, "severity"),
        ({"severity": [V3]}, "severity[0]"),
        ({"severity__0__score": 9.8}, "severity[0].score"),
        ({"affected": {}}, "affected"),
        ({"affected__0": None}, "affected[0]"),
        ({"affected__0__package__name": UNSET}, "affected[0].package.name"),
        ({"affected__0__package__name": " "}, "affected[0].package"),
        ({"affected__0__package__ecosystem": 3}, "affected[0].package.ecosystem"),
        ({"affected__0__versions": [1.0]}, "affected[0].versions[0]"),
        ({"affected__0__versions": ["1"] * (MAX_ITEMS + 1)}, "affected[0].versions"),
        ({"affected__0__ranges__0__type": "GUESS"}, "affected[0].ranges[0].type"),
        ({"affected__0__ranges__0__type": UNSET}, "affected[0].ranges[0].type"),
        ({"affected__0__ranges__0__events": UNSET}, "affected[0].ranges[0].events"),
        ({"affected__0__ranges__0__events": [{"fixed": "1"}]}, "affected[0].ranges[0].events"),
        ({"affected__0__ranges__0__events__0": {"began": "1"}}, "affected[0].ranges[0].events[0]"),
        ({"affected__0__ranges__0__events__1": {"fixed": 1}}, "affected[0].ranges[0].events[1].fixed"),
        ({"references__0__url": UNSET}, "references[0].url"),
        ({"references": ["https://example.org"]}, "references[0]"),
        ({"database_specific": []}, "database_specific"),
        ({"summary": "a\0b"}, "summary"),
    ],
)
def test_a_wrong_field_refuses_the_record_and_is_named(change, field):
    with pytest.raises(Unreadable) as refusal:
        read_osv(changed(**change), "here")
    assert refusal.value.reason.startswith(f"{field}: ")


@pytest.mark.parametrize("document", [None, [], "text", 3, {}, {"name": "not an advisory"}])
def test_what_is_no_record_is_refused(document):
    with pytest.raises(Unreadable):
        read_osv(document, "here")


def test_absent_and_null_lists_are_empty():
    record = read_osv(changed(aliases=None, affected=None, severity=None, references=None), "here")
    assert (record.aliases, record.affected, record.severities, record.references) == ((), (), (), ())


def test_a_slip_of_the_pen_in_an_alias_is_forgiven():
    assert read_osv(changed(aliases=["GHSA-jf66-3q76-h5p5,", " CVE-1 "]), "here").aliases == (
        "GHSA-jf66-3q76-h5p5",
        "CVE-1",
    )


def test_unknown_fields_and_foreign_database_fields_are_ignored():
    record = read_osv(changed(credits=3, database_specific={"severity": ["HIGH"], "cwe_ids": "CWE-1"}), "here")
    assert (record.database_severity, record.cwes) == ("", ())


def test_the_digest_follows_the_content_and_the_matching_digest_what_matching_reads():
    plain = read_osv(FULL, "here")
    reordered = read_osv(json.loads(json.dumps(FULL, sort_keys=True)), "elsewhere")
    assert (reordered.digest, reordered.matching_digest) == (plain.digest, plain.matching_digest)
    worded = read_osv(changed(details="other words"), "here")
    assert worded.digest != plain.digest
    assert worded.matching_digest == plain.matching_digest
    for change in (
        {"affected__0__ranges__0__events__1": {"fixed": "1.1"}},
        {"affected__0__versions": []},
        {"withdrawn": "2026-01-01T00:00:00Z"},
        {"aliases": ["CVE-2026-1", "CVE-2026-3"]},
        {"affected__0__package__name": "other"},
    ):
        assert read_osv(changed(**change), "here").matching_digest != plain.matching_digest


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=10,
)
PATHS = [
    "id", "modified", "aliases", "severity", "severity__0", "affected", "affected__0", "affected__0__package",
    "affected__0__ranges", "affected__0__ranges__0", "affected__0__ranges__0__events", "affected__0__versions",
    "affected__0__ranges__0__events__1", "affected__0__ecosystem_specific", "references", "database_specific", "withdrawn",
]  # fmt: skip


@given(path=st.sampled_from(PATHS), value=JSON)
def test_any_value_in_any_place_is_either_read_or_refused(path, value):
    try:
        assert isinstance(read_osv(changed(**{path: value}), "here"), AdvisoryRecord)
    except Unreadable as error:
        assert error.reason  # noqa: PT017
