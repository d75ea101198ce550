"""Addresses of the REST API, below /hitl/."""

from __future__ import annotations

from django.urls import URLPattern, path, re_path

from reviews.api import docs, holdings, problems, reports, scenarios, status, suppressions, tokens, views

urlpatterns: list[URLPattern] = [
    path("reviews/", views.Reviews.as_view()),
    path("reviews/stats", views.Stats.as_view()),
    path("reviews/<str:apv_code>", views.ReviewDetail.as_view()),
    path("reviews/<str:apv_code>/claim", views.Claim.as_view()),
    path("reviews/<str:apv_code>/release", views.Release.as_view()),
    path("reviews/<str:apv_code>/comments", views.Comments.as_view()),
    path("reviews/<str:apv_code>/questions/<int:pk>/settle", views.SettleQuestion.as_view()),
    path("reviews/<str:apv_code>/scenarios", scenarios.Scenarios.as_view()),
    path("scenarios/<uuid:pk>/accept", scenarios.AcceptScenario.as_view()),
    path("decisions/", views.Decisions.as_view()),
    path("decisions/<uuid:pk>", views.DecisionDetail.as_view()),
    path("decisions/<uuid:pk>/withdraw", views.Withdraw.as_view()),
    path("decisions/history/<str:apv_code>", views.History.as_view()),
    path("suppressions/", suppressions.Suppressions.as_view()),
    path("suppressions/<int:pk>", suppressions.SuppressionDetail.as_view()),
    path("suppressions/<int:pk>/end", suppressions.EndSuppression.as_view()),
    path("repositories/", holdings.Repositories.as_view()),
    path("repositories/<uuid:pk>/immunize", holdings.Immunize.as_view()),
    path("repositories/<uuid:pk>/reports", reports.SendReport.as_view()),
    path("reports/", reports.Reports.as_view()),
    path("reports/<uuid:pk>", reports.ReportDetail.as_view()),
    path("scans/<uuid:pk>", holdings.ScanDetail.as_view()),
    path("wargames/<uuid:pk>", holdings.WargameDetail.as_view()),
    path("wargames/<uuid:pk>/cancel", holdings.CancelWargame.as_view()),
    path("wargames/<uuid:pk>/retry", holdings.RetryWargame.as_view()),
    path("wargames/<uuid:pk>/evidence", holdings.WargameEvidence.as_view()),
    path("advisories/", holdings.Advisories.as_view()),
    path("advisories/<str:pk>", holdings.AdvisoryDetail.as_view()),
    path("tokens/", tokens.Tokens.as_view()),
    path("tokens/<uuid:pk>/rotate", tokens.RotateToken.as_view()),
    path("tokens/<uuid:pk>/revoke", tokens.RevokeToken.as_view()),
    path("health", status.Health.as_view()),
    path("health/ready", status.HealthReady.as_view()),
    path("health/live", status.HealthLive.as_view()),
    path("health/components", status.HealthComponents.as_view()),
    path("health/components/<str:name>", status.HealthComponent.as_view()),
    path("openapi.json", docs.openapi, name="openapi"),
    path("docs", docs.page),
    re_path(r"", problems.not_found),
]
