"""The first page after signing in: the figures of the queue and the most urgent of what waits."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.urls import reverse
from django.utils.translation import gettext as _

from immune.homeostasis import balance, states
from immune.models.advisories import Severity
from reviews import selectors
from reviews.console.base import badge, viewer
from reviews.console.queue import ReviewAdmin, change_words, share_bar
from reviews.models import Choice, Review
from reviews.templatetags.console import shown_line

MOST_URGENT = 12


def figures(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Adds what the index template shows."""
    who = viewer(request)
    stats = selectors.stats(who)
    queue = reverse("admin:reviews_review_changelist")
    decisions = reverse("admin:reviews_decision_changelist")
    severities = stats["live_apvs_by_severity"]
    most = max([1, *severities.values()])
    page = _page(context)
    return {
        **context,
        "title": _("Overview"),
        "queue_url": queue,
        "figures": [
            {"label": _("waiting"), "value": stats["pending"], "link": f"{queue}?state=pending", "tone": "plain"},
            {"label": _("claimed"), "value": stats["claimed"], "link": f"{queue}?state=claimed", "tone": "plain"},
            {
                "label": _("overdue"),
                "value": stats["overdue"],
                "link": f"{queue}?pick=overdue",
                "tone": "late" if stats["overdue"] else "plain",
            },
            _state(),
            {"label": _("decided today"), "value": stats["decided_today"], "link": decisions, "tone": "plain"},
            {"label": _("decided this week"), "value": stats["decided_this_week"], "link": decisions, "tone": "plain"},
        ],
        "urgent": [_row(page, review) for review in selectors.open_reviews(who)[:MOST_URGENT]],
        "severities": [
            {
                "badge": badge(value, label, "severity"),
                "bar": share_bar(severities[value] / most, figure=False),
                "count": severities[value],
            }
            for value, label in Severity.choices
        ],
        "choices": [
            {"badge": badge(value, label, "choice"), "count": stats["decisions_by_type"][value]}
            for value, label in Choice.choices
        ],
    }


def _state() -> dict[str, Any]:
    """How the whole is doing, with the way to what is held back."""
    found = balance.current()
    late = found is not None and not states.automatic_approval(states.State(found.state))
    return {
        "label": _("state of the whole"),
        "value": found.get_state_display() if found else "–",
        "link": f"{reverse('admin:immune_forgejob_changelist')}?state__exact=pending",
        "tone": "late" if late else "plain",
    }


def _page(context: dict[str, Any]) -> ReviewAdmin:
    from django.contrib import admin  # noqa: PLC0415 - the site is filled after this module is imported

    page = admin.site.get_model_admin(Review)
    assert isinstance(page, ReviewAdmin)  # noqa: S101 - reviews.admin registers it
    return page


def _row(page: ReviewAdmin, review: Review) -> dict[str, Any]:
    return {
        "link": page.url("change", review.pk),
        "priority": page.urgency(review),
        "change": change_words(review),
        "repository": shown_line(review.repository.name, 60),
        "verdict": page.verdict(review),
        "due": page.due(review),
        "state": page.whose(review),
    }
