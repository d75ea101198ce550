"""Doing a duty once across all processes: a lease in the database, with a token that grows with every holder.

Taking is a conditional UPDATE judged by the database's clock, so that no machine's own clock matters. The holder extends its lease
while it works; one that is killed is followed by another as soon as the lease runs out. One that merely slept finds its token
outdated: what it does in steps calls ``fence`` inside each transaction, which then refuses.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import timedelta

import structlog
from django.conf import settings
from django.db import DatabaseError, close_old_connections, connection
from django.db.models import F, Q, QuerySet
from django.db.models.functions import Now
from django.utils.module_loading import import_string

from immune import claims
from immune.duties import Duty
from immune.models import Lease

LEASE = timedelta(seconds=12)
LONGEST_WAIT = 300.0  # seconds until a duty that failed is tried again

log = structlog.get_logger(__name__)


class LostLease(Exception):
    """Another process holds the duty now; whatever was about to be written must not be."""


@dataclass(frozen=True, slots=True)
class Held:
    name: str
    token: int


_held: ContextVar[Held | None] = ContextVar("immune_lease", default=None)


def duty_named(name: str) -> Duty:
    """Raises LookupError for a name that is none."""
    for duty in settings.DUTIES:
        if duty.name == name:
            return duty
    raise LookupError(f"no duty {name}")


def perform(name: str) -> bool:
    """Does a duty when it is due and nobody else does it. False when there was nothing to do here. What it raises is logged."""
    duty = duty_named(name)
    held = take(duty)
    if held is None:
        return False
    marker = _held.set(held)
    error = ""
    try:
        with _extended(held):
            import_string(duty.run)()
    except LostLease:
        log.info("duty_lost", duty=name, token=held.token)
        return False
    except Exception as failure:
        log.exception("duty_failed", duty=name)
        error = f"{type(failure).__name__}: {failure}"
    finally:
        _held.reset(marker)
    _end(duty, held, error)
    return not error


def take(duty: Duty) -> Held | None:
    """Takes the duty's lease, or returns None: it is not due, or another holds it."""
    row = Lease.objects.filter(name=duty.name)
    if not row.exists():
        first = Now() if duty.at_once else Now() + timedelta(seconds=duty.seconds)
        Lease.objects.bulk_create([Lease(name=duty.name)], ignore_conflicts=True)
        row.filter(token=0, due_at=None).update(due_at=first)
    # Looked at first, since most looks find nothing due and a write would wait its turn on SQLite.
    if not _free(row).exists():
        return None
    owner = claims.new_owner()
    taken = _free(row).update(
        holder=owner, token=F("token") + 1, until=Now() + LEASE, began_at=Now(), ended_at=None, last_error=""
    )
    if not taken:
        return None
    token = row.filter(holder=owner).values_list("token", flat=True).first()
    return None if token is None else Held(duty.name, token)


def _free(row: QuerySet[Lease]) -> QuerySet[Lease]:
    return row.filter(Q(until=None) | Q(until__lt=Now()), due_at__lte=Now())


def _ours(held: Held) -> QuerySet[Lease]:
    return Lease.objects.filter(name=held.name, token=held.token)


def fence() -> None:
    """Inside a transaction of a duty: holds its lease until the commit, or raises LostLease. Outside of duties does nothing."""
    held = _held.get()
    if held is not None and not _ours(held).update(token=held.token):
        raise LostLease(f"{held.name} is no longer held with token {held.token}")


def _end(duty: Duty, held: Held, error: str) -> None:
    rest = min(duty.rest_seconds, LONGEST_WAIT) if error else duty.rest_seconds
    _ours(held).update(
        holder="",
        until=None,
        ended_at=Now(),
        last_error=error[:2000],
        due_at=F("began_at") + timedelta(seconds=rest),
    )


@contextmanager
def _extended(held: Held) -> Iterator[None]:
    """Extends the lease every third of it, from a thread of its own, while the block runs."""
    stop = threading.Event()

    def beat() -> None:
        try:
            while not stop.wait(LEASE.total_seconds() / 3):
                try:
                    close_old_connections()
                    if not _ours(held).update(until=Now() + LEASE):
                        return
                except DatabaseError:
                    log.warning("lease_not_extended", duty=held.name)
        finally:
            connection.close()

    thread = threading.Thread(target=beat, name=f"lease-{held.name}", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(timeout=10)
