"""Measuring how the whole is doing, keeping it for everybody to read, and what follows: whether a machine may approve."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Count, Min, Q
from django.utils import timezone

from immune import claims, leases, work
from immune.events.actors import SYSTEM
from immune.events.log import act
from immune.homeostasis import admission, states
from immune.homeostasis.states import Figures
from immune.models import Balance, Delivery, Event, ForgeJob, Scan
from immune.models.events import DeliveryState
from immune.models.remedies import ForgeJobState
from immune.models.repositories import ScanState

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
# Kinds of events that say that something we merged went wrong.
ALARMS = ("aftermath.alarmed",)
# After this long without a look nobody knows how things are.
FRESH = timedelta(minutes=5)


def look() -> None:
    """The duty: measures, keeps the state, and gives places that came free. A change of the state is an event."""
    now = timezone.now()
    figures = measure(now)
    found = states.assess(figures)
    with act(SYSTEM) as log:
        leases.fence()
        before = Balance.objects.select_for_update().first()
        same = before is not None and before.state == found.state
        Balance.objects.update_or_create(
            pk=1,
            defaults={
                "state": found.state,
                "since": before.since if before is not None and same else now,
                "looked_at": now,
                "figures": asdict(figures),
                "reasons": list(found.reasons),
            },
        )
        if not same:
            log.record(
                "balance.moved",
                subject="balance:1",
                data={
                    "from": str(before.state) if before else str(states.State.REST),
                    "to": str(found.state),
                    "reasons": list(found.reasons),
                },
            )
    admission.settle()


def measure(now: datetime) -> Figures:
    """The figures as of ``now``. Held work is no queue: it waits for a place, not for a worker."""
    queue, oldest, busy = 0, 0.0, False
    for kind in work.kinds():
        due = claims.due(kind.rows(), now=now).aggregate(count=Count("pk"), first=Min("due_at"))
        queue += due["count"]
        if due["first"] is not None:
            oldest = max(oldest, (now - due["first"]).total_seconds())
        busy = busy or kind.rows().filter(state__in=(claims.PENDING, claims.RUNNING)).exists()
    ended, failed = 0, 0
    for rows, bad, all_ends in (
        (
            ForgeJob.objects.all(),
            ForgeJobState.FAILED,
            (ForgeJobState.DONE, ForgeJobState.REFUSED, ForgeJobState.FAILED),
        ),
        (Scan.objects.all(), ScanState.FAILED, (ScanState.DONE, ScanState.FAILED)),
    ):
        counted = rows.filter(finished_at__gt=now - HOUR, state__in=all_ends).aggregate(
            ended=Count("pk"), failed=Count("pk", filter=Q(state=bad))
        )
        ended, failed = ended + counted["ended"], failed + counted["failed"]
    return Figures(
        busy=busy,
        queue=queue,
        oldest_seconds=round(oldest, 1),
        ended=ended,
        failed=failed,
        saturation=round(_saturation(now), 3),
        given_up=Delivery.objects.filter(state=DeliveryState.PARKED).count(),
        alarms=Event.objects.filter(kind__in=ALARMS, occurred_at__gt=now - DAY).count(),
    )


def _saturation(now: datetime) -> float:
    """The fuller of the two caps over all; one that is switched off is never full."""
    shares = [
        sum(taken.values()) / most
        for taken, most in (
            (admission.open_pull_requests(), settings.OPEN_PULL_REQUESTS),
            (admission.merges_of_the_hour(now), settings.MERGES_PER_HOUR),
        )
        if most
    ]
    return max(shares, default=0.0)


def current() -> Balance | None:
    """What the last look found; None before the first."""
    return Balance.objects.first()


def automatic_approval_allowed() -> tuple[bool, str]:
    """Whether a machine may approve now, and why not (machine-readable): the state forbids it, or nobody looked lately."""
    found = current()
    if found is None or timezone.now() - found.looked_at > FRESH:
        return False, "balance_unknown"
    if not states.automatic_approval(states.State(found.state)):
        return False, f"balance_{found.state}"
    return True, ""
