"""Scenarios attached to an APV through the API, and accepting another person's."""

from __future__ import annotations

import base64
import binascii
from typing import Any

from django.http import Http404
from drf_spectacular.utils import extend_schema
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from immune.models import APV
from immune.people.selectors import within_sight
from reviews import selectors
from reviews.api import shapes
from reviews.api.access import account, viewer
from reviews.api.base import ERRORS, WRITE_ERRORS, View, named, valid
from wargaming import attached
from wargaming.models import AttachedScenario, RefusedScenario


class Scenarios(View):
    """What people attached to an APV, and what of the repository's own was refused; attaching one."""

    @extend_schema(operation_id="scenarios_list", responses={200: shapes.ScenarioList, **ERRORS})
    def get(self, request: Request, apv_code: str) -> Response:
        apv = _apv(request, apv_code)
        rows = apv.scenarios.select_related("apv", "attached_by", "accepted_by").order_by("name", "-version")
        refused = RefusedScenario.objects.filter(remedy=apv.remedy_id).order_by("folder")
        if apv.remedy is not None:
            refused = refused.filter(base_commit=apv.remedy.base_commit)
        return Response(shapes.ScenarioList({"items": rows, "refused": refused}).data)

    @extend_schema(
        operation_id="scenarios_attach",
        request=shapes.ScenarioRequest,
        responses={201: shapes.ScenarioShape, **WRITE_ERRORS},
    )
    def post(self, request: Request, apv_code: str) -> Response:
        apv = _apv(request, apv_code)
        text = valid(shapes.ScenarioRequest, request)["archive"]
        try:
            archive = base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError) as error:
            raise ValidationError({"archive": ["is not base64"]}) from error
        row = attached.attach(account=account(request), viewer=viewer(request), apv=apv, archive=archive)
        return Response(shapes.ScenarioShape(row).data, status=201)


class AcceptScenario(View):
    """Stands for a scenario that somebody else attached."""

    @extend_schema(operation_id="scenarios_accept", request=None, responses={200: shapes.ScenarioShape, **WRITE_ERRORS})
    def post(self, request: Request, pk: Any) -> Response:
        rows = AttachedScenario.objects.filter(within_sight(viewer(request), "apv__repository"))
        row = rows.select_related("apv", "attached_by").filter(pk=pk).first()
        if row is None:
            raise Http404
        row = attached.accept(account=account(request), viewer=viewer(request), scenario=row)
        return Response(shapes.ScenarioShape(row).data)


def _apv(request: Request, code: str) -> APV:
    found = selectors.apv_by_code(viewer(request), named(code))
    if found is None:
        raise Http404
    return found
