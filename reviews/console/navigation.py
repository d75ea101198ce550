"""What the sidebar asks on every page: who may open an entry, and how many reviews wait."""

from __future__ import annotations

from django.http import HttpRequest

from reviews import selectors
from reviews.console.base import viewer
from reviews.models import ReviewState


def may_read(request: HttpRequest) -> bool:
    return viewer(request).may("read")


def may_operate(request: HttpRequest) -> bool:
    return viewer(request).may("operate")


def may_administer(request: HttpRequest) -> bool:
    return viewer(request).may("administer")


def pending_reviews(request: HttpRequest) -> str:
    """How many rounds nobody has claimed; empty for none."""
    waiting = selectors.reviews(viewer(request)).filter(state=ReviewState.PENDING).count()
    return str(waiting) if waiting else ""
