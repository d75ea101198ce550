"""What wargaming does when something happened. Each handler may see an event more than once and changes nothing then."""

from __future__ import annotations

from uuid import UUID

from immune.events.actors import SYSTEM
from immune.events.subscriptions import Happened, subscribe
from immune.models import Remedy
from immune.models.remedies import LIVE_REMEDIES, RemedyState
from wargaming.models import Wargame, WargameState
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
