"""Addresses of the site."""

from __future__ import annotations

from django.conf import settings
from django.contrib import admin
from django.urls import include, path
from django.urls.resolvers import URLPattern, URLResolver
from django.views.generic import RedirectView

from config.metrics import metrics
from reviews.console.login import login

handler400 = "reviews.api.problems.bad_request"
handler500 = "reviews.api.problems.server_error"
urlpatterns: list[URLPattern | URLResolver] = [
    path("", RedirectView.as_view(url="/admin/")),
    path("admin/login/", login),
    path("admin/", admin.site.urls),
    path("i18n/", include("django.conf.urls.i18n")),
    path("hitl/", include("reviews.api.urls")),
    path("", include("reviews.urls")),
]
if settings.PROMETHEUS_ENABLED:
    urlpatterns.append(path("metrics", metrics, name="metrics"))
