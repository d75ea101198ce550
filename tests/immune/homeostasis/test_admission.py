"""Caps on what is open and what is merged: held visibly, most urgent first, let go when there is room, nothing lost."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta
from unittest.mock import Mock

import pytest
from django.utils import timezone

from immune import forge_jobs, metrics, remedies, work
from immune.events.actors import SYSTEM
from immune.events.log import act
from immune.forges.base import Done
from immune.homeostasis import admission, balance
from immune.models import Balance, Delivery, Event, ForgeJob, Remedy
from immune.people.selectors import viewer_of
from immune.remedies import supersede
from reviews.live.figures import shown_balance
from tests.reviews import cast as made
from tests.reviews.cast import Cast

pytestmark = pytest.mark.django_db


@pytest.fixture
def cast() -> Cast:
    return Cast()


@pytest.fixture(autouse=True)
def small_caps(settings: object) -> Iterator[None]:
    settings.OPEN_PULL_REQUESTS_PER_REPOSITORY = 1  # type: ignore[attr-defined]
    settings.OPEN_PULL_REQUESTS = 2  # type: ignore[attr-defined]
    settings.MERGES_PER_HOUR_PER_REPOSITORY = 1  # type: ignore[attr-defined]
    settings.MERGES_PER_HOUR = 2  # type: ignore[attr-defined]
    return


def waiting(
    cast: Cast, name: str, *, priority: str = "P2", kind: str = "open_pull_request", **more: object
) -> ForgeJob:
    where = more.pop("where", cast.repository)
    threat = made.apv(where, made.advisory(f"GHSA-{name}"), package=name, priority=priority, status="remediating")
    state = "planned" if kind == "open_pull_request" else "proposed"
    remedy = made.remedy(where, threat, package=name, state=state)
    return ForgeJob.objects.create(remedy=remedy, kind=kind, head_commit=remedy.head_commit, cause=f"x:{name}", **more)


def held(*jobs: ForgeJob) -> list[str]:
    return [ForgeJob.objects.get(pk=job.pk).held for job in jobs]


def kinds() -> list[str]:
    return list(Event.objects.order_by("position").values_list("kind", flat=True))


def test_the_most_urgent_goes_first_and_the_others_say_why_they_wait(cast: Cast) -> None:
    low, high = waiting(cast, "low", priority="P3"), waiting(cast, "high", priority="P1")
    assert admission.settle() == 1
    assert held(low, high) == ["repository_full", ""]
    assert kinds() == ["forge_job.held"]
    assert admission.settle() == 0
    assert kinds() == ["forge_job.held"], "the same answer is not told twice"


def test_what_is_held_is_claimed_by_nobody_and_ends_no_work(cast: Cast) -> None:
    _, second = waiting(cast, "one"), waiting(cast, "two")
    admission.settle()
    assert forge_jobs.FORGE.rows().filter(pk=second.pk).first() is None
    assert ("forge", str(second.pk)) not in work.due_now()


def test_a_job_without_a_place_goes_back_as_if_it_had_never_begun(cast: Cast) -> None:
    waiting(cast, "first", priority="P1")
    job = waiting(cast, "second", state="running", owner="me", attempts=1)
    forge_jobs.run(job, threading.Event())
    job.refresh_from_db()
    assert (job.state, job.attempts, job.held) == ("pending", 0, "repository_full")


def test_room_that_comes_free_lets_the_next_go_and_wakes_it(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = waiting(cast, "first", priority="P1"), waiting(cast, "second")
    admission.settle()
    with act(SYSTEM) as log:
        supersede(log, first.remedy, why="moot", because="gone")
    woken = Mock()
    monkeypatch.setattr("immune.events.log.doorbell.ring", woken)
    assert admission.settle() == 1
    assert held(second) == [""]
    assert kinds()[-1] == "forge_job.admitted"
    assert ForgeJob.objects.get(pk=first.pk).state == "cancelled", "nothing is opened only to be closed"


def test_all_repositories_together_have_a_cap(cast: Cast) -> None:
    places = [made.repository(f"demo/{n}") for n in range(3)]
    jobs = [waiting(cast, f"p{n}", priority=f"P{3 - n}", where=where) for n, where in enumerate(places)]
    admission.settle()
    assert held(*jobs) == ["all_full", "", ""]


def test_merges_wait_for_the_hour_to_pass(cast: Cast) -> None:
    done = waiting(cast, "done", kind="merge_pr", state="done", admitted_at=timezone.now() - timedelta(minutes=59))
    next_ = waiting(cast, "next", kind="merge_pr")
    admission.settle()
    assert held(next_) == ["repository_pace"]
    ForgeJob.objects.filter(pk=done.pk).update(admitted_at=timezone.now() - timedelta(minutes=61))
    assert admission.settle() == 1
    assert held(next_) == [""]


def test_a_merge_that_was_refused_takes_no_place(cast: Cast) -> None:
    waiting(cast, "refused", kind="merge_pr", state="refused", admitted_at=timezone.now())
    assert (waiting(cast, "next", kind="merge_pr"), admission.settle())[1] == 1


def test_in_an_emergency_nothing_new_is_proposed_but_what_people_approved_is_merged(cast: Cast) -> None:
    now = timezone.now()
    Balance.objects.create(state="emergency", since=now, looked_at=now)
    opening, merge = waiting(cast, "new"), waiting(cast, "approved", kind="merge_pr")
    admission.settle()
    assert held(opening, merge) == ["emergency", ""]
    Balance.objects.update(state="activation")
    Remedy.objects.filter(pk=merge.remedy_id).update(state="merged")
    admission.settle()
    assert held(opening) == [""]


def test_a_pull_request_opened_for_what_was_superseded_meanwhile_is_closed(cast: Cast) -> None:
    job = waiting(cast, "late", state="running", owner="me", attempts=1, admitted_at=timezone.now())
    with act(SYSTEM) as log:
        supersede(log, job.remedy, why="moot", because="gone")
        job.refresh_from_db()
        forge_jobs._opened(log, job, job.remedy, Done(Mock(number=7, url="")))
    assert job.remedy.jobs.filter(kind="close_pr").count() == 1
    assert "remedy.proposed" not in kinds()


def test_a_look_keeps_the_state_and_tells_only_of_a_change(cast: Cast) -> None:
    balance.look()
    assert Balance.objects.get().state == "rest"
    work.run_all("delivery")  # those of the event itself
    balance.look()
    event = Event.objects.filter(kind="balance.moved").get()
    Delivery.objects.create(event=event, handler="x", state="parked")
    balance.look()
    found = Balance.objects.get()
    assert (found.state, found.reasons, found.figures["given_up"]) == ("attention", ["given_up"], 1)
    assert Event.objects.filter(kind="balance.moved").count() == 2


def test_a_machine_may_approve_only_while_somebody_looked_and_it_is_calm(cast: Cast) -> None:
    assert balance.automatic_approval_allowed() == (False, "balance_unknown")
    balance.look()
    assert balance.automatic_approval_allowed() == (True, "")
    Balance.objects.update(state="inflammation")
    assert balance.automatic_approval_allowed() == (False, "balance_inflammation")
    Balance.objects.update(state="rest", looked_at=timezone.now() - timedelta(minutes=6))
    assert balance.automatic_approval_allowed() == (False, "balance_unknown")


def test_a_package_that_goes_round_in_circles_is_left_to_a_person(cast: Cast) -> None:
    package = ("PyPI", "requests")
    threat = made.apv(cast.repository, made.advisory("GHSA-loop"), status="open")
    assert not remedies._circle(cast.repository, package, "2.31.0", "2.32.4")
    merged = made.remedy(cast.repository, state="merged")
    circle = remedies._circle(cast.repository, package, "2.31.0", "2.32.4")
    remedies._stop_circling(SYSTEM, package, "2.32.4", [threat], circle)
    threat.refresh_from_db()
    assert threat.status == "failed"
    assert "taken back" in threat.reason
    assert kinds() == ["apv.moved", "remedy.looped"]
    Remedy.objects.filter(pk=merged.pk).update(created_at=timezone.now() - timedelta(days=31))
    assert not remedies._circle(cast.repository, package, "2.31.0", "2.32.4")


def test_what_is_held_is_shown_to_those_who_may_see_it(cast: Cast) -> None:
    waiting(cast, "one", priority="P1")
    waiting(cast, "two")
    admission.settle()
    balance.look()
    shown = shown_balance(viewer_of(cast.rita))
    assert (shown["state"], shown["held"]) == ("vigilance", {"repository_full": 1})
    assert shown_balance(viewer_of(cast.otto))["held"] == {}
    page = metrics.page().decode()
    assert 'immune_balance_state{state="vigilance"} 1.0' in page
    assert 'immune_held_jobs{reason="repository_full"} 1.0' in page
