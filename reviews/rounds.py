"""Opening and ending review rounds: what the system does when wargames end, forges answer or the world changes.

What people do with an open round stands in ``services``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from django.db.models import Max

from immune.events.log import Log
from immune.models import APV, Remedy
from immune.models.apvs import APVStatus
from immune.transitions import move_apv
from reviews import policy
from reviews.models import Review, ReviewItem, ReviewState
from reviews.policies.consulting import consult, speaking_per_apv
from reviews.transitions import move_review
from wargaming.models import COUNTING, Wargame, WargameState

# What has ended for itself is no longer asked about, whatever the remedy once was made for.
ENDED = (APVStatus.RESOLVED, APVStatus.WITHDRAWN, APVStatus.MERGED, APVStatus.SUPPRESSED)


def open_round(log: Log, *, remedy: Remedy, because: str) -> Review | None:
    """Opens the next round about a remedy whose wargames for its current head have all ended.

    Returns None, changing nothing, while a wargame is still to end, when a round is open already, or when the remedy serves no
    APV any more. Its APVs come out of it ``in_review``.
    """
    apvs = list(remedy.apvs.exclude(status__in=ENDED).select_for_update().order_by("priority", "apv_code"))
    if not apvs or Review.objects.filter(remedy=remedy).exclude(state=ReviewState.DECIDED).exists():
        return None
    wargames = list(Wargame.objects.filter(remedy=remedy, head_commit=remedy.head_commit).filter(COUNTING))
    if any(wargame.state in (WargameState.PENDING, WargameState.RUNNING) for wargame in wargames):
        return None
    asked_about = {apv.pk for apv in apvs}
    spoke = speaking_per_apv([wargame for wargame in wargames if wargame.apv_id in asked_about])
    consulted = consult(remedy, apvs, list(spoke.values()))
    weakest = policy.weakest(consulted.facts.verdicts)
    review = Review.objects.create(
        repository_id=remedy.repository_id,
        remedy=remedy,
        round=_next_round(Review.objects.filter(remedy=remedy).aggregate(last=Max("round"))["last"]),
        head_commit=remedy.head_commit,
        patch_digest=remedy.patch_digest,
        evidence_digest=_evidence_digest(remedy, spoke.values()),
        weakest_verdict=weakest[0] if weakest else "",
        confidence=weakest[1] if weakest else None,
        **consulted.columns(),
        opened_because=because,
        due_at=min(apv.due_at for apv in apvs),
        priority=min(apv.priority for apv in apvs),
    )
    for apv in apvs:
        wargame = spoke.get(apv.pk)
        ReviewItem.objects.create(
            review=review,
            apv=apv,
            wargame=wargame,
            verdict=wargame.verdict if wargame else "",
            confidence=wargame.confidence if wargame else None,
        )
        if apv.status != APVStatus.IN_REVIEW:
            move_apv(apv, to=APVStatus.IN_REVIEW, log=log, why="review_opened")
    _note_opened(log, review)
    return review


def open_no_fix_round(log: Log, *, apv: APV) -> Review | None:
    """Opens a round about an APV that no version closes; None when one is open already."""
    if Review.objects.filter(apv=apv).exclude(state=ReviewState.DECIDED).exists():
        return None
    advice = policy.advise(policy.Facts((), apv.severity, apv.priority, "", has_remedy=False))
    review = Review.objects.create(
        repository_id=apv.repository_id,
        apv=apv,
        round=_next_round(Review.objects.filter(apv=apv).aggregate(last=Max("round"))["last"]),
        recommendation=advice.recommendation,
        recommendation_reasons=list(advice.reasons),
        opened_because=apv.reason,
        due_at=apv.due_at,
        priority=apv.priority,
    )
    ReviewItem.objects.create(review=review, apv=apv)
    _note_opened(log, review)
    return review


def end_round(log: Log, review: Review, *, why: str, because: str) -> None:
    """Ends an open round without a decision: what it asked about is gone. ``why`` is the cause for the log."""
    move_review(review, to=ReviewState.DECIDED, log=log, why=why, closed_because=because)


def _evidence_digest(remedy: Remedy, wargames: Iterable[Wargame]) -> str:
    parts = [remedy.head_commit, remedy.patch_digest]
    parts += sorted(f"{w.apv_id}:{w.verdict}:{w.evidence_id or ''}" for w in wargames)
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _next_round(last: int | None) -> int:
    return (last or 0) + 1


def _note_opened(log: Log, review: Review) -> None:
    log.record(
        "review.opened",
        subject=f"review:{review.pk}",
        repository=review.repository_id,
        data={
            "remedy": str(review.remedy_id) if review.remedy_id else None,
            "apvs": [item.apv.apv_code for item in review.items.select_related("apv")],
            "round": review.round,
            "weakest_verdict": review.weakest_verdict,
            "recommendation": review.recommendation,
            "policies": [spoke["version"] for spoke in review.policies],
            "priority": review.priority,
        },
    )
