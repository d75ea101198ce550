"""What wargaming does when something happened. Each handler may see an event more than once and changes nothing then."""

from __future__ import annotations

from contextlib import suppress
from uuid import UUID

from immune.events.actors import SYSTEM
from immune.events.log import act
from immune.events.subscriptions import Happened, subscribe
from immune.models import Remedy
from immune.models.remedies import LIVE_REMEDIES, RemedyState
from wargaming.errors import OrderTooLate
from wargaming.models import COUNTING, AttachedScenario, Trust, Wargame, WargameState
from wargaming.orders import ASKING, again_locked
from wargaming.services import cancel_wargame, queue_wargames


@subscribe("wargaming.prove", "remedy.proposed")
def prove(event: Happened) -> None:
    """A proposed remedy is put to the test, each of its APVs by its own wargames."""
    remedy = Remedy.objects.select_related("repository").get(pk=UUID(event.data["remedy"]))
    if remedy.state in LIVE_REMEDIES and remedy.head_commit == event.data["head"]:
        queue_wargames(remedy)


@subscribe("wargaming.stop", "remedy.moved", "remedy.rebased")
def stop(event: Happened) -> None:
    """What is no longer to be merged, or not as it was, is no longer tested."""
    remedy = Remedy.objects.get(pk=UUID(event.subject.partition(":")[2]))
    waiting = Wargame.objects.filter(remedy=remedy, state__in=(WargameState.PENDING, WargameState.RUNNING))
    if remedy.state in (RemedyState.PLANNED, RemedyState.PROPOSED):
        waiting = waiting.exclude(head_commit=remedy.head_commit)
    for wargame in waiting.select_related("apv"):
        cancel_wargame(actor=SYSTEM, wargame=wargame)


@subscribe("wargaming.prove_with_scenario", "scenario.attached", "scenario.accepted")
def prove_with_scenario(event: Happened) -> None:
    """A scenario that was attached is run; one that was accepted meanwhile is run again, to count in full."""
    row = AttachedScenario.objects.select_related("apv__remedy__repository").get(
        pk=UUID(event.subject.partition(":")[2])
    )
    remedy = row.apv.remedy
    if remedy is None or remedy.state not in LIVE_REMEDIES or row.apv.status not in ASKING:
        return
    queue_wargames(remedy)
    if row.accepted_by_id is None:
        return
    shown = Wargame.objects.filter(
        COUNTING,
        apv=row.apv,
        remedy=remedy,
        head_commit=remedy.head_commit,
        scenario_digest=row.content_id,
        trust=Trust.ATTACHED,
        state=WargameState.FINISHED,
        accepted=False,
    ).first()
    if shown is not None:
        with act(SYSTEM) as log, suppress(OrderTooLate):
            again_locked(log, shown)
