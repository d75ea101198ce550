"""Pull requests of ours that nobody decided about for long: closed with the reason, and made anew on the branch as it is by now.

What was proved weeks ago was proved for a branch that has moved on since. A claim, a word or an escalation is people being at it:
each starts the time anew.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db.models import F, QuerySet
from django.utils import timezone

from immune import rebasing
from immune.events.actors import SYSTEM
from immune.events.log import act
from immune.models import Remedy
from immune.models.remedies import RemedyState
from immune.remedies import decision_under_way
from reviews.models import Review, ReviewState


def close_stale() -> int:
    """The duty: gives up every proposed change that has waited STALE_PULL_REQUEST_DAYS for a decision. Returns how many."""
    days = settings.STALE_PULL_REQUEST_DAYS
    if not days:
        return 0
    since = timezone.now() - timedelta(days=days)
    return sum(_close(pk, since, days) for pk in list(_unanswered(since).values_list("pk", flat=True)))


def _unanswered(since: datetime) -> QuerySet[Review]:
    """Open rounds about which nobody has said anything after ``since``.

    While the default branch stands where the change was cut from, making it anew would make the same: those stay, overdue.
    """
    return (
        Review.objects.filter(state=ReviewState.PENDING, opened_at__lt=since, remedy__state=RemedyState.PROPOSED)
        .exclude(repository__head_commit=F("remedy__base_commit"))
        .exclude(repository__head_commit="")
        .exclude(decisions__created_at__gte=since)
        .exclude(comments__created_at__gte=since)
        .order_by("opened_at", "pk")
    )


def _close(pk: UUID, since: datetime, days: int) -> bool:
    with act(SYSTEM) as log:
        # In the order in which a decision takes them, so that of a decision and this one waits and sees what the other did.
        review = Review.objects.select_for_update().get(pk=pk)
        if review.remedy_id is None or not _unanswered(since).filter(pk=pk).exists():
            return False
        remedy = Remedy.objects.select_for_update(of=("self",)).select_related("repository").get(pk=review.remedy_id)
        if remedy.state != RemedyState.PROPOSED or decision_under_way(remedy):
            return False
        because = f"Nobody decided about it for {days} days, and the branch has moved on: it is made and proved anew."
        rebasing.begin_anew(log, remedy, why="stale", because=because)
    return True
