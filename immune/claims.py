"""Claiming work: a conditional UPDATE takes a row, an UPDATE that still names the owner gives it back.

Any process may claim. A row whose lease ran out may be claimed by another; its former owner then changes zero rows and walks
away. Works the same on PostgreSQL and SQLite, since the condition is part of the UPDATE itself.
"""

from __future__ import annotations

import os
import secrets
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

import structlog
from django.db import DatabaseError, close_old_connections, connection, transaction
from django.db.models import F, Max, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.utils import timezone

from immune.models.work import Turn, Work

log = structlog.get_logger(__name__)

PENDING, RUNNING = "pending", "running"
HASTE = timedelta(days=365)  # longer than anything waits by itself


class LostClaim(Exception):
    """The row is no longer ours: the lease ran out and somebody else took it, or a person cancelled it."""


def new_owner() -> str:
    """A token that names this attempt: host, process and a random part."""
    return f"{socket.gethostname()[:30]}:{os.getpid()}:{secrets.token_hex(6)}"


def due(rows: QuerySet[Any], *, now: datetime | None = None) -> QuerySet[Any]:
    """The rows that may be claimed now: pending and due, or running with a lease that ran out."""
    now = now or timezone.now()
    return rows.filter(Q(state=PENDING, due_at__lte=now) | Q(state=RUNNING, lease_until__lt=now))


def claim(rows: QuerySet[Any], *, lease: timedelta, owner: str, among: int = 8) -> Any | None:
    """Takes the most overdue of ``rows`` that may be claimed, or returns None. Losing a race tries the next candidate."""
    now = timezone.now()
    free = due(rows, now=now)
    for pk in list(free.order_by("due_at").values_list("pk", flat=True)[:among]):
        if _take(rows.model, pk, now, lease, owner):
            return rows.model._default_manager.get(pk=pk)
    return None


def claim_in_turn(
    rows: QuerySet[Any], *, kind: str, repository: str, lease: timedelta, owner: str, tries: int = 64
) -> Any | None:
    """Like ``claim``, but the repository served the longest ago comes first, then the row that was due first.

    ``repository`` is the path from a row to its repository. So one with a hundred rows waits behind one with a single row after
    each of its own. Row and turn change in one transaction: who loses the race for the first row sees the winner's turn when it
    looks again, so no two claimers serve one repository twice in a row past another that waits.
    """
    for _ in range(tries):
        now = timezone.now()
        served = Turn.objects.filter(kind=kind, repository=OuterRef(repository)).values("served")
        first = (
            due(rows, now=now)
            .annotate(served=Coalesce(Subquery(served), 0))
            .order_by("served", "due_at", "pk")
            .values_list("pk", repository)
            .first()
        )
        if first is None:
            return None
        with transaction.atomic():
            if not _take(rows.model, first[0], now, lease, owner):
                continue
            last = Turn.objects.filter(kind=kind).aggregate(last=Max("served"))["last"] or 0
            Turn.objects.bulk_create(
                [Turn(kind=kind, repository_id=first[1], served=last + 1)],
                update_conflicts=True,
                unique_fields=["kind", "repository"],
                update_fields=["served"],
            )
        return rows.model._default_manager.get(pk=first[0])
    return None


def _take(model: type[Work], pk: Any, now: datetime, lease: timedelta, owner: str) -> bool:
    return bool(
        due(model._default_manager.filter(pk=pk), now=now).update(
            state=RUNNING, owner=owner, lease_until=now + lease, attempts=F("attempts") + 1
        )
    )


def finish(row: Work, *, to: str, **changes: Any) -> None:
    """Ends our claim with state ``to``. Raises LostClaim when the row is no longer ours."""
    changes = {"state": to, "owner": "", "lease_until": None, **changes}
    if not _ours(row).update(**changes):
        raise LostClaim(f"{row._meta.db_table} {row.pk} is no longer held by {row.owner}")
    for name, value in changes.items():
        setattr(row, name, value)


def extend(row: Work, *, lease: timedelta) -> bool:
    """Extends our lease; False when the row is no longer ours."""
    return bool(_ours(row).update(lease_until=timezone.now() + lease))


def release(row: Work, *, wait: timedelta, error: str) -> None:
    """Gives our claim back to be tried again after ``wait``. Raises LostClaim when the row is no longer ours."""
    finish(row, to=PENDING, due_at=timezone.now() + wait, last_error=error[:2000])


def hasten(rows: QuerySet[Any]) -> list[Any]:
    """Puts pending rows before whatever else of their kind, or of their repository's turn, waits. Returns their ids."""
    ids = list(rows.filter(state=PENDING).values_list("pk", flat=True))
    rows.model._default_manager.filter(pk__in=ids, state=PENDING).update(due_at=timezone.now() - HASTE)
    return ids


def _ours(row: Work) -> QuerySet[Any]:
    rows: QuerySet[Any] = type(row)._default_manager.all()
    return rows.filter(pk=row.pk, owner=row.owner, state=RUNNING)


@contextmanager
def heartbeat(row: Work, *, lease: timedelta, look: timedelta | None = None) -> Iterator[threading.Event]:
    """Extends the lease every third of it from a thread of its own. Yields an Event that is set once the claim is lost.

    With ``look`` the beat is that much shorter, so that what a person cancelled stops that soon.
    """
    lost, stop = threading.Event(), threading.Event()
    rest = min(lease / 3, look or lease).total_seconds()

    def beat() -> None:
        try:
            while not stop.wait(rest):
                try:
                    close_old_connections()
                    if not extend(row, lease=lease):
                        lost.set()
                        return
                except DatabaseError:
                    # The database may come back before the lease ends; if not, another process takes over and we find out.
                    log.warning("heartbeat_failed", table=row._meta.db_table, pk=str(row.pk))
        finally:
            connection.close()

    thread = threading.Thread(target=beat, name=f"heartbeat-{row.pk}", daemon=True)
    thread.start()
    try:
        yield lost
    finally:
        stop.set()
        thread.join(timeout=10)


def backoff(attempts: int, *, first: float = 1.0, ceiling: float = 300.0) -> timedelta:
    """Time to wait before the next attempt: doubling with full jitter up to ``ceiling`` seconds."""
    longest = min(ceiling, first * 2 ** min(attempts, 20))
    return timedelta(seconds=longest * (0.5 + secrets.randbelow(500) / 1000))
