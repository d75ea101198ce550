"""Giving places to what would open or merge a pull request: within the caps, most urgent first, decided by one process at a time.

A job that finds no place is held: pending, shown with the reason, and claimed by nobody. ``settle`` gives free places to those that
wait longest for the worst; it is called by a job that begins, after one that ended, and by a duty, so nothing that is held is forgotten.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection
from django.db.models import Count, Min, Q, QuerySet
from django.utils import timezone

from immune import claims
from immune.events.actors import SYSTEM
from immune.events.log import Log, act
from immune.freezes import held_merges
from immune.homeostasis import states
from immune.homeostasis.room import Cap, Held, places
from immune.models import Balance, ForgeJob, Remedy
from immune.models.remedies import ForgeJobKind, ForgeJobState, RemedyState

# Like the log's, any constant will do. Taken before it, and by nobody who holds it.
LOCK = 0x696D6D76
HOUR = timedelta(hours=1)
_UNFINISHED = (ForgeJobState.PENDING, ForgeJobState.RUNNING)


def proposing() -> Cap:
    """Open pull requests of ours."""
    return Cap(
        settings.OPEN_PULL_REQUESTS_PER_REPOSITORY, settings.OPEN_PULL_REQUESTS, Held.REPOSITORY_FULL, Held.ALL_FULL
    )


def merging() -> Cap:
    """Merges within an hour."""
    return Cap(settings.MERGES_PER_HOUR_PER_REPOSITORY, settings.MERGES_PER_HOUR, Held.REPOSITORY_PACE, Held.ALL_PACE)


def may_begin(job: ForgeJob) -> bool:
    """Whether a claimed job has a place, or needs none. One that has none goes back to wait, unclaimed, as if it never began."""
    if job.admitted_at is not None or not _asking().filter(pk=job.pk).exists():
        return True
    settle()
    if ForgeJob.objects.filter(pk=job.pk, admitted_at__isnull=False).exists():
        return True
    # ``held`` stands on the row; where a place came free just now it no longer does, and the row is due as it is.
    claims.finish(job, to=ForgeJobState.PENDING, attempts=0, due_at=timezone.now())
    return False


def settle() -> int:
    """Gives every free place to the most urgent that waits for it, and says of the others why they wait. Returns how many were given.

    Raises what ``act`` raises. Two at once: the second waits for the first, and sees the places it gave.
    """
    if not _asking().exists():
        return 0
    with act(SYSTEM) as log:
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])
        now = timezone.now()
        return _settle(log, ForgeJobKind.OPEN_PULL_REQUEST, now) + _settle(log, ForgeJobKind.MERGE, now)


def _settle(log: Log, kind: str, now: datetime) -> int:
    rows = list(
        _by_urgency(_asking().filter(kind=kind)).values_list("pk", "remedy__repository_id", "held", "remedy_id")
    )
    if not rows:
        return 0
    if kind == ForgeJobKind.MERGE:
        answers: dict[UUID, Held | None] = places([row[:2] for row in rows], merges_of_the_hour(now), merging())
    elif states.new_proposals(_state()):
        answers = places([row[:2] for row in rows], open_pull_requests(), proposing())
    else:
        answers = {row[0]: Held.EMERGENCY for row in rows}
    given = 0
    for pk, repository, before, remedy in rows:
        why = answers[pk]
        if why is None:
            ForgeJob.objects.filter(pk=pk).update(admitted_at=now, held="")
            given += 1
        elif why != before:
            ForgeJob.objects.filter(pk=pk).update(held=why)
        if (why or "") != before:
            _note(log, pk, repository, kind, remedy, why or "")
        if why is None and before:
            log.wake("forge", pk)
    return given


def _note(log: Log, pk: UUID, repository: UUID, kind: str, remedy: UUID, why: str) -> None:
    log.record(
        "forge_job.held" if why else "forge_job.admitted",
        subject=f"forge_job:{pk}",
        repository=repository,
        data={"kind": kind, "remedy": str(remedy), **({"reason": str(why)} if why else {})},
    )


def _asking() -> QuerySet[ForgeJob]:
    """Jobs that need a place and have none. Renewing a pull request that is open already takes no other place, and a merge that
    waits for the end of a freeze takes none meanwhile."""
    opening = Q(kind=ForgeJobKind.OPEN_PULL_REQUEST, remedy__state=RemedyState.PLANNED)
    return ForgeJob.objects.filter(
        opening | Q(kind=ForgeJobKind.MERGE), state__in=_UNFINISHED, admitted_at__isnull=True
    ).exclude(held_merges())


def _by_urgency(rows: QuerySet[ForgeJob]) -> QuerySet[ForgeJob]:
    """The worst priority first, then what is due first, then what waits longest."""
    return rows.annotate(urgency=Min("remedy__apvs__priority"), first_due=Min("remedy__apvs__due_at")).order_by(
        "urgency", "first_due", "created_at", "pk"
    )


def open_pull_requests() -> dict[Any, int]:
    """Our open pull requests by repository: proposed ones, those being opened, and superseded ones that are still to be closed."""
    opening = Q(
        state=RemedyState.PLANNED,
        jobs__kind=ForgeJobKind.OPEN_PULL_REQUEST,
        jobs__admitted_at__isnull=False,
        jobs__state__in=_UNFINISHED,
    )
    closing = Q(state=RemedyState.SUPERSEDED, jobs__kind=ForgeJobKind.CLOSE, jobs__state__in=_UNFINISHED)
    rows = Remedy.objects.filter(Q(state=RemedyState.PROPOSED) | opening | closing).order_by()
    return dict(rows.values_list("repository").annotate(Count("pk", distinct=True)))


def merges_of_the_hour(now: datetime) -> dict[Any, int]:
    """Merges begun within the hour before ``now`` by repository; those the forge refused are none."""
    states_ = (*_UNFINISHED, ForgeJobState.DONE)
    rows = ForgeJob.objects.filter(kind=ForgeJobKind.MERGE, admitted_at__gt=now - HOUR, state__in=states_).order_by()
    return dict(rows.values_list("remedy__repository").annotate(Count("pk")))


def _state() -> states.State:
    """The state last found. Without one nothing was measured yet, which is no emergency."""
    found = Balance.objects.values_list("state", flat=True).first()
    return states.State(found) if found else states.State.REST
