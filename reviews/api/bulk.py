"""One decision for many reviews: a preview of every row, then the decision, with an outcome for each row."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from reviews import bulk, selectors
from reviews.api import shapes
from reviews.api.access import account, viewer
from reviews.api.base import WRITE_ERRORS, View, valid
from reviews.api.views import idempotency_key, suppression_of
from reviews.decisions import Asked
from reviews.errors import NotAllowed
from reviews.models import Review


class BulkPreview(View):
    """What one decision would meet on each of these APVs' reviews. Changes nothing; its rows are what ``decisions/bulk`` takes."""

    @extend_schema(
        operation_id="decisions_bulk_preview",
        request=shapes.BulkPreviewRequest,
        responses={200: shapes.BulkPreview, **WRITE_ERRORS},
    )
    def post(self, request: Request) -> Response:
        may_decide(request)
        data = valid(shapes.BulkPreviewRequest, request)
        rows, missing = selectors.latest_reviews(viewer(request), data["apv_codes"])
        found = bulk.foresee_each(
            account=account(request), viewer=viewer(request), reviews=rows, asked=asked_of_many(data)
        )
        return Response({"items": [shapes.BulkRow(row).data for row in found], "not_found": missing})


class BulkDecisions(View):
    """Decides each review on its own, on what was seen of it; a refused row keeps none of the others back."""

    @extend_schema(
        operation_id="decisions_bulk",
        request=shapes.BulkRequest,
        parameters=[
            OpenApiParameter("Idempotency-Key", str, OpenApiParameter.HEADER, description="up to 120 characters")
        ],
        responses={200: shapes.BulkAnswer, **WRITE_ERRORS},
    )
    def post(self, request: Request) -> Response:
        may_decide(request)
        data = valid(shapes.BulkRequest, request)
        seen, missing = seen_of(request, data["reviews"])
        outcomes = bulk.decide_each(
            account=account(request),
            viewer=viewer(request),
            seen=seen,
            asked=asked_of_many(data),
            idempotency_key=idempotency_key(request, longest=120),
        )
        return Response({"items": [*map(_shown, outcomes), *missing]})


def asked_of_many(data: dict[str, Any]) -> Asked:
    return Asked(
        choice=data["decision"],
        justification=data.get("justification", ""),
        comments=data.get("comments", ""),
        suppress=suppression_of(data.get("suppress")),
    )


def seen_of(request: Request, rows: list[dict[str, Any]]) -> tuple[list[bulk.Seen], list[dict[str, Any]]]:
    """The reviews in sight with what was seen of each, in the order asked; and the outcome of those that are not there."""
    wanted = {row["review_id"]: row for row in rows}
    known: dict[Any, Review] = {
        review.pk: review
        for review in selectors.with_rows(selectors.reviews(viewer(request)).filter(pk__in=set(wanted)))
    }
    missing: list[dict[str, Any]] = [
        {
            "review_id": str(pk),
            "apv_codes": [],
            "outcome": "refused",
            "reason": "not_found",
            "message": "There is no such review, or it is not yours to see.",
            "decision_id": None,
        }
        for pk in wanted
        if pk not in known
    ]
    seen = [
        bulk.Seen(known[pk], row["head_commit"], row["patch_digest"], row["version"])
        for pk, row in wanted.items()
        if pk in known
    ]
    return seen, missing


def _shown(outcome: bulk.Outcome) -> dict[str, Any]:
    decision = outcome.decision
    taken = "decided" if decision is not None and decision.is_final else "noted"
    return {
        "review_id": str(outcome.review.pk),
        "apv_codes": [item.apv.apv_code for item in outcome.review.items.all()],
        "outcome": "refused" if decision is None else taken,
        "reason": outcome.reason,
        "message": outcome.message,
        "decision_id": str(decision.pk) if decision else None,
    }


def may_decide(request: Request) -> None:
    if not viewer(request).may("decide"):
        raise NotAllowed("Your role or token does not permit it.")
