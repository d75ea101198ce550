"""The figures of ``stats_update``: what waits for people, within the viewer's sight, and how the whole is doing."""

from __future__ import annotations

from typing import Any

from django.db.models import Count

from immune.homeostasis import balance
from immune.models import APV, ForgeJob
from immune.models.apvs import LIVE
from immune.models.remedies import ForgeJobState
from immune.people.selectors import Viewer, within_sight
from reviews.models import Review, ReviewState


def live_figures(viewer: Viewer) -> dict[str, Any]:
    """{pending, claimed, live_apvs, by_severity, by_status, balance}: rounds waiting, and APVs that are not at an end, within sight."""
    rounds = dict(
        Review.objects.filter(within_sight(viewer))
        .exclude(state=ReviewState.DECIDED)
        .values_list("state")
        .annotate(n=Count("*"))
    )
    live = APV.objects.filter(within_sight(viewer), status__in=LIVE)
    by_severity = dict(live.values_list("severity").annotate(n=Count("*")))
    by_status = dict(live.values_list("status").annotate(n=Count("*")))
    return {
        "pending": rounds.get(ReviewState.PENDING, 0),
        "claimed": rounds.get(ReviewState.CLAIMED, 0),
        "live_apvs": sum(by_status.values()),
        "by_severity": by_severity,
        "by_status": by_status,
        "balance": shown_balance(viewer),
    }


def shown_balance(viewer: Viewer) -> dict[str, Any]:
    """{state, since, reasons, held}: state and since null before the first look; held counts jobs within sight by their reason."""
    found = balance.current()
    held = ForgeJob.objects.filter(within_sight(viewer, "remedy__repository"), state=ForgeJobState.PENDING)
    by_reason = held.exclude(held="").order_by().values_list("held").annotate(n=Count("*"))
    return {
        "state": found.state if found else None,
        "since": found.since.isoformat() if found else None,
        "reasons": found.reasons if found else [],
        "held": dict(by_reason),
    }
