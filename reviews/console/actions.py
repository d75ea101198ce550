"""What a person can do on the review page. Each view parses, calls one service and says how it went; the rules are the services'."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, time
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern
from django.utils.dateparse import parse_date
from django.utils.translation import gettext as _

from reviews import selectors, services
from reviews.console import review_page, untrusted
from reviews.console.base import account, back, report, viewer
from reviews.console.said import translated
from reviews.decisions import Asked, Suppression
from reviews.errors import BadDecision, NotAllowed, ReviewError
from reviews.models import Review
from wargaming import attached
from wargaming.archives import MAX_ARCHIVE_BYTES
from wargaming.errors import OrderNotAllowed, OrderRefused, ScenarioRefused
from wargaming.models import AttachedScenario

if TYPE_CHECKING:
    from reviews.console.queue import ReviewAdmin

FIELDS = (
    "justification",
    "comments",
    "confidence_override",
    "target_version",
    "suppress_reason",
    "suppress_until",
    "suppress_ground",
    "head_commit",
    "patch_digest",
    "version",
    "idempotency_key",
)


def urls(page: ReviewAdmin) -> list[URLPattern]:
    def bound(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
        def called(request: HttpRequest, object_id: str, **more: Any) -> HttpResponse:
            return view(page, request, object_id, **more)

        return called

    return [
        page.changing("<uuid:object_id>/claim/", bound(claim), "claim"),
        page.changing("<uuid:object_id>/release/", bound(release), "release"),
        page.changing("<uuid:object_id>/comment/", bound(comment), "comment"),
        page.changing("<uuid:object_id>/decide/", bound(decide), "decide"),
        page.changing("<uuid:object_id>/withdraw/<uuid:decision_id>/", bound(withdraw), "withdraw"),
        page.changing("<uuid:object_id>/scenario/<uuid:apv_id>/attach/", bound(attach), "attach"),
        page.changing("<uuid:object_id>/scenario/<uuid:scenario_id>/accept/", bound(accept), "accept"),
    ]


def claim(page: ReviewAdmin, request: HttpRequest, object_id: str) -> HttpResponse:
    return _simple(page, request, object_id, services.claim_review, _("It is yours for half an hour."))


def release(page: ReviewAdmin, request: HttpRequest, object_id: str) -> HttpResponse:
    return _simple(page, request, object_id, services.release_review, _("It is free for others again."))


def comment(page: ReviewAdmin, request: HttpRequest, object_id: str) -> HttpResponse:
    text = request.POST.get("text", "")
    return _simple(page, request, object_id, services.comment_review, _("Your comment was added."), text=text)


def withdraw(page: ReviewAdmin, request: HttpRequest, object_id: UUID, decision_id: UUID) -> HttpResponse:
    decision = selectors.decisions(viewer(request)).filter(pk=decision_id, review_id=object_id).first()
    if decision is None:
        raise Http404
    try:
        services.withdraw_decision(account=account(request), viewer=viewer(request), decision=decision)
    except NotAllowed:
        raise
    except ReviewError as error:
        report(request, messages.ERROR, translated(str(error)))
        return redirect(page.url("change", object_id))
    report(request, messages.SUCCESS, _("The decision was withdrawn before the forge began; a new round is open."))
    latest = selectors.latest_review(viewer(request), decision.apv)
    return redirect(page.url("change", latest.pk if latest else object_id))


def decide(page: ReviewAdmin, request: HttpRequest, object_id: str) -> HttpResponse:
    """One decision. A refusal shows the page again with what was written, so that nobody types a justification twice."""
    review = review_page.found(request, object_id)
    asked, complaints = _asked(request)
    if complaints:
        return _again(page, request, object_id, complaints)
    try:
        decision = services.decide(
            account=account(request),
            viewer=viewer(request),
            review=review,
            asked=asked,
            expected_version=_version(request),
            idempotency_key=request.POST.get("idempotency_key", "")[:200],
        )
    except BadDecision as error:
        return _again(page, request, object_id, error.details.get("fields") or {"decision": translated(str(error))})
    except NotAllowed as error:
        return _again(page, request, object_id, {"decision": translated(str(error))}, status=403)
    except ReviewError as error:
        return _again(page, request, object_id, {"decision": translated(str(error))}, status=409)
    codes = ", ".join(review.items.order_by("apv__apv_code").values_list("apv__apv_code", flat=True))
    words = {"what": decision.get_decision_display(), "codes": codes}
    if decision.job is not None:
        words["job"] = decision.job.get_kind_display()
        text = _("Decided: %(what)s, for %(codes)s. The forge job “%(job)s” follows; its answer appears here.") % words
    elif decision.is_final:
        text = _("Decided: %(what)s, for %(codes)s.") % words
    else:
        text = _("Noted: %(what)s, for %(codes)s. The round stays open until everyone who has to has answered.") % words
    report(request, messages.SUCCESS, text)
    return redirect(page.url("change", object_id))


def _asked(request: HttpRequest) -> tuple[Asked, dict[str, str]]:
    """What the form says. Fields that belong to another choice are handed on as well: the service refuses them by name."""
    data, complaints = request.POST, {}
    confidence = data.get("confidence_override", "").strip().replace(",", ".")
    override: float | None = None
    if confidence:
        try:
            override = float(confidence)
        except ValueError:
            complaints["confidence_override"] = _("is a number between 0 and 1")
    suppress: Suppression | None = None
    if data.get("suppress_reason", "").strip() or data.get("suppress_until", "").strip():
        until = _end_of_day(data.get("suppress_until", ""))
        if until is None:
            complaints["suppress"] = _("needs the day on which it ends")
        else:
            suppress = Suppression(data.get("suppress_reason", ""), until, data.get("suppress_ground", ""))
    target = data.get("target_version", "").strip()
    asked = Asked(
        choice=data.get("decision", ""),
        justification=data.get("justification", ""),
        seen_head=data.get("head_commit", ""),
        seen_patch=data.get("patch_digest", ""),
        comments=data.get("comments", ""),
        confidence_override=override,
        modifications={"target_version": target} if target else {},
        suppress=suppress,
    )
    return asked, complaints


def _end_of_day(text: str) -> datetime | None:
    try:
        day = parse_date(text.strip())
    except ValueError:
        return None
    return datetime.combine(day, time(23, 59, 59), UTC) if day else None


def _version(request: HttpRequest) -> int:
    """The version the page showed. One that cannot be read is none there ever was, so the evidence counts as stale."""
    text = request.POST.get("version", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else -1


def _again(
    page: ReviewAdmin, request: HttpRequest, object_id: str, complaints: dict[str, str], *, status: int = 400
) -> HttpResponse:
    given = {name: request.POST.get(name, "") for name in FIELDS}
    if status != 400:
        # The person has to look again: the next try carries what the page shows now, under a key of its own.
        given.pop("idempotency_key")
        for name in ("head_commit", "patch_digest", "version"):
            given.pop(name)
    return review_page.show(page, request, object_id, given=given, complaints=complaints, status=status)


def attach(page: ReviewAdmin, request: HttpRequest, object_id: str, *, apv_id: UUID) -> HttpResponse:
    review = review_page.found(request, object_id)
    item = review.items.filter(apv=apv_id).select_related("apv__group").first()
    if item is None:
        raise Http404
    file = request.FILES.get("archive")
    archive = file.read(MAX_ARCHIVE_BYTES + 1) if file is not None else b""
    try:
        row = attached.attach(account=account(request), viewer=viewer(request), apv=item.apv, archive=archive)
    except ScenarioRefused as error:
        shown = "; ".join(f"{where}: {what}" for where, what in error.problems[:20])
        report(request, messages.ERROR, _("Not a scenario: %(problems)s") % {"problems": untrusted.plain(shown, 2000)})
    except OrderNotAllowed:
        raise
    except OrderRefused as error:
        report(request, messages.ERROR, translated(str(error)))
    else:
        words = {"name": row.name, "version": row.version}
        report(request, messages.SUCCESS, _("%(name)s, version %(version)d, is attached and will be run.") % words)
    return back(request, page.url("change", object_id))


def accept(page: ReviewAdmin, request: HttpRequest, object_id: str, *, scenario_id: UUID) -> HttpResponse:
    review = review_page.found(request, object_id)
    rows = AttachedScenario.objects.filter(apv__review_items__review=review).select_related("apv")
    row = rows.filter(pk=scenario_id).first()
    if row is None:
        raise Http404
    try:
        attached.accept(account=account(request), viewer=viewer(request), scenario=row)
    except OrderNotAllowed:
        raise
    except OrderRefused as error:
        report(request, messages.ERROR, translated(str(error)))
    else:
        report(request, messages.SUCCESS, _("Accepted; it is run again and counts in full."))
    return back(request, page.url("change", object_id))


def _simple(
    page: ReviewAdmin,
    request: HttpRequest,
    object_id: str,
    service: Callable[..., Any],
    done: str,
    **more: Any,
) -> HttpResponse:
    review: Review = review_page.found(request, object_id)
    try:
        service(account=account(request), viewer=viewer(request), review=review, **more)
    except NotAllowed:
        raise
    except ReviewError as error:
        report(request, messages.ERROR, translated(str(error)))
    else:
        report(request, messages.SUCCESS, done)
    return back(request, page.url("change", object_id))
