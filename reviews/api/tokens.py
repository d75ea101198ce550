"""Tokens for the API: made, listed, rotated and revoked by their owners; those who administer see and revoke everybody's."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.http import Http404
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from immune.events.actors import Actor
from immune.models import ApiToken
from immune.people import services
from immune.people.selectors import visible_tokens
from reviews.api import shapes
from reviews.api.access import account, viewer
from reviews.api.base import ERRORS, PAGING, WRITE_ERRORS, View, given, only, text_parameter, valid
from reviews.api.pages import Order, page


class Tokens(View):
    """Tokens in sight, and making one."""

    @extend_schema(
        operation_id="tokens_list",
        parameters=[*PAGING, text_parameter("account", "account name of the owner")],
        responses={200: shapes.TokenPage, **ERRORS},
    )
    def get(self, request: Request) -> Response:
        only(request, "account", "limit", "cursor")
        rows = visible_tokens(viewer(request))
        if (owner := given(request, "account")) is not None:
            rows = rows.filter(account__username=owner)
        items, following = page(request, rows, Order(("-created_at", "-id")))
        return Response({"items": shapes.TokenShape(items, many=True).data, "next": following})

    @extend_schema(
        operation_id="tokens_create",
        request=shapes.TokenRequest,
        responses={201: shapes.TokenMade, **WRITE_ERRORS},
        description="Makes a token for oneself. Its text is in this answer and nowhere else, ever.",
    )
    def post(self, request: Request) -> Response:
        data = valid(shapes.TokenRequest, request)
        return _made(
            *services.create_own_token(
                account=account(request),
                viewer=viewer(request),
                name=data["name"],
                scopes=data["scopes"],
                lifetime=timedelta(days=data["days"]),
            )
        )


class RotateToken(View):
    """Ends a token of one's own, now or after an overlap, and makes its successor; the new text is in this answer and nowhere else."""

    @extend_schema(
        operation_id="tokens_rotate", request=shapes.RotateRequest, responses={201: shapes.TokenMade, **WRITE_ERRORS}
    )
    def post(self, request: Request, pk: Any) -> Response:
        token = _token(request, pk)
        overlap = timedelta(minutes=valid(shapes.RotateRequest, request)["overlap_minutes"])
        return _made(
            *services.rotate_token(account=account(request), viewer=viewer(request), token=token, overlap=overlap)
        )


class RevokeToken(View):
    """Ends a token. Ending it twice is the same as once."""

    @extend_schema(operation_id="tokens_revoke", request=None, responses={200: shapes.TokenShape, **WRITE_ERRORS})
    def post(self, request: Request, pk: Any) -> Response:
        token = _token(request, pk)
        services.revoke_token(actor=Actor.of(account(request)), token=token)
        return Response(shapes.TokenShape(_token(request, pk)).data)


def _token(request: Request, pk: Any) -> ApiToken:
    """The token asked about. A token may act on itself only, unless it may administer."""
    rows = visible_tokens(viewer(request)).filter(pk=pk)
    if isinstance(request.auth, ApiToken) and not viewer(request).may("administer"):
        rows = rows.filter(pk=request.auth.pk)
    found = rows.first()
    if found is None:
        raise Http404
    return found


def _made(token: ApiToken, text: str) -> Response:
    # Said apart from every store on the way: this text opens the account.
    return Response({**shapes.TokenShape(token).data, "token": text}, status=201, headers={"Cache-Control": "no-store"})
