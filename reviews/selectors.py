"""Every read of reviews and decisions, narrowed to what the viewer may see; shared by console, API and live pages."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from math import ceil
from typing import Any
from uuid import UUID

from django.db.models import (
    Case,
    Count,
    Exists,
    Func,
    OuterRef,
    Prefetch,
    Q,
    QuerySet,
    Subquery,
    TextField,
    Value,
    When,
    prefetch_related_objects,
)
from django.db.models.functions import Cast, JSONObject
from django.db.models.lookups import Contains
from django.utils import timezone

from immune import questions
from immune.advisories.exploitation import NO_SIGNALS, signals_of
from immune.models import APV, Advisory, Question, Repository, Sighting
from immune.models.advisories import SEVERITY_RANKS, Severity, severity_rank
from immune.models.apvs import LIVE, APVStatus
from immune.people.selectors import Viewer, within_sight
from reviews.models import (
    Campaign,
    CampaignItem,
    CampaignItemState,
    Choice,
    Decision,
    Recommendation,
    Review,
    ReviewItem,
    ReviewState,
)
from wargaming.models import Wargame


def reviews(viewer: Viewer) -> QuerySet[Review]:
    """Every review round the viewer may see."""
    return Review.objects.filter(within_sight(viewer))


def open_reviews(viewer: Viewer) -> QuerySet[Review]:
    """Rounds that wait for a person, most urgent first."""
    return (
        reviews(viewer)
        .exclude(state=ReviewState.DECIDED)
        .select_related("repository", "remedy", "apv", "claimed_by")
        .order_by("priority", "due_at", "pk")
    )


def next_review(viewer: Viewer, review: Review) -> UUID | None:
    """The id of the round after this one among those that wait, most urgent first; after the last comes the first again. What another
    person is looking at is passed over. None when nothing else waits."""
    others = Q(state=ReviewState.CLAIMED, claimed_until__gt=timezone.now()) & ~Q(claimed_by=viewer.account_id)
    rows = reviews(viewer).exclude(state=ReviewState.DECIDED).exclude(others).exclude(pk=review.pk)
    later = Q(due_at__gt=review.due_at) | Q(due_at=review.due_at, pk__gt=review.pk)
    after = Q(priority__gt=review.priority) | (Q(priority=review.priority) & later)
    in_turn = Case(When(after, then=Value(0)), default=Value(1))
    return rows.order_by(in_turn, "priority", "due_at", "pk").values_list("pk", flat=True).first()


def apvs(viewer: Viewer) -> QuerySet[APV]:
    """Every APV the viewer may see, with the state of its latest review round as ``review_state`` and whether a question to people is
    open as ``questioned``."""
    return (
        APV.objects.filter(within_sight(viewer))
        .select_related("repository", "remedy", "group")
        .annotate(
            review_state=Subquery(_latest_round("state")),
            review_id=Subquery(_latest_round("pk")),
            questioned=questions.is_asked(),
        )
    )


def _latest_round(column: Any) -> QuerySet[Any]:
    rows = Review.objects.filter(items__apv=OuterRef("pk")).order_by("-opened_at", "-round")
    return rows.values_list(column, flat=True)[:1]


def apv_list(viewer: Viewer, wanted: Q) -> QuerySet[APV]:
    """The APVs in sight that are wanted, for a list that takes columns and makes no objects.

    ``round`` is the latest review round about it, id and state in one look; ``versions_text`` its versions as JSON.
    """
    rows = APV.objects.annotate(
        questioned=questions.is_asked(),
        round=Subquery(_latest_round(JSONObject(id="pk", state="state"))),
        versions_text=Cast("versions", TextField()),
    )
    return rows.filter(within_sight(viewer), wanted)


def apv_by_code(viewer: Viewer, code: str) -> APV | None:
    """The APV with this code; a merged one leads to the APV it was folded into. None when unknown or out of sight."""
    apv = apvs(viewer).filter(apv_code=code).first()
    while apv is not None and apv.merged_into_id is not None:
        apv = apvs(viewer).filter(pk=apv.merged_into_id).first()
    return apv


def round_about(viewer: Viewer, code: str) -> tuple[APV, Review] | None:
    """The APV a code names or leads to and the latest round that holds for it; None when there is no such round, or not in sight.

    As bare as the services take it: they read what they decide on anew, under a lock.
    """
    found = _latest_item(viewer, Q(apv__apv_code=code))
    if found is None or found.apv.merged_into_id is not None:
        elder = apv_by_code(viewer, code)
        found = None if elder is None else _latest_item(viewer, Q(apv=elder))
    return None if found is None else (found.apv, found.review)


def _latest_item(viewer: Viewer, wanted: Q) -> ReviewItem | None:
    rows = ReviewItem.objects.filter(wanted, within_sight(viewer, "review__repository"))
    bare = (
        "apv__apv_code",
        "apv__merged_into",
        "review__repository",
        "review__remedy__strategy",
        "review__apv",
        "review__round",
    )
    return (
        rows.select_related("apv", "review__remedy")
        .only(*bare)
        .order_by("-review__opened_at", "-review__round")
        .first()
    )


def latest_reviews(viewer: Viewer, codes: Iterable[str]) -> tuple[list[Review], list[str]]:
    """The latest round about each of these APVs, each round once, most urgent first; and the codes without one in sight.

    Codes of merged APVs lead to their elders'.
    """
    wanted = set(codes)
    found = APV.objects.filter(within_sight(viewer), apv_code__in=wanted).values_list("apv_code", "pk", "merged_into")
    elders = {code: elder or pk for code, pk, elder in found}
    newest = dict(
        reviews(viewer)
        .filter(items__apv__in=set(elders.values()))
        .order_by("opened_at", "round")
        .values_list("items__apv", "pk")
    )
    missing = sorted(code for code in wanted if elders.get(code) not in newest)
    chosen = {newest[pk] for pk in elders.values() if pk in newest}
    return list(with_rows(reviews(viewer).filter(pk__in=chosen)).order_by("priority", "due_at", "pk")), missing


def reviews_about(viewer: Viewer, record: Advisory) -> QuerySet[Review]:
    """The rounds that wait for a person and hold for an APV of this vulnerability, whatever its names."""
    asked = ReviewItem.objects.filter(apv__group=record.group_id).values("review")
    return open_reviews(viewer).filter(pk__in=asked)


def campaigns(viewer: Viewer) -> QuerySet[Campaign]:
    """One's own campaigns, and those with a review in sight."""
    rows = Campaign.objects.select_related("advisory", "author", "ended_by")
    if not viewer.may("read") or viewer.sees_all:
        return rows if viewer.may("read") else rows.none()
    seen = campaign_items(viewer).filter(campaign=OuterRef("pk"))
    return rows.filter(Q(author=viewer.account_id) | Exists(seen))


def campaign_items(viewer: Viewer) -> QuerySet[CampaignItem]:
    return CampaignItem.objects.filter(within_sight(viewer, "review__repository"))


def campaign_rows(viewer: Viewer, campaign: Campaign) -> QuerySet[CampaignItem]:
    """The reviews of a campaign in sight, with what a row shows, in two queries."""
    items = ReviewItem.objects.select_related("apv").order_by("apv__apv_code")
    rows = campaign_items(viewer).filter(campaign=campaign)
    return rows.select_related("review__repository", "review__remedy", "decision__job").prefetch_related(
        Prefetch("review__items", queryset=items)
    )


def campaign_progress(viewer: Viewer, campaign: Campaign) -> dict[str, dict[str, int]]:
    """How far it has come, as far as the viewer sees: reviews by what became of them, their forge jobs and all APVs by state."""
    items = campaign_items(viewer).filter(campaign=campaign)
    jobs = items.filter(decision__job__isnull=False)
    apvs = APV.objects.filter(within_sight(viewer), group=campaign.advisory.group_id).exclude(status=APVStatus.MERGED)
    states = _counted(items.values_list("state"))
    return {
        "reviews": {state: states.get(state, 0) for state in CampaignItemState.values},
        "jobs": _counted(jobs.values_list("decision__job__state")),
        "apvs": _counted(apvs.values_list("status")),
    }


def with_rows(rows: QuerySet[Review]) -> QuerySet[Review]:
    """Adds what a row about a review shows, in two queries."""
    items = ReviewItem.objects.select_related("apv").order_by("apv__apv_code")
    return rows.select_related("repository", "remedy", "apv", "claimed_by").prefetch_related(
        Prefetch("items", queryset=items)
    )


def sources_of(apv: APV) -> QuerySet[Sighting]:
    """What reports say of an APV, at most a hundred, those that still count first."""
    return apv.sightings.select_related("stream").order_by("gone", "stream__tool", "stream__part", "pk")[:100]


def signals_shown(apv: APV) -> dict[str, Any]:
    """What is known of an APV's exploitation, with the days it is of."""
    known = signals_of([apv.cve_id]).get(apv.cve_id, NO_SIGNALS)
    return {
        "epss": known.epss.probability if known.epss else None,
        "epss_percentile": known.epss.percentile if known.epss else None,
        "epss_day": known.epss.day if known.epss else None,
        "kev_added": known.kev.added if known.kev else None,
        "kev_due": known.kev.due if known.kev else None,
        "kev_ransomware": known.kev.ransomware if known.kev else None,
    }


def matching(upper: str | Value) -> Q:
    """The APVs a person means by a part of a code, CVE, advisory or package name, given in capitals."""
    return Q(Contains(SearchedText(), upper))


class SearchedText(Func):
    """What an APV is searched by, as one text: PostgreSQL has a trigram index on exactly this (immune, migration 0009)."""

    template = "UPPER(%(expressions)s)"
    arg_joiner = " || ' ' || "
    output_field = TextField()

    def __init__(self) -> None:
        super().__init__("apv_code", "cve_id", "advisory_id", "package_name")


def latest_review(viewer: Viewer, apv: APV) -> Review | None:
    """The latest round that holds for this APV, with everything a review page shows."""
    return with_everything(reviews(viewer).filter(items__apv=apv)).order_by("-opened_at", "-round").first()


def reasons_of_verdicts(repository: Repository) -> dict[UUID, str]:
    """Why the weakest wargame of each APV's latest round said what it said, by APV; empty for a proved one."""
    items = ReviewItem.objects.filter(apv__repository=repository, wargame__isnull=False).order_by("review__round")
    return {
        pk: f"{reason}: {text}" if reason and text else text or reason
        for pk, reason, text in items.values_list("apv_id", "wargame__reason", "wargame__explanation")
    }


def review_by_id(viewer: Viewer, pk: UUID | str) -> Review | None:
    return with_everything(reviews(viewer).filter(pk=pk)).first()


def with_everything(rows: QuerySet[Review]) -> QuerySet[Review]:
    """Adds what a review page shows, in a constant number of queries."""
    wargames = Wargame.objects.prefetch_related("runs", "orders")
    items = ReviewItem.objects.select_related("apv__group").prefetch_related(
        Prefetch("wargame", queryset=wargames), "apv__group__advisories"
    )
    return rows.select_related("repository", "remedy__aftermath", "apv", "claimed_by").prefetch_related(
        Prefetch("items", queryset=items.order_by("apv__priority", "apv__apv_code")),
        Prefetch("decisions", queryset=Decision.objects.select_related("reviewer", "job").order_by("created_at")),
        "comments__author",
        "remedy__jobs",
    )


def add_open_questions(review: Review) -> None:
    """Gives each APV the round holds for its ``open_questions``, the oldest first, in one query."""
    asked = Question.objects.filter(settled_at__isnull=True).order_by("asked_at", "pk")
    apvs_of_round = [item.apv for item in review.items.all()]
    prefetch_related_objects(apvs_of_round, Prefetch("questions", queryset=asked, to_attr="open_questions"))


def decisions(viewer: Viewer) -> QuerySet[Decision]:
    """Every decision the viewer may see, newest first."""
    return (
        Decision.objects.filter(within_sight(viewer, "review__repository"))
        .select_related("apv", "review", "reviewer", "job")
        .order_by("-created_at", "-pk")
    )


def decision_history(viewer: Viewer, apv: APV) -> QuerySet[Decision]:
    """The decisions that hold for this APV, through whichever code of its remedy they were given, and those given of one that
    was folded into it."""
    items = ReviewItem.objects.filter(Q(apv=apv) | Q(apv__merged_into=apv))
    return decisions(viewer).filter(review__in=items.values("review"))


def overdue(now: datetime | Value) -> Q:
    """APVs past their due time that nobody has settled or set aside."""
    settled = (APVStatus.RESOLVED, APVStatus.WITHDRAWN, APVStatus.MERGED, APVStatus.SUPPRESSED)
    return Q(due_at__lt=now) & ~Q(status__in=settled)


def by_severity(rows: QuerySet[APV]) -> QuerySet[APV]:
    return rows.annotate(severity_rank=severity_rank())


def apvs_of_group(viewer: Viewer, group: int) -> list[str]:
    """Codes of the APVs in sight that stand on one vulnerability, whatever its names."""
    rows = APV.objects.filter(within_sight(viewer), group=group).exclude(status=APVStatus.MERGED)
    return list(rows.order_by("apv_code").values_list("apv_code", flat=True)[:200])


def stats(viewer: Viewer) -> dict[str, Any]:
    """Figures of the queue; they count reviews, not APVs, except where the name says so."""
    now = timezone.now()
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    week = today - timedelta(days=today.weekday())
    waiting = reviews(viewer).exclude(state=ReviewState.DECIDED)
    counted = waiting.aggregate(
        pending=Count("pk", filter=Q(state=ReviewState.PENDING)),
        claimed=Count("pk", filter=Q(state=ReviewState.CLAIMED)),
        overdue=Count("pk", filter=Q(due_at__lt=now)),
    )
    # A round may also end without anybody's decision: only those that a person's final word ended count.
    final = decisions(viewer).filter(is_final=True, withdrawn_at__isnull=True).order_by()
    decided = final.filter(created_at__gte=week).aggregate(
        today=Count("pk", filter=Q(created_at__gte=today)), week=Count("pk", filter=Q(created_at__gte=week))
    )
    severities = _counted(APV.objects.filter(within_sight(viewer), status__in=LIVE).order_by().values_list("severity"))
    by_choice = _counted(decisions(viewer).order_by().values_list("decision"))
    return {
        **counted,
        "pending_by_severity": _waiting_by_severity(waiting),
        "decided_today": decided["today"],
        "decided_this_week": decided["week"],
        **_pace(final.filter(created_at__gte=now - timedelta(days=30))),
        "live_apvs_by_severity": {severity: severities.get(severity, 0) for severity in Severity.values},
        "decisions_by_type": {choice: by_choice.get(choice, 0) for choice in Choice.values},
    }


def _counted(groups: QuerySet[Any, Any]) -> dict[str, int]:
    # Of rows, not of their ids: that is read off an index alone.
    return dict(groups.annotate(n=Count("*")))


def _waiting_by_severity(waiting: QuerySet[Review]) -> dict[str, int]:
    worst = ReviewItem.objects.filter(review=OuterRef("pk")).annotate(rank=severity_rank("apv__severity"))
    ranks = dict(
        waiting.order_by()
        .annotate(worst=Subquery(worst.order_by("rank").values("rank")[:1]))
        .values_list("worst")
        .annotate(n=Count("*"))
    )
    return {severity.value: ranks.get(rank, 0) for severity, rank in SEVERITY_RANKS.items()}


LATEST = 1000


def _pace(final: QuerySet[Decision]) -> dict[str, float | None]:
    """How long people took and how often they followed a recommendation, over the latest thousand."""
    rows = final.order_by("-created_at").values_list(
        "created_at", "review__opened_at", "decision", "review__recommendation"
    )[:LATEST]
    found = list(rows)
    seconds = sorted((given - opened).total_seconds() for given, opened, _, _ in found)
    advised = [choice == advice for _, _, choice, advice in found if advice != Recommendation.ASK]
    return {
        "median_seconds_to_decision": _share(seconds, 0.5),
        "p95_seconds_to_decision": _share(seconds, 0.95),
        "agreement_with_recommendation": sum(advised) / len(advised) if advised else None,
    }


def _share(values: list[float], share: float) -> float | None:
    """The smallest value that at least this share of the values does not exceed (nearest rank)."""
    return values[max(0, ceil(share * len(values)) - 1)] if values else None
