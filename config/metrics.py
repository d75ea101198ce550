"""The address Prometheus scrapes."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from prometheus_client import CONTENT_TYPE_LATEST

from immune.metrics import page


def metrics(_request: HttpRequest) -> HttpResponse:
    return HttpResponse(page(), content_type=CONTENT_TYPE_LATEST)
