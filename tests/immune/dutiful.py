"""What processes of the duty tests do; run through ``tests.worlds``."""

from __future__ import annotations

import time

from django.conf import settings

from immune import leases, services
from immune.duties import Duty
from immune.events.actors import SYSTEM
from immune.events.log import act
from immune.models import Event, Lease, Repository, Scan

SECONDS = 2.0
NAME = "test"


def install(run: str = "act_once") -> None:
    settings.DUTIES = (Duty(NAME, SECONDS, f"tests.immune.dutiful.{run}", "events"),)


def act_once() -> None:
    with act(SYSTEM) as log:
        leases.fence()
        token = Lease.objects.get(name=NAME).token
        log.record("duty.done", subject=f"duty:{token}", data={"token": token})


def sleep_for_ever() -> None:
    print("holding", flush=True)
    time.sleep(600)


def look_until(end_at: float) -> int:
    """Looks far more often than beat would. Returns how often it acted."""
    install()
    acted = 0
    while time.time() < end_at:
        acted += leases.perform(NAME)
        time.sleep(0.05)
    return acted


def hold() -> None:
    """Takes the duty and never comes back."""
    install("sleep_for_ever")
    leases.perform(NAME)


def take_over(seconds: float) -> float:
    """Looks as often as beat does until the duty was done here. Returns how long that took."""
    install()
    began = time.time()
    while not leases.perform(NAME):
        assert time.time() < began + seconds, "nobody took over"
        time.sleep(0.5)
    return time.time() - began


def done() -> list[tuple[int, float]]:
    """(token, when) of each time the duty was done."""
    rows = Event.objects.filter(kind="duty.done").order_by("position").values_list("subject", "occurred_at")
    return [(int(subject.partition(":")[2]), at.timestamp()) for subject, at in rows]


def make_repositories(count: int) -> None:
    Repository.objects.bulk_create(
        Repository(name=f"r{number}", location=f"/nowhere/{number}") for number in range(count)
    )
    Lease.objects.create(name="rescan", due_at="2020-01-01T00:00:00Z")


def rescan(stop_after: int = 0) -> int:
    """Does the daily rescan; after so many repositories it stands still. Returns how many were asked for in all."""
    ask, asked = services.request_scan, 0

    def request(**facts: object) -> object:
        nonlocal asked
        if stop_after and asked == stop_after:
            sleep_for_ever()
        asked += 1
        return ask(**facts)  # type: ignore[arg-type]

    services.request_scan = request  # type: ignore[assignment]
    while not leases.perform("rescan"):
        time.sleep(0.5)
    return asked


def daily_scans() -> list[str]:
    return list(
        Scan.objects.filter(cause="daily").order_by("repository__name").values_list("repository__name", flat=True)
    )
