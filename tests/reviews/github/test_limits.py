"""What GitHub's limits do to what was decided: it waits, however often it is looked at, and is carried out when they are over."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from immune.forge_jobs import FORGE
from immune.forges import github_access
from immune.models import ForgeJob, Remedy
from tests.reviews.journeys import decide, review_of, states, work_off

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.xdist_group("github")]
HOUR = timedelta(hours=1, minutes=1)


def looked_at_once_more() -> ForgeJob:
    ForgeJob.objects.filter(state="pending").update(due_at=timezone.now())
    work_off()
    return ForgeJob.objects.get(kind="merge_pr")


@pytest.fixture
def used_up(world, repository_there, monkeypatch):
    """The account has no request left in this hour."""
    for session in github_access._sessions.values():
        monkeypatch.setattr(session, "_blocked_until", None)
    monkeypatch.setattr(world.server, "reset_at", int(time.time()) + 3600)
    world.server.remaining["immune-bot"] = 0
    yield repository_there
    world.server.remaining.clear()


def test_being_told_to_wait_is_no_attempt_that_failed(world, used_up, monkeypatch):
    decide(review_of("click"), "approve")
    for _ in range(FORGE.attempts + 2):
        job = looked_at_once_more()
    assert (job.state, job.last_error) == ("pending", "GitHub's limit was met; this account waits")
    assert (states(used_up), world.at(used_up).merges) == ({"click": "approved"}, [])

    monkeypatch.setattr(world.server, "now", lambda: time.time() + HOUR.total_seconds())
    for session in github_access._sessions.values():
        monkeypatch.setattr(session, "now", lambda: datetime.now(UTC) + HOUR)
    assert looked_at_once_more().state == "done"
    assert Remedy.objects.get(repository=used_up).state == "merged"
    assert len(world.at(used_up).merges) == 1


def test_an_account_that_is_used_up_for_a_day_is_brought_before_people(used_up):
    decide(review_of("click"), "approve")
    ForgeJob.objects.filter(state="pending").update(created_at=timezone.now() - timedelta(hours=25))
    for _ in range(FORGE.attempts):
        job = looked_at_once_more()
    assert (job.state, job.reason) == ("failed", "rate_limited")
    assert review_of("click").round == 2
