"""Addresses of the live page and the live feed."""

from __future__ import annotations

from django.urls import URLPattern, path

from reviews.live.consumers import LiveConsumer
from reviews.live.views import dashboard

app_name = "reviews"
urlpatterns: list[URLPattern] = [path("dashboard/", dashboard, name="dashboard")]
websocket_urlpatterns = [path("hitl/ws", LiveConsumer.as_asgi())]
