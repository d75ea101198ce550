"""Approving without people: only where policy allows it, the switch is armed by a person and nothing stands against it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.utils import timezone

from immune import forge_jobs, freezes, work
from immune.events.actors import SYSTEM
from immune.events.log import act
from immune.models import Balance, Event, ForgeJob, Freeze, Role
from immune.models.apvs import APVStatus
from immune.models.remedies import ForgeJobState
from immune.people.selectors import EVERYTHING, viewer_of
from immune.people.services import NotPermitted
from immune.services import Refused
from reviews import automatic, brakes, handlers, services
from reviews.errors import BadDecision, NotAllowed, NotAutomatic
from reviews.models import AutomaticSwitch, Decision, Review
from tests.reviews import cast as made
from tests.reviews.cast import Cast
from tests.reviews.test_four_eyes import decide, switched_on

pytestmark = pytest.mark.both_databases


@pytest.fixture
def cast(db: None) -> Cast:
    now = timezone.now()
    Balance.objects.create(state="rest", since=now, looked_at=now)
    return Cast()


def armed(cast: Cast, **content) -> None:
    """A policy that allows it for everything, and the switch armed by an admin."""
    switched_on(cast, "eager", automatic=True, **content)
    boss = made.account("armer", Role.ADMIN)
    assert automatic.arm(account=boss, viewer=viewer_of(boss), reason="The dry run of a month agreed.")


def considered(review: Review) -> Decision | None:
    return automatic.consider(Review.objects.select_related("remedy__repository").get(pk=review.pk))


def test_what_policy_allows_is_approved_as_policy_and_goes_the_way_of_every_decision(cast: Cast) -> None:
    armed(cast)
    review = made.proved_review(cast, apvs=2)
    decision = considered(review)
    assert decision is not None
    assert (decision.is_automatic, decision.is_final, decision.reviewer) == (True, True, None)
    assert decision.reviewer_name == "policy eager, version 1"
    assert decision.policy_version_id == review.policy_version_id
    assert "Policy eager (version 1) speaks" in decision.justification
    assert ForgeJob.objects.get().head_commit == review.head_commit
    assert {item.apv.status for item in review.items.select_related("apv")} == {APVStatus.APPROVED}
    event = Event.objects.get(kind="decision.made")
    assert event.actor == "system:policy"
    assert considered(review) is None, "once"


def never_armed(cast: Cast, review: Review) -> None:
    AutomaticSwitch.objects.all().delete()


def disarmed(cast: Cast, review: Review) -> None:
    automatic.disarm(SYSTEM, "The merge before was followed by red checks.")


def alarmed(cast: Cast, review: Review) -> None:
    merged = made.alarmed(cast.repository, package="another")
    with act(SYSTEM) as log:
        found = {"remedy": str(merged.remedy_id), "merge": "c" * 40, "cause": "checks_red"}
        log.record("aftermath.alarmed", subject=f"aftermath:{merged.pk}", repository=cast.repository.pk, data=found)
    work.run_all("delivery")


def inflamed(cast: Cast, review: Review) -> None:
    Balance.objects.update(state="inflammation")


def not_looked_at(cast: Cast, review: Review) -> None:
    Balance.objects.update(looked_at=timezone.now() - timedelta(minutes=6))


def frozen(cast: Cast, review: Review) -> None:
    now = timezone.now()
    Freeze.objects.create(reason="release", starts_at=now - timedelta(hours=1), ends_at=now + timedelta(hours=1))


def claimed(cast: Cast, review: Review) -> None:
    services.claim_review(account=cast.rita, viewer=viewer_of(cast.rita), review=review)


def commented(cast: Cast, review: Review) -> None:
    services.comment_review(account=cast.rita, viewer=viewer_of(cast.rita), review=review, text="Wait.")


def escalated(cast: Cast, review: Review) -> None:
    decide(cast.rita, review, "escalate")


def ran_elsewhere(cast: Cast, review: Review) -> None:
    review.remedy.wargames.update(driver="github-actions")


def ran_within_limits_only(cast: Cast, review: Review) -> None:
    review.remedy.wargames.update(driver="limited")


def unaccepted(cast: Cast, review: Review) -> None:
    review.remedy.wargames.update(trust="attached", accepted=False)


def not_reproduced(cast: Cast, review: Review) -> None:
    review.remedy.wargames.update(verdict="NOT_REPRODUCED")


def refused_before(cast: Cast, review: Review) -> None:
    ForgeJob.objects.create(
        remedy=review.remedy, kind="merge_pr", head_commit=review.head_commit, cause="x", state="refused"
    )


def rebased(cast: Cast, review: Review) -> None:
    type(review.remedy).objects.update(head_commit="d" * 40)


def proved_again(cast: Cast, review: Review) -> None:
    review.remedy.apvs.update(status=APVStatus.WARGAMING)


@pytest.mark.parametrize(
    "stands_against",
    [
        never_armed, disarmed, alarmed, inflamed, not_looked_at, frozen, claimed, commented, escalated,
        ran_elsewhere, ran_within_limits_only, unaccepted,
        not_reproduced, refused_before, rebased, proved_again,
    ],
)  # fmt: skip
def test_what_stands_against_it(cast: Cast, stands_against: Callable[[Cast, Review], None]) -> None:
    armed(cast)
    review = made.proved_review(cast)
    stands_against(cast, review)
    before = Decision.objects.count()
    assert considered(review) is None
    assert Decision.objects.count() == before


def test_the_checks_stand_below_whoever_asks(cast: Cast) -> None:
    review = made.proved_review(cast)
    with pytest.raises(NotAutomatic, match="Policy does not allow it"):
        services.approve_by_policy(review=review, justification="because I say so")
    switched_on(cast, automatic=True)
    with pytest.raises(NotAutomatic, match="switched off"):
        services.approve_by_policy(review=review, justification="because I say so")


def test_another_part_of_the_house_may_stop_it(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    armed(cast)
    monkeypatch.setattr(brakes, "_brakes", {"inflamed": lambda review: "Too much fails just now."})
    assert considered(made.proved_review(cast)) is None


@pytest.mark.parametrize("role", [role for role in Role.values if role != Role.ADMIN])
def test_only_who_administers_arms_and_only_a_person(cast: Cast, role: str) -> None:
    person = cast.person(role)
    for viewer in (viewer_of(person), EVERYTHING):
        with pytest.raises(NotAllowed):
            automatic.arm(account=person, viewer=viewer, reason="I want it so.")
    assert not brakes.is_armed()


def test_arming_needs_a_reason_and_is_told(cast: Cast) -> None:
    boss = cast.person(Role.ADMIN)
    with pytest.raises(BadDecision):
        automatic.arm(account=boss, viewer=viewer_of(boss), reason="  ")
    assert automatic.arm(account=boss, viewer=viewer_of(boss), reason="The dry run agreed.")
    assert not automatic.arm(account=boss, viewer=viewer_of(boss), reason="again")
    assert Event.objects.get(kind="automatic.armed").actor == f"account:{boss.pk}"
    assert automatic.disarm_by(account=cast.rita, viewer=viewer_of(cast.rita), reason="Something smells.")
    viewer = cast.person(Role.VIEWER)
    with pytest.raises(NotAllowed):
        automatic.disarm_by(account=viewer, viewer=viewer_of(viewer), reason="no")


def test_disarming_takes_back_what_the_forge_has_not_begun_and_asks_people(cast: Cast) -> None:
    armed(cast)
    begun, waiting = made.proved_review(cast, package="a"), made.proved_review(cast, package="b")
    assert considered(begun)
    assert considered(waiting)
    ForgeJob.objects.filter(remedy=begun.remedy).update(attempts=1, state=ForgeJobState.RUNNING)
    assert automatic.disarm(SYSTEM, "A merge was followed by red checks.")
    assert Decision.objects.get(review=begun).withdrawn_at is None
    assert Decision.objects.get(review=waiting).withdrawn_at is not None
    again = Review.objects.get(remedy=waiting.remedy, round=2)
    assert again.state == "pending"
    boss = made.account("armer-2", Role.ADMIN)
    automatic.arm(account=boss, viewer=viewer_of(boss), reason="It was looked into.")
    assert considered(again) is None, "what was taken back is people's"


def test_arming_and_switching_on_look_at_rounds_that_are_open_already(cast: Cast) -> None:
    review = made.proved_review(cast)
    armed(cast)
    event = Event.objects.get(kind="automatic.armed")
    handlers.ask_policy_again(event)  # type: ignore[arg-type]
    assert Decision.objects.get().review == review


def test_a_frozen_merge_waits_unclaimed_can_be_withdrawn_and_starts_when_the_freeze_ends(cast: Cast) -> None:
    lead = cast.person(Role.LEAD)
    now = timezone.now()
    row = freezes.freeze(
        account=lead,
        viewer=viewer_of(lead),
        repository=cast.repository,
        reason="The release is cut on Friday.",
        starts_at=now - timedelta(minutes=1),
        ends_at=now + timedelta(days=2),
    )
    held, taken_back = (decide(cast.rita, made.proved_review(cast, package=name)) for name in "ab")
    assert held.job is not None
    assert not work.run_one("forge", pk=str(held.job.pk))
    assert not any(kind == "forge" for kind, _ in work.due_now())
    assert set(ForgeJob.objects.filter(freezes.held_merges())) == {held.job, taken_back.job}
    services.withdraw_decision(account=cast.rita, viewer=viewer_of(cast.rita), decision=taken_back)
    rejection = decide(cast.rita, made.proved_review(cast, package="c"), "reject")
    assert rejection.job in forge_jobs.FORGE.rows(), "only merges wait"
    freezes.end_freeze(account=lead, viewer=viewer_of(lead), row=row)
    assert ("forge", str(held.job.pk)) in work.due_now()
    assert held.job.attempts == 0


def test_a_freeze_of_a_label_holds_where_it_is_carried_and_as_long_as_it_is(cast: Cast) -> None:
    operator, admin = cast.person(Role.OPERATOR), cast.person(Role.ADMIN)
    plain = made.proved_review(cast, package="plain", where=made.repository("other/plain"))
    labelled = made.proved_review(cast, package="labelled")
    type(cast.repository).objects.filter(pk=cast.repository.pk).update(labels=["web", "pci"])
    now = timezone.now()
    span = {"reason": "audit", "starts_at": now - timedelta(hours=1), "ends_at": now + timedelta(hours=1)}
    row = freezes.freeze(account=operator, viewer=viewer_of(operator), repository=None, label="pci", **span)
    for review in (plain, labelled):
        decide(admin, review)
    held, free = labelled.decisions.get().job, plain.decisions.get().job
    assert list(ForgeJob.objects.filter(freezes.held_merges())) == [held]
    assert list(forge_jobs.FORGE.rows().filter(kind="merge_pr")) == [free]
    assert (freezes.frozen(cast.repository.pk), freezes.frozen(plain.repository_id)) == (row, None)
    assert list(freezes.freezes(viewer_of(cast.rita))) == [row]
    assert not freezes.freezes(viewer_of(cast.otto)).exists(), "none of the outsider's repositories carries it"

    type(cast.repository).objects.filter(pk=cast.repository.pk).update(labels=["web"])
    assert not ForgeJob.objects.filter(freezes.held_merges()).exists()


@pytest.mark.parametrize(("label", "here"), [("pci", True), ("  ", False), ("a\nb", False), ("x" * 101, False)])
def test_a_freeze_of_no_label_in_particular_is_refused_and_freezes_nothing(cast: Cast, label: str, here: bool) -> None:
    admin, now = cast.person(Role.ADMIN), timezone.now()
    where = cast.repository if here else None
    with pytest.raises(Refused):
        freezes.freeze(
            account=admin, viewer=viewer_of(admin), repository=where, label=label,
            reason="audit", starts_at=now, ends_at=now + timedelta(hours=1),
        )  # fmt: skip
    assert not Freeze.objects.exists()


def test_a_label_is_frozen_by_operators_only(cast: Cast) -> None:
    lead, now = cast.person(Role.LEAD), timezone.now()
    with pytest.raises(NotPermitted):
        freezes.freeze(
            account=lead, viewer=viewer_of(lead), repository=None, label="pci",
            reason="audit", starts_at=now, ends_at=now + timedelta(hours=1),
        )  # fmt: skip
