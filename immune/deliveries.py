"""Deliveries as a kind of work: each event owed to a handler is handed over at least once, parked when given up, and replayable."""

from __future__ import annotations

import json
import threading
from typing import Any
from uuid import UUID

from django.db.models import Q

from immune import claims, work
from immune.events.subscriptions import Happened, handler_named
from immune.models import Delivery, Event
from immune.models.events import DeliveryState


def happened(event: Event) -> Happened:
    """The event as handlers see it."""
    body = json.loads(event.body)
    return Happened(
        position=event.position,
        kind=event.kind,
        subject=event.subject,
        repository=event.repository_id,
        actor=event.actor,
        data=body["data"],
    )


def _run(delivery: Delivery, lost: threading.Event) -> None:
    handler_named(delivery.handler)(happened(delivery.event))
    claims.finish(delivery, to=DeliveryState.DONE)


def _give_up(delivery: Delivery, error: str) -> None:
    claims.finish(delivery, to=DeliveryState.PARKED, last_error=error[:2000])


def _scope(repository: Any) -> Q:
    pk: UUID = repository.pk
    return Q(event__repository_id=pk)


def replay(delivery: Delivery) -> bool:
    """Puts a parked delivery back in line. False when it was not parked."""
    return bool(
        Delivery.objects.filter(pk=delivery.pk, state=DeliveryState.PARKED).update(
            state=DeliveryState.PENDING, attempts=0, last_error=""
        )
    )


DELIVERIES = work.Kind(
    name="delivery",
    queue="events",
    rows=Delivery.objects.select_related("event").all,
    run=_run,
    give_up=_give_up,
    scope=_scope,
    attempts=8,
)
