"""After a merge at GitHub: its checks turn red, a person has the revert opened, somebody merges it, and the APVs are open again."""

from __future__ import annotations

import json

import pytest

from immune.aftermath import order_revert, watch_all
from immune.models import Aftermath, Event, ForgeJob, Remedy
from immune.people.selectors import viewer_of
from immune.reconciling import reconcile_all
from tests.reviews.journeys import decide, review_of, reviewer, scan, states, work_off

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.xdist_group("github")]


def alarms():
    return [json.loads(event.body)["data"] for event in Event.objects.filter(kind="aftermath.alarmed")]


def ordered(row):
    person = reviewer()
    order_revert(account=person, viewer=viewer_of(person), row=row)
    work_off()
    row.refresh_from_db()


def test_from_red_checks_to_the_merged_revert(world, repository_there):
    before = world.at(repository_there).head("main")
    decide(review_of("click"), "approve")
    work_off()
    remedy, row = Remedy.objects.get(), Aftermath.objects.get()
    there = world.at(repository_there)
    assert (row.state, remedy.merge_commit, states(repository_there)) == (
        "watching",
        there.head("main"),
        {"click": "resolved"},
    )

    for commit in (before, remedy.merge_commit):
        world.status(repository_there, commit, "lint", "failure")
    assert watch_all() == 0, "what was red before the merge is not its doing"
    world.status(repository_there, remedy.merge_commit, "build", "failure")
    assert watch_all() == 1
    row.refresh_from_db()
    assert (row.state, row.cause, row.detail) == ("alarmed", "checks_red", "build")
    assert alarms() == [{"remedy": str(remedy.pk), "merge": remedy.merge_commit, "cause": "checks_red"}]
    assert watch_all() == 0, "one alarm for one merge"

    ordered(row)
    pull = there.pulls[row.revert_number]
    assert (row.state, pull.state, pull.title) == ("reverting", "open", "Revert the upgrade of click to 8.3.3")
    assert states(repository_there) == {"click": "resolved"}, "a proposed revert changes nothing yet"

    remedy.pull_request_number = row.revert_number
    world.by_hand(remedy, "PUT", "/merge", merge_method="squash")
    reconcile_all()
    work_off()
    row.refresh_from_db()
    assert (row.state, states(repository_there)) == ("reverted", {"click": "open"})
    assert Remedy.objects.count() == 1, "what was undone is not proposed again until a person asks"
    scan(repository_there, again=True)
    assert states(repository_there) == {"click": "in_review"}


def test_a_revert_that_no_longer_fits_is_said_so_and_the_alarm_stands(world, repository_there):
    decide(review_of("click"), "approve")
    work_off()
    row = Aftermath.objects.get()
    world.status(repository_there, row.remedy.merge_commit, "build", "failure")
    watch_all()
    world.push(repository_there, requirements__txt="click==8.3.3\nidna==3.11\n")

    ordered(row)

    job = ForgeJob.objects.get(kind="revert")
    assert (row.state, job.state, job.reason) == ("alarmed", "refused", "conflict")
    assert "requirements.txt" in job.message
