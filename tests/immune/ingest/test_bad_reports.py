"""Attacks and accidents: refused with a reason, bounded, and nothing changed."""

from __future__ import annotations

import gzip
import io
import json
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from immune.events.actors import COMMAND
from immune.formats.reports import streaming
from immune.ingest import spool
from immune.ingest.services import ingest_report
from immune.inventory import Unreadable
from immune.models import APV, AliasGroup, DependencyRow, Event, ReportedName, ReportStream, Repository, Sighting
from immune.services import Refused

from .reports import changed, ingest, pip_audit, repository, sbom, trivy, trivy_row, vulnerable

pytestmark = pytest.mark.django_db
TABLES = (APV, AliasGroup, DependencyRow, Event, ReportedName, ReportStream, Sighting)
GOOD = json.dumps(trivy(*(trivy_row(f"CVE-2026-{n}", f"package-{n}", "1.0") for n in range(2500)))).encode()

BAD: dict[str, bytes] = {
    "nothing": b"",
    "no report": b"hello",
    "of an unknown kind": b'{"a": 1}',
    "cut short": GOOD[:-20],
    "cut in the middle of its rows": GOOD[: len(GOOD) // 2],
    "more after its end": GOOD + b"{}",
    "half a gzip": gzip.compress(GOOD)[:-200],
    "a broken gzip": b"\x1f\x8b" + b"x" * 100,
    "a key twice": b'{"SchemaVersion": 2, "Results": [{"Target": "a", "Target": "b", "Vulnerabilities": []}]}',
    "not utf-8": b'{"SchemaVersion": 2, "Results": [{"Target": "\xff\xfe"}]}',
    "deep": b'{"SchemaVersion": 2, "Results": ' + b"[" * 100_000,
    "an XML that grows": b'<!DOCTYPE b [<!ENTITY a "aaaa">]><bom xmlns="http://cyclonedx.org/schema/bom/1.5">&a;</bom>',
    "an error of the tool": b'{"error": "no network"}',
    "a number no machine holds": b'{"SchemaVersion": 2, "Results": [' + b"9" * 5000 + b"]}",
}


@pytest.fixture
def here() -> Repository:
    return repository()


@pytest.mark.parametrize("data", BAD.values(), ids=BAD)
def test_a_bad_file_is_refused_with_a_reason_and_changes_nothing(here: Repository, data: bytes) -> None:
    ingest(here, trivy(trivy_row("CVE-2026-0", "kept", "1.0")))
    before = [list(table.objects.order_by("pk").values()) for table in TABLES]
    with pytest.raises(Unreadable) as refused:
        ingest(here, data, source="report.json")
    assert refused.value.source
    assert refused.value.reason
    assert len(refused.value.reason) < 500
    assert [list(table.objects.order_by("pk").values()) for table in TABLES] == before


def test_a_gzip_bomb_is_refused_when_it_has_unpacked_too_much(here: Repository, monkeypatch: Any) -> None:
    monkeypatch.setattr(streaming, "MAX_STREAM", 1024 * 1024)
    row = json.dumps(trivy_row("CVE-2026-1", "a", "1.0", Description="x" * 900)) + ","
    bomb = gzip.compress(b'{"SchemaVersion": 2, "Results": [{"Vulnerabilities": [' + row.encode() * 4000)
    assert len(bomb) < 64 * 1024
    with pytest.raises(Unreadable, match="larger than"):
        ingest(here, bomb)
    assert not APV.objects.exists()


def test_too_many_findings_of_one_package_are_refused(here: Repository, monkeypatch: Any) -> None:
    monkeypatch.setattr(spool, "MAX_OF_PACKAGE", 10)
    monkeypatch.setattr("immune.ingest.services.MAX_OF_PACKAGE", 10)
    with pytest.raises(Unreadable, match="more than 10 findings of one package"):
        ingest(here, trivy(*(trivy_row(f"CVE-2026-{n}", "crowded", "1.0") for n in range(11))))
    assert not APV.objects.exists()


HALF = "\ud800"
ODD: dict[str, tuple[Any, int]] = {
    "a list for a name": (trivy(trivy_row("CVE-1-1", ["x"], "1.0")), 0),  # type: ignore[arg-type]
    "a table for an id": (trivy({"VulnerabilityID": {}, "PkgName": "a", "InstalledVersion": "1"}), 0),
    "a row that is a number": (trivy(7), 0),  # type: ignore[arg-type]
    "a name without an end": (trivy(trivy_row("CVE-1-1", "x" * 301, "1.0")), 0),
    "an id without an end": (trivy(trivy_row("C" * 121, "x", "1.0")), 0),
    "a version without an end": (trivy(trivy_row("CVE-1-1", "x", "1" * 201)), 0),
    "half characters in a name": (trivy(trivy_row("CVE-1-1", f"x{HALF}", "1.0")), 0),
    "half characters in an id": (trivy(trivy_row(f"C{HALF}", "x", "1.0")), 0),
    "a NUL in a name": (trivy(trivy_row("CVE-1-1", "x\x00y", "1.0")), 1),
    "no numbers in a vector": (trivy(trivy_row("CVE-1-1", "x", "1.0", CVSS={"nvd": {"V3Vector": "CVSS:3.1/zzz"}})), 1),
    "markup in everything": (trivy(trivy_row("<script>", "<b>", "<i>", "<u>", FixedVersion="<s>")), 1),
}


@pytest.mark.parametrize(("document", "opened"), ODD.values(), ids=ODD)
def test_an_odd_row_is_refused_or_kept_as_text_and_the_rest_taken(here: Repository, document: Any, opened: int) -> None:
    document["Results"][0]["Vulnerabilities"].append(trivy_row("CVE-2026-2", "good", "1.0"))
    done = ingest(here, document)
    assert APV.objects.filter(package_name="good").exists()
    assert APV.objects.count() == opened + 1
    assert done.refused_count == 1 - opened
    for refusal in done.refused:
        assert refusal.source
        assert refusal.reason


def test_half_characters_in_a_component_refuse_it(here: Repository) -> None:
    done = ingest(here, sbom(f"pkg:pypi/idna{HALF}@1", "pkg:pypi/flask@1"))
    assert DependencyRow.objects.get().name == "flask"
    assert done.refused_count == 1


def test_what_is_refused_is_bounded_and_counted(here: Repository) -> None:
    rows = [{"name": f"p{n}", "skip_reason": "no"} for n in range(1500)]
    done = ingest(here, pip_audit(*rows))
    assert (done.refused_count, len(done.refused)) == (1500, 1000)
    assert len(done.as_dict()["refused"]) == 1000


def test_a_part_without_an_end_is_refused(here: Repository) -> None:
    with pytest.raises(Refused):
        ingest_report(file=io.BytesIO(b"{}"), repository=here, actor=COMMAND, part="x" * 201)


# ── cost ─────────────────────────────────────────────────────────────────────────────────────────────────────────────────


def statements(act: Callable[[], Any]) -> int:
    with CaptureQueriesContext(
        connection,
    ) as found:
        act()
    return len(found)


def of_packages(count: int, *, findings: int = 1000) -> dict[str, Any]:
    return trivy(*(trivy_row(f"CVE-2026-{n}", f"package-{n % count}", "1.0") for n in range(findings)))


def test_the_statements_of_a_step_do_not_grow_with_its_findings(monkeypatch: Any) -> None:
    """The same number for a hundred and for five hundred of one step, first, unchanged, changed and gone."""
    monkeypatch.setattr(connection.features, "max_query_params", None)  # SQLite's bound would cut the INSERTs in pieces
    monkeypatch.setattr(connection.ops, "bulk_batch_size", lambda fields, objects: len(objects))
    costs = []
    for count in (100, 500):
        where = repository(f"demo/{count}")
        report = of_packages(50, findings=count)
        first = statements(lambda w=where, r=report: ingest(w, r))
        again = statements(lambda w=where, r=report: ingest(w, r))
        worse = trivy(*({**row, "FixedVersion": "2.0"} for row in report["Results"][0]["Vulnerabilities"]))
        altered = statements(lambda w=where, r=worse: ingest(w, r))
        gone = statements(lambda w=where: ingest(w, trivy()))
        back = statements(lambda w=where, r=report: ingest(w, r))
        costs.append((first, again, altered, gone, back))
    assert costs[0] == costs[1]
    assert max(costs[0]) < 60
    assert costs[0][1] < 15


def test_a_large_report_is_read_in_flat_memory(here: Repository, tmp_path: Path) -> None:
    path = tmp_path / "large.json"
    row = json.dumps(trivy_row("CVE-2026-1", "idna", "3.6", Description="x" * 20_000))
    with path.open("w") as file:
        file.write(
            '{"SchemaVersion": 2, "ArtifactName": ".", "Results": [{"Target": "a", "Type": "pip", "Vulnerabilities": ['
        )
        file.write(",".join([row] * 4000))
        file.write("]}]}")
    assert path.stat().st_size > 80_000_000
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with path.open("rb") as file:
        done = ingest_report(file=file, repository=here, actor=COMMAND)
    assert (done.read, changed(done)) == (4000, {"opened": 1})
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 60 * 1024  # kilobytes


def test_an_sbom_again_stores_nothing_anew(here: Repository) -> None:
    document = sbom(*(f"pkg:pypi/package-{n}@1.0" for n in range(50)))
    ingest(here, document)
    kept = list(DependencyRow.objects.order_by("pk").values_list("pk", flat=True))
    ingest(here, document)
    assert list(DependencyRow.objects.order_by("pk").values_list("pk", flat=True)) == kept


def test_findings_of_one_thing_in_several_places_are_one_apv(here: Repository) -> None:
    ingest(here, pip_audit(vulnerable("idna", "3.6", ("CVE-2026-1",)), vulnerable("idna", "3.5", ("CVE-2026-1",))))
    assert APV.objects.get().versions == ["3.5", "3.6"]
