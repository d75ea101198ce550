"""Everything that must be done, by kind: deliveries, forge jobs, and what later apps add. One way to claim, run, give up and wake.

A kind is registered by the app that owns the table. ``run`` gets a claimed row and must finish it (``claims.finish``) in the same
unit of work as its outcome. What ``run`` raises is an accident: the row waits and is tried again, until ``attempts`` says enough;
then ``give_up`` writes the honest end.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import structlog
from django.db.models import Q, QuerySet

from immune import claims
from immune.slots import Slots

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of work. ``queue`` is the broker queue its wake-ups travel on; ``scope`` narrows rows to one repository."""

    name: str
    queue: str
    rows: Callable[[], QuerySet[Any]]
    run: Callable[[Any, threading.Event], None]
    give_up: Callable[[Any, str], None]
    scope: Callable[[Any], Q]
    lease: timedelta = timedelta(seconds=60)
    attempts: int = 5
    look: timedelta | None = None  # how soon a lost claim is noticed; None: at a third of the lease
    slots: Slots | None = None  # how many of this kind run at a time
    turn: str = (
        ""  # path to the repository; then repositories take turns, and a wake-up for one row starts whose turn it is
    )


_kinds: dict[str, Kind] = {}


def register(kind: Kind) -> None:
    """Registers a kind of work. Raises ValueError when the name is taken."""
    if kind.name in _kinds:
        raise ValueError(f"work {kind.name} is registered twice")
    _kinds[kind.name] = kind


def kinds() -> Iterator[Kind]:
    yield from _kinds.values()


def kind_named(name: str) -> Kind:
    return _kinds[name]


def run_one(name: str, *, pk: str | None = None, repository: Any = None) -> bool:
    """Claims and runs one row of the kind (that row, when ``pk`` is given). False when nothing was there to claim."""
    kind = _kinds[name]
    if kind.slots is None:
        return _claim_and_run(kind, pk, repository)
    # Not waited for: whoever holds a slot looks for the next row when it is done, and a thread that waited would be missed.
    with kind.slots.one() as held:
        return held and _claim_and_run(kind, pk, repository)


def run_all(name: str) -> None:
    """Runs rows of the kind until none is left to claim."""
    while run_one(name):
        pass


def _claim_and_run(kind: Kind, pk: str | None, repository: Any) -> bool:
    rows = kind.rows()
    if pk is not None:
        rows = rows.filter(pk=pk)
    if repository is not None:
        rows = rows.filter(kind.scope(repository))
    row = _claimed(kind, rows)
    if row is None:
        return False
    with structlog.contextvars.bound_contextvars(work=kind.name, pk=str(row.pk), attempt=row.attempts):
        _run(kind, row)
    return True


def _claimed(kind: Kind, rows: QuerySet[Any]) -> Any | None:
    owner = claims.new_owner()
    if not kind.turn:
        return claims.claim(rows, lease=kind.lease, owner=owner)
    taken = claims.claim_in_turn(rows, kind=kind.name, repository=kind.turn, lease=kind.lease, owner=owner)
    return None if taken is None else kind.rows().get(pk=taken.pk)


def _run(kind: Kind, row: Any) -> None:
    try:
        if row.attempts > kind.attempts:
            # The attempts before this one ended without a word: whoever held it was killed, perhaps by the work itself.
            kind.give_up(row, row.last_error or "every attempt ended without an answer")
            return
        with claims.heartbeat(row, lease=kind.lease, look=kind.look) as lost:
            kind.run(row, lost)
    except claims.LostClaim:
        log.info("claim_lost")
    except Exception as error:
        log.warning("work_failed", exc_info=True)
        _after_accident(kind, row, f"{type(error).__name__}: {error}")


def _after_accident(kind: Kind, row: Any, error: str) -> None:
    try:
        if row.attempts >= kind.attempts:
            kind.give_up(row, error)
        else:
            claims.release(row, wait=claims.backoff(row.attempts), error=error)
    except claims.LostClaim:
        log.info("claim_lost")


def due_now(limit: int = 200) -> list[tuple[str, str]]:
    """(kind, id) of rows that may be claimed now: what a sweep wakes."""
    found: list[tuple[str, str]] = []
    for kind in _kinds.values():
        free = claims.due(kind.rows()).order_by("due_at").values_list("pk", flat=True)
        found.extend((kind.name, str(pk)) for pk in free[:limit])
    return found


def unfinished(repository: Any) -> bool:
    """Whether work of this repository is pending or running, here or in another process."""
    return any(
        kind.rows().filter(kind.scope(repository), state__in=(claims.PENDING, claims.RUNNING)).exists()
        for kind in _kinds.values()
    )
