"""Addresses of the live page, the live feed and the webhooks."""

from __future__ import annotations

from django.urls import URLPattern, path

from reviews import hooks
from reviews.live.consumers import LiveConsumer
from reviews.live.views import dashboard

app_name = "reviews"
urlpatterns: list[URLPattern] = [
    path("dashboard/", dashboard, name="dashboard"),
    path("hooks/github", hooks.github, name="hooks-github"),
]
websocket_urlpatterns = [path("hitl/ws", LiveConsumer.as_asgi())]
