"""What claimer processes of the work tests do; run through ``tests.worlds``."""

from __future__ import annotations

import time
from datetime import timedelta

from immune import claims
from immune.events.actors import SYSTEM
from immune.events.log import act
from immune.models import Delivery, Event


def make_deliveries(count: int) -> None:
    with act(SYSTEM) as log:
        log.record("x.y", subject="x:1", data={})
    event = Event.objects.get()
    Delivery.objects.bulk_create(Delivery(event=event, handler=f"h{n}") for n in range(count))


def claim_all(begin_at: float) -> list[str]:
    """Claims and finishes deliveries until none is left, from a moment that all claimers share. Returns those it claimed."""
    mine: list[str] = []
    while time.time() < begin_at:
        time.sleep(0.001)
    while Delivery.objects.filter(state__in=("pending", "running")).exists():
        row = claims.claim(Delivery.objects.all(), lease=timedelta(seconds=60), owner=claims.new_owner())
        if row is None:
            continue
        mine.append(row.handler)
        claims.finish(row, to="done")
    return mine


def claim_one(begin_at: float, seconds: float) -> str:
    """Tries to claim the only row for some seconds. Returns the owner it claimed it as, empty when others were faster."""
    while time.time() < begin_at:
        time.sleep(0.001)
    while time.time() < begin_at + seconds:
        row = claims.claim(Delivery.objects.all(), lease=timedelta(seconds=60), owner=claims.new_owner())
        if row is not None:
            return str(row.owner)
    return ""


def claim_and_never_finish() -> None:
    """Holds a claim until it is killed."""
    row = claims.claim(Delivery.objects.all(), lease=timedelta(seconds=1), owner=claims.new_owner())
    assert row is not None
    print("claimed", flush=True)
    time.sleep(600)


def states() -> list[tuple[str, int]]:
    return list(Delivery.objects.order_by("pk").values_list("state", "attempts"))
