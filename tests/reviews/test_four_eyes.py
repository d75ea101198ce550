"""Policy's approvals below every edge: another person, of the named team, whoever asks and by whatever door."""

from __future__ import annotations

from uuid import uuid4

import pytest
from django.db import IntegrityError, transaction

from immune.events.actors import SYSTEM
from immune.events.log import act
from immune.models import Account, ForgeJob, Role, Team
from immune.people.selectors import EVERYTHING, viewer_of
from reviews import automatic, bulk, rounds, services
from reviews.decisions import Asked
from reviews.errors import NotOfTheGroup, SecondPersonNeeded
from reviews.models import Decision, Review, Rule
from reviews.policies import services as policies
from tests.reviews import cast as made
from tests.reviews.cast import Cast

pytestmark = pytest.mark.both_databases
WORDS = "The runs were read; the change is what it says."


@pytest.fixture
def cast(db: None) -> Cast:
    return Cast()


def switched_on(cast: Cast, name: str = "two pairs of eyes", **content) -> Rule:
    """A policy of the site's own, switched on by an admin."""
    admin = Account.objects.filter(username="the-boss").first() or made.account("the-boss", Role.ADMIN)
    who = {"account": admin, "viewer": viewer_of(admin)}
    version = policies.make_rule(**who, kind="policy", name=name, content=content)
    return policies.switch_on(**who, rule=version.rule, number=1)


def decide(account: Account, review: Review, choice: str = "approve") -> Decision:
    asked = Asked(choice, WORDS, review.head_commit, review.patch_digest)
    return services.decide(account=account, viewer=viewer_of(account), review=review, asked=asked)


def test_two_approvals_are_two_people_and_the_job_follows_the_second(cast: Cast) -> None:
    rule = switched_on(cast, required_approvals=2)
    review = made.proved_review(cast)
    first = decide(cast.rita, review)
    assert not first.is_final
    assert not ForgeJob.objects.exists()
    with pytest.raises(SecondPersonNeeded):
        decide(cast.rita, review)
    second = decide(cast.sol, review)
    assert second.is_final
    assert ForgeJob.objects.get().cause == f"decision:{second.pk}"
    assert {first.policy_version_id, second.policy_version_id, review.policy_version_id} == {rule.active_id}


@pytest.mark.parametrize("by", ["superuser", "bulk", "task"])
def test_no_door_lets_one_person_approve_twice(cast: Cast, by: str) -> None:
    switched_on(cast, required_approvals=2)
    review = made.proved_review(cast)
    one = cast.person(Role.ADMIN)
    Account.objects.filter(pk=one.pk).update(is_superuser=True)
    one.refresh_from_db()
    decide(one, review)
    asked = Asked("approve", WORDS)
    if by == "bulk":
        seen = bulk.Seen(review, review.head_commit, review.patch_digest, review.version)
        outcomes = bulk.decide_each(account=one, viewer=viewer_of(one), seen=[seen], asked=asked)
        assert [outcome.reason for outcome in outcomes] == ["second_person_needed"]
    else:
        viewer = EVERYTHING if by == "task" else viewer_of(one)
        with pytest.raises(SecondPersonNeeded):
            services.decide(account=one, viewer=viewer, review=review, asked=asked)
    approval = Decision.objects.get()
    approval.pk = uuid4()
    with pytest.raises(IntegrityError), transaction.atomic():
        approval.save(force_insert=True)  # the database holds it too
    assert not ForgeJob.objects.exists()


def test_after_the_first_it_takes_somebody_of_the_team(cast: Cast) -> None:
    security = Team.objects.create(name="Security")
    security.members.add(cast.sol)
    switched_on(cast, required_approvals=2, team=str(security.pk))
    review = made.proved_review(cast)
    decide(cast.rita, review)
    third = cast.person(Role.ADMIN)
    with pytest.raises(NotOfTheGroup, match="Security"):
        decide(third, review)
    assert decide(cast.sol, review).is_final


def test_a_policy_made_stricter_holds_for_rounds_that_are_open_already(cast: Cast) -> None:
    review = made.proved_review(cast)
    assert review.required_approvals == 1
    switched_on(cast, required_approvals=2)
    assert not decide(cast.rita, review).is_final


def test_a_policy_made_laxer_holds_once_the_round_shows_it(cast: Cast) -> None:
    rule = switched_on(cast, required_approvals=2)
    review = made.proved_review(cast)
    admin = Account.objects.get(username="the-boss")
    policies.switch_off(account=admin, viewer=viewer_of(admin), rule=rule)
    assert automatic.reconsider() == 1
    assert automatic.reconsider() == 0
    before, review = review.version, Review.objects.get(pk=review.pk)
    assert review.version == before + 1, "who looked before has to look again"
    assert (review.required_approvals, review.policies) == (1, [])
    assert decide(cast.rita, review).is_final


def test_a_rejection_needs_one_person(cast: Cast) -> None:
    switched_on(cast, required_approvals=3)
    assert decide(cast.rita, made.proved_review(cast), "reject").is_final


def test_approvals_given_on_another_round_do_not_count(cast: Cast) -> None:
    switched_on(cast, required_approvals=2)
    review = made.proved_review(cast)
    decide(cast.rita, review)
    with act(SYSTEM) as log:
        rounds.end_round(log, review, why="moot", because="x")
        again = rounds.open_round(log, remedy=review.remedy, because="It was put to the proof again.")
    assert again is not None
    assert not decide(cast.sol, again).is_final


def test_a_version_altered_in_the_table_is_not_believed(cast: Cast) -> None:
    rule = switched_on(cast, automatic=True)
    assert rule.active is not None
    rule.active.content["required_approvals"] = 1
    rule.active.content["recommendation"] = "approve"
    rule.active.save()
    review = made.proved_review(cast)
    assert (review.recommendation, review.required_approvals) == ("ask", 2)
