"""Celery tasks: wake-ups that claim and run work, the sweep that wakes what was left behind, and the look at duties. They carry
ids and decide nothing."""

from __future__ import annotations

from collections import defaultdict

import structlog
from celery import current_app, shared_task
from django.conf import settings

from immune import broker, leases
from immune import work as registry

ENOUGH_WAITING = 500
FEW = 4  # messages that one commit sends per kind of work at the most

log = structlog.get_logger(__name__)


@shared_task(name="immune.tasks.work", ignore_result=True)
def work(kind: str, pk: str | None = None) -> None:
    """Runs one row of a kind of work, if it can still be claimed; without ``pk``, rows of the kind until none is left.

    A kind with slots looks on by itself, since those it kept waiting got no answer to their message. Where repositories take
    turns, the row named is not the one that is run: messages come in the order of asking, and that is what turns are there against.
    """
    known = registry.kind_named(kind)
    ran = registry.run_one(kind, pk=None if known.turn else pk)
    if ran and (pk is None or known.slots is not None):
        registry.run_all(kind)


@shared_task(name="immune.tasks.duty", ignore_result=True)
def duty(name: str) -> None:
    """Does a periodic duty if it is due and no other process does it."""
    leases.perform(name)


def sweep() -> int:
    """Wakes every row that is due and unclaimed. Returns how many. Where enough messages wait already, they do the same."""
    full = _full_queues()
    found = [(name, pk) for name, pk in registry.due_now() if registry.kind_named(name).queue not in full]
    wake_workers([], found)
    return len(found)


def _full_queues() -> set[str]:
    if not settings.RABBITMQ_URL:
        return set()
    return {name for name, count in broker.waiting().items() if count is not None and count >= ENOUGH_WAITING}


def wake_workers(_positions: list[int], wakes: list[tuple[str, str]]) -> None:
    """The doorbell's bell for workers: a message a row, or a few that say "look for yourself" where one commit made many rows."""
    kinds: dict[str, list[str]] = defaultdict(list)
    for name, pk in wakes:
        kinds[name].append(pk)
    for name, pks in kinds.items():
        queue = registry.kind_named(name).queue
        messages = [[name, pk] for pk in pks] if len(pks) <= FEW else [[name]] * FEW
        for args in messages:
            current_app.send_task("immune.tasks.work", args=args, queue=queue, retry=False)
