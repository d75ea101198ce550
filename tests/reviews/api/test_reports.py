"""A report is sent, taken in by a worker, and what came of it can be seen; by those who may."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from immune import claims, work
from immune.models import APV, EpssRow, Job, JobPiece, KevRow, Role
from immune.queues import NAMES
from tests.immune.ingest.reports import trivy, trivy_row
from tests.reviews.api.conftest import Api, problem, session
from tests.reviews.cast import Cast

BYTES = "application/octet-stream"
REPORT = json.dumps(trivy(trivy_row("CVE-2026-5", "idna", "3.6"))).encode()


def send(api: Api, cast: Cast, body: bytes = REPORT, query: str = "") -> Any:
    return api.post(f"/hitl/repositories/{cast.repository.pk}/reports{query}", body, content_type=BYTES)


def test_a_report_is_sent_and_taken_in(rita: Api, cast: Cast) -> None:
    answer = send(rita, cast, query="?part=server&source=trivy.json")
    assert answer.status_code == 202
    place = answer["Location"]
    waiting = rita.get(place).json()
    assert (waiting["state"], waiting["source"], waiting["part"]) == ("pending", "trivy.json", "server")
    assert waiting["size"] == len(REPORT)
    assert APV.objects.count() == 0
    assert work.run_one("job")
    done = rita.get(place).json()
    assert done["state"] == "done"
    assert done["progress"] == {"read": 1, "applied": 1}
    assert {name: done["result"][name] for name in ("format", "read", "opened", "refused")} == {
        "format": "trivy 2",
        "read": 1,
        "opened": 1,
        "refused": [],
    }
    assert [one["id"] for one in rita.get("/hitl/reports/").json()["items"]] == [done["id"]]
    assert not JobPiece.objects.exists()


def test_a_gzipped_report_of_many_pieces_comes_together_again(rita: Api, cast: Cast, monkeypatch: Any) -> None:
    monkeypatch.setattr("immune.jobs.services.CHUNK", 7)
    send(rita, cast, gzip.compress(REPORT))
    assert JobPiece.objects.count() > 5
    work.run_one("job")
    assert Job.objects.get().result["opened"] == 1


def test_what_cannot_be_read_ends_as_failed_with_its_reason(rita: Api, cast: Cast) -> None:
    place = send(rita, cast, b'{"hello": 1}')["Location"]
    work.run_one("job")
    found = rita.get(place).json()
    assert (found["state"], found["reason"]) == ("failed", "unreadable")
    assert found["result"]["refused"] == [{"source": "report", "reason": "JSON of an unknown kind"}]


def test_more_than_the_bound_is_refused_and_not_kept(rita: Api, cast: Cast, settings: Any) -> None:
    settings.REPORT_MAX_BYTES = 1024
    problem(send(rita, cast, b"x" * 1025), 413, "too_large")
    problem(send(rita, cast, b""), 422, "empty")
    answer = rita.post(f"/hitl/repositories/{cast.repository.pk}/reports", {"a": 1})
    problem(answer, 415, "unsupported_media_type")
    assert not Job.objects.exists()
    assert not JobPiece.objects.exists()


def test_another_teams_repository_and_report_do_not_exist(rita: Api, otto: Api, cast: Cast) -> None:
    place = send(rita, cast)["Location"]
    problem(send(otto, cast), 404, "not_found")
    problem(otto.get(place), 404, "not_found")
    assert otto.get("/hitl/reports/").json()["items"] == []
    assert Job.objects.count() == 1


def test_who_may_only_read_sends_nothing(cast: Cast) -> None:
    problem(send(session(cast.person(Role.VIEWER)), cast), 403, "not_allowed")
    assert not Job.objects.exists()


def shut(cast: Cast) -> None:
    cast.rita.is_active = False
    cast.rita.save(update_fields=["is_active"])


def lowered(cast: Cast) -> None:
    cast.rita.role = Role.VIEWER
    cast.rita.save(update_fields=["role"])


def out_of_the_team(cast: Cast) -> None:
    cast.team.members.remove(cast.rita)


@pytest.mark.parametrize("changed", [shut, lowered, out_of_the_team])
def test_what_a_sender_may_no_longer_send_is_not_taken_in(
    rita: Api, cast: Cast, changed: Callable[[Cast], None]
) -> None:
    send(rita, cast)
    changed(cast)
    assert work.run_one("job")
    job = Job.objects.get()
    assert (job.state, job.reason, APV.objects.count(), JobPiece.objects.count()) == ("failed", "not_permitted", 0, 0)


def test_the_work_waits_in_the_queue_for_taking_in() -> None:
    assert work.kind_named("job").queue == "ingest"
    assert "ingest" in NAMES


def test_a_worker_that_lost_its_claim_changes_nothing_more(rita: Api, cast: Cast) -> None:
    send(rita, cast)
    kind = work.kind_named("job")
    mine = claims.claim(kind.rows(), lease=kind.lease, owner="mine")
    Job.objects.update(owner="another")
    with pytest.raises(claims.LostClaim):
        kind.give_up(mine, "over")
    assert Job.objects.get().state == "running"


def test_an_apv_says_who_sees_it_and_how_it_is_exploited(rita: Api, cast: Cast) -> None:
    EpssRow.objects.create(cve="CVE-2026-5", probability=0.91, percentile=0.99, day="2026-08-16")
    KevRow.objects.create(cve="CVE-2026-5", added="2026-08-01", name="A flaw")
    send(rita, cast)
    work.run_one("job")
    code = APV.objects.get().apv_code
    found = rita.get(f"/hitl/reviews/{code}").json()
    assert found["scan_sees"] is False
    assert [(s["tool"], s["advisory"], s["confirmation"]) for s in found["sources"]] == [
        ("trivy", "CVE-2026-5", "unknown_advisory")
    ]
    assert found["signals"]["epss"] == 0.91
    assert found["signals"]["epss_day"] == "2026-08-16"
    assert found["signals"]["kev_added"] == "2026-08-01"
    assert found["priority"] == "P1"
    client = Client()
    client.force_login(cast.rita)
    page = client.get(reverse("admin:immune_apv_change", args=(APV.objects.get().pk,))).content.decode()
    assert "we hold no such record" in page
    assert "0.910 (2026-08-16)" in page
    assert "2026-08-01" in page


def test_the_console_takes_an_upload_by_the_same_service(cast: Cast) -> None:
    client = Client()
    client.force_login(cast.rita)
    address = reverse("admin:immune_repository_report", args=(cast.repository.pk,))
    there = client.get(reverse("admin:immune_repository_change", args=(cast.repository.pk,)))
    assert address in there.content.decode()
    answer = client.post(address, {"report": SimpleUploadedFile("<b>.json", REPORT), "part": "x"})
    job = Job.objects.get()
    assert answer["Location"] == reverse("admin:immune_job_change", args=(job.pk,))
    work.run_one("job")
    page = client.get(answer["Location"]).content.decode()
    assert "&quot;opened&quot;: 1" in page
    assert "<b>.json" not in page
    assert client.post(address).status_code == 302
    assert Job.objects.count() == 1
