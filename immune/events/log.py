"""The unit of work: rows change, events are noted, and as the last step before commit the events are appended.

    with act(actor) as log:
        ...                                  # change rows
        log.record("apv.opened", subject=..., data={...})

``act`` opens the outermost transaction. A nested ``act`` joins it (its own failure undoes only its own part); inside an atomic
block that is not ours it refuses, since its events could be appended long before the commit and hold the lock until then. No network
call and no subprocess belongs inside.

The append takes one advisory lock (PostgreSQL; SQLite has one writer anyway), reads the end of the chain and writes all noted
events in one statement, so positions are gap-free and follow commit order. The lock goes with the commit, after the rows can be
seen, so that no reader ever meets a later position first.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.utils import timezone

from immune.copying import copy_rows
from immune.events import doorbell, subscriptions
from immune.events.actors import Actor
from immune.events.canonical import GENESIS, canonical, chain
from immune.models import Delivery, Event

# Any constant will do; this one spells "immu" so that it is recognised in pg_locks.
LOCK = 0x696D6D75
# From here on events go in by COPY: quoting their bodies for an INSERT is most of the work then.
MANY = 50


class ForeignTransaction(RuntimeError):
    """``act`` was called inside an atomic block that it did not open."""


@dataclass(frozen=True, slots=True)
class Noted:
    kind: str
    subject: str
    repository: UUID | None
    data: dict[str, Any]
    actor: Actor


@dataclass(slots=True)
class Log:
    """What one unit of work did so far. ``wake`` names work to be rung for after commit."""

    actor: Actor
    noted: list[Noted] = field(default_factory=list)
    wakes: list[tuple[str, str]] = field(default_factory=list)

    def record(self, kind: str, *, subject: str, repository: UUID | None = None, data: dict[str, Any]) -> None:
        """Notes one event. ``subject`` is "apv:<id>" and the like; ``data`` holds ids, digests and states, never free text.

        Raises NotCanonical for values without a single text form.
        """
        canonical(data)
        self.noted.append(Noted(kind, subject, repository, data, self.actor))

    def wake(self, work: str, pk: object) -> None:
        """Rings for one row of ``work`` after commit; losing the ring only delays it until the next sweep."""
        self.wakes.append((work, str(pk)))


_current: ContextVar[Log | None] = ContextVar("immune_act", default=None)


@contextmanager
def act(actor: Actor) -> Iterator[Log]:
    """One unit of work by ``actor``. Raises ForeignTransaction inside an atomic block that is not ours."""
    outer = _current.get()
    if outer is not None:
        with _joined(outer, actor) as log:
            yield log
        return
    if _in_foreign_transaction():
        raise ForeignTransaction("act() must open the outermost transaction; it was called inside another atomic block")
    log = Log(actor)
    token = _current.set(log)
    try:
        with transaction.atomic(durable=True):
            yield log
            positions = _append(log.noted)
            if positions or log.wakes:
                wakes = list(log.wakes)
                transaction.on_commit(lambda: doorbell.ring(positions, wakes))
    finally:
        _current.reset(token)


@contextmanager
def _joined(outer: Log, actor: Actor) -> Iterator[Log]:
    events, wakes, before = len(outer.noted), len(outer.wakes), outer.actor
    try:
        outer.actor = actor
        with transaction.atomic():
            yield outer
    except BaseException:
        del outer.noted[events:]
        del outer.wakes[wakes:]
        raise
    finally:
        outer.actor = before


def _in_foreign_transaction() -> bool:
    if not connection.in_atomic_block:
        return False
    # Django marks the block a test case opens around each test; that one is rolled back and never committed.
    return any(not getattr(block, "_from_testcase", False) for block in connection.atomic_blocks)


def _append(noted: list[Noted]) -> list[int]:
    if not noted:
        return []
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])
    # A statement of its own, after the lock: READ COMMITTED takes a snapshot per statement, so this sees the last commit.
    position, previous = end_of_chain()
    now = timezone.now()
    rows: list[Event] = []
    for item in noted:
        position += 1
        rows.append(_row(item, position, previous, now))
        previous = rows[-1].hash
    if len(rows) > MANY:
        copy_rows(rows)
    else:
        Event.objects.bulk_create(rows)
    deliveries = [
        Delivery(event_id=row.position, handler=name, due_at=now)
        for row in rows
        for name in subscriptions.handlers_for(row.kind)
    ]
    if deliveries:
        Delivery.objects.bulk_create(deliveries)
        current = _current.get()
        if current is not None:
            current.wakes.extend(("delivery", str(delivery.pk)) for delivery in deliveries)
    return [row.position for row in rows]


def end_of_chain() -> tuple[int, str]:
    """Returns the last position and hash, (0, GENESIS) for an empty log."""
    last = Event.objects.order_by("-position").values_list("position", "hash").first()
    return last or (0, GENESIS)


def _row(item: Noted, position: int, previous: str, now: datetime) -> Event:
    body = canonical(
        {
            "actor": str(item.actor),
            "at": now.isoformat(),
            "data": item.data,
            "kind": item.kind,
            "repository": str(item.repository) if item.repository else None,
            "subject": item.subject,
        }
    )
    return Event(
        position=position,
        kind=item.kind,
        occurred_at=now,
        actor=str(item.actor),
        subject=item.subject,
        repository_id=item.repository,
        body=body,
        previous_hash=previous,
        hash=chain(previous, position, body),
    )
