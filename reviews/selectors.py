"""Every read of reviews and decisions, narrowed to what the viewer may see; shared by console, API and live pages."""

from __future__ import annotations

from datetime import timedelta
from math import ceil
from typing import Any
from uuid import UUID

from django.db.models import Case, Count, IntegerField, OuterRef, Prefetch, Q, QuerySet, Subquery, Value, When
from django.utils import timezone

from immune import questions
from immune.advisories.exploitation import NO_SIGNALS, signals_of
from immune.models import APV, Repository, Sighting
from immune.models.advisories import Severity
from immune.models.apvs import LIVE, APVStatus
from immune.people.selectors import Viewer, within_sight
from reviews.models import Choice, Decision, Recommendation, Review, ReviewItem, ReviewState
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


def _latest_round(column: str) -> QuerySet[Any]:
    return Review.objects.filter(items__apv=OuterRef("pk")).order_by("-opened_at", "-round").values(column)[:1]


def apv_by_code(viewer: Viewer, code: str) -> APV | None:
    """The APV with this code; a merged one leads to the APV it was folded into. None when unknown or out of sight."""
    apv = apvs(viewer).filter(apv_code=code).first()
    while apv is not None and apv.merged_into_id is not None:
        apv = apvs(viewer).filter(pk=apv.merged_into_id).first()
    return apv


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


def matching(text: str) -> Q:
    """The APVs a person means by a part of a code, CVE, advisory or package name."""
    return (
        Q(apv_code__icontains=text)
        | Q(cve_id__icontains=text)
        | Q(advisory_id__icontains=text)
        | Q(package_name__icontains=text)
    )


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
    return rows.select_related("repository", "remedy", "apv", "claimed_by").prefetch_related(
        Prefetch("items", queryset=items.order_by("apv__priority", "apv__apv_code")),
        Prefetch("decisions", queryset=Decision.objects.select_related("reviewer", "job").order_by("created_at")),
        "comments__author",
        "remedy__jobs",
    )


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


def overdue() -> Q:
    """APVs past their due time that nobody has settled or set aside."""
    settled = (APVStatus.RESOLVED, APVStatus.WITHDRAWN, APVStatus.MERGED, APVStatus.SUPPRESSED)
    return Q(due_at__lt=timezone.now()) & ~Q(status__in=settled)


# Unknown stands beside high: nobody has said it is mild.
SEVERITY_RANKS = {
    severity: rank
    for rank, severity in enumerate(
        (Severity.CRITICAL, Severity.HIGH, Severity.UNKNOWN, Severity.MEDIUM, Severity.LOW, Severity.NONE)
    )
}


def severity_rank(path: str = "severity") -> Case:
    """Rank of a severity, worst first: the names themselves would sort by letter."""
    cases = (When(**{path: severity}, then=Value(rank)) for severity, rank in SEVERITY_RANKS.items())
    return Case(*cases, default=Value(0), output_field=IntegerField())


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
    decided = final.aggregate(
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
    return dict(groups.annotate(Count("pk")))


def _waiting_by_severity(waiting: QuerySet[Review]) -> dict[str, int]:
    worst = ReviewItem.objects.filter(review=OuterRef("pk")).annotate(rank=severity_rank("apv__severity"))
    ranks = dict(
        waiting.order_by()
        .annotate(worst=Subquery(worst.order_by("rank").values("rank")[:1]))
        .values_list("worst")
        .annotate(Count("pk"))
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
