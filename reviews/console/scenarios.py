"""Scenarios on the review page: what was tried and by whose word, what people attached, what was refused."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from django.http import HttpRequest

from immune.models import APV
from reviews.console.base import account, viewer
from reviews.models import Review
from wargaming.models import COUNTING, AttachedScenario, RefusedScenario, Wargame
from wargaming.speaking import vouched


@dataclass(frozen=True, slots=True)
class Tried:
    """One wargame of the change as a line; ``vouched``: whether it counts towards an approval without people."""

    wargame: Wargame
    vouched: bool


@dataclass(frozen=True, slots=True)
class Offer:
    """One attached scenario; ``may_accept``: whether the person who looks may stand for it."""

    row: AttachedScenario
    may_accept: bool


@dataclass(frozen=True, slots=True)
class Scenarios:
    """What was tried for one APV, and what people attached to it."""

    apv: APV
    tried: tuple[Tried, ...]
    offers: tuple[Offer, ...]


def of_review(request: HttpRequest, review: Review, apvs: list[APV]) -> list[Scenarios]:
    """For each APV of a round about a remedy, in two queries."""
    if review.remedy_id is None:
        return []
    me, may_decide = account(request).pk, viewer(request).may("decide")
    games = Wargame.objects.filter(COUNTING, remedy=review.remedy_id, head_commit=review.head_commit)
    tried: dict[UUID, list[Tried]] = {}
    for game in games.order_by("created_at", "pk"):
        tried.setdefault(game.apv_id, []).append(Tried(game, vouched(game)))
    offers: dict[UUID, list[Offer]] = {}
    rows = AttachedScenario.objects.filter(apv__in=apvs).select_related("attached_by", "accepted_by")
    for row in rows.order_by("name", "-version"):
        may_accept = may_decide and row.accepted_by_id is None and row.attached_by_id != me
        offers.setdefault(row.apv_id, []).append(Offer(row, may_accept))
    return [Scenarios(apv, tuple(tried.get(apv.pk, ())), tuple(offers.get(apv.pk, ()))) for apv in apvs]


def refused(review: Review) -> list[RefusedScenario]:
    """The repository's own that are none, as the remedy's base has them."""
    if review.remedy is None:
        return []
    rows = RefusedScenario.objects.filter(remedy=review.remedy_id, base_commit=review.remedy.base_commit)
    return list(rows.order_by("folder"))
