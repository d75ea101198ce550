"""What came after merges: what is watched, what alarmed, and having a revert opened."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.http import Http404
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from immune.aftermath import order_revert
from immune.models import Aftermath
from immune.models.aftermaths import AftermathState
from immune.people.selectors import within_sight
from reviews.api.access import account, viewer
from reviews.api.base import ERRORS, PAGING, WRITE_ERRORS, View, given, only
from reviews.api.pages import Order, page


class AftermathShape(serializers.ModelSerializer[Aftermath]):
    """One merge and what was seen of it since. ``detail``: names of red checks, or the codes of the APVs that are back."""

    repository = serializers.CharField(source="remedy.repository.name")
    package = serializers.CharField(source="remedy.package_name")
    target_version = serializers.CharField(source="remedy.target_version")
    merge_commit = serializers.CharField(source="remedy.merge_commit")
    pull_request = serializers.IntegerField(source="remedy.pull_request_number", allow_null=True)
    cause = serializers.CharField(
        read_only=True, help_text="checks_red, reverted or vulnerable_again; empty without an alarm"
    )

    class Meta:
        model = Aftermath
        fields = (
            "id", "remedy_id", "repository_id", "repository", "package", "target_version", "merge_commit", "pull_request", "state",
            "cause", "detail", "began_at", "until", "alarmed_at", "revert_number", "revert_url",
        )  # fmt: skip
        read_only_fields = fields


class AftermathPage(serializers.Serializer[Any]):
    items = AftermathShape(many=True)
    next = serializers.CharField(allow_null=True)


class Aftermaths(View):
    """The merges in sight that are or were watched, the newest first."""

    @extend_schema(
        operation_id="aftermaths_list",
        parameters=[*PAGING, OpenApiParameter("state", str, enum=AftermathState.values)],
        responses={200: AftermathPage, **ERRORS},
    )
    def get(self, request: Request) -> Response:
        only(request, "state", "limit", "cursor")
        rows = _in_sight(request)
        if (state := given(request, "state", AftermathState.values)) is not None:
            rows = rows.filter(state=state)
        items, following = page(request, rows, Order(("-began_at", "-id")))
        return Response({"items": AftermathShape(items, many=True).data, "next": following})


class AftermathDetail(View):
    """One merge and what came after it."""

    @extend_schema(operation_id="aftermaths_detail", responses={200: AftermathShape, **ERRORS})
    def get(self, request: Request, pk: Any) -> Response:
        return Response(AftermathShape(_found(request, pk)).data)


class Revert(View):
    """Has the revert of an alarmed merge opened as a pull request; who may merge it is decided at the forge."""

    @extend_schema(operation_id="aftermaths_revert", request=None, responses={202: AftermathShape, **WRITE_ERRORS})
    def post(self, request: Request, pk: Any) -> Response:
        order_revert(account=account(request), viewer=viewer(request), row=_found(request, pk))
        return Response(AftermathShape(_found(request, pk)).data, status=202)


def _in_sight(request: Request) -> QuerySet[Aftermath]:
    rows = Aftermath.objects.filter(within_sight(viewer(request)))
    return rows.select_related("remedy__repository")


def _found(request: Request, pk: Any) -> Aftermath:
    found = _in_sight(request).filter(pk=pk).first()
    if found is None:
        raise Http404
    return found
