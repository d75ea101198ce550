"""Freezes: what is frozen until when, freezing, and ending a freeze before its time; and the labels of repositories that policies ask."""

from __future__ import annotations

from typing import Any

from django.http import Http404
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from immune import freezes
from immune.models import Freeze, Repository
from immune.people.selectors import visible_repositories
from immune.services import label_repository
from reviews.api import policy_shapes as shapes
from reviews.api.access import account, viewer
from reviews.api.base import ERRORS, PAGING, WRITE_ERRORS, View, flag, only, valid
from reviews.api.pages import Order, page
from reviews.api.shapes import RepositoryShape


class Freezes(View):
    """The freezes in sight, and freezing: one repository (leads), all with a label or everything (operators). Merges wait meanwhile."""

    @extend_schema(
        operation_id="freezes_list",
        parameters=[*PAGING, OpenApiParameter("holding", bool, description="whether it holds now")],
        responses={200: shapes.FreezePage, **ERRORS},
    )
    def get(self, request: Request) -> Response:
        only(request, "holding", "limit", "cursor")
        rows = freezes.freezes(viewer(request))
        if (holds := flag(request, "holding")) is not None:
            rows = rows.filter(freezes.holding()) if holds else rows.exclude(freezes.holding())
        items, following = page(request, rows, Order(("-created_at", "-id")))
        return Response({"items": shapes.FreezeShape(items, many=True).data, "next": following})

    @extend_schema(
        operation_id="freezes_create", request=shapes.FreezeRequest, responses={201: shapes.FreezeShape, **WRITE_ERRORS}
    )
    def post(self, request: Request) -> Response:
        data = valid(shapes.FreezeRequest, request)
        where = data.pop("repository_id")
        row = freezes.freeze(
            account=account(request),
            viewer=viewer(request),
            repository=_repository(request, where) if where is not None else None,
            **data,
        )
        return Response(shapes.FreezeShape(row).data, status=201)


class EndFreeze(View):
    """Ends a freeze before its time; what it held starts."""

    @extend_schema(operation_id="freezes_end", request=None, responses={200: shapes.FreezeShape, **WRITE_ERRORS})
    def post(self, request: Request, pk: int) -> Response:
        row: Freeze | None = freezes.freezes(viewer(request)).filter(pk=pk).first()
        if row is None:
            raise Http404
        freezes.end_freeze(account=account(request), viewer=viewer(request), row=row)
        return Response(shapes.FreezeShape(row).data)


class Labels(View):
    """Says which labels a repository has, for policies and reflexes to ask. Takes the right to administer."""

    @extend_schema(
        operation_id="repositories_label",
        request=shapes.LabelsRequest,
        responses={200: RepositoryShape, **WRITE_ERRORS},
    )
    def post(self, request: Request, pk: Any) -> Response:
        repository = _repository(request, pk)
        data = valid(shapes.LabelsRequest, request)
        label_repository(account=account(request), viewer=viewer(request), repository=repository, labels=data["labels"])
        return Response(RepositoryShape(repository).data)


def _repository(request: Request, pk: Any) -> Repository:
    found = visible_repositories(viewer(request)).filter(pk=pk).first()
    if found is None:
        raise Http404
    return found
