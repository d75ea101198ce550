"""The whole way of a repository: read, matched, patched, put to people, decided, merged, read again. Wargames are off here and
end as inconclusive, so these tests are about everything around them; ``test_proved_journey`` runs them for real."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from django.utils import timezone

from immune.events.actors import SYSTEM
from immune.events.audit import verify
from immune.models import APV, Delivery, Event, ForgeJob, Remedy, Scan
from immune.models.apvs import APVStatus
from immune.people.selectors import EVERYTHING
from immune.services import mirror_of
from immune.suppression import services as suppression
from reviews import journey
from reviews.decisions import Suppression
from reviews.errors import AlreadyDecided, BadDecision, StaleEvidence
from reviews.live.frames import Seen, frame_of
from reviews.models import Review
from tests.reviews.journeys import (
    checkout,
    commit,
    decide,
    git,
    knows_advisories,
    merges,
    register,
    review_of,
    reviewer,
    scan,
    states,
    work_off,
)
from wargaming.models import Wargame

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.both_databases]

TWO = "# what it runs on\nsqlparse==0.4.4  # kept exact\nclick==8.3.2\n"


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


def on_main(repository, path="requirements.txt"):
    return git(mirror_of(repository).path, "show", f"main:{path}")


def test_a_vulnerable_pin_becomes_a_remedy_that_changes_that_line_alone(repository):
    remedy = Remedy.objects.get(package_name="sqlparse")

    assert states(repository) == {"click": "in_review", "sqlparse": "in_review"}
    assert (remedy.from_version, remedy.target_version, remedy.state) == ("0.4.4", "0.5.0", "proposed")
    changed = [line for line in remedy.patch.splitlines() if line[:1] in "+-" and line[:3] not in ("+++", "---")]
    assert changed == ["-sqlparse==0.4.4  # kept exact", "+sqlparse==0.5.0  # kept exact"]
    assert on_main(repository) == TWO.strip(), "nothing is merged before somebody decided"


def test_the_persons_own_checkout_is_never_touched(repository, tmp_path):
    before = git(tmp_path / "app", "rev-parse", "HEAD")

    decide(review_of("click"), "approve")
    work_off()

    assert git(tmp_path / "app", "rev-parse", "HEAD") == before
    assert git(tmp_path / "app", "status", "--porcelain") == ""
    assert git(tmp_path / "app", "branch", "--list").split() == ["*", "main"]


def test_write_back_moves_the_checkout_forward_when_it_was_asked_for(tmp_path):
    found = register(checkout(tmp_path / "theirs", requirements__txt=TWO), write_back=True)
    scan(found)

    decide(review_of("click"), "approve")
    work_off()

    assert "click==8.3.3" in (tmp_path / "theirs" / "requirements.txt").read_text()


def test_approval_merges_once_and_resolves_only_after_the_branch_was_read_again(repository):
    decide(review_of("sqlparse"), "approve")

    assert states(repository)["sqlparse"] == "approved", "a decision is not yet a merge"
    work_off()
    assert states(repository)["sqlparse"] == "resolved"
    assert "sqlparse==0.5.0" in on_main(repository)
    assert merges(repository) == 1
    apv = APV.objects.get(package_name="sqlparse")
    assert "holds no affected version" in apv.reason
    assert verify().ok
    assert not Delivery.objects.exclude(state="done").exists()


def test_without_wargames_nothing_counts_as_proved(repository):
    assert set(Wargame.objects.values_list("verdict", "reason")) == {("INCONCLUSIVE", "wargaming_off")}
    assert set(Review.objects.values_list("recommendation", flat=True)) == {"ask"}
    said = journey.report(repository, Scan.objects.latest("created_at"))
    assert all(apv["reason"].startswith("wargaming_off") for apv in said["apvs"] if apv["verdict"])


def test_a_remedy_whose_manifest_changed_under_it_is_rebased_and_reviewed_again(repository):
    decide(review_of("sqlparse"), "approve")
    work_off()
    click = Remedy.objects.get(package_name="click")

    assert "sqlparse==0.5.0" in git(mirror_of(repository).path, "show", f"{click.head_commit}:requirements.txt")
    assert review_of("click").round == 2
    assert review_of("click").head_commit == click.head_commit
    decide(review_of("click"), "approve")
    work_off()
    assert states(repository) == {"click": "resolved", "sqlparse": "resolved"}
    assert on_main(repository) == "# what it runs on\nsqlparse==0.5.0  # kept exact\nclick==8.3.3"


def test_of_those_a_merge_made_stale_only_the_next_to_merge_is_rebased(tmp_path):
    found = register(checkout(tmp_path / "three", requirements__txt=TWO + "idna==3.6\n"))
    scan(found)
    waiting = {name: Remedy.objects.get(package_name=name) for name in ("click", "idna")}
    order = sorted(waiting, key=lambda name: min(waiting[name].apvs.values_list("priority", "due_at", "apv_code")))
    decide(review_of("sqlparse"), "approve")

    work_off()

    (event,) = Event.objects.filter(kind="remedy.rebased")
    assert event.subject == f"remedy:{waiting[order[0]].pk}", "the most urgent one"
    before = waiting[order[1]]
    after = Remedy.objects.get(pk=before.pk)
    assert (after.head_commit, after.state, review_of(order[1]).round) == (before.head_commit, "proposed", 1)


def test_approving_a_stale_remedy_does_not_merge_what_was_not_proved(tmp_path):
    found = register(checkout(tmp_path / "three", requirements__txt=TWO + "idna==3.6\n"))
    scan(found)
    stale = review_of("idna")
    decide(review_of("sqlparse"), "approve")
    decide(review_of("click"), "approve")
    decide(stale, "approve")

    work_off()

    refused = ForgeJob.objects.filter(kind="merge_pr", state="refused")
    assert merges(found) == 1
    assert {job.result["detail"] for job in refused} == {"stale"}
    for package in ("idna", "click", "sqlparse"):
        if states(found)[package] != "resolved":
            decide(review_of(package), "approve")
            work_off()
    for package in ("idna", "click", "sqlparse"):
        if states(found)[package] != "resolved":
            decide(review_of(package), "approve")
            work_off()
    assert set(states(found).values()) == {"resolved"}
    assert merges(found) == 3


def test_rejecting_closes_the_pull_request_and_does_not_propose_that_target_again(repository):
    decide(review_of("click"), "reject")
    work_off()

    assert states(repository)["click"] == "open"
    assert Remedy.objects.get(package_name="click").state == "closed"
    scan(repository)
    assert states(repository)["click"] == "open"
    assert Remedy.objects.filter(package_name="click").count() == 1


def test_a_person_may_ask_for_a_rejected_target_again(repository):
    decide(review_of("click"), "reject")
    work_off()

    scan(repository, again=True)

    assert states(repository)["click"] == "in_review"
    assert Remedy.objects.filter(package_name="click").count() == 2


def test_reject_with_suppression_sets_the_apv_aside_until_it_ends(repository):
    end = timezone.now() + timedelta(days=3)
    decide(review_of("click"), "reject", suppress=Suppression("Nobody runs this command here.", end, "accepted_risk"))
    work_off()
    assert states(repository)["click"] == "suppressed"
    assert APV.objects.get(package_name="click").suppressions.get().ground == "accepted_risk"

    APV.objects.get(package_name="click").suppressions.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert suppression.return_expired() == 1
    assert states(repository)["click"] == "open"


def test_whether_the_code_uses_the_package_weighs_in_the_priority_and_closes_nothing(repository, tmp_path):
    def reach():
        apv = APV.objects.get(package_name="click")
        return next(factor["value"] for factor in apv.priority_factors if factor["name"] == "reachability")

    assert reach() == "unknown (there is no Python here)"
    before = states(repository)

    commit(tmp_path / "app", main__py="import os\n")
    scan(repository)
    assert reach() == "unreachable (1 files read)"
    assert states(repository) == before

    commit(tmp_path / "app", main__py="import click\n")
    scan(repository)
    assert reach() == "potential (main.py)"


def test_what_opens_in_a_scope_that_is_set_aside_is_set_aside_with_its_reading(tmp_path, db):
    found = register(checkout(tmp_path / "later", requirements__txt=""))
    aside = suppression.Target(repository=found, ecosystem="PyPI", package="click")
    suppression.suppress(
        actor=SYSTEM,
        viewer=EVERYTHING,
        target=aside,
        ground="accepted_risk",
        reason="Replaced next month.",
        until=timezone.now() + timedelta(days=30),
    )
    commit(tmp_path / "later", requirements__txt="click==8.3.2\n")
    scan(found)
    assert states(found) == {"click": "suppressed"}
    assert not Remedy.objects.filter(repository=found).exists()


def test_modify_prepares_the_target_the_reviewer_wants(repository):
    decide(review_of("click"), "modify", modifications={"target_version": "8.4.0"})
    work_off()

    assert list(
        Remedy.objects.filter(package_name="click").order_by("created_at").values_list("target_version", "state")
    ) == [
        ("8.3.3", "superseded"),
        ("8.4.0", "proposed"),
    ]
    assert review_of("click").remedy.target_version == "8.4.0"


def test_escalating_ends_nothing_and_tells_the_forge(repository):
    decide(review_of("click"), "escalate")
    work_off()

    review = review_of("click")
    assert review.escalated_at is not None
    assert ForgeJob.objects.get(kind="escalate_to_lead").state == "done"
    decide(review, "approve")


def test_a_vulnerability_nobody_fixed_is_put_to_people_without_a_patch(tmp_path):
    found = register(checkout(tmp_path / "stuck", requirements__txt="diskcache==5.6.3\n"))
    scan(found)

    assert states(found) == {"diskcache": "no_fix"}
    review = review_of("diskcache")
    assert review.remedy is None
    with pytest.raises(BadDecision):
        decide(review, "approve")
    decide(review, "reject", suppress=Suppression("The cache folder is private.", timezone.now() + timedelta(days=9)))
    assert states(found) == {"diskcache": "suppressed"}


def test_a_fix_by_somebody_else_resolves_the_apv_and_ends_its_review(repository, tmp_path):
    asked = review_of("click")
    commit(tmp_path / "app", requirements__txt=TWO.replace("8.3.2", "8.3.3"))

    scan(repository)

    assert states(repository)["click"] == "resolved"
    asked.refresh_from_db()
    assert (asked.state, asked.decisions.count()) == ("decided", 0)
    with pytest.raises(AlreadyDecided):
        decide(asked, "approve")


def test_a_package_that_was_removed_withdraws_its_apv_and_one_that_returns_opens_it_again(repository, tmp_path):
    commit(tmp_path / "app", requirements__txt="sqlparse==0.4.4\n")
    scan(repository)
    assert states(repository)["click"] == "withdrawn"
    code = APV.objects.get(package_name="click").apv_code

    commit(tmp_path / "app", requirements__txt=TWO)
    scan(repository)

    assert APV.objects.get(package_name="click").apv_code == code
    assert states(repository)["click"] == "in_review"


def test_an_unreadable_pin_closes_nothing(repository, tmp_path):
    commit(tmp_path / "app", requirements__txt="sqlparse==not a version\nclick==8.3.2\n")

    done = scan(repository)

    assert done.result["refused"]
    assert states(repository)["sqlparse"] == "in_review", "unreadable is not fixed"


def test_an_unpinned_package_is_unresolved_and_closes_nothing(repository, tmp_path):
    commit(tmp_path / "app", requirements__txt="sqlparse>=0.4\nclick==8.3.2\n")

    scan(repository)

    assert states(repository)["sqlparse"] == "in_review"
    assert repository.dependencies.get(name="sqlparse").version is None


@pytest.mark.parametrize(
    ("files", "reason"),
    [({"readme__md": "nothing here"}, "no_manifest"), ({"requirements__txt": "\x00\x01"}, "unreadable")],
)
def test_what_cannot_be_read_fails_with_the_reason_and_never_reads_as_clean(tmp_path, files, reason):
    found = register(checkout(tmp_path / "odd", **files))

    done = scan(found)
    found.refresh_from_db()

    assert (done.state, done.result["reason"]) == ("failed", reason)
    assert done.result["refused"]
    assert found.problem


def test_reading_again_changes_nothing_and_opens_no_twin(repository):
    before = (APV.objects.count(), Remedy.objects.count(), Review.objects.count(), ForgeJob.objects.count())

    scan(repository)

    assert (APV.objects.count(), Remedy.objects.count(), Review.objects.count(), ForgeJob.objects.count()) == before
    assert Scan.objects.filter(state="done").count() == 2


def test_deciding_on_a_head_that_moved_is_refused_and_says_so(repository):
    review = review_of("click")

    with pytest.raises(StaleEvidence) as caught:
        decide(review, "approve", seen_head="0" * 40)

    assert caught.value.details["changed"]["head_commit"]["now"] == review.head_commit
    assert not ForgeJob.objects.filter(kind="merge_pr").exists()


def test_a_head_that_moved_at_the_forge_comes_back_to_people(repository):
    remedy = Remedy.objects.get(package_name="click")
    mirror = mirror_of(repository).path
    git(mirror, "update-ref", f"refs/heads/{remedy.branch}", git(mirror, "rev-parse", "main"))

    decide(review_of("click"), "approve")
    work_off()

    assert merges(repository) == 0
    assert states(repository)["click"] == "in_review"
    again = review_of("click")
    assert again.round == 2
    assert "forge" in again.opened_because.lower()


def test_two_reviewers_one_wins_and_the_other_is_told(repository):
    review = review_of("click")
    decide(review, "approve", by=reviewer("rita"))

    with pytest.raises(AlreadyDecided) as caught:
        decide(review, "reject", by=reviewer("sol"))

    assert "rita" in str(caught.value)
    assert APV.objects.get(package_name="click").status == APVStatus.APPROVED


SILENT = {"scan.requested", "account.created"}


def test_every_event_of_the_journey_fits_a_frame_or_is_silent_on_purpose(repository, tmp_path):
    decide(review_of("sqlparse"), "approve")
    decide(review_of("click"), "escalate")
    work_off()
    decide(review_of("click"), "reject")
    work_off()
    commit(tmp_path / "app", requirements__txt="")
    scan(repository)

    for event in Event.objects.all():
        seen = Seen(
            event.position,
            event.kind,
            event.occurred_at,
            event.subject,
            event.repository_id,
            json.loads(event.body)["data"],
        )
        frame = frame_of(seen)
        assert (frame is None) == (event.kind in SILENT), event.kind
    kinds = set(Event.objects.values_list("kind", flat=True))
    assert {"apv.opened", "remedy.rebased", "wargame.finished", "forge_job.finished", "repository.scanned"} <= kinds
