"""One decision asked for on many reviews: each is decided by ``services.decide`` on its own and has its own outcome."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from immune.models import Account
from immune.people.selectors import Viewer
from reviews import services
from reviews.decisions import Asked
from reviews.errors import ReviewError
from reviews.models import Choice, Decision, Review

MOST = 100
# A modification names a version of one package, so it is no answer for many.
OFFERED = (Choice.APPROVE, Choice.REJECT, Choice.ESCALATE)


@dataclass(frozen=True, slots=True)
class Seen:
    """A review and what the person saw of it."""

    review: Review
    head: str
    patch: str
    version: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """``decision`` when it was taken, else the machine-readable ``reason`` and a ``message`` for people."""

    review: Review
    decision: Decision | None
    reason: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class Foreseen:
    """What a decision on a review would meet now: the ``refusal``, or None when it would be taken."""

    review: Review
    refusal: ReviewError | None


def foresee_each(*, account: Account, viewer: Viewer, reviews: Iterable[Review], asked: Asked) -> list[Foreseen]:
    """What would become of each, by the same rules that decide it. Changes nothing."""
    return [
        Foreseen(review, services.foresee(account=account, viewer=viewer, review=review, asked=asked))
        for review in reviews
    ]


def decide_each(
    *, account: Account, viewer: Viewer, seen: Sequence[Seen], asked: Asked, idempotency_key: str = ""
) -> list[Outcome]:
    """Decides each on its own; one that is refused keeps none of the others back. Raises ValueError beyond ``MOST`` rows.

    Every rule of a single decision (role, sight, claim, evidence seen, second person) holds for each row: they live below.
    """
    if len(seen) > MOST:
        raise ValueError(f"at most {MOST} reviews at once")
    outcomes = []
    for row in seen:
        try:
            decision = services.decide(
                account=account,
                viewer=viewer,
                review=row.review,
                asked=replace(asked, seen_head=row.head, seen_patch=row.patch),
                expected_version=row.version,
                idempotency_key=f"{idempotency_key}:{row.review.pk}" if idempotency_key else "",
            )
        except ReviewError as error:
            outcomes.append(Outcome(row.review, None, error.reason, str(error)))
        else:
            outcomes.append(Outcome(row.review, decision))
    return outcomes
