"""What GitHub's webhooks lead to: a genuine delivery is stored once, answered at once, and later has its repository read anew.

What a delivery says is a hint, never a fact: it may come late, twice or out of order. The state is read from the forge itself.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import urlsplit

from django.conf import settings
from django.db.models import Q
from django.utils import timezone

from immune import aftermath, claims, reconciling, work
from immune.events.actors import SYSTEM
from immune.events.log import act
from immune.forges.store import ForgeNotConfigured
from immune.forges.webhooks import (
    AlertChanged,
    ChecksChanged,
    Event,
    PullRequestChanged,
    Pushed,
    Reviewed,
    WebhookError,
    read,
    receive,
)
from immune.models import Aftermath, Remedy, Repository, WebhookDelivery
from immune.models.aftermaths import AftermathState
from immune.models.repositories import ForgeKind
from immune.models.webhooks import WebhookState
from immune.services import request_scan

# GitHub redelivers for three days at most; what is older is not asked for again.
KEPT = timedelta(days=30)


def take(headers: Mapping[str, str], raw: bytes) -> bool:
    """Stores a delivery that one of the configured secrets signed. False when it was stored before.

    Raises WebhookError for what is not genuine or too large; ValueError when no usable secret is configured.
    """
    found = receive(headers, raw, [secret.encode() for secret in settings.GITHUB_WEBHOOK_SECRETS])
    with act(SYSTEM) as log:
        _, made = WebhookDelivery.objects.get_or_create(pk=found.id, defaults={"event": found.event, "raw": found.raw})
        if made:
            log.wake("webhook", found.id)
    return made


def run(delivery: WebhookDelivery, lost: threading.Event) -> None:
    """Looks at what the delivery names, and asks for the repository to be read where it gives a reason to."""
    try:
        event = read(delivery.event, bytes(delivery.raw))
    except WebhookError as error:
        _finish(delivery, WebhookState.FAILED, str(error))
        return
    found = _hint(event)
    # Before the unit of work: the forge itself is asked. What it does not answer now is an accident, and tried again.
    for repository, number in found.pulls:
        with suppress(ForgeNotConfigured):
            reconciling.reconcile(repository, number)
    for merge in found.merges:
        with suppress(ForgeNotConfigured):
            aftermath.watch(merge)
    with act(SYSTEM):
        for repository in found.repositories:
            request_scan(actor=SYSTEM, repository=repository, cause=found.cause)
        _finish(delivery, WebhookState.DONE, found.cause if found else "nothing to do")


@dataclass(frozen=True, slots=True)
class _Hint:
    """Why something is looked at, and what: repositories to read, pull requests of ours, merges whose checks changed."""

    cause: str = ""
    repositories: tuple[Repository, ...] = ()
    pulls: tuple[tuple[Repository, int], ...] = ()
    merges: tuple[Aftermath, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.repositories or self.pulls or self.merges)


def _hint(event: Event) -> _Hint:
    if isinstance(event, Pushed):
        named = _named(event.repository)
        if event.is_default and event.after:
            return _Hint(f"push:{event.after[:12]}", repositories=tuple(named))
        ours = [one for row in named for one in row.remedies.filter(branch=event.branch)]
        return _Hint(f"push:{event.branch}", pulls=tuple(_with_numbers(ours)))
    if isinstance(event, PullRequestChanged | Reviewed):
        rows = [row for row in _named(event.repository) if _is_ours(row, event.number)]
        ended = isinstance(event, PullRequestChanged) and event.action in ("closed", "reopened")
        looked_at = tuple((row, event.number) for row in rows)
        return _Hint(f"pull_request:{event.number}", tuple(rows) if ended else (), looked_at)
    if isinstance(event, ChecksChanged):
        merges = Aftermath.objects.filter(
            repository__in=_named(event.repository),
            remedy__merge_commit=event.head_commit,
            state=AftermathState.WATCHING,
        )
        return _Hint(f"checks:{event.head_commit[:12]}", merges=tuple(merges.select_related("remedy__repository")))
    if isinstance(event, AlertChanged):
        return _Hint(f"alert:{event.number}", repositories=tuple(_named(event.repository)))
    return _Hint()


def _with_numbers(remedies: Iterable[Remedy]) -> Iterator[tuple[Repository, int]]:
    return ((one.repository, one.pull_request_number) for one in remedies if one.pull_request_number is not None)


def _named(full_name: str) -> list[Repository]:
    """The registered repositories at GitHub of this name; GitHub's names do not tell upper from lower case."""
    rows = Repository.objects.filter(forge=ForgeKind.GITHUB, location__icontains=full_name)
    wanted = full_name.lower()
    return [row for row in rows if urlsplit(row.location).path.strip("/").removesuffix(".git").lower() == wanted]


def _is_ours(repository: Repository, number: int) -> bool:
    return Remedy.objects.filter(repository=repository, pull_request_number=number).exists()


def _finish(delivery: WebhookDelivery, state: WebhookState, outcome: str) -> None:
    claims.finish(delivery, to=state, outcome=outcome[:200], finished_at=timezone.now(), raw=b"")


def give_up(delivery: WebhookDelivery, error: str) -> None:
    """The daily reading of every repository finds what is missed here."""
    _finish(delivery, WebhookState.FAILED, error)


def forget() -> int:
    """Removes what was worked on long ago. Returns how many."""
    ended = WebhookDelivery.objects.filter(finished_at__lt=timezone.now() - KEPT)
    return ended.delete()[0]


WEBHOOKS = work.Kind(
    name="webhook",
    queue="ingest",
    rows=WebhookDelivery.objects.all,
    run=run,
    give_up=give_up,
    # A delivery names its repository only once it is read; no repository's own turn waits for it.
    scope=lambda repository: Q(pk__in=()),
    attempts=5,
)
