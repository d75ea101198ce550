"""Deciding many reviews at once: first a preview with every row, then the decision, with an outcome for each row."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from reviews import bulk
from reviews.console.base import account, allowed, report
from reviews.decisions import Asked
from reviews.models import Review, ReviewState

if TYPE_CHECKING:
    from reviews.console.queue import ReviewAdmin


def urls(page: ReviewAdmin) -> list[URLPattern]:
    return [
        page.changing("bulk/", lambda request: preview(page, request), "bulk"),
        page.changing("bulk/decide/", lambda request: decide(page, request), "bulk_decide"),
    ]


def preview(page: ReviewAdmin, request: HttpRequest) -> HttpResponse:
    """Shows what was chosen. Nothing changes."""
    allowed(request, "decide")
    reviews = _chosen(page, request)
    if not reviews:
        report(request, messages.WARNING, _("Choose the reviews first."))
        return redirect(page.url("changelist"))
    if len(reviews) > bulk.MOST:
        report(request, messages.ERROR, _("At most %d reviews at once.") % bulk.MOST)
        return redirect(page.url("changelist"))
    return _preview(page, request, reviews)


def decide(page: ReviewAdmin, request: HttpRequest) -> HttpResponse:
    """Decides each row of the preview on what the preview showed of it."""
    viewer = allowed(request, "decide")
    reviews = _chosen(page, request)
    choice = request.POST.get("decision", "")
    justification = request.POST.get("justification", "")
    if len(reviews) > bulk.MOST:
        report(request, messages.ERROR, _("At most %d reviews at once.") % bulk.MOST)
        return redirect(page.url("changelist"))
    if choice not in bulk.OFFERED or not reviews:
        return _preview(page, request, reviews, complaint=_("Choose approve, reject or escalate."))
    if len(justification.strip()) < 10:
        return _preview(page, request, reviews, complaint=_("The justification needs at least 10 characters."))
    seen = [
        bulk.Seen(
            review,
            request.POST.get(f"head_{review.pk}", "-"),
            request.POST.get(f"patch_{review.pk}", "-"),
            number_of(request.POST.get(f"version_{review.pk}", "")),
        )
        for review in reviews
    ]
    outcomes = bulk.decide_each(
        account=account(request),
        viewer=viewer,
        seen=seen,
        asked=Asked(choice=choice, justification=justification),
        idempotency_key=request.POST.get("idempotency_key", "")[:120],
    )
    decisions = [outcome.decision for outcome in outcomes if outcome.decision is not None]
    taken = sum(decision.is_final for decision in decisions)
    noted = len(decisions) - taken
    refused = len(outcomes) - len(decisions)
    if taken:
        report(request, messages.SUCCESS, ngettext("%d review was decided.", "%d reviews were decided.", taken) % taken)
    if noted:
        text = ngettext("%d was noted; its round stays open.", "%d were noted; their rounds stay open.", noted) % noted
        report(request, messages.WARNING, text)
    if refused:
        report(request, messages.ERROR, ngettext("%d was refused.", "%d were refused.", refused) % refused)
    # They have no row to say it in.
    if gone := len(_wanted(request)) - len(reviews):
        text = ngettext("%d is no longer yours to see; nothing was decided about it.",
                        "%d are no longer yours to see; nothing was decided about them.", gone)  # fmt: skip
        report(request, messages.ERROR, text % gone)
    rows = [{"outcome": outcome, **_row(page, outcome.review)} for outcome in outcomes]
    context = {"title": _("What became of each"), "rows": rows, "done": True}
    return page.page(request, "console/bulk.html", context)


def _preview(page: ReviewAdmin, request: HttpRequest, reviews: list[Review], *, complaint: str = "") -> HttpResponse:
    context = {
        "title": _("Decide together"),
        "rows": [{**_row(page, review), **_seen(request, review)} for review in reviews],
        "choices": [(choice.value, choice.label) for choice in bulk.OFFERED],
        "decide_url": page.url("bulk_decide"),
        "key": str(uuid.uuid4()),
        "complaint": complaint,
        "justification": request.POST.get("justification", ""),
        "approvable": sum(review.remedy_id is not None for review in reviews),
    }
    return page.page(request, "console/bulk.html", context, status=400 if complaint else 200)


def _seen(request: HttpRequest, review: Review) -> dict[str, Any]:
    """What the form carries as seen: of a preview that is shown again what the first one showed, else somebody who only mends the
    justification would decide on what came since."""
    data = request.POST
    return {
        "head": data.get(f"head_{review.pk}", review.head_commit),
        "patch": data.get(f"patch_{review.pk}", review.patch_digest),
        "version": data.get(f"version_{review.pk}", review.version),
    }


def _row(page: ReviewAdmin, review: Review) -> dict[str, Any]:
    from reviews.console.queue import change_words  # noqa: PLC0415 - the queue routes to this module

    return {
        "review": review,
        "link": page.url("change", review.pk),
        "urgency": page.urgency(review),
        "change": change_words(review),
        "repository": page.seen_repository(review),
        "verdict": page.verdict(review),
        "due": page.due(review),
        "codes": [item.apv.apv_code for item in review.items.all()],
        "decided": review.state == ReviewState.DECIDED,
    }


def _chosen(page: ReviewAdmin, request: HttpRequest) -> list[Review]:
    """The chosen reviews within sight; others are not there."""
    return list(page.get_queryset(request).filter(pk__in=_wanted(request)).order_by("priority", "due_at", "pk"))


def _wanted(request: HttpRequest) -> set[uuid.UUID]:
    """The ids that were chosen, one more than may be at the most. An odd one chooses nothing."""
    wanted = set()
    for text in request.POST.getlist("review")[: bulk.MOST + 1]:
        try:
            wanted.add(uuid.UUID(text))
        except ValueError:
            continue
    return wanted


def number_of(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else -1
