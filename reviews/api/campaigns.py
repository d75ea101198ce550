"""Campaigns: a preview of what waits about one advisory, starting one over many repositories, and following it."""

from __future__ import annotations

from typing import Any

from django.http import Http404
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from immune.advisories.selectors import advisory_named
from immune.models import Advisory
from reviews import bulk, campaigns, selectors
from reviews.api import shapes
from reviews.api.access import account, viewer
from reviews.api.base import ERRORS, PAGING, WRITE_ERRORS, View, flag, given, named, only, text_parameter, valid
from reviews.api.bulk import asked_of_many, may_decide, seen_of
from reviews.api.pages import Order, page
from reviews.errors import BadDecision
from reviews.models import Campaign, CampaignItemState


class Campaigns(View):
    """Campaigns in sight, and starting one."""

    @extend_schema(
        operation_id="campaigns_list",
        parameters=[
            *PAGING,
            text_parameter("advisory", "an id or alias, whole"),
            OpenApiParameter("running", bool, description="whether later ones may still join"),
        ],
        responses={200: shapes.CampaignPage, **ERRORS},
    )
    def get(self, request: Request) -> Response:
        only(request, "advisory", "running", "limit", "cursor")
        rows = selectors.campaigns(viewer(request))
        if (name := given(request, "advisory")) is not None:
            record = advisory_named(viewer(request), name)
            rows = rows.filter(advisory__group=record.group_id) if record else rows.none()
        if (running := flag(request, "running")) is not None:
            held = {"ended_at__isnull": True, "until__gt": timezone.now()}
            rows = rows.filter(**held) if running else rows.exclude(**held)
        items, following = page(request, rows, Order(("-created_at", "-id")))
        return Response({"items": shapes.CampaignShape(items, many=True).data, "next": following})

    @extend_schema(
        operation_id="campaigns_start",
        request=shapes.CampaignRequest,
        responses={201: shapes.CampaignDetail, **WRITE_ERRORS},
        description="Starts a campaign over reviews that were seen. Each is decided soon after, in the name and with the "
        "rights of who asks, once for each remedy; every rule of a single decision holds. Whatever a campaign refuses is left to a person.",
    )
    def post(self, request: Request) -> Response:
        may_decide(request)
        data = valid(shapes.CampaignRequest, request)
        seen, missing = seen_of(request, data["reviews"])
        if missing:
            fields = {"reviews": "names a review that is not there, or not yours to see"}
            raise BadDecision("A campaign is about reviews in sight.", fields=fields)
        made = campaigns.start(
            account=account(request),
            viewer=viewer(request),
            advisory=_advisory(request, data["advisory_id"]),
            asked=asked_of_many(data),
            seen=seen,
            takes_later=data["takes_later"],
            until=data.get("until"),
        )
        return Response(_shown(request, made.pk), status=201, headers={"Location": f"/hitl/campaigns/{made.pk}"})


class CampaignPreview(View):
    """The reviews that wait about one advisory, and what the decision would meet on each. Changes nothing."""

    @extend_schema(
        operation_id="campaigns_preview",
        request=shapes.CampaignPreviewRequest,
        responses={200: shapes.CampaignPreview, **WRITE_ERRORS},
    )
    def post(self, request: Request) -> Response:
        may_decide(request)
        data = valid(shapes.CampaignPreviewRequest, request)
        record = _advisory(request, data["advisory_id"])
        waiting = selectors.with_rows(selectors.reviews_about(viewer(request), record))
        rows = list(waiting[: bulk.MOST + 1])
        found = bulk.foresee_each(
            account=account(request), viewer=viewer(request), reviews=rows[: bulk.MOST], asked=asked_of_many(data)
        )
        items = [shapes.BulkRow(row).data for row in found]
        return Response({"advisory_id": record.pk, "items": items, "more": len(rows) > bulk.MOST})


class CampaignDetail(View):
    """One campaign and how far it has come."""

    @extend_schema(operation_id="campaigns_detail", responses={200: shapes.CampaignDetail, **ERRORS})
    def get(self, request: Request, pk: Any) -> Response:
        return Response(_shown(request, pk))


class CampaignItems(View):
    """The reviews of a campaign in sight, and what became of each."""

    @extend_schema(
        operation_id="campaigns_items",
        parameters=[*PAGING, OpenApiParameter("state", str, enum=CampaignItemState.values)],
        responses={200: shapes.CampaignItemPage, **ERRORS},
    )
    def get(self, request: Request, pk: Any) -> Response:
        only(request, "state", "limit", "cursor")
        rows = selectors.campaign_rows(viewer(request), _found(request, pk))
        if (state := given(request, "state", CampaignItemState.values)) is not None:
            rows = rows.filter(state=state)
        items, following = page(request, rows, Order(("id",)))
        return Response({"items": shapes.CampaignItemShape(items, many=True).data, "next": following})


class EndCampaign(View):
    """Takes no later ones any more. What was decided stands."""

    @extend_schema(operation_id="campaigns_end", request=None, responses={200: shapes.CampaignDetail, **WRITE_ERRORS})
    def post(self, request: Request, pk: Any) -> Response:
        campaigns.end(account=account(request), viewer=viewer(request), campaign=_found(request, pk))
        return Response(_shown(request, pk))


def _advisory(request: Request, name: str) -> Advisory:
    found = advisory_named(viewer(request), named(name))
    if found is None:
        raise Http404
    return found


def _found(request: Request, pk: Any) -> Campaign:
    found = selectors.campaigns(viewer(request)).filter(pk=pk).first()
    if found is None:
        raise Http404
    return found


def _shown(request: Request, pk: Any) -> Any:
    campaign = _found(request, pk)
    campaign.progress = selectors.campaign_progress(viewer(request), campaign)  # type: ignore[attr-defined]
    return shapes.CampaignDetail(campaign).data
