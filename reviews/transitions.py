"""The moves of a review round, and of a review in a campaign."""

from __future__ import annotations

from typing import Any

from django.db.models import F

from immune.events.log import Log
from immune.transitions import Machine, move
from reviews.models import CampaignItem, CampaignItemState, Review, ReviewState

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
    # Read again by whoever asks for it; most who move a round do not.
    del review.version


def _text(value: object) -> str | None:
    return str(value) if value else None


C = CampaignItemState
CAMPAIGN_ITEM_MACHINE = Machine(
    "campaign_item",
    "state",
    {
        C.WAITING: frozenset({C.DECIDED, C.NOTED, C.REFUSED}),
        # What became of it afterwards is the review's to say.
        C.DECIDED: frozenset(),
        C.NOTED: frozenset(),
        C.REFUSED: frozenset(),
        C.SHOWN: frozenset(),
    },
)


def move_campaign_item(item: CampaignItem, *, to: str, log: Log, why: str, **changes: Any) -> None:
    """Notes what became of one review of a campaign. Raises as ``immune.transitions.move``."""
    data = {"campaign": str(item.campaign_id), "review": str(item.review_id)}
    move(CAMPAIGN_ITEM_MACHINE, item, to=to, log=log, why=why, data=data, **changes)
