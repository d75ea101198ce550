"""What GitHub's webhooks lead to: a genuine delivery is stored once, answered at once, and later has its repository read anew.

What a delivery says is a hint, never a fact: it may come late, twice or out of order. The state is read from the forge itself.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from datetime import timedelta
from urllib.parse import urlsplit

from django.conf import settings
from django.db.models import Q
from django.utils import timezone

from immune import claims, work
from immune.events.actors import SYSTEM
from immune.events.log import act
from immune.forges.webhooks import (
    AlertChanged,
    Event,
    PullRequestChanged,
    Pushed,
    WebhookError,
    read,
    receive,
)
from immune.models import Remedy, Repository, WebhookDelivery
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
    """Asks for the repository to be read where the delivery gives a reason to."""
    try:
        event = read(delivery.event, bytes(delivery.raw))
    except WebhookError as error:
        _finish(delivery, WebhookState.FAILED, str(error))
        return
    cause, repositories = _to_read(event)
    with act(SYSTEM):
        for repository in repositories:
            request_scan(actor=SYSTEM, repository=repository, cause=cause)
        _finish(delivery, WebhookState.DONE, cause if repositories else "nothing to do")


def _to_read(event: Event) -> tuple[str, list[Repository]]:
    """Why repositories should be read anew, and which; none where the event gives no reason."""
    if isinstance(event, Pushed) and event.is_default and event.after:
        return f"push:{event.after[:12]}", _named(event.repository)
    if isinstance(event, PullRequestChanged) and event.action in ("closed", "reopened"):
        ours = [row for row in _named(event.repository) if _is_ours(row, event.number)]
        return f"pull_request:{event.number}", ours
    if isinstance(event, AlertChanged):
        return f"alert:{event.number}", _named(event.repository)
    return "", []


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
