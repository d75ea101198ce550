"""The health addresses. They say states only, so anybody may ask."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.http import Http404
from drf_spectacular.utils import extend_schema
from rest_framework.authentication import BaseAuthentication
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from reviews import health
from reviews.api import shapes
from reviews.api.base import answers
from reviews.api.parsing import AlwaysJson


class Open(APIView):
    """Says states only, so anybody may ask."""

    authentication_classes: Sequence[type[BaseAuthentication]] = []
    permission_classes = [AllowAny]
    content_negotiation_class = AlwaysJson


class Health(Open):
    """The state of the whole and of each part."""

    @extend_schema(operation_id="health", auth=[], responses={200: shapes.HealthShape, 503: shapes.HealthShape})
    def get(self, request: Request) -> Response:
        found = health.components()
        state = health.overall(found)
        return Response(_health(state, found), status=503 if state == health.DOWN else 200)


class HealthReady(Health):
    """Whether this process can serve: 503 until it can."""

    @extend_schema(operation_id="health_ready", auth=[], responses={200: shapes.HealthShape, 503: shapes.HealthShape})
    def get(self, request: Request) -> Response:
        return super().get(request)


class HealthLive(Open):
    """Whether this process answers at all; asks nothing else."""

    @extend_schema(operation_id="health_live", auth=[], responses={200: shapes.HealthShape})
    def get(self, request: Request) -> Response:
        return Response(_health(health.OK, {}))


class HealthComponents(Open):
    """The state of each part."""

    @extend_schema(operation_id="health_components", auth=[], responses={200: shapes.HealthShape})
    def get(self, request: Request) -> Response:
        found = health.components()
        return Response(_health(health.overall(found), found))


class HealthComponent(Open):
    """The state of one part."""

    @extend_schema(
        operation_id="health_component",
        auth=[],
        responses={200: shapes.HealthShape, **answers(404), 503: shapes.HealthShape},
    )
    def get(self, request: Request, name: str) -> Response:
        if name not in health.COMPONENTS:
            raise Http404
        state = health.component(name)
        return Response(_health(state, {name: state}), status=503 if state == health.DOWN else 200)


def _health(state: str, found: dict[str, str]) -> dict[str, Any]:
    return {"status": state, "name": settings.APP_NAME, "version": settings.APP_VERSION, "components": found}
