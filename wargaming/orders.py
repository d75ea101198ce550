"""What people ask of wargames: to be cancelled, to be run once more. Every edge calls these.

What was asked for, by whom and why, stays as a row beside the wargame; the log says who and when.
"""

from __future__ import annotations

from uuid import UUID

from immune.events.actors import Actor
from immune.events.log import Log, act
from immune.models import Account, Remedy
from immune.models.apvs import APVStatus
from immune.models.remedies import LIVE_REMEDIES
from immune.people.selectors import Viewer, visible_repositories
from immune.transitions import move_apv
from wargaming import services
from wargaming.errors import OrderNotAllowed, OrderRefused, OrderTooLate
from wargaming.models import OrderKind, Wargame, WargameOrder, WargameState
from wargaming.outcome import queue_again

LONGEST_REASON = 2000
ENDED = (WargameState.FINISHED, WargameState.CANCELLED)
ASKING = (APVStatus.WARGAMING, APVStatus.IN_REVIEW)


def cancel(*, account: Account, viewer: Viewer, wargame: Wargame, reason: str) -> Wargame:
    """Ends a wargame that has not ended: INCONCLUSIVE, ``cancelled``. A running one is killed.

    Raises OrderNotAllowed, OrderTooLate (it has ended), OrderRefused (no reason given).
    """
    may(viewer, wargame.apv.repository_id)
    reason = sound(reason)
    with act(Actor.of(account)):
        explanation = f"Cancelled by {account.shown_name}: {reason}"
        if not services.cancel_wargame(actor=Actor.of(account), wargame=wargame, explanation=explanation):
            raise OrderTooLate("ended", "The wargame has ended.")
        _keep(OrderKind.CANCEL, account, wargame, reason)
    wargame.refresh_from_db()
    return wargame


def retry(*, account: Account, viewer: Viewer, wargame: Wargame, reason: str) -> Wargame:
    """Queues an ended wargame once more and returns the new one; what the old one showed stays. An open review of the change ends,
    and opens again when this has ended.

    Raises OrderNotAllowed, OrderTooLate (it has not ended, was retried already, or the change is decided or another by now),
    OrderRefused (no reason given).
    """
    may(viewer, wargame.apv.repository_id)
    reason = sound(reason)
    with act(Actor.of(account)) as log:
        again = again_locked(log, wargame)
        _keep(OrderKind.RETRY, account, wargame, reason)
    return again


def again_locked(log: Log, wargame: Wargame) -> Wargame:
    """Inside a unit of work: queues the wargame once more, holding its remedy. Raises OrderTooLate."""
    # The remedy first, as a decision does: one of the two comes first, and the other sees it.
    remedy = Remedy.objects.select_for_update(of=("self",)).get(pk=wargame.remedy_id)
    wargame = Wargame.objects.select_related("apv", "remedy").get(pk=wargame.pk)
    if wargame.state not in ENDED:
        raise OrderTooLate("not_ended", "The wargame has not ended; cancel it first.")
    if Wargame.objects.filter(retry_of=wargame).exists():
        raise OrderTooLate("retried", "The wargame was run again already.")
    if remedy.state not in LIVE_REMEDIES or remedy.head_commit != wargame.head_commit:
        raise OrderTooLate("outdated", "The change it was about is no longer proposed as it was.")
    if wargame.apv.status not in ASKING:
        raise OrderTooLate("decided", "Nothing waits for its answer any more.")
    return prove_again(log, remedy, wargame)


def prove_again(log: Log, remedy: Remedy, wargame: Wargame) -> Wargame:
    """Queues it, and takes the APVs of the remedy out of review until it has ended."""
    again = queue_again(log, wargame)
    back_to_wargaming(log, remedy)
    return again


def back_to_wargaming(log: Log, remedy: Remedy) -> None:
    for apv in remedy.apvs.filter(status=APVStatus.IN_REVIEW):
        move_apv(apv, to=APVStatus.WARGAMING, log=log, why="proved_again")


def may(viewer: Viewer, repository: UUID, right: str = "immunize") -> None:
    """Raises OrderNotAllowed unless the viewer sees the repository and has the right."""
    if not visible_repositories(viewer).filter(pk=repository).exists():
        raise OrderNotAllowed("not_allowed", "This is not yours to see.")
    if not viewer.may(right):
        raise OrderNotAllowed("not_allowed", "Your role or token does not permit it.")


def sound(reason: str) -> str:
    """The reason without its edges. Raises OrderRefused for none, or one too long."""
    reason = reason.strip()
    if not reason or len(reason) > LONGEST_REASON:
        raise OrderRefused("reason_needed", f"Say why, in 1 to {LONGEST_REASON} characters.")
    return reason


def _keep(kind: OrderKind, account: Account, wargame: Wargame, reason: str) -> None:
    WargameOrder.objects.create(wargame=wargame, kind=kind, by=account, by_name=account.shown_name, reason=reason)
