"""Large reports come in batches: the same rows as whole, in flat memory, whatever stands first in the file."""

from __future__ import annotations

import gzip
import io
import json
import tracemalloc

import pytest

from immune.formats.reports import Report, parse_in_batches, parse_report
from immune.inventory import Unreadable
from tests.immune.formats.corpus import DATA, needs_data

STREAMED = sorted(
    path
    for kind in ("trivy", "grype", "osv-scanner", "pip-audit", "sarif")
    for path in (DATA / "reports" / kind).glob("*")
    if path.stat().st_size > 4
)


def in_batches(data: bytes, size: int = 2) -> list[Report]:
    return list(parse_in_batches(io.BytesIO(data), source="r", size=size))


@needs_data
@pytest.mark.parametrize("path", STREAMED, ids=lambda p: f"{p.parent.name}/{p.name}")
@pytest.mark.parametrize("size", [1, 7])
def test_batches_hold_the_same_rows_as_the_whole(path, size):
    data = path.read_bytes()
    whole = parse_report(data, source="r")
    parts = in_batches(data, size)
    assert {part.format for part in parts} == {whole.format}
    assert {part.version for part in parts} == {whole.version}
    assert [row for part in parts for row in part.findings] == list(whole.findings)
    assert sorted(r.reason for part in parts for r in part.refused) == sorted(r.reason for r in whole.refused)


@needs_data
def test_a_report_of_another_kind_is_one_batch():
    data = (DATA / "reports/cyclonedx-vex-vdr/log4j.json").read_bytes()
    assert in_batches(data) == [parse_report(data, source="r")]


def test_what_stands_after_the_rows_counts_as_well():
    run = {
        "results": [{"ruleIndex": 0, "message": {}}, {"ruleId": "B"}, {"ruleId": "C"}],
        "tool": {"driver": {"name": "T", "rules": [{"id": "A", "defaultConfiguration": {"level": "error"}}]}},
        "invocations": [{"executionSuccessful": False}],
    }
    parts = in_batches(
        json.dumps({"runs": [run, {"tool": {"driver": {"name": "U"}}, "results": []}], "version": "2.1.0"}).encode()
    )
    assert [(f.advisory, f.tool, f.severity) for part in parts for f in part.findings] == [
        ("A", "T", "error"),
        ("B", "T", ""),
        ("C", "T", ""),
    ]
    assert [r.reason for part in parts for r in part.refused] == ["T did not finish: its results are not all"]


def test_a_report_without_rows_still_says_what_it_is():
    (only,) = in_batches(b'{"matches": [], "descriptor": {"name": "grype", "version": "1"}}')
    assert (only.format, only.findings) == ("grype", ())


@pytest.mark.parametrize(
    "data",
    [
        b'{"matches": [{"a": 1}',
        b'{"matches": [1,,2], "descriptor": {}}',
        b'{"matches": [], "matches": [], "descriptor": {}}',
        b'{"matches": [{"a": 1, "a": 2}], "descriptor": {}}',
        b'{"matches": [], "descriptor": {}} {}',
        b'{"matches": [' + b'{"a":' * 100_000,
        b'{"matches": ["\xff"], "descriptor": {}}',
        b'{"matches": [' + b"9" * 6000 + b"]}",
        b"{1: 2}",
        gzip.compress(b'{"matches": [], "descriptor": {}}' * 50, mtime=0)[:-9],
    ],
    ids=range(10),
)
def test_damaged_streams_are_unreadable(data):
    with pytest.raises(Unreadable):
        in_batches(data)


def test_a_large_report_takes_flat_memory():
    row = {
        "vulnerability": {"id": "CVE-2024-0001", "severity": "High", "description": "x" * 400},
        "artifact": {"name": "a", "version": "1"},
    }
    text = json.dumps({"matches": [row] * 40_000, "descriptor": {"name": "grype"}}).encode()
    assert len(text) > 20_000_000
    stream = io.BytesIO(text)
    tracemalloc.start()
    try:
        count = sum(len(part.findings) for part in parse_in_batches(stream))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert count == 40_000
    assert peak < 12_000_000  # bytes: a few batches and pieces, not the report
