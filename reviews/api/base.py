"""What the addresses of the API have in common: who may ask, what they declare, and how parameters are read."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from django.http import Http404
from drf_spectacular.utils import OpenApiParameter
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.views import APIView

from reviews.api import shapes
from reviews.api.access import AUTHENTICATION, MayRead
from reviews.api.pages import LARGEST, LONGEST_CURSOR, USUAL
from reviews.api.parsing import AlwaysJson, StrictJson
from reviews.api.problems import MEDIA_TYPE
from reviews.api.throttles import PerCaller

LONGEST_TEXT = 300


def answers(*codes: int) -> dict[Any, Any]:
    """The errors an operation declares, as problem documents."""
    return {(code, MEDIA_TYPE): shapes.Problem for code in codes}


ERRORS = answers(400, 401, 403, 404, 429)
WRITE_ERRORS = {**ERRORS, **answers(409, 412, 413, 415, 422)}
LIMIT = {"type": "integer", "minimum": 1, "maximum": LARGEST, "default": USUAL}
PAGING = [
    OpenApiParameter("limit", LIMIT),
    OpenApiParameter(
        "cursor", {"type": "string", "maxLength": LONGEST_CURSOR}, description="`next` of the page before"
    ),
]


def text_parameter(name: str, description: str = "") -> OpenApiParameter:
    return OpenApiParameter(
        name, {"type": "string", "minLength": 1, "maxLength": LONGEST_TEXT}, description=description
    )


class View(APIView):
    authentication_classes = AUTHENTICATION
    permission_classes = [MayRead]
    parser_classes = [StrictJson]
    throttle_classes = [PerCaller]
    content_negotiation_class = AlwaysJson


def only(request: Request, *known: str) -> None:
    """Refuses parameters a list does not know, and known ones given twice. Raises ValidationError."""
    wrong = {name: ["is not a filter of this list"] for name in request.query_params if name not in known}
    wrong |= {name: ["is given twice"] for name, values in request.query_params.lists() if len(values) > 1}
    if wrong:
        raise ValidationError(dict(sorted(wrong.items())[:20]))


def given(request: Request, name: str, choices: Collection[str] | None = None) -> str | None:
    """A text parameter, None when it is absent. Raises ValidationError for what is no choice or cannot be looked for."""
    value = request.query_params.get(name)
    if value is None:
        return None
    if choices is not None and value not in choices:
        raise ValidationError({name: [f"one of {', '.join(choices)}"]})
    if not value or "\x00" in value or len(value) > LONGEST_TEXT:
        raise ValidationError({name: [f"1 to {LONGEST_TEXT} characters that can be looked for"]})
    return value


def flag(request: Request, name: str) -> bool | None:
    value = given(request, name, ("true", "false"))
    return None if value is None else value == "true"


def named(text: str) -> str:
    """A name from the address. Raises Http404 for one that nothing can have (PostgreSQL refuses NUL characters)."""
    if "\x00" in text or len(text) > LONGEST_TEXT:
        raise Http404
    return text


def valid(shape: type[shapes.Strict], request: Request) -> dict[str, Any]:
    """The body as the shape reads it. Raises ValidationError."""
    read = shape(data=request.data)
    read.is_valid(raise_exception=True)
    return dict(read.validated_data)
