"""The OpenAPI document of the API, and a page that lists it."""

from __future__ import annotations

from functools import cache
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe
from drf_spectacular.generators import SchemaGenerator

METHODS = ("get", "post", "put", "patch", "delete")


@cache
def document() -> dict[str, Any]:
    """The OpenAPI document of this version; made once, since making it takes longer than any request may."""
    made: dict[str, Any] = SchemaGenerator().get_schema(request=None, public=True)  # type: ignore[no-untyped-call]
    return made


@require_safe
def openapi(request: HttpRequest) -> HttpResponse:
    return JsonResponse(document())


@require_safe
def page(request: HttpRequest) -> HttpResponse:
    """A page that lists the API, without anything from elsewhere on the net."""
    operations = [
        _operation(path, method, item[method])
        for path, item in document()["paths"].items()
        for method in METHODS
        if method in item
    ]
    return render(request, "reviews/docs.html", {"operations": operations, "name": settings.APP_NAME})


def _operation(path: str, method: str, operation: dict[str, Any]) -> dict[str, Any]:
    return {
        "path": path,
        "method": method.upper(),
        "id": operation["operationId"],
        "description": operation.get("description", ""),
        "parameters": operation.get("parameters", []),
        "answers": sorted(operation.get("responses", {})),
    }
