"""EPSS and KEV are taken in with their days, and only what they touch is weighed anew."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Iterator
from datetime import date
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command

from immune.advisories.bulk import fetch_file
from immune.advisories.daily import sync_signals_daily
from immune.advisories.signal_sync import sync_signals
from immune.events.actors import COMMAND
from immune.inventory import Unreadable
from immune.models import APV, EpssRow, Event, KevRow, SignalFeed
from tests.immune.ingest.reports import ingest, repository, trivy, trivy_row
from tests.immune.shared_data import SHARED, needs_shared_data

pytestmark = pytest.mark.django_db


def epss(folder: Path, day: str, **scores: float) -> Path:
    rows = "".join(f"{cve.replace('_', '-')},{score},0.5\n" for cve, score in scores.items())
    path = folder / f"epss-{day}.csv.gz"
    path.write_bytes(
        gzip.compress(f"#model_version:v1,score_date:{day}T00:00:00Z\ncve,epss,percentile\n{rows}".encode())
    )
    return path


def kev(folder: Path, day: str, *cves: str) -> Path:
    rows = [
        {
            "cveID": cve, "dateAdded": "2026-08-01", "dueDate": "2026-08-21", "vulnerabilityName": "A flaw", "vendorProject": "v",
            "product": "p", "requiredAction": "patch", "knownRansomwareCampaignUse": "Unknown",
        }
        for cve in cves
    ]  # fmt: skip
    path = folder / f"kev-{day}.json"
    path.write_text(
        json.dumps(
            {"catalogVersion": day, "dateReleased": f"{day}T00:00:00Z", "count": len(rows), "vulnerabilities": rows}
        )
    )
    return path


@pytest.fixture
def two() -> None:
    rows = trivy_row("CVE-2026-1001", "idna", "1", "MEDIUM"), trivy_row("CVE-2026-1002", "flask", "1", "MEDIUM")
    ingest(repository(), trivy(*rows))


def factors(cve: str) -> dict[str, str]:
    return {factor["name"]: factor["value"] for factor in APV.objects.get(cve_id=cve).priority_factors}


def test_a_score_weighs_only_the_apvs_of_its_cve_anew(two: None, tmp_path: Path) -> None:
    other = APV.objects.filter(cve_id="CVE-2026-1002").values().get()
    report = sync_signals(actor=COMMAND, path=epss(tmp_path, "2026-08-16", CVE_2026_1001=0.9, CVE_2026_9999=0.1))
    assert (report.added, report.touched, report.day) == (2, 1, date(2026, 8, 16))
    assert factors("CVE-2026-1001")["epss"] == "0.900"
    assert APV.objects.filter(cve_id="CVE-2026-1002").values().get() == other
    assert EpssRow.objects.get(pk="CVE-2026-1001").day == date(2026, 8, 16)


def test_the_same_file_again_changes_nothing(two: None, tmp_path: Path) -> None:
    for path in (epss(tmp_path, "2026-08-16", CVE_2026_1001=0.9), kev(tmp_path, "2026-08-16", "CVE-2026-1001")):
        sync_signals(actor=COMMAND, path=path)
        before = list(APV.objects.order_by("pk").values()), Event.objects.count()
        report = sync_signals(actor=COMMAND, path=path)
        assert (report.added, report.updated, report.removed, report.touched) == (0, 0, 0, 0)
        assert (list(APV.objects.order_by("pk").values()), Event.objects.count()) == before


def test_known_exploitation_raises_the_priority_and_its_end_lowers_it(two: None, tmp_path: Path) -> None:
    before = APV.objects.get(cve_id="CVE-2026-1001").priority
    assert sync_signals(actor=COMMAND, path=kev(tmp_path, "2026-08-16", "CVE-2026-1001", "CVE-2026-1007")).touched == 1
    assert APV.objects.get(cve_id="CVE-2026-1001").priority < before
    assert factors("CVE-2026-1001")["known_exploited"] == "yes"
    report = sync_signals(actor=COMMAND, path=kev(tmp_path, "2026-08-17", "CVE-2026-1007"))
    assert (report.removed, report.touched) == (1, 1)
    assert APV.objects.get(cve_id="CVE-2026-1001").priority == before


def test_a_signal_does_not_take_away_what_is_known_of_reachability(two: None, tmp_path: Path) -> None:
    apv = APV.objects.get(cve_id="CVE-2026-1001")
    reached = {"name": "reachability", "value": "static (app/views.py)", "weight": 8}
    rest = [factor for factor in apv.priority_factors if factor["name"] != "reachability"]
    APV.objects.filter(pk=apv.pk).update(priority_factors=[*rest, reached])
    assert sync_signals(actor=COMMAND, path=epss(tmp_path, "2026-08-16", CVE_2026_1001=0.9)).touched == 1
    assert reached in APV.objects.get(pk=apv.pk).priority_factors


def test_what_opens_later_is_weighed_by_what_is_known(tmp_path: Path) -> None:
    sync_signals(actor=COMMAND, path=kev(tmp_path, "2026-08-16", "CVE-2026-1001"))
    ingest(repository(), trivy(trivy_row("CVE-2026-1001", "idna", "1", "MEDIUM")))
    assert factors("CVE-2026-1001")["known_exploited"] == "yes"


def test_an_older_file_and_one_that_is_neither_change_nothing(two: None, tmp_path: Path) -> None:
    sync_signals(actor=COMMAND, path=kev(tmp_path, "2026-08-16", "CVE-2026-1001"))
    neither = tmp_path / "x.csv"
    neither.write_text("a,b\n1,2\n")
    for path in (kev(tmp_path, "2026-08-15", "CVE-2026-1002"), neither):
        with pytest.raises(Unreadable):
            sync_signals(actor=COMMAND, path=path)
    assert [row.pk for row in KevRow.objects.all()] == ["CVE-2026-1001"]


def test_nothing_is_called_absent_while_a_row_cannot_be_read(tmp_path: Path) -> None:
    sync_signals(actor=COMMAND, path=kev(tmp_path, "2026-08-16", "CVE-2026-1001"))
    report = sync_signals(actor=COMMAND, path=kev(tmp_path, "2026-08-17", "CVE-2026-1007", "not a CVE"))
    assert (report.removed, len(report.refused)) == (0, 1)
    assert KevRow.objects.filter(pk="CVE-2026-1001").exists()


def test_the_command_says_what_was_read_and_what_was_refused(tmp_path: Path, capsys: Any) -> None:
    bad = tmp_path / "bad.csv"
    bad.write_text("nothing")
    with pytest.raises(SystemExit) as ended:
        call_command("sync_signals", str(kev(tmp_path, "2026-08-16", "CVE-2026-1007")), str(bad), "--format", "json")
    assert ended.value.code == 2
    answer = json.loads(capsys.readouterr().out)
    assert [(one["kind"], one["day"], one["added"]) for one in answer["feeds"]] == [("kev", "2026-08-16", 1)]
    assert answer["refused"][0]["source"] == "bad.csv"


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[str]:
    body = epss(tmp_path, "2026-08-16", CVE_2026_1001=0.9).read_bytes()

    class Clerk(BaseHTTPRequestHandler):
        def log_message(self, *_: Any) -> None: ...

        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Clerk)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/epss.csv.gz"
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_daily_duty_fetches_and_reads(shop: str, two: None, tmp_path: Path, settings: Any) -> None:
    settings.WORK_DIR, settings.EPSS_URL, settings.KEV_URL = tmp_path / "work", shop, ""
    assert sync_signals_daily() == 1
    assert factors("CVE-2026-1001")["epss"] == "0.900"
    assert SignalFeed.objects.get(pk="epss").day == date(2026, 8, 16)
    assert "sync_signals" in {duty.name for duty in settings.DUTIES}
    settings.EPSS_URL = ""
    assert sync_signals_daily() == 0
    assert fetch_file(shop, tmp_path / "again").received > 0


@needs_shared_data
def test_the_shared_catalogue_is_taken_in_and_brought_up_to_date() -> None:
    older, newer = sorted((SHARED / "exploitation" / "kev").glob("*.json.gz"))
    assert sync_signals(actor=COMMAND, path=older).added == 941
    report = sync_signals(actor=COMMAND, path=newer)
    assert (report.read, report.day) == (1404, date(2025, 8, 25))
    assert report.unchanged > 0
    assert KevRow.objects.count() == 1404
