"""What VEX documents said and was kept: confirmations, notes and fixes. ``not_affected`` is a suppression instead."""

from __future__ import annotations

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from immune.advisories.selectors import advisory_named
from immune.vex import selectors
from reviews.api import shapes
from reviews.api.access import viewer
from reviews.api.base import ERRORS, PAGING, View, given, only, text_parameter
from reviews.api.pages import Order, page

STATES = ["affected", "fixed", "under_investigation"]
COLUMNS = {"status": "status", "repository": "repository__name", "ecosystem": "ecosystem", "package": "package_name"}


class Statements(View):
    """Kept statements of VEX documents, the latest first."""

    @extend_schema(
        operation_id="statements_list",
        parameters=[
            *PAGING,
            OpenApiParameter("status", str, enum=STATES),
            text_parameter("repository", "its name, whole"),
            text_parameter("ecosystem"),
            text_parameter("package", "its name, whole"),
            text_parameter("advisory", "an id or alias, whole"),
        ],
        responses={200: shapes.StatementPage, **ERRORS},
    )
    def get(self, request: Request) -> Response:
        only(request, *COLUMNS, "advisory", "limit", "cursor")
        rows = selectors.statements(viewer(request))
        for name, column in COLUMNS.items():
            if (value := given(request, name, STATES if name == "status" else None)) is not None:
                rows = rows.filter(**{column: value})
        if (name := given(request, "advisory") or "") != "":
            record = advisory_named(viewer(request), name)
            rows = rows.filter(group=record.group_id) if record else rows.none()
        items, following = page(request, rows, Order(("-created_at", "-id")))
        return Response({"items": shapes.StatementShape(items, many=True).data, "next": following})
