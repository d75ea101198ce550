"""The moves of a review round."""

from __future__ import annotations

from typing import Any

from django.db.models import F

from immune.events.log import Log
from immune.transitions import Machine, move
from reviews.models import Review, ReviewState

S = ReviewState
REVIEW_MACHINE = Machine(
    "review",
    "state",
    {
        S.PENDING: frozenset({S.CLAIMED, S.DECIDED}),
        # A claim may also be given back or run out.
        S.CLAIMED: frozenset({S.PENDING, S.DECIDED}),
        S.DECIDED: frozenset(),
    },
)


def move_review(review: Review, *, to: str, log: Log, why: str, **changes: Any) -> None:
    """Moves a round and raises its version, so that who looked before notices. Raises as ``immune.transitions.move``."""
    data = {"remedy": _text(review.remedy_id), "apv": _text(review.apv_id), "round": review.round}
    move(REVIEW_MACHINE, review, to=to, log=log, why=why, data=data, version=F("version") + 1, **changes)
    review.refresh_from_db(fields=["version"])


def _text(value: object) -> str | None:
    return str(value) if value else None
