"""Keeping advisories current: an update touches what it is about and nothing else, and closes by itself what it takes back."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from immune.advisories.selectors import knowledge_of
from immune.advisories.services import SyncReport, sync_advisories
from immune.apvs import apply_findings, store_dependencies
from immune.events.actors import COMMAND, SYSTEM
from immune.events.log import act
from immune.findings import findings_in, packages_in
from immune.inventory import Dependency, Inventory
from immune.models import APV, Advisory, Event, Repository, Scan
from immune.reading import Reading
from tests.immune.ingest.reports import record, repository

pytestmark = pytest.mark.django_db
Sync = Callable[..., SyncReport]
LATER = "2026-02-02T03:04:05Z"


@pytest.fixture
def sync(tmp_path: Path) -> Sync:
    def published(*records: dict[str, Any]) -> SyncReport:
        path = tmp_path / "records.jsonl"
        path.write_text("".join(json.dumps(one) + "\n" for one in records))
        return sync_advisories(actor=COMMAND, paths=[path])

    return published


def read(where: Repository, *pins: tuple[str, str]) -> None:
    rows = tuple(Dependency("PyPI", name, version, "requirements.txt") for name, version in pins)
    findings = findings_in(rows, knowledge_of(packages_in(rows)))
    with act(SYSTEM) as log:
        store_dependencies(where, rows)
        reading = Reading("c" * 40, (Inventory("requirements", "requirements.txt", rows),))
        apply_findings(log, where, findings, reading, unresolved=set())


BOAT, CAR = record("PYSEC-1", "boat", "2.0"), record("PYSEC-2", "car", "2.0")
FLEET = [record(f"PYSEC-{n}", f"package-{n}", "2.0") for n in range(10, 60)]


@pytest.fixture
def harbour(sync: Sync) -> Repository:
    """A repository with an affected boat; another one holds a car, and neither is to be read again."""
    sync(BOAT, CAR)
    here, there = repository("demo/harbour"), repository("demo/garage")
    read(here, ("boat", "1.0"))
    read(there, ("car", "1.0"))
    Scan.objects.all().delete()
    return here


def asked_to_read() -> list[str]:
    return sorted(Scan.objects.values_list("repository__name", flat=True))


@pytest.mark.parametrize(
    ("change", "again"),
    [
        ({}, []),
        ({"modified": LATER, "summary": "Better words."}, []),
        ({"modified": LATER, "withdrawn": LATER}, ["demo/harbour"]),
        ({"modified": LATER, "aliases": ["CVE-2026-1"]}, ["demo/harbour"]),
        ({**record("PYSEC-1", "boat", "1.5"), "modified": LATER}, ["demo/harbour"]),
        # It named the boat before, the car now: both answers may change.
        ({**record("PYSEC-1", "car", "2.0"), "modified": LATER}, ["demo/garage", "demo/harbour"]),
        # A mirror that lags behind takes nothing back.
        ({"modified": "2025-01-01T00:00:00Z", "withdrawn": "2025-01-01T00:00:00Z"}, []),
    ],
    ids=["nothing", "words", "withdrawn", "alias", "range", "package", "older"],
)
def test_an_update_has_only_those_read_again_whose_answer_may_change(
    harbour: Repository, sync: Sync, change: dict[str, Any], again: list[str]
) -> None:
    sync({**BOAT, **change}, CAR)
    assert asked_to_read() == again


def test_what_is_unchanged_costs_the_same_however_many_there_are(sync: Sync) -> None:
    costs = []
    for records in (FLEET[:5], FLEET):
        sync(*records)
        with CaptureQueriesContext(connection) as found:
            report = sync(*records)
        assert (report.unchanged, report.updated, report.added) == (len(records), 0, 0)
        costs.append(len(found))
    assert costs[0] == costs[1] <= 6


def test_an_update_costs_the_same_however_many_others_there_are(sync: Sync) -> None:
    costs = []
    for number, others in enumerate((FLEET[1:3], FLEET[1:]), 1):
        sync(FLEET[0], *others)
        with CaptureQueriesContext(connection) as found:
            changed = record("PYSEC-10", "package-10", "2.0", modified=f"2027-02-0{number}T00:00:00Z", summary="x")
            assert sync(changed, *others).updated == 1
        costs.append(len(found))
    assert costs[0] == costs[1] < 30


def test_a_withdrawn_advisory_closes_its_apv_with_the_reason_and_opens_it_when_it_is_published_again(
    harbour: Repository, sync: Sync
) -> None:
    sync({**BOAT, "modified": LATER, "withdrawn": LATER})
    read(harbour, ("boat", "1.0"))
    apv = APV.objects.get(repository=harbour)
    assert (apv.status, apv.reason) == ("withdrawn", "The advisory was withdrawn.")
    sync({**BOAT, "modified": "2026-03-03T00:00:00Z"})
    read(harbour, ("boat", "1.0"))
    apv.refresh_from_db()
    assert apv.status == "open"
    assert APV.objects.filter(repository=harbour).count() == 1


def test_a_narrowed_advisory_closes_its_apv_with_the_reason(harbour: Repository, sync: Sync) -> None:
    sync({**record("PYSEC-1", "boat", "0.9"), "modified": LATER})
    read(harbour, ("boat", "1.0"))
    apv = APV.objects.get(repository=harbour)
    assert (apv.status, apv.reason) == ("resolved", "The advisory no longer says that 1.0 is affected.")
    assert json.loads(Event.objects.filter(kind="apv.moved").latest("position").body)["data"]["why"] == (
        "advisory_narrowed"
    )


def test_an_upgraded_package_is_not_called_a_narrowed_advisory(harbour: Repository) -> None:
    read(harbour, ("boat", "2.0"))
    assert "holds no affected version" in APV.objects.get(repository=harbour).reason


def test_one_of_two_records_withdrawn_leaves_the_other_standing(harbour: Repository, sync: Sync) -> None:
    other = record("GHSA-1", "boat", "2.0", "PYSEC-1")
    sync(other)
    sync({**BOAT, "modified": LATER, "withdrawn": LATER})
    read(harbour, ("boat", "1.0"))
    apv = APV.objects.get(repository=harbour)
    assert (apv.status, apv.advisory_id) == ("open", "GHSA-1")


def test_a_broken_record_is_refused_and_what_was_known_of_it_stays(harbour: Repository, sync: Sync) -> None:
    before = Advisory.objects.get(pk="PYSEC-1").record
    report = sync({**BOAT, "modified": LATER, "affected": "everything"}, {**CAR, "modified": LATER, "summary": "x"})
    assert (len(report.refused), report.updated) == (1, 1)
    assert Advisory.objects.get(pk="PYSEC-1").record == before
    read(harbour, ("boat", "1.0"))
    assert APV.objects.get(repository=harbour).status == "open"
