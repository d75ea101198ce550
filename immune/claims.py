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
from django.db import DatabaseError, close_old_connections, connection
from django.db.models import F, Q, QuerySet
from django.utils import timezone

from immune.models.work import Work

log = structlog.get_logger(__name__)

PENDING, RUNNING = "pending", "running"


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
        taken = due(rows.model._default_manager.filter(pk=pk), now=now).update(
            state=RUNNING, owner=owner, lease_until=now + lease, attempts=F("attempts") + 1
        )
        if taken:
            return rows.model._default_manager.get(pk=pk)
    return None


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


def _ours(row: Work) -> QuerySet[Any]:
    rows: QuerySet[Any] = type(row)._default_manager.all()
    return rows.filter(pk=row.pk, owner=row.owner, state=RUNNING)


@contextmanager
def heartbeat(row: Work, *, lease: timedelta) -> Iterator[threading.Event]:
    """Extends the lease every third of it from a thread of its own. Yields an Event that is set once the claim is lost."""
    lost, stop = threading.Event(), threading.Event()

    def beat() -> None:
        try:
            while not stop.wait(lease.total_seconds() / 3):
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
