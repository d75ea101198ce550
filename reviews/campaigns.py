"""Campaigns: one vulnerability, many repositories, one decision, followed until each has its answer.

A campaign decides nothing by itself: each review is decided by ``services.decide`` in its author's name and with the rights the author
has at that moment, on the head, patch and version that were seen, once for each remedy. What is proved after the start is shown in it, and
decided only where its author said so and its evidence is of the same kind as what the author saw.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.utils import timezone
from django.utils.dateparse import parse_datetime

from immune.events.actors import SYSTEM, Actor
from immune.events.log import Log, act
from immune.models import Account, Advisory
from immune.people.selectors import Viewer, viewer_of, visible_repositories
from immune.transitions import Moved
from reviews import selectors, services
from reviews.bulk import OFFERED, Seen
from reviews.decisions import LONGEST_TEXT, SHORTEST_JUSTIFICATION, Asked, Suppression
from reviews.errors import BadDecision, NotAllowed, ReviewError
from reviews.models import Campaign, CampaignItem, CampaignItemState, Review, ReviewState
from reviews.transitions import move_campaign_item

MOST = 500
LONGEST = timedelta(days=90)
# A campaign acts for its author later on too: with no more than it takes to decide.
SCOPES = ["read", "decide"]


def start(
    *,
    account: Account,
    viewer: Viewer,
    advisory: Advisory,
    asked: Asked,
    seen: Sequence[Seen],
    takes_later: bool = False,
    until: datetime | None = None,
) -> Campaign:
    """Starts a campaign over the reviews that were seen; each is decided soon after, by ``settle``.

    ``until``: aware, how long later ones belong to it; by default 14 days. Raises NotAllowed, BadDecision. A token may not take later
    ones: what it asked for would outlive it.
    """
    if not viewer.may("decide"):
        raise NotAllowed("Your role or token does not permit it.")
    if takes_later and viewer.scopes is not None:
        raise NotAllowed("A token cannot decide what comes later; sign in for that.")
    now = timezone.now()
    end = until or now + timedelta(days=14)
    _sound(viewer, advisory, asked, seen, end, now)
    with act(Actor.of(account)) as log:
        campaign = Campaign.objects.create(
            advisory=advisory,
            decision=asked.choice,
            justification=asked.justification,
            suppress=asked.suppress.kept() if asked.suppress else {},
            author=account,
            author_name=account.shown_name,
            takes_later=takes_later,
            until=end,
        )
        CampaignItem.objects.bulk_create(
            CampaignItem(
                campaign=campaign,
                review=row.review,
                seen_head=row.head,
                seen_patch=row.patch,
                seen_version=row.version,
                evidence=evidence_of(row.review, advisory),
                confidence=row.review.confidence,
            )
            for row in seen
        )
        data = {"advisory": advisory.pk, "decision": asked.choice, "reviews": len(seen), "takes_later": takes_later}
        log.record("campaign.started", subject=f"campaign:{campaign.pk}", data=data)
    return campaign


def end(*, account: Account, viewer: Viewer, campaign: Campaign) -> None:
    """Takes no later ones any more. Its author may, and a lead. What was decided stands. Raises NotAllowed."""
    if not viewer.may("decide") or (campaign.author_id != account.pk and not viewer.may("lead")):
        raise NotAllowed("Only the person who started it, or a lead, may end it.")
    with act(Actor.of(account)) as log:
        if Campaign.objects.filter(pk=campaign.pk, ended_at__isnull=True).update(
            ended_at=timezone.now(), ended_by=account
        ):
            log.record("campaign.ended", subject=f"campaign:{campaign.pk}", data={})


def settle(campaign_id: UUID) -> int:
    """Decides what waits in a campaign, each on its own. Interrupted anywhere and run again it decides nothing twice. Returns how many."""
    waiting = CampaignItem.objects.filter(campaign=campaign_id, state=CampaignItemState.WAITING)
    done = 0
    for item in waiting.select_related("campaign__author", "review__remedy", "review__apv").order_by("pk"):
        done += _settle(item)
    return done


def join(review_id: UUID) -> list[UUID]:
    """Puts a round that has just opened into the campaigns about its vulnerabilities. Returns those that have something to decide now."""
    review = Review.objects.select_related("remedy", "apv").get(pk=review_id)
    if review.state == ReviewState.DECIDED:
        return []
    groups = review.items.values("apv__group")
    running = Campaign.objects.filter(advisory__group__in=groups, ended_at__isnull=True, until__gt=timezone.now())
    joined = []
    for campaign in running.select_related("author", "advisory"):
        if visible_repositories(_viewer(campaign)).filter(pk=review.repository_id).exists() and _join(campaign, review):
            joined.append(campaign.pk)
    return joined


def evidence_of(review: Review, advisory: Advisory) -> dict[str, Any]:
    """What kind of proof a review rests on: equal for two reviews that say the same of the same change by the same scenario."""
    about = review.remedy or review.apv
    games = review.items.filter(apv__group=advisory.group_id, wargame__isnull=False)
    return {
        "package": f"{about.ecosystem}:{about.package_name}" if about else "",
        "target": review.remedy.target_version if review.remedy else "",
        "strategy": review.remedy.strategy if review.remedy else "",
        "bump": review.remedy.bump if review.remedy else "",
        "verdict": review.weakest_verdict,
        "recommendation": review.recommendation,
        "scenarios": sorted(set(games.values_list("wargame__scenario_digest", flat=True))),
    }


def _sound(
    viewer: Viewer, advisory: Advisory, asked: Asked, seen: Sequence[Seen], end: datetime, now: datetime
) -> None:
    wrong: dict[str, str] = {}
    if asked.choice not in OFFERED or asked.modifications:
        wrong["decision"] = f"must be one of {', '.join(OFFERED)}"
    if not SHORTEST_JUSTIFICATION <= len(asked.justification.strip()) <= LONGEST_TEXT:
        wrong["justification"] = f"needs {SHORTEST_JUSTIFICATION} to {LONGEST_TEXT} characters"
    if asked.suppress is not None and (asked.choice != "reject" or asked.suppress.apv_codes):
        wrong["suppress"] = "goes with reject only, and is about every APV"
    if not now < end <= now + LONGEST:
        wrong["until"] = f"lies between now and {LONGEST.days} days from now"
    wanted = [row.review.pk for row in seen]
    known = set(selectors.reviews_about(viewer, advisory).filter(pk__in=wanted).values_list("pk", flat=True))
    if not 1 <= len(wanted) <= MOST or len(set(wanted)) != len(wanted):
        wrong["reviews"] = f"names 1 to {MOST} reviews, each once"
    elif known != set(wanted):
        wrong["reviews"] = "names a review that is not about this advisory, or no longer open"
    if wrong:
        raise BadDecision("; ".join(f"{name} {text}" for name, text in wrong.items()), fields=wrong)


def _viewer(campaign: Campaign) -> Viewer:
    return viewer_of(campaign.author, SCOPES)


def _settle(item: CampaignItem) -> bool:
    campaign = item.campaign
    author = campaign.author
    changes: dict[str, Any]
    if author is None or not author.is_active:
        to, changes = CampaignItemState.REFUSED, {"reason": "author_gone", "message": "Its author has left."}
    else:
        try:
            decision = services.decide(
                account=author,
                viewer=_viewer(campaign),
                review=item.review,
                asked=_asked(campaign, item),
                expected_version=item.seen_version,
                idempotency_key=f"campaign:{campaign.pk}:{item.review_id}",
            )
        except ReviewError as error:
            to, changes = CampaignItemState.REFUSED, {"reason": error.reason, "message": str(error)}
        else:
            to = CampaignItemState.DECIDED if decision.is_final else CampaignItemState.NOTED
            changes = {"decision": decision}
    try:
        with act(SYSTEM if author is None else Actor.of(author)) as log:
            move_campaign_item(item, to=to, log=log, why=changes.get("reason") or "decided", **changes)
    except Moved:
        return False  # another worker was at it too; the idempotency key made it one decision
    return True


def _asked(campaign: Campaign, item: CampaignItem) -> Asked:
    kept = campaign.suppress
    ends = parse_datetime(kept["expires_at"]) if kept else None
    return Asked(
        choice=campaign.decision,
        justification=campaign.justification,
        seen_head=item.seen_head,
        seen_patch=item.seen_patch,
        suppress=Suppression(kept["reason"], ends, kept.get("ground", "")) if ends else None,
    )


def _join(campaign: Campaign, review: Review) -> bool:
    with act(SYSTEM) as log:
        held = Campaign.objects.select_for_update().get(pk=campaign.pk)
        if held.ended_at is not None or CampaignItem.objects.filter(campaign=held, review=review).exists():
            return False
        evidence = evidence_of(review, campaign.advisory)
        why_not = _why_not(held, review, evidence)
        CampaignItem.objects.create(
            campaign=held,
            review=review,
            state=CampaignItemState.SHOWN if why_not else CampaignItemState.WAITING,
            is_late=True,
            seen_head=review.head_commit,
            seen_patch=review.patch_digest,
            seen_version=review.version,
            evidence=evidence,
            confidence=review.confidence,
            reason=why_not,
        )
        _note_joined(log, held, review, why_not)
    return not why_not


def _why_not(campaign: Campaign, review: Review, evidence: dict[str, Any]) -> str:
    """Why a round that came later is left to a person; empty when the campaign may decide it."""
    items = CampaignItem.objects.filter(campaign=campaign)
    if not campaign.takes_later:
        return "not_asked_for"
    # Refused by the forge, withdrawn or rebased: somebody has to look at what happened.
    if review.round > 1 or (review.remedy_id and items.filter(review__remedy=review.remedy_id).exists()):
        return "asked_again"
    taken = (CampaignItemState.DECIDED, CampaignItemState.NOTED)
    alike = [one for one in items.filter(is_late=False, state__in=taken) if one.evidence == evidence]
    if not alike:
        return "other_evidence"
    if (review.confidence or 0.0) < min(one.confidence or 0.0 for one in alike):
        return "less_confidence"
    return ""


def _note_joined(log: Log, campaign: Campaign, review: Review, why_not: str) -> None:
    log.record(
        "campaign.joined",
        subject=f"campaign:{campaign.pk}",
        repository=review.repository_id,
        data={"review": str(review.pk), "why_not": why_not},
    )
