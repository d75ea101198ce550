"""Files are sent and documents asked for; a worker does it, and what came of it can be seen and downloaded by who may."""

from __future__ import annotations

import json
import threading
from datetime import timedelta
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import call_command
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from immune import claims, work
from immune.advisories.services import sync_advisories
from immune.events.actors import COMMAND
from immune.jobs.services import expire_results
from immune.models import APV, Advisory, DependencyRow, Event, Job, JobPiece, Repository, Role
from tests.immune.test_archive import tarred, zipped
from tests.immune.test_scan_command import record
from tests.immune.test_scan_command import scan as by_command
from tests.reviews import cast as made
from tests.reviews.api.conftest import Api, bearer, problem, session
from tests.reviews.cast import Cast

pytestmark = pytest.mark.django_db
BYTES = "application/octet-stream"
FILES = {"app/requirements.txt": b"leaky==1.0\nloose>=1\n", "app/sub/requirements.txt": b"leaky==1.5\n"}
CLEAN = b"leaky==2.0\n"


@pytest.fixture
def advisories(tmp_path: Any) -> None:
    place = tmp_path / "all.jsonl"
    place.write_text(json.dumps(record("PYSEC-2026-1", aliases=["CVE-2026-1"])))
    assert sync_advisories(actor=COMMAND, paths=[place]).refused == []


def send(api: Api, what: str, body: bytes, source: str = "") -> Any:
    return api.post(f"/hitl/jobs/{what}{f'?source={source}' if source else ''}", body, content_type=BYTES)


def done(api: Api, answer: Any) -> dict[str, Any]:
    """The job after a worker did it."""
    assert answer.status_code == 202, answer.content
    assert api.get(answer["Location"]).json()["state"] == "pending"
    assert work.run_one("job")
    found: dict[str, Any] = api.get(answer["Location"]).json()
    assert not JobPiece.objects.filter(job=found["id"], is_output=False).exists()
    return found


def downloaded(api: Api, job: dict[str, Any]) -> Any:
    answer = api.get(job["document"])
    assert answer.status_code == 200
    assert answer["Content-Disposition"].startswith("attachment")
    return json.loads(b"".join(answer.streaming_content))


def export(api: Api, kind: str = "openvex", **more: Any) -> Any:
    return api.post("/hitl/jobs/export", {"kind": kind, **more})


@pytest.mark.usefixtures("advisories")
class TestScan:
    @pytest.mark.both_databases
    def test_an_archive_says_what_the_command_says_of_its_folder_and_writes_nothing(
        self, rita: Api, tmp_path: Any
    ) -> None:
        for name, data in FILES.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_bytes(data)
        code, said = by_command(tmp_path)
        before = (Repository.objects.count(), APV.objects.count(), DependencyRow.objects.count())
        job = done(rita, send(rita, "scan", zipped(FILES), "app.zip"))
        assert (job["state"], job["kind"], job["repository_id"], job["source"]) == ("done", "scan", None, "app.zip")
        assert code == 1
        assert job["result"]["outcome"] == "findings"
        assert downloaded(rita, job) == said
        assert {name: job["result"][name] for name in said} == said
        assert (job["result"]["findings_count"], job["result"]["unresolved_count"]) == (2, 1)
        assert job["progress"] == {"read": 2, "applied": 3}
        assert before == (Repository.objects.count(), APV.objects.count(), DependencyRow.objects.count())

    def test_the_outcome_is_the_commands_exit_code_in_a_word(self, rita: Api) -> None:
        clean = done(rita, send(rita, "scan", CLEAN, "requirements.txt"))["result"]
        assert (clean["outcome"], clean["dependencies"], clean["findings"]) == ("clean", 1, [])
        part = done(rita, send(rita, "scan", tarred({**FILES, "uv.lock": b"version = ["}), "a.tar"))["result"]
        assert (part["outcome"], part["findings_count"]) == ("unreadable", 2)
        assert [one["source"] for one in part["unreadable"]] == ["uv.lock"]
        none = done(rita, send(rita, "scan", b"PK\x03\x04 broken", "a.zip"))["result"]
        assert (none["outcome"], none["dependencies"]) == ("unreadable", 0)
        assert none["unreadable"][0]["source"] == "a.zip"

    def test_of_many_findings_the_first_stand_in_the_answer_and_all_in_the_document(
        self, rita: Api, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("immune.jobs.running.MAX_KEPT", 1)
        job = done(rita, send(rita, "scan", zipped(FILES)))
        assert len(job["result"]["findings"]) == 1
        assert job["result"]["findings_count"] == len(downloaded(rita, job)["findings"]) == 2

    def test_it_is_the_senders_alone_and_whose_sight_is_everything(self, rita: Api, sol: Api, cast: Cast) -> None:
        """A file belongs to no repository, so being of one team makes it nobody else's to see."""
        job = done(rita, send(rita, "scan", zipped(FILES)))
        place = f"/hitl/jobs/{job['id']}"
        problem(sol.get(place), 404, "not_found")
        problem(sol.get(job["document"]), 404, "not_found")
        assert sol.get("/hitl/jobs/").json()["items"] == []
        assert session(cast.person(Role.OPERATOR)).get(place).status_code == 200

    def test_an_account_that_was_shut_meanwhile_gets_nothing_done(self, rita: Api, cast: Cast) -> None:
        send(rita, "scan", zipped(FILES))
        cast.rita.is_active = False
        cast.rita.save(update_fields=["is_active"])
        work.run_one("job")
        job = Job.objects.get()
        assert (job.state, job.reason, JobPiece.objects.count()) == ("failed", "not_permitted", 0)

    def test_the_console_takes_the_same_upload_and_shows_what_was_found(self, cast: Cast) -> None:
        client = Client()
        client.force_login(cast.rita)
        page = client.get(reverse("admin:immune_job_changelist")).content.decode()
        assert reverse("admin:immune_job_scan") in page
        assert reverse("admin:immune_job_advisories") not in page
        files = {**FILES, "<b>/requirements.txt": b"leaky==1.0\n"}
        sent = {"file": SimpleUploadedFile("<i>.zip", zipped(files))}
        answer = client.post(reverse("admin:immune_job_scan"), sent)
        work.run_one("job")
        page = client.get(answer["Location"]).content.decode()
        for words in ("vulnerable versions found", "app/sub/requirements.txt", "PYSEC-2026-1", "loose"):
            assert words in page, words
        assert "<b>" not in page
        assert "<i>" not in page
        document = client.get(reverse("admin:immune_job_document", args=(Job.objects.get().pk,)))
        assert document["Content-Disposition"].startswith("attachment")
        assert len(json.loads(document.content)["findings"]) == 3
        assert client.post(reverse("admin:immune_job_scan")).status_code == 302
        assert Job.objects.count() == 1


class TestExport:
    @pytest.fixture(autouse=True)
    def theirs(self, cast: Cast) -> Repository:
        """What another team owns, with a statement to be made about it as about ours."""
        there = made.repository("else/where")
        cast.other_team.repositories.add(there)
        made.apv(cast.repository, made.advisory("GHSA-mine"), versions=["1.0"])
        made.apv(there, made.advisory("GHSA-theirs"), versions=["1.0"])
        return there

    @pytest.mark.parametrize("kind", ["openvex", "cyclonedx", "csaf"])
    def test_it_says_what_the_command_says_of_what_is_in_sight(self, rita: Api, kind: str) -> None:
        job = done(rita, export(rita, kind))
        assert (job["state"], job["result"]["statements"], job["result"]["format"]) == ("done", 1, kind)
        text = json.dumps(downloaded(rita, job))
        assert "GHSA-mine" in text
        assert "GHSA-theirs" not in text

    def test_it_is_about_one_repository_where_that_is_asked_for(self, cast: Cast) -> None:
        root = session(cast.person(Role.ADMIN))
        whole = done(root, export(root))
        one = done(root, export(root, repository_id=str(cast.repository.pk)))
        assert (whole["result"]["statements"], one["result"]["statements"]) == (2, 1)
        assert "GHSA-theirs" not in json.dumps(downloaded(root, one))

    def test_another_teams_repository_does_not_exist(self, rita: Api, theirs: Repository) -> None:
        problem(export(rita, repository_id=str(theirs.pk)), 404, "not_found")
        problem(export(rita, "pdf"), 400, "invalid")
        assert not Job.objects.exists()

    def test_who_leaves_the_team_no_longer_downloads_what_was_written_before(self, cast: Cast, rita: Api) -> None:
        job = done(rita, export(rita))
        cast.team.members.remove(cast.rita)
        problem(rita.get(job["document"]), 404, "not_found")

    def test_who_no_longer_sees_everything_no_longer_downloads_everything(self, cast: Cast) -> None:
        person = cast.person(Role.OPERATOR)
        job = done(session(person), export(session(person)))
        person.role = Role.VIEWER
        person.save(update_fields=["role"])
        cast.team.members.add(person)
        problem(session(person).get(job["document"]), 404, "not_found")

    def test_nothing_to_say_and_what_cannot_be_said_are_told(self, cast: Cast, rita: Api) -> None:
        APV.objects.filter(repository=cast.repository).update(ecosystem="no such")
        job = done(rita, export(rita))
        assert (job["state"], job["reason"], job["document"]) == ("failed", "nothing_to_say", None)
        problem(rita.get(f"/hitl/jobs/{job['id']}/document"), 409, "no_document")
        code = APV.objects.get(repository=cast.repository).apv_code
        made.apv(cast.repository, made.advisory("GHSA-more"), package="idna", versions=["1.0"])
        job = done(rita, export(rita))
        assert job["result"]["refused"] == [{"source": code, "reason": "its package has no package URL"}]

    def test_the_console_exports_by_the_same_service(self, cast: Cast, theirs: Repository) -> None:
        client = Client()
        client.force_login(cast.rita)
        form = {"kind": "csaf", "repository": str(cast.repository.pk)}
        assert client.post(reverse("admin:immune_job_export"), form | {"repository": theirs.pk}).status_code == 404
        answer = client.post(reverse("admin:immune_job_export"), form)
        work.run_one("job")
        document = reverse("admin:immune_job_document", args=(Job.objects.get().pk,))
        assert document in client.get(answer["Location"]).content.decode()
        assert b"GHSA-mine" in client.get(document).content


class TestAdvisories:
    def test_records_are_taken_in_and_broken_ones_are_named(self, cast: Cast) -> None:
        operator = session(cast.person(Role.OPERATOR))
        lines = [json.dumps(record("PYSEC-2026-9")), '{"id": "PYSEC-2026-10"}']
        job = done(operator, send(operator, "advisories", "\n".join(lines).encode(), "new/../day.jsonl"))
        assert (job["state"], job["result"]["read"], job["result"]["added"]) == ("done", 1, 1)
        assert (job["result"]["refused_count"], job["result"]["refused"][0]["source"]) == (
            1,
            "day.jsonl:2 (PYSEC-2026-10)",
        )
        assert Advisory.objects.filter(pk="PYSEC-2026-9").exists()

    def test_they_are_everybodys_so_only_who_operates_sends_them(self, rita: Api) -> None:
        problem(send(rita, "advisories", b"{}"), 403, "not_allowed")
        assert not Job.objects.exists()


@pytest.mark.both_databases
@pytest.mark.usefixtures("advisories")
def test_results_expire_and_who_asks_is_told(rita: Api, settings: Any) -> None:
    settings.JOB_RESULT_DAYS = 30
    job = done(rita, send(rita, "scan", zipped(FILES)))
    assert expire_results() == 0
    Job.objects.update(finished_at=timezone.now() - timedelta(days=31))
    settings.JOB_RESULT_DAYS = 0
    assert expire_results() == 0
    settings.JOB_RESULT_DAYS = 30
    assert expire_results() == 1
    assert expire_results() == 0
    assert not JobPiece.objects.exists()
    found = rita.get(f"/hitl/jobs/{job['id']}").json()
    assert found["document"] is None
    assert "findings" not in found["result"]
    assert found["result"]["findings_count"] == 2
    problem(rita.get(job["document"]), 410, "expired")
    assert Event.objects.filter(kind="job.expired", subject=f"job:{job['id']}").count() == 1


def test_reports_are_jobs_of_their_kind(rita: Api, cast: Cast) -> None:
    sent = rita.post(f"/hitl/repositories/{cast.repository.pk}/reports", b'{"a": 1}', content_type=BYTES)
    send(rita, "scan", CLEAN, "requirements.txt")
    kinds = [one["kind"] for one in rita.get("/hitl/jobs/").json()["items"]]
    assert kinds == ["scan", "report"]
    [report] = rita.get("/hitl/jobs/?kind=report").json()["items"]
    assert [one["id"] for one in rita.get("/hitl/reports/").json()["items"]] == [report["id"]]
    assert sent["Location"] == f"/hitl/reports/{report['id']}"
    problem(rita.get("/hitl/jobs/?kind=other"), 400, "invalid")


def test_a_file_is_bounded_and_wants_the_right_and_the_scope(rita: Api, cast: Cast, settings: Any) -> None:
    settings.REPORT_MAX_BYTES = 1024
    problem(send(rita, "scan", b"x" * 1025), 413, "too_large")
    problem(send(rita, "scan", b""), 422, "empty")
    problem(rita.post("/hitl/jobs/scan", {"a": 1}), 415, "unsupported_media_type")
    problem(send(session(cast.person(Role.VIEWER)), "scan", CLEAN), 403, "not_allowed")
    problem(send(bearer(cast.rita, "read"), "scan", CLEAN), 403, "not_allowed")
    assert not Job.objects.exists()


def test_one_account_has_so_many_waiting_and_no_more(rita: Api, cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rate alone would let one sender fill the database and the queue that everybody's files wait in."""
    monkeypatch.setattr("immune.jobs.services.MAX_WAITING", 2)
    send(rita, "scan", CLEAN, "requirements.txt")
    rita.post(f"/hitl/repositories/{cast.repository.pk}/reports", b'{"a": 1}', content_type=BYTES)
    for refused in (send(rita, "scan", CLEAN, "requirements.txt"), export(rita)):
        problem(refused, 429, "too_many_waiting")
        assert refused["Retry-After"] == "60"
    assert (Job.objects.count(), JobPiece.objects.count()) == (2, 2)
    client = Client()
    client.force_login(cast.rita)
    answer = client.post(reverse("admin:immune_job_export"), {"kind": "csaf"}, follow=True)
    assert "send more once some have ended" in answer.content.decode()
    assert send(session(cast.person(Role.OPERATOR)), "scan", CLEAN, "requirements.txt").status_code == 202
    while work.run_one("job"):
        pass
    assert send(rita, "scan", CLEAN, "requirements.txt").status_code == 202


def test_a_worker_that_lost_its_claim_writes_nothing(rita: Api) -> None:
    send(rita, "scan", CLEAN, "requirements.txt")
    kind = work.kind_named("job")
    mine = claims.claim(kind.rows(), lease=kind.lease, owner="mine")
    Job.objects.update(owner="another")
    with pytest.raises(claims.LostClaim):
        kind.run(mine, threading.Event())
    assert (Job.objects.get().state, JobPiece.objects.filter(is_output=True).count()) == ("running", 0)


class TestCompare:
    def test_one_pair_is_answered_at_once(self, rita: Api) -> None:
        for a, b, sign in (("1.0", "1.0.0", "="), ("1.0rc1", "1.0", "<"), ("1.10", "1.9", ">")):
            answer = rita.get("/hitl/versions/compare", ecosystem="PyPI", a=a, b=b)
            assert answer.json() == {"answer": sign}
        problem(rita.get("/hitl/versions/compare", ecosystem="npm", a="?", b="1"), 422, "not_comparable")
        problem(rita.get("/hitl/versions/compare", ecosystem="Nowhere", a="1", b="1"), 422, "unknown_ecosystem")
        problem(rita.get("/hitl/versions/compare", ecosystem="PyPI", a="1"), 400, "invalid")

    def test_of_many_each_has_its_answer_or_its_own_error(self, rita: Api) -> None:
        pairs = [{"a": "1.0.0", "b": "2.0.0"}, {"a": "?", "b": "1.0.0"}, {"a": "v1.0.0", "b": "1.0.0"}]
        answer = rita.post("/hitl/versions/compare", {"ecosystem": "npm", "pairs": pairs})
        first, second, third = answer.json()["answers"]
        assert (first["answer"], third["answer"]) == ("<", "=")
        assert second["answer"] == "?"
        assert "not a semantic version" in second["reason"]
        too_many = {"ecosystem": "PyPI", "pairs": [{"a": "1", "b": "2"}] * 501}
        problem(rita.post("/hitl/versions/compare", too_many), 400, "invalid")


def test_the_export_of_the_command_is_the_documents_shape(rita: Api, cast: Cast, capsys: Any) -> None:
    made.apv(cast.repository, made.advisory("GHSA-mine"), versions=["1.0"])
    job = done(rita, export(rita, repository_id=str(cast.repository.pk)))
    call_command("export_vex", "--kind", "openvex", "--repository", cast.repository.name)
    said = json.loads(capsys.readouterr().out)
    found = downloaded(rita, job)
    assert found.keys() == said.keys()
    assert [one["vulnerability"] for one in found["statements"]] == [one["vulnerability"] for one in said["statements"]]
