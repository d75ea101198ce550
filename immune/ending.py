"""How a remedy ends by what the forge says of its pull request: merged, closed, or taken over; and what becomes of its APVs.

Called inside a unit of work by whoever learned it: the job that acted (``forge_jobs``) or a look of our own (``reconciling``).
"""

from __future__ import annotations

from datetime import timedelta

from django.conf import settings
from django.utils import timezone

from immune.events.actors import SYSTEM
from immune.events.log import Log
from immune.models import APV, Aftermath, Remedy
from immune.models.apvs import APVStatus
from immune.models.remedies import RemedyState
from immune.services import request_scan
from immune.transitions import move_apv, move_remedy

WAITING = (APVStatus.REMEDIATING, APVStatus.WARGAMING, APVStatus.IN_REVIEW)


def merged(log: Log, remedy: Remedy, commit: str, *, why: str, reason: str = "") -> None:
    """The change is on the default branch as ``commit``. That is watched from now on, and read: only a reading resolves an APV."""
    if remedy.state == RemedyState.MERGED:
        return
    move_remedy(
        remedy, to=RemedyState.MERGED, log=log, why=why, merge_commit=commit, **_kept(remedy), **_because(reason)
    )
    if settings.AFTERMATH_HOURS and commit:
        until = timezone.now() + timedelta(hours=settings.AFTERMATH_HOURS)
        Aftermath.objects.get_or_create(remedy=remedy, defaults={"repository_id": remedy.repository_id, "until": until})
    request_scan(actor=SYSTEM, repository=remedy.repository, cause=f"merged:{remedy.pk}")


def closed(log: Log, remedy: Remedy, *, why: str, reason: str, apvs_because: str) -> None:
    """The pull request was closed without a merge: its APVs are open again, and that target waits until a person asks."""
    move_remedy(remedy, to=RemedyState.CLOSED, log=log, why=why, reason=reason, **_kept(remedy))
    release_apvs(log, remedy, to=APVStatus.OPEN, why=why, reason=apvs_because)


def taken_over(log: Log, remedy: Remedy, *, to: str, why: str, reason: str) -> None:
    """The pull request is no longer what was proved. It is left to whoever changed it; the APVs go to ``to`` with the reason."""
    move_remedy(remedy, to=RemedyState.SUPERSEDED, log=log, why=why, reason=reason, **_kept(remedy))
    release_apvs(log, remedy, to=to, why=why, reason=reason)


def release_apvs(log: Log, remedy: Remedy, *, to: str, why: str, reason: str) -> None:
    """Moves the APVs that wait for the remedy, which they no longer have then."""
    for apv in remedy.apvs.filter(status__in=WAITING):
        if apv.status == to:
            APV.objects.filter(pk=apv.pk).update(remedy=None, reason=reason)
        else:
            move_apv(apv, to=to, log=log, why=why, reason=reason, remedy=None)


def _kept(remedy: Remedy) -> dict[str, object]:
    served = [str(pk) for pk in remedy.apvs.order_by("apv_code").values_list("pk", flat=True)]
    return {"ended_at": timezone.now(), "served": served}


def _because(reason: str) -> dict[str, str]:
    return {"reason": reason} if reason else {}
