"""The live page: a frame that its script fills from /hitl/ws, with what is already known so that it never starts empty."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from immune.events.log import end_of_chain
from immune.models import APV, Account
from immune.models.advisories import Severity
from immune.models.apvs import LIVE, APVStatus, Verdict
from immune.models.balance import BalanceState
from immune.people.selectors import Viewer, viewer_of, within_sight
from reviews.live.figures import live_figures

SHOWN = 60
COLUMNS = (
    APVStatus.OPEN,
    APVStatus.REMEDIATING,
    APVStatus.WARGAMING,
    APVStatus.IN_REVIEW,
    APVStatus.APPROVED,
    APVStatus.RESOLVED,
)


@require_safe
@never_cache
@login_required
def dashboard(request: HttpRequest) -> HttpResponse:
    """The page at /dashboard/. The position is read before the figures, so that the feed repeats rather than skips."""
    assert isinstance(request.user, Account)  # noqa: S101 - login_required let nobody else in
    viewer = viewer_of(request.user)
    start = {
        "position": end_of_chain()[0],
        "figures": live_figures(viewer),
        "apvs": _apvs(viewer),
        "words": _words(),
        "enabled": settings.WEBSOCKET_ENABLED,
    }
    return render(
        request,
        "reviews/dashboard.html",
        {
            "start": start,
            "enabled": settings.WEBSOCKET_ENABLED,
            "columns": [(status.value, status.label) for status in COLUMNS],
            "app_name": settings.APP_NAME,
            "account": request.user,
        },
    )


def _apvs(viewer: Viewer) -> list[dict[str, Any]]:
    rows = APV.objects.filter(within_sight(viewer), status__in=[*LIVE, APVStatus.RESOLVED]).order_by("-updated_at")
    return [
        {
            "code": apv.apv_code,
            "status": apv.status,
            "severity": apv.severity,
            "priority": apv.priority,
            "package": apv.package_name,
            "verdict": apv.wargame_verdict,
        }
        for apv in rows[:SHOWN]
    ]


def _words() -> dict[str, str]:
    """What the script says to people, in their language."""
    return {
        "connected": _("live"),
        "connecting": _("connecting…"),
        "disconnected": _("disconnected, trying again in %s s"),
        "ended": _("the session has ended: sign in again"),
        "off": _("live updates are switched off"),
        "resynced": _("too much happened meanwhile: loading the page anew"),
        "new_apv": _("found"),
        "apv_moved": _("APV"),
        "remedy_proposed": _("patch proposed"),
        "remedy_moved": _("patch"),
        "wargame_progress": _("wargame"),
        "wargame_finished": _("wargame finished"),
        "review_opened": _("review opened"),
        "review_moved": _("review"),
        "review_commented": _("comment"),
        "decision_made": _("decision"),
        "decision_withdrawn": _("decision withdrawn"),
        "action_finished": _("forge"),
        "advisories_synced": _("advisories synchronised"),
        "repository_registered": _("repository registered"),
        "repository_scanned": _("repository read"),
        "repository_unreadable": _("repository unreadable"),
        "round": _("round"),
        "nothing": _("nothing has happened yet"),
        "action_held": _("held"),
        "action_admitted": _("let go"),
        "remedy_looped": _("goes round in circles"),
        "balance_moved": _("state of the whole"),
        **{f"balance_{state.value}": str(state.label) for state in BalanceState},
        **{f"verdict_{verdict.value}": str(verdict.label) for verdict in Verdict},
        **{f"severity_{severity.value}": str(severity.label) for severity in Severity},
    }
