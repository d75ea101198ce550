"""Setting an APV aside for a while, with reason, author and end; it comes back by itself when the end has come."""

from __future__ import annotations

from datetime import datetime

from django.utils import timezone
from django.utils.dateparse import parse_datetime

from immune.events.actors import SYSTEM
from immune.events.log import Log, act
from immune.models import APV, Account, Suppression
from immune.models.apvs import APVStatus
from immune.transitions import Moved, move_apv


def suppress_apv(log: Log, apv: APV, *, reason: str, until: datetime | str, by: Account | None) -> Suppression:
    """Suppresses one APV until ``until`` (aware, or ISO text). Raises Moved or NotAllowed as any move."""
    end = parse_datetime(until) if isinstance(until, str) else until
    if end is None:
        raise ValueError(f"{until!r} is not a date and time")
    suppression = Suppression.objects.create(apv=apv, reason=reason, author=by, expires_at=end)
    move_apv(apv, to=APVStatus.SUPPRESSED, log=log, why="suppressed", reason=reason)
    return suppression


def return_expired() -> int:
    """Opens again what was suppressed until now. Idempotent; part of the sweep. Returns how many came back."""
    returned = 0
    now = timezone.now()
    for apv in APV.objects.filter(status=APVStatus.SUPPRESSED).exclude(suppressions__expires_at__gt=now):
        try:
            with act(SYSTEM) as log:
                move_apv(apv, to=APVStatus.OPEN, log=log, why="suppression_expired", reason="The suppression ended.")
        except Moved:
            continue
        returned += 1
    return returned
