"""Comparing versions by their ecosystem's own order. Nothing is looked up, so it is answered at once."""

from __future__ import annotations

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from immune.formats.limits import shown
from immune.services import Refused
from immune.versions import Unparsable, VersionOrder, order_for
from immune.versions.comparing import sign, signs
from reviews.api import shapes
from reviews.api.base import ERRORS, LONGEST_TEXT, WRITE_ERRORS, View, answers, given, only, valid

_TEXT = {"type": "string", "minLength": 1, "maxLength": LONGEST_TEXT}


class Compare(View):
    """Which of two versions is the older, of one pair or of many."""

    @extend_schema(
        operation_id="versions_compare",
        parameters=[OpenApiParameter(name, _TEXT, required=True) for name in ("ecosystem", "a", "b")],
        responses={200: shapes.ComparisonShape, **ERRORS, **answers(422)},
    )
    def get(self, request: Request) -> Response:
        only(request, "ecosystem", "a", "b")
        asked = {name: given(request, name) for name in ("ecosystem", "a", "b")}
        if missing := {name: ["is needed"] for name, value in asked.items() if value is None}:
            raise ValidationError(missing)
        try:
            found = sign(_order(asked["ecosystem"] or ""), asked["a"] or "", asked["b"] or "")
        except Unparsable as error:
            raise Refused("not_comparable", shown(str(error), 400)) from error
        return Response({"answer": found})

    @extend_schema(
        operation_id="versions_compare_many",
        request=shapes.CompareRequest,
        responses={200: shapes.ComparedShape, **WRITE_ERRORS},
    )
    def post(self, request: Request) -> Response:
        data = valid(shapes.CompareRequest, request)
        found = signs(_order(data["ecosystem"]), [(pair["a"], pair["b"]) for pair in data["pairs"]])
        return Response({"answers": [{"answer": answer, "reason": reason} for answer, reason in found]})


def _order(ecosystem: str) -> VersionOrder:
    try:
        return order_for(ecosystem)
    except Unparsable as error:
        raise Refused("unknown_ecosystem", shown(str(error), 400)) from error
