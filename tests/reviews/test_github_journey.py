"""First light's way at GitHub: cloned over its git, patched by a pull request there, decided, carried out once, read again."""

from __future__ import annotations

import pytest

from immune.events.audit import verify
from immune.models import ForgeJob, Remedy
from tests.reviews.at_github import SECOND_LOOK, running
from tests.reviews.journeys import decide, knows_advisories, merges, review_of, scan, states, work_off

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.xdist_group("github")]

PINS = "# what it runs on\nsqlparse==0.4.4  # kept exact\nclick==8.3.2\n"


@pytest.fixture(scope="module")
def hub(tmp_path_factory, github_description):
    with running(tmp_path_factory.mktemp("hub")) as found:
        yield found


@pytest.fixture
def world(hub, settings, tmp_path):
    settings.WORK_DIR = tmp_path / "work"
    settings.WARGAMING_ENABLED = False
    hub.settle(settings)
    knows_advisories()
    return hub


@pytest.mark.parametrize("auth", ["token", "app"])
def test_the_way_from_a_vulnerable_pin_to_a_resolved_apv(world, settings, auth):
    repository = world.put(requirements__txt=PINS)
    if auth == "app":
        world.settle(settings, **world.install_app(repository))
    scan(repository)

    remedy = Remedy.objects.get(package_name="sqlparse")
    pull = world.pull(remedy)
    assert states(repository) == {"click": "in_review", "sqlparse": "in_review"}
    assert (pull.head, pull.state, pull.author.login.endswith("[bot]")) == (remedy.head_commit, "open", auth == "app")
    assert world.text(repository) == PINS, "nothing is merged before somebody decided"

    decide(review_of("sqlparse"), "approve")
    assert states(repository)["sqlparse"] == "approved", "a decision is not yet a merge"
    work_off()

    assert states(repository)["sqlparse"] == "resolved"
    assert "sqlparse==0.5.0" in world.text(repository)
    assert (merges(repository), len(world.at(repository).merges)) == (1, 1)
    assert world.at(repository).head(remedy.branch) is None, "our branch is tidied away"
    assert verify().ok


CLICK = "click==8.3.2\n"


@pytest.fixture
def repository(world):
    found = world.put(requirements__txt=CLICK)
    scan(found)
    return found


def only_pull(world, repository):
    return world.pull(Remedy.objects.get(repository=repository))


def test_rejecting_closes_the_pull_request_there_and_removes_the_branch(world, repository):
    decide(review_of("click"), "reject")
    work_off()

    assert (only_pull(world, repository).state, states(repository)) == ("closed", {"click": "open"})
    assert world.at(repository).merges == []
    scan(repository)
    assert len(world.at(repository).pulls) == 1, "a rejected target is not proposed again until a person asks"


def test_wanted_changes_are_shown_there_and_the_reviewers_version_is_proposed_instead(world, repository):
    first = only_pull(world, repository)
    decide(review_of("click"), "modify", modifications={"target_version": "8.4.0"})
    work_off()

    assert first.draft, "what changes are wanted of is not merged meanwhile"
    assert "changes-requested" in first.labels
    assert first.state == "closed", "replaced by what the reviewer wanted"
    assert world.pull(review_of("click").remedy).title == "Upgrade click from 8.3.2 to 8.4.0"


def test_a_second_account_asks_for_changes_by_a_review(world, settings):
    settings.GITHUB_REVIEWER_TOKEN = SECOND_LOOK
    repository = world.put(requirements__txt=CLICK)
    scan(repository)
    first = only_pull(world, repository)
    decide(review_of("click"), "modify", modifications={"target_version": "8.4.0"})
    work_off()

    [review] = world.at(repository).reviews[first.number]
    assert (review.author.login, review.state, review.commit) == ("second-look", "CHANGES_REQUESTED", first.head)
    assert (first.draft, "changes-requested" in first.labels) == (False, False)


def test_escalating_brings_the_pull_request_before_the_leads_and_ends_nothing(world, settings, repository):
    settings.GITHUB_LEADS = ["lead", "team:security"]
    decide(review_of("click"), "escalate")
    work_off()

    pull = only_pull(world, repository)
    assert ([one.login for one in pull.assignees], pull.teams) == (["lead"], ["security"])
    assert "escalated" in pull.labels
    assert (pull.state, states(repository)) == ("open", {"click": "in_review"})


def test_a_default_branch_that_moved_is_fetched_before_the_merge_is_judged(world, repository):
    """What was pushed since says nothing about the patch: it is merged beside it, though nobody had read that commit."""
    world.push(repository, README="hello")
    decide(review_of("click"), "approve")
    work_off()

    assert ForgeJob.objects.get(kind="merge_pr").state == "done"
    assert (states(repository), "click==8.3.3" in world.text(repository)) == ({"click": "resolved"}, True)


def test_a_manifest_that_changed_there_is_never_merged_unproved(world, repository):
    world.push(repository, requirements__txt="# new\n" + CLICK)
    decide(review_of("click"), "approve")
    work_off()

    assert (ForgeJob.objects.get(kind="merge_pr").result["detail"], world.at(repository).merges) == ("stale", [])
    assert (review_of("click").round, only_pull(world, repository).head) == (2, review_of("click").head_commit)
    decide(review_of("click"), "approve")
    work_off()
    assert (states(repository), world.text(repository)) == ({"click": "resolved"}, "# new\nclick==8.3.3\n")


def test_an_app_that_is_not_installed_there_is_said_so_and_nothing_is_tried(world, settings, repository):
    other = world.put(requirements__txt="")
    world.settle(settings, **world.install_app(other))
    decide(review_of("click"), "approve")
    work_off()

    refused = ForgeJob.objects.get(kind="merge_pr")
    assert (refused.state, refused.reason) == ("refused", "not_found")
    assert "not installed" in review_of("click").opened_because
    assert states(repository) == {"click": "in_review"}
