"""How long evidence is kept: what a decision rested on for ever, what is still asked about for as long as it is, the rest for
EVIDENCE_DAYS. A removed archive leaves its row, so that whoever asks for it is told."""

from __future__ import annotations

from datetime import timedelta

from django.conf import settings
from django.db.models import Exists, OuterRef
from django.utils import timezone

from immune import leases
from immune.events.actors import SYSTEM
from immune.events.log import act
from immune.models.remedies import LIVE_REMEDIES
from reviews.models import Decision
from wargaming.models import Evidence, Wargame

AT_ONCE = 200


def remove_old_evidence() -> int:
    """The duty: empties archives that are old and that nothing rests on. Returns how many."""
    if not settings.EVIDENCE_DAYS:
        return 0
    before = timezone.now() - timedelta(days=settings.EVIDENCE_DAYS)
    removed = 0
    while found := _remove_some(before):
        removed += found
    return removed


def _remove_some(before: object) -> int:
    games = Wargame.objects.filter(evidence=OuterRef("pk"))
    # All wargames of a head that was decided on, not only those that spoke: people saw them on the same page.
    decided = Decision.objects.filter(review__remedy=OuterRef("remedy"), head_commit=OuterRef("head_commit"))
    old = Evidence.objects.filter(created_at__lt=before, removed_at=None).exclude(
        Exists(games.filter(remedy__state__in=LIVE_REMEDIES)) | Exists(games.filter(Exists(decided)))
    )
    with act(SYSTEM) as log:
        leases.fence()
        digests = list(old.select_for_update().order_by("pk").values_list("pk", flat=True)[:AT_ONCE])
        Evidence.objects.filter(pk__in=digests).update(archive=b"", removed_at=timezone.now())
        for digest in digests:
            log.record("evidence.removed", subject=f"evidence:{digest}", data={"days": settings.EVIDENCE_DAYS})
    return len(digests)
