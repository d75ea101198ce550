"""What people do to our pull requests at GitHub itself: noticed by looking, or at once when a webhook says where to look."""

from __future__ import annotations

import json

import pytest
from django.utils import timezone

from immune import hints
from immune.forges.webhooks import signature
from immune.models import APV, ForgeJob, Remedy
from immune.reconciling import reconcile_all
from reviews.errors import AlreadyDecided, StaleEvidence
from reviews.models import Review
from tests.reviews.journeys import decide, review_of, states, work_off

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.xdist_group("github")]


@pytest.fixture
def remedy(repository_there):
    return Remedy.objects.get(repository=repository_there)


def looked(remedy):
    """The duty ran, and what it led to was done."""
    changed = reconcile_all()
    work_off()
    remedy.refresh_from_db()
    return changed


def test_closed_by_hand_waits_until_a_person_asks_and_reopening_is_asking(world, remedy):
    asked = review_of("click")
    world.by_hand(remedy, "PATCH", state="closed")
    assert looked(remedy) == 1

    asked.refresh_from_db()
    assert (remedy.state, states(remedy.repository)) == ("closed", {"click": "open"})
    assert (asked.state, asked.closed_because) == ("decided", "Pull request #1 was closed at the forge by hand.")
    assert "when a person asks" in APV.objects.get().reason
    with pytest.raises(AlreadyDecided):
        decide(asked, "approve")
    assert (looked(remedy), len(world.at(remedy.repository).pulls)) == (0, 1)

    world.by_hand(remedy, "PATCH", state="open")
    assert looked(remedy) == 1
    assert (remedy.state, states(remedy.repository)) == ("proposed", {"click": "in_review"})
    assert (review_of("click").round, len(world.at(remedy.repository).pulls)) == (2, 1)


def test_merged_by_hand_is_resolved_by_reading_and_nobody_is_asked_any_more(world, remedy):
    asked = review_of("click")
    world.by_hand(remedy, "PUT", "/merge", merge_method="squash")
    assert reconcile_all() == 1
    with pytest.raises(StaleEvidence):
        decide(asked, "approve")
    assert states(remedy.repository) == {"click": "in_review"}, "only a reading resolves"

    work_off()
    asked.refresh_from_db()
    remedy.refresh_from_db()
    assert (remedy.state, states(remedy.repository)) == ("merged", {"click": "resolved"})
    assert (asked.state, "by hand" in asked.closed_because) == ("decided", True)
    assert remedy.merge_commit == world.at(remedy.repository).head("main")
    assert not ForgeJob.objects.filter(kind="merge_pr").exists(), "nobody here decided it"


def test_what_the_merge_queue_puts_out_again_and_again_comes_back_to_people_with_the_reason(world, remedy):
    there = world.at(remedy.repository)
    there.protection.merge_queue = True
    type(remedy.repository).objects.update(merge_queue=True)
    decide(review_of("click"), "approve")
    entered = 0
    for _ in range(3):
        ForgeJob.objects.filter(state="pending").update(due_at=timezone.now())
        work_off()
        pull = world.pull(remedy)
        entered += pull.queued_head is not None
        there.pulls[pull.number].queued_head = None  # its checks did not pass there

    ForgeJob.objects.filter(state="pending").update(due_at=timezone.now())
    work_off()

    job = ForgeJob.objects.get(kind="merge_pr")
    assert (entered, job.state, job.reason) == (3, "refused", "merge_queue_evicted")
    assert "merge queue put" in review_of("click").opened_because
    assert (states(remedy.repository), there.merges) == ({"click": "in_review"}, [])


def test_what_somebody_pushed_to_is_theirs_and_unproved_and_merged_it_is_read(world, remedy):
    theirs = world.push(remedy.repository, remedy.branch, requirements__txt="click==8.4.0\n")
    assert looked(remedy) == 1

    assert (remedy.state, states(remedy.repository)) == ("superseded", {"click": "failed"})
    assert "was not proved" in APV.objects.get().reason
    assert (world.pull(remedy).state, world.pull(remedy).head) == ("open", theirs), "it is left to them"
    assert Review.objects.get().state == "decided"


def test_a_decision_on_its_way_is_left_to_the_forges_answer(world, remedy):
    decide(review_of("click"), "approve")
    world.by_hand(remedy, "PATCH", state="closed")
    assert reconcile_all() == 0
    work_off()
    assert states(remedy.repository) == {"click": "in_review"}, "the forge refused, and people are asked again"

    assert looked(remedy) == 1
    assert states(remedy.repository) == {"click": "open"}


def test_a_webhook_only_names_what_to_look_at_and_what_none_told_of_is_found_and_read_once(world, remedy, settings):
    settings.GITHUB_WEBHOOK_SECRETS = ["a secret of some length"]
    looked(remedy)
    left, asked = world.server.remaining["immune-bot"], len(world.server.requests)
    looked(remedy)
    assert len(world.server.requests) > asked
    assert world.server.remaining["immune-bot"] == left, "what has not changed costs nothing of the hourly limit"

    lie = {
        "action": "closed",
        "number": remedy.pull_request_number,
        "pull_request": {
            "number": remedy.pull_request_number,
            "state": "closed",
            "merged": True,
            "merge_commit_sha": "f" * 40,
            "draft": False,
            "head": {"ref": remedy.branch, "sha": remedy.head_commit},
            "base": {"ref": "main", "sha": "e" * 40},
        },
        "repository": {"full_name": remedy.repository.name},
    }
    raw = json.dumps(lie).encode()
    headers = {"X-GitHub-Event": "pull_request", "X-GitHub-Delivery": "delivery-1"}
    seen = world.server.count("GET", "/pulls/1$")
    hints.take({**headers, "X-Hub-Signature-256": signature(raw, b"a secret of some length")}, raw)
    work_off()
    assert world.server.count("GET", "/pulls/1$") > seen, "it was looked at, without waiting for the duty"
    remedy.refresh_from_db()
    assert (remedy.state, states(remedy.repository)) == ("proposed", {"click": "in_review"}), (
        "GitHub itself is believed"
    )

    world.push(remedy.repository, requirements__txt="click==8.3.3\n")
    looked(remedy)
    assert states(remedy.repository) == {"click": "resolved"}
    read = remedy.repository.scans.count()
    looked(remedy)
    assert remedy.repository.scans.count() == read
