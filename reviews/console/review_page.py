"""The review page: everything a decision rests on, on one page, in a constant number of queries."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.core.exceptions import PermissionDenied, ValidationError
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.utils import timezone
from django.utils.translation import gettext as _

from immune import freezes
from immune.models import Advisory, ForgeJob
from immune.models.remedies import ForgeJobKind, ForgeJobState
from immune.models.suppressions import Ground
from reviews import selectors
from reviews.console import diff, evidence, scenarios, untrusted
from reviews.console.base import account, viewer
from reviews.models import Review, ReviewItem, ReviewState
from wargaming.models import Wargame

if TYPE_CHECKING:
    from reviews.console.queue import ReviewAdmin

TEMPLATE = "console/review.html"
OPEN_JOBS = (ForgeJobState.PENDING, ForgeJobState.RUNNING)


@dataclass(frozen=True, slots=True)
class Proof:
    """One wargame arranged for reading."""

    wargame: Wargame
    cells: tuple[evidence.Cell, ...]
    others: tuple[Any, ...]
    bars: tuple[evidence.Bar, ...]
    packages: tuple[evidence.PackageRow, ...]
    changed: tuple[evidence.PackageRow, ...]
    before: Any
    after: Any
    looks: tuple[evidence.Look, ...]


@dataclass(frozen=True, slots=True)
class Closed:
    """One APV the round holds for, with the records behind it."""

    item: ReviewItem
    advisories: tuple[Advisory, ...]
    aliases: tuple[str, ...]
    factors: tuple[dict[str, Any], ...]
    proof: Proof | None


def found(request: HttpRequest, pk: str) -> Review:
    """The review with everything the page shows. Raises Http404 when unknown or out of sight."""
    try:
        review = selectors.review_by_id(viewer(request), pk)
    except (ValidationError, ValueError):
        review = None
    if review is None:
        raise Http404
    selectors.add_open_questions(review)
    return review


def show(
    page: ReviewAdmin,
    request: HttpRequest,
    pk: str,
    *,
    given: dict[str, str] | None = None,
    complaints: dict[str, str] | None = None,
    status: int = 200,
) -> HttpResponse:
    """The page; after a refused decision with what was ``given`` still in its fields and the ``complaints`` beside them."""
    if given is None and request.method not in ("GET", "HEAD"):
        return HttpResponseNotAllowed(["GET", "HEAD"])
    who = viewer(request)
    if not who.may("read"):
        raise PermissionDenied
    review = found(request, pk)
    me = account(request)
    items = [_closed(item) for item in review.items.all()]
    held = review.claimed_until is not None and review.claimed_until > timezone.now()
    claimed = review.state == ReviewState.CLAIMED and held
    is_open = review.state != ReviewState.DECIDED
    others_claim = claimed and review.claimed_by_id != me.pk
    jobs: list[ForgeJob] = list(review.remedy.jobs.all()) if review.remedy else []
    jobs.sort(key=lambda job: job.created_at)
    name = review.remedy.package_name if review.remedy else review.apv.package_name if review.apv else ""
    approvals = [d for d in review.decisions.all() if d.decision == "approve" and d.withdrawn_at is None]
    context = {
        "title": untrusted.plain(name, 80),
        "review": review,
        "remedy": review.remedy,
        "items": items,
        "codes": [item.item.apv.apv_code for item in items],
        "scenarios": scenarios.of_review(request, review, [item.item.apv for item in items]),
        "refused_scenarios": scenarios.refused(review),
        "may_attach": is_open and who.may("immunize"),
        "patch": diff.read(review.remedy.patch) if review.remedy else None,
        "rounds": _rounds(request, review),
        "decisions": list(review.decisions.all()),
        "jobs": jobs,
        "waiting_for_forge": any(job.state in OPEN_JOBS and job.kind != ForgeJobKind.REPORT_VERDICT for job in jobs),
        "is_open": is_open,
        "claimed": claimed,
        "mine": claimed and review.claimed_by_id == me.pk,
        "others_claim": others_claim,
        "may_decide": who.may("decide"),
        "may_release": claimed and (not others_claim or who.may("lead")),
        "show_form": is_open and who.may("decide") and not others_claim,
        "approvals_left": max(0, review.required_approvals - len(approvals)),
        "groups": [name for _group, name in review.required_groups],
        "frozen": freezes.frozen(review.repository_id) if review.remedy else None,
        "given": {"idempotency_key": str(uuid.uuid4()), **(given or {})},
        "complaints": complaints or {},
        "grounds": Ground.choices,
        "withdrawable": _withdrawable(review, me.pk, who.may("lead") and who.may("decide"))
        if who.may("decide")
        else None,
        "me": me,
        "next_review": selectors.next_review(who, review) if who.may("decide") else None,
        "note": _("Round %(round)d") % {"round": review.round},
    }
    return page.page(request, TEMPLATE, context, status=status)


def _closed(item: ReviewItem) -> Closed:
    advisories = tuple(sorted(item.apv.group.advisories.all(), key=lambda found: found.pk))
    names = {advisory.pk for advisory in advisories} | {
        str(alias) for advisory in advisories for alias in advisory.aliases if isinstance(alias, str)
    }
    names.discard(item.apv.advisory_id)
    factors = tuple(factor for factor in item.apv.priority_factors if isinstance(factor, dict))
    return Closed(
        item, advisories, tuple(sorted(names)), factors, _proof(item.wargame) if item.wargame is not None else None
    )


def _proof(wargame: Wargame) -> Proof:
    runs = list(wargame.runs.all())
    rows = evidence.packages(wargame.environments)
    return Proof(
        wargame=wargame,
        cells=evidence.cells(runs),
        others=evidence.other_runs(runs),
        bars=evidence.bars(wargame.factors),
        packages=rows,
        changed=tuple(row for row in rows if row.change != "same"),
        before=evidence.side(wargame.environments, "before"),
        after=evidence.side(wargame.environments, "after"),
        looks=evidence.seen_without_scenario(wargame.checks),
    )


def _rounds(request: HttpRequest, review: Review) -> list[Review]:
    """All rounds of the same question, the newest first, with their decisions."""
    same = {"remedy": review.remedy_id} if review.remedy_id else {"apv": review.apv_id}
    rows = selectors.reviews(viewer(request)).filter(**same)
    return list(rows.prefetch_related("decisions__job", "decisions__reviewer", "comments__author").order_by("-round"))


def _withdrawable(review: Review, me: int, is_lead: bool) -> Any:
    """The decision that can still be taken back by this person, if there is one."""
    for decision in review.decisions.all():
        job = decision.job
        fresh = decision.is_final and decision.withdrawn_at is None
        if fresh and job is not None and job.state == ForgeJobState.PENDING and job.attempts == 0:
            return decision if is_lead or decision.reviewer_id == me else None
    return None
