"""What reviews do when something happened elsewhere. Each handler may see an event more than once and changes nothing then."""

from __future__ import annotations

from uuid import UUID

from immune.events.actors import SYSTEM
from immune.events.log import act
from immune.events.subscriptions import Happened, subscribe
from immune.models import APV, ForgeJob, Remedy
from immune.models.apvs import APVStatus
from immune.models.remedies import LIVE_REMEDIES, ForgeJobKind, ForgeJobState
from immune.reconciling import Became
from immune.remedies import order_job
from immune.transitions import move_apv
from reviews import automatic, campaigns, rounds
from reviews.models import Review, ReviewState
from reviews.reporting import report_of
from wargaming.models import Wargame


@subscribe("reviews.open_when_proved", "wargame.finished", "wargame.cancelled")
def open_when_proved(event: Happened) -> None:
    """The last wargame of a remedy's head opens its review, whatever the verdicts."""
    _open_for(event, "The wargames have ended.")


@subscribe("reviews.open_when_proved_before", "remedy.proposed")
def open_when_proved_before(event: Happened) -> None:
    """A head whose wargames have all ended already, as it comes back when a rebase changed nothing: no end will follow."""
    _open_for(event, "The wargames had ended before.")


def _open_for(event: Happened, because: str) -> None:
    with act(SYSTEM) as log:
        remedy = Remedy.objects.select_for_update().get(pk=UUID(event.data["remedy"]))
        if remedy.state not in LIVE_REMEDIES or event.data["head"] != remedy.head_commit:
            return
        # An event that comes late, or again, must not ask anew what was answered meanwhile.
        if not remedy.apvs.filter(status=APVStatus.WARGAMING).exists():
            return
        if Wargame.objects.filter(remedy=remedy, head_commit=remedy.head_commit).exists():
            rounds.open_round(log, remedy=remedy, because=because)


@subscribe("reviews.ask_about_no_fix", "apv.moved")
def ask_about_no_fix(event: Happened) -> None:
    """An APV nothing can be upgraded for is put to people too."""
    if event.data.get("to") != APVStatus.NO_FIX:
        return
    with act(SYSTEM) as log:
        apv = APV.objects.select_for_update().get(pk=UUID(event.subject.partition(":")[2]))
        if apv.status == APVStatus.NO_FIX:
            rounds.open_no_fix_round(log, apv=apv)


@subscribe("reviews.end_when_moot", "apv.moved")
def end_when_moot(event: Happened) -> None:
    """A round none of whose APVs waits for its answer any more ends without a decision."""
    if event.data.get("from") not in (APVStatus.IN_REVIEW, APVStatus.NO_FIX):
        return
    apv_id = UUID(event.subject.partition(":")[2])
    with act(SYSTEM) as log:
        waiting = Review.objects.exclude(state=ReviewState.DECIDED).filter(items__apv=apv_id)
        for review in waiting.select_related("remedy").select_for_update(of=("self",)):
            asked_about = APV.objects.filter(review_items__review=review)
            if not asked_about.filter(status__in=(APVStatus.IN_REVIEW, APVStatus.NO_FIX)).exists():
                rounds.end_round(log, review, why="moot", because=_gone(review.remedy))
                # Proved anew, and that may have ended before we came: then nothing else would open the next round. A head whose
                # wargames are not even queued is not meant: its own end opens that round.
                if (
                    review.remedy is not None
                    and asked_about.filter(status=APVStatus.WARGAMING).exists()
                    and Wargame.objects.filter(remedy=review.remedy, head_commit=review.remedy.head_commit).exists()
                ):
                    rounds.open_round(log, remedy=review.remedy, because="It was put to the proof again.")


@subscribe("reviews.settle_campaign", "campaign.started")
def settle_campaign(event: Happened) -> None:
    """Decides what a campaign was started over, each review on its own."""
    campaigns.settle(UUID(event.subject.partition(":")[2]))


@subscribe("reviews.join_campaigns", "review.opened")
def join_campaigns(event: Happened) -> None:
    """What was proved after a campaign began belongs to it too: shown, and decided where its author said so."""
    for campaign in campaigns.join(UUID(event.subject.partition(":")[2])):
        campaigns.settle(campaign)


def _gone(remedy: Remedy | None) -> str:
    """What to tell who was asked: the remedy's own end, where it has one."""
    if remedy is not None and remedy.state not in LIVE_REMEDIES and remedy.reason:
        return remedy.reason
    return "None of its APVs waits for this answer any more."


@subscribe("reviews.end_when_merged_by_hand", "remedy.moved")
def end_when_merged_by_hand(event: Happened) -> None:
    """Somebody merged at the forge what people were still asked about: there is nothing left to decide."""
    if event.data.get("why") != Became.MERGED:
        return
    with act(SYSTEM) as log:
        waiting = Review.objects.exclude(state=ReviewState.DECIDED).filter(remedy=UUID(event.subject.partition(":")[2]))
        for review in waiting.select_related("remedy").select_for_update(of=("self",)):
            rounds.end_round(log, review, why="merged_at_forge", because=_gone(review.remedy))


@subscribe("reviews.report_verdict", "review.opened")
def report_verdict(event: Happened) -> None:
    """The verdicts of a head are complete when its review opens: they are shown where its authors look, at the forge."""
    with act(SYSTEM) as log:
        review = Review.objects.select_related("remedy").get(pk=UUID(event.subject.partition(":")[2]))
        remedy = review.remedy
        if remedy is not None and remedy.state in LIVE_REMEDIES and remedy.head_commit == review.head_commit:
            order_job(
                log, remedy, ForgeJobKind.REPORT_VERDICT, cause=f"review:{review.pk}", arguments=report_of(review)
            )


@subscribe("reviews.ask_again_when_refused", "forge_job.finished")
def ask_again_when_refused(event: Happened) -> None:
    """A decision the forge would not carry out comes back to people with the reason."""
    kinds = (ForgeJobKind.MERGE, ForgeJobKind.CLOSE, ForgeJobKind.REQUEST_CHANGES)
    if event.data["kind"] not in kinds or event.data["state"] not in (ForgeJobState.REFUSED, ForgeJobState.FAILED):
        return
    if event.data["stale"]:
        return  # it is rebased and proved anew first; its review opens after that
    with act(SYSTEM) as log:
        job = ForgeJob.objects.select_related("remedy").get(pk=UUID(event.subject.partition(":")[2]))
        if job.remedy.state not in LIVE_REMEDIES or job.remedy.reviews.filter(round__gt=job.round).exists():
            return
        for apv in job.remedy.apvs.filter(status=APVStatus.APPROVED):
            move_apv(apv, to=APVStatus.IN_REVIEW, log=log, why="forge_refused", reason=job.message)
        rounds.open_round(log, remedy=job.remedy, because=f"The forge did not carry it out: {job.message}")


@subscribe("reviews.approve_without_people", "review.opened")
def approve_without_people(event: Happened) -> None:
    """A round that policy may answer alone is answered, where that is switched on."""
    review = Review.objects.select_related("remedy__repository").get(pk=UUID(event.subject.partition(":")[2]))
    automatic.consider(review)


@subscribe(
    "reviews.ask_policy_again",
    "policy.switched_on", "policy.switched_off", "policy.ordered", "automatic.armed", "freeze.ended", "repository.labelled",
)  # fmt: skip
def ask_policy_again(event: Happened) -> None:
    """What is switched on, off or put before another changes what is said of every open round."""
    automatic.reconsider()
