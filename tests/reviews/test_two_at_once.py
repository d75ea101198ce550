"""Two reviewers deciding the same round at the same moment, a hundred times: one decision each, the other is told whose."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection

from immune.models import APV, Account, Event, ForgeJob
from immune.people.selectors import viewer_of
from reviews import services
from reviews.decisions import Asked
from reviews.errors import ReviewError
from reviews.models import Decision, Review
from tests.reviews import cast as made
from tests.reviews.cast import Cast

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.both_databases]
TIMES = 100


def reviews_of(cast: Cast, count: int) -> list[Review]:
    found = []
    for number in range(count):
        package = f"package{number}"
        threat = made.apv(cast.repository, made.advisory(f"GHSA-{package}"), package=package)
        found.append(made.review(made.remedy(cast.repository, threat, package=package)))
    return found


def at_once(count: int, *acts: Callable[[int], Any]) -> list[list[Any]]:
    """Each act in a thread of its own, all starting round n together; what each answered or refused with, by round."""
    barrier = threading.Barrier(len(acts), timeout=120)
    answers: list[list[Any]] = [[None] * len(acts) for _ in range(count)]

    def play(place: int, act: Callable[[int], Any]) -> None:
        try:
            for number in range(count):
                barrier.wait()
                try:
                    answers[number][place] = act(number)
                except ReviewError as refusal:
                    answers[number][place] = refusal
        except BaseException:
            barrier.abort()
            raise
        finally:
            connection.close()

    threads = [threading.Thread(target=play, args=(place, act)) for place, act in enumerate(acts)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not barrier.broken
    return answers


def deciding(account: Account, reviews: list[Review], choice: str, **more: Any) -> Callable[[int], Decision]:
    viewer = viewer_of(account)

    def act(number: int) -> Decision:
        review = reviews[number]
        asked = Asked(choice, "Read both runs, and the change.", review.head_commit, review.patch_digest)
        return services.decide(account=account, viewer=viewer, review=review, asked=asked, **more)

    return act


def test_one_decides_and_the_other_is_told_who_did() -> None:
    cast = Cast()
    reviews = reviews_of(cast, TIMES)
    answers = at_once(TIMES, deciding(cast.rita, reviews, "approve"), deciding(cast.sol, reviews, "reject"))
    for review, pair in zip(reviews, answers, strict=True):
        (decision,) = Decision.objects.filter(review=review)
        (told,) = [answer for answer in pair if isinstance(answer, ReviewError)]
        assert told.reason == "already_decided", told
        assert told.details["by"] == decision.reviewer_name
        assert told.details["choice"] == decision.decision
        assert [answer.pk for answer in pair if isinstance(answer, Decision)] == [decision.pk]
        job = ForgeJob.objects.get(remedy=review.remedy)
        assert job.kind == decision.action_taken
        assert APV.objects.get(remedy=review.remedy).status == (
            "approved" if decision.decision == "approve" else "in_review"
        )
    assert Decision.objects.count() == ForgeJob.objects.count() == TIMES
    assert Event.objects.filter(kind="decision.made").count() == TIMES


def test_one_request_sent_twice_at_once_is_one_decision_to_both() -> None:
    cast = Cast()
    reviews = reviews_of(cast, 30)

    def sent(number: int) -> Decision:
        return deciding(cast.rita, reviews, "approve", idempotency_key=f"key-{number}")(number)

    for pair in at_once(30, sent, sent):
        assert isinstance(pair[0], Decision), pair
        assert isinstance(pair[1], Decision), pair
        assert pair[0].pk == pair[1].pk
    assert Decision.objects.count() == ForgeJob.objects.count() == 30


def test_two_claiming_at_once_is_one_claim() -> None:
    cast = Cast()
    reviews = reviews_of(cast, 30)

    def claiming(account: Account) -> Callable[[int], Review]:
        return lambda number: services.claim_review(account=account, viewer=viewer_of(account), review=reviews[number])

    outcomes: Counter[str] = Counter()
    for number, pair in enumerate(at_once(30, claiming(cast.rita), claiming(cast.sol))):
        (refused,) = [answer for answer in pair if isinstance(answer, ReviewError)]
        outcomes[refused.reason] += 1
        holder = Review.objects.get(pk=reviews[number].pk).claimed_by
        assert holder is not None
        assert refused.details["by"] == holder.shown_name
    assert outcomes == {"claimed_by_another": 30}


def test_where_two_approvals_are_needed_two_at_once_are_exactly_one_merge() -> None:
    cast = Cast()
    reviews = reviews_of(cast, 30)
    Review.objects.update(required_approvals=2)
    answers = at_once(30, deciding(cast.rita, reviews, "approve"), deciding(cast.sol, reviews, "approve"))
    for pair in answers:
        assert sorted(answer.is_final for answer in pair) == [False, True], pair
    assert ForgeJob.objects.filter(kind="merge_pr").count() == ForgeJob.objects.count() == 30
