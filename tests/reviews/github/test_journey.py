"""First light's way at GitHub: cloned over its git, patched by a pull request there, decided, carried out once, read again."""

from __future__ import annotations

import pytest

from immune.events.audit import verify
from immune.models import ForgeJob, Remedy
from tests.reviews.github.hub import CLICK, SECOND_LOOK
from tests.reviews.journeys import decide, merges, review_of, scan, states, work_off

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.xdist_group("github")]


def said_of(world, repository, head):
    """What our checks and statuses say beside a commit."""
    there = world.at(repository)
    runs = [run.conclusion for run in there.checks if run.head == head]
    return runs + [status.state for status in there.statuses if status.sha == head]


def test_the_way_from_a_vulnerable_pin_to_a_resolved_apv_with_a_token(world, repository_there):
    remedy = Remedy.objects.get()
    pull = world.pull(remedy)
    assert states(repository_there) == {"click": "in_review"}
    assert (pull.head, pull.state, pull.author.login) == (remedy.head_commit, "open", "immune-bot")
    assert world.text(repository_there) == CLICK, "nothing is merged before somebody decided"
    assert "INCONCLUSIVE" in pull.body, "the evidence stands in the pull request once it is there"
    assert said_of(world, repository_there, pull.head) == ["failure"], (
        "a status knows no neutral: unproved is no success"
    )

    # Nobody has read this commit here: it is fetched before the merge is judged, and says nothing against it.
    world.push(repository_there, README="hello")
    decide(review_of("click"), "approve")
    assert states(repository_there) == {"click": "approved"}, "a decision is not yet a merge"
    work_off()

    assert (states(repository_there), world.text(repository_there)) == ({"click": "resolved"}, "click==8.3.3\n")
    assert (merges(repository_there), len(world.at(repository_there).merges)) == (1, 1)
    assert world.at(repository_there).head(remedy.branch) is None, "our branch is tidied away"
    assert verify().ok


def test_the_same_way_as_an_app_which_is_refused_where_it_is_not_installed(world, settings):
    repository, other = world.put(requirements__txt=CLICK), world.put(requirements__txt="")
    here, elsewhere = world.install_app(repository), world.install_app(other)
    world.settle(settings, **here)
    scan(repository)
    pull = world.pull(Remedy.objects.get())
    assert pull.author.login.endswith("[bot]")
    assert said_of(world, repository, pull.head) == ["neutral"]

    world.settle(settings, **elsewhere)
    decide(review_of("click"), "approve")
    work_off()
    refused = ForgeJob.objects.get(kind="merge_pr")
    assert (refused.state, refused.reason, states(repository)) == ("refused", "not_found", {"click": "in_review"})
    assert "not installed" in review_of("click").opened_because

    world.settle(settings, **here)
    decide(review_of("click"), "approve")
    work_off()
    assert (states(repository), len(world.at(repository).merges)) == ({"click": "resolved"}, 1)


def test_rejecting_closes_the_pull_request_there_and_removes_the_branch(world, repository_there):
    remedy = Remedy.objects.get()
    decide(review_of("click"), "reject")
    work_off()

    assert (world.pull(remedy).state, states(repository_there)) == ("closed", {"click": "open"})
    assert (world.at(repository_there).merges, world.at(repository_there).head(remedy.branch)) == ([], None)
    scan(repository_there)
    assert len(world.at(repository_there).pulls) == 1, "a rejected target is not proposed again until a person asks"


def test_leads_are_asked_when_it_is_escalated_and_wanted_changes_become_another_pull_request(
    world, settings, repository_there
):
    settings.GITHUB_LEADS = ["lead", "team:security"]
    settings.GITHUB_REVIEWER_TOKEN = SECOND_LOOK
    remedy = Remedy.objects.get()
    decide(review_of("click"), "escalate")
    work_off()

    pull = world.pull(remedy)
    assert ([one.login for one in pull.assignees], pull.teams) == (["lead"], ["security"])
    assert ("escalated" in pull.labels, states(repository_there)) == (True, {"click": "in_review"})

    decide(review_of("click"), "modify", modifications={"target_version": "8.4.0"})
    work_off()

    [review] = world.at(repository_there).reviews[pull.number]
    assert (review.author.login, review.state, review.commit) == ("second-look", "CHANGES_REQUESTED", pull.head)
    assert world.pull(remedy).state == "closed", "replaced by what the reviewer wanted"
    assert world.pull(review_of("click").remedy).title == "Upgrade click from 8.3.2 to 8.4.0"


def test_a_manifest_that_changed_there_is_never_merged_unproved(world, repository_there):
    world.push(repository_there, requirements__txt="# new\n" + CLICK)
    decide(review_of("click"), "approve")
    work_off()

    assert ForgeJob.objects.get(kind="merge_pr").result["detail"] == "stale"
    assert world.at(repository_there).merges == []
    again = review_of("click")
    assert (again.round, world.pull(again.remedy).head) == (2, again.head_commit)
    decide(again, "approve")
    work_off()
    assert (states(repository_there), world.text(repository_there)) == ({"click": "resolved"}, "# new\nclick==8.3.3\n")
