"""Prometheus metrics of reviews, the API and the live feed, under the names dashboards rely on."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from django.db import Error
from django.http import HttpRequest, HttpResponseBase
from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from immune.metrics import AT_SCRAPE
from reviews.models import Review, ReviewState

_requests = Counter("hitl_http_requests", "Requests to the API", ["method", "endpoint", "status"])
_request_seconds = Histogram("hitl_http_request_duration_seconds", "Time to answer a request", ["method", "endpoint"])
_decisions = Counter("hitl_decisions", "Decisions given", ["decision_type", "severity"])
_processing = Histogram("hitl_decision_processing_duration_seconds", "Time to take one decision")
_sockets = Counter("hitl_websocket_connections", "Live feed connections opened")
# Summed over processes that live: a process that died holds no socket.
_open_sockets = Gauge(
    "hitl_websocket_connections_active", "Live feed connections open now", multiprocess_mode="livesum"
)
_messages = Counter("hitl_websocket_messages_sent", "Frames sent to clients", ["channel", "message_type"])

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def decision_made(decision_type: str, severity: str) -> None:
    _decisions.labels(decision_type, severity).inc()


def decision_timed(seconds: float) -> None:
    _processing.observe(seconds)


def socket_opened() -> None:
    _sockets.inc()
    _open_sockets.inc()


def socket_closed() -> None:
    _open_sockets.dec()


def message_sent(channel: str, message_type: str) -> None:
    _messages.labels(channel, message_type).inc()


class ApiMetrics:
    """Counts and times requests under /hitl/. The route is the label, never the address: an address can be anything."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if not request.path.startswith("/hitl/"):
            return self.get_response(request)
        began = time.perf_counter()
        response = self.get_response(request)
        endpoint = f"/{request.resolver_match.route}" if request.resolver_match else "unknown"
        method = request.method if request.method in METHODS else "other"
        _requests.labels(method, endpoint, str(response.status_code)).inc()
        _request_seconds.labels(method, endpoint).observe(time.perf_counter() - began)
        return response


class WaitingReviews(Collector):
    """hitl_active_apv_reviews: rounds that wait for a person, read from the database when Prometheus asks."""

    def describe(self) -> Iterator[GaugeMetricFamily]:
        yield GaugeMetricFamily("hitl_active_apv_reviews", "Review rounds that wait for a person")

    def collect(self) -> Iterator[GaugeMetricFamily]:
        try:
            waiting = Review.objects.exclude(state=ReviewState.DECIDED).count()
        except Error:
            # Absent, not zero: a database that is away must not look like an empty queue, nor hide the other metrics.
            return
        yield GaugeMetricFamily("hitl_active_apv_reviews", "Review rounds that wait for a person", value=waiting)


AT_SCRAPE.register(WaitingReviews())
