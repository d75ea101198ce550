"""What comes twice, late or beside something else changes nothing that was settled, and leaves nothing waiting for ever."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from django.utils import timezone

from immune import forge_jobs, scans, work
from immune.deliveries import happened
from immune.events.actors import SYSTEM
from immune.events.log import act
from immune.forges.base import MergeRequest
from immune.forges.store import forge_of
from immune.models import APV, Event, ForgeJob, LocalPullRequest, Remedy, Scan
from immune.models.apvs import APVStatus
from immune.remedies import supersede
from immune.services import request_scan
from immune.transitions import move_apv
from reviews.handlers import open_when_proved, open_when_proved_before
from reviews.models import Review
from tests.immune.forges.faulty import FaultPlan, FaultyForge
from tests.immune.repositories import kill_git_once
from tests.reviews.journeys import checkout, decide, knows_advisories, register, review_of, scan, states, work_off

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.both_databases]

TWO = "flask==3.1.2\nidna==3.7\n"


@pytest.fixture(autouse=True)
def _world(settings, tmp_path):
    settings.WORK_DIR = tmp_path / "work"
    settings.WARGAMING_ENABLED = False
    knows_advisories()


@pytest.fixture
def repository(tmp_path):
    found = register(checkout(tmp_path / "app", requirements__txt=TWO))
    scan(found)
    return found


def read_again(repository, cause):
    """The reading that a killed worker had all but ended, once more."""
    request_scan(actor=SYSTEM, repository=repository, cause=cause)
    work_off()


def test_a_reading_that_is_repeated_after_a_rebase_leaves_its_apvs_where_they_are(repository):
    decide(review_of("flask"), "approve")
    work_off()
    remedy = Remedy.objects.get(package_name="idna")
    assert Event.objects.filter(kind="remedy.rebased").count() == 1
    rounds = Review.objects.filter(remedy=remedy).count()

    read_again(repository, f"rebase:{remedy.pk}")

    assert states(repository)["idna"] == "in_review"
    assert Event.objects.filter(kind="remedy.rebased").count() == 1
    assert Review.objects.filter(remedy=remedy).count() == rounds


def test_an_apv_that_waits_for_a_rebase_which_changes_nothing_is_put_to_people_again(repository):
    remedy = Remedy.objects.get(package_name="idna")
    decide(review_of("idna"), "approve")
    ForgeJob.objects.filter(remedy=remedy, kind="merge_pr").update(state="refused")
    with act(SYSTEM) as log:
        for apv in remedy.apvs.all():
            move_apv(apv, to=APVStatus.REMEDIATING, log=log, why="stale")

    read_again(repository, f"rebase:{remedy.pk}")

    assert states(repository)["idna"] == "in_review"
    assert review_of("idna").round == 2


def test_a_wargames_end_that_is_told_late_does_not_ask_again_what_was_answered(repository):
    ended = Event.objects.filter(kind="wargame.finished").last()
    proposed = Event.objects.filter(kind="remedy.proposed").last()
    for package in ("flask", "idna"):
        decide(review_of(package), "approve")
    before = Review.objects.count()

    open_when_proved(happened(ended))
    open_when_proved_before(happened(proposed))

    assert Review.objects.count() == before
    assert set(APV.objects.values_list("status", flat=True)) == {"approved"}


def test_a_reading_killed_after_it_proposed_what_was_asked_for_proposes_nothing_more(repository):
    decide(review_of("idna"), "modify", modifications={"target_version": "3.16"})
    while not Scan.objects.filter(cause__startswith="modify:").exists():
        assert work.run_one("delivery") or work.run_one("forge")
    asked = Scan.objects.get(cause__startswith="modify:")

    for _ in range(2):
        Scan.objects.filter(pk=asked.pk).update(state="running", owner="me")
        asked.refresh_from_db()
        scans.run(asked, threading.Event())
    work_off()

    assert Remedy.objects.filter(package_name="idna", target_version="3.16").count() == 1
    assert LocalPullRequest.objects.filter(title__contains="3.16").count() == 1


def test_what_waits_for_a_reading_that_is_given_up_fails_with_the_reason_and_can_be_asked_for_again(repository):
    decide(review_of("idna"), "modify", modifications={"target_version": "3.16"})
    while not Scan.objects.filter(cause__startswith="modify:").exists():
        assert work.run_one("delivery") or work.run_one("forge")
    # Whoever held it was killed, again and again.
    Scan.objects.filter(cause__startswith="modify:").update(attempts=scans.SCANS.attempts)

    work_off()

    assert states(repository) == {"flask": "in_review", "idna": "failed"}
    assert "could not be read again" in APV.objects.get(package_name="idna").reason
    scan(repository, again=True)
    assert states(repository) == {"flask": "in_review", "idna": "in_review"}


def test_a_remedy_that_is_being_rejected_is_not_rebased_into_a_second_pull_request(repository):
    decide(review_of("flask"), "approve")
    while not Scan.objects.filter(cause__startswith="merged:").exists():
        assert work.run_one("delivery") or work.run_one("forge")
    decide(review_of("idna"), "reject")
    assert work.run_one("scan")
    work_off()

    assert states(repository) == {"flask": "resolved", "idna": "open"}
    assert LocalPullRequest.objects.filter(title__contains="idna").count() == 1
    assert not Event.objects.filter(kind="remedy.rebased").exists()


def test_a_merge_that_lands_while_it_is_tried_again_is_no_refusal(repository, monkeypatch):
    """The attempt before was killed, and its git came to its end between two looks of the next attempt."""
    decide(review_of("idna"), "approve")
    real = forge_jobs.staleness

    def meanwhile(remedy, commit):
        job = ForgeJob.objects.get(kind="merge_pr")
        forge = forge_of(remedy.repository)
        forge.merge_pull_request(
            MergeRequest(remedy.pull_request_number, job.head_commit, "Upgrade", "", job.created_at)
        )
        return real(remedy, forge.read_default_branch().value.commit)

    monkeypatch.setattr(forge_jobs, "staleness", meanwhile)
    work_off()

    assert ForgeJob.objects.get(kind="merge_pr").state == "done"
    assert states(repository)["idna"] == "resolved"


@pytest.fixture
def told_late(monkeypatch):
    """The forge merges, and its answer to the first call is lost."""
    plan = FaultPlan(grace=timedelta(0))
    plan.add("merge_pull_request", "silent_after")
    monkeypatch.setattr(forge_jobs, "forge_of", lambda repository: FaultyForge(forge_of(repository), plan))
    return plan


def lands_untold():
    """Works until the merge is on the branch and its job has not heard of it."""
    while not ForgeJob.objects.filter(kind="merge_pr", attempts=1, state="pending").exists():
        assert work.run_one("delivery") or work.run_one("forge")


def test_a_reading_between_a_merge_and_its_answer_leaves_the_remedy_to_the_answer(repository, told_late):
    decide(review_of("idna"), "approve")
    lands_untold()

    request_scan(actor=SYSTEM, repository=repository, cause="asked")
    assert work.run_one("scan")
    assert states(repository)["idna"] == "resolved"
    assert Remedy.objects.get(package_name="idna").state == "proposed"
    ForgeJob.objects.filter(state="pending").update(due_at=timezone.now())
    work_off()

    assert ForgeJob.objects.get(kind="merge_pr").state == "done"
    assert Remedy.objects.get(package_name="idna").state == "merged"


def test_what_the_forge_merged_is_merged_even_where_it_had_been_replaced(repository, told_late):
    decide(review_of("idna"), "approve")
    lands_untold()
    remedy = Remedy.objects.get(package_name="idna")
    with act(SYSTEM) as log:
        supersede(log, remedy, why="newer_remedy", because="Replaced by another.")

    ForgeJob.objects.filter(state="pending").update(due_at=timezone.now())
    work_off()

    assert ForgeJob.objects.get(kind="merge_pr").state == "done"
    assert Remedy.objects.get(pk=remedy.pk).state == "merged"


def test_a_remedy_left_to_a_merge_that_is_refused_is_retired_when_nothing_waits_for_it(repository):
    remedy = Remedy.objects.get(package_name="idna")
    decide(review_of("idna"), "approve")
    with act(SYSTEM) as log:
        for apv in remedy.apvs.all():
            move_apv(apv, to=APVStatus.RESOLVED, log=log, why="gone")
    forge_of(repository).close_pull_request(remedy.pull_request_number)

    work_off()

    assert ForgeJob.objects.get(kind="merge_pr").state == "refused"
    assert Remedy.objects.get(pk=remedy.pk).state == "superseded"
    assert not Review.objects.filter(remedy=remedy).exclude(state="decided").exists()


def test_a_refused_merge_asks_again_about_what_is_still_there_alone(tmp_path):
    repository = register(checkout(tmp_path / "two", requirements__txt="waitress==3.0.0\n"))
    scan(repository)
    decide(review_of("waitress"), "approve")
    gone, there = APV.objects.order_by("apv_code")
    with act(SYSTEM) as log:
        move_apv(gone, to=APVStatus.WITHDRAWN, log=log, why="withdrawn")
    forge_of(repository).close_pull_request(gone.remedy.pull_request_number)

    work_off()

    again = Review.objects.get(round=2)
    assert [item.apv_id for item in again.items.all()] == [there.pk]
    assert set(APV.objects.values_list("apv_code", "status")) == {
        (gone.apv_code, "withdrawn"), (there.apv_code, "in_review")
    }  # fmt: skip


@pytest.mark.parametrize("command", ["ls-tree", "commit-tree", "fetch"])
def test_a_git_that_is_killed_while_a_repository_is_read_or_changed_fails_nothing(tmp_path, monkeypatch, command):
    """An APV must not end as failed, nor a manifest as unreadable, because a process was killed: it is tried again."""
    found = register(checkout(tmp_path / "app", requirements__txt="idna==3.7\n"))
    left = kill_git_once(tmp_path, monkeypatch, command)

    scan(found)
    Scan.objects.update(due_at=timezone.now())  # the wait between two attempts is over
    work_off()

    assert left.read_text() == "", "nothing was killed, so nothing was shown"
    assert states(found) == {"idna": "in_review"}
    assert Scan.objects.get().attempts == 2
