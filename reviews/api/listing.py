"""The list of APVs: what may be asked, in which order, and its query.

Django takes longer to write that query than the database to answer it, so each is written once for its ``Shape``, which says what is
asked and not what with: nothing of one caller can stand in the answer to another.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from django.db.models import Exists, OuterRef, Q, Subquery
from django.utils import timezone
from rest_framework.request import Request

from immune.models import APV, Account, Repository, Role
from immune.models.advisories import Severity
from immune.models.apvs import APVStatus, Priority, Verdict
from immune.people.selectors import Viewer, visible_repositories
from immune.prepared import Prepared, slot
from reviews import selectors
from reviews.api import rows
from reviews.api.access import account, viewer
from reviews.api.base import flag, given, only
from reviews.api.pages import Order, cut, field_of, last_seen, limit
from reviews.models import Review, ReviewState

# Name of the filter → the column, and what may be asked for (None: any text).
FILTERS: dict[str, tuple[str, list[str] | None]] = {
    "severity": ("severity", Severity.values),
    "priority": ("priority", Priority.values),
    "strategy": ("patch_strategy", None),
    "verdict": ("wargame_verdict", Verdict.values),
    "status": ("status", APVStatus.values),
    "package": ("package_name", None),
    "repository": ("repository", None),
}
ORDERS = {
    "priority": Order(("priority", "due_at", "id")),
    "severity": Order(("severity_rank", "due_at", "id")),
    "due_at": Order(("due_at", "id")),
    "-due_at": Order(("-due_at", "-id")),
    "created_at": Order(("created_at", "id")),
    "-created_at": Order(("-created_at", "-id")),
    "updated_at": Order(("updated_at", "id")),
    "-updated_at": Order(("-updated_at", "-id")),
}
TEXTS = (*FILTERS, "assignee", "search")
SHAPES = 128  # kept, of some 50 kB each


@dataclass(frozen=True, slots=True)
class Shape:
    """A question without its values. ``goes_on``: behind the last row of the page before."""

    texts: frozenset[str]
    overdue: bool | None
    questioned: bool | None
    ordering: str
    goes_on: bool
    size: int
    sees_all: bool


def page(request: Request) -> tuple[list[tuple[Any, ...]], list[str], str | None]:
    """The page that is asked for, its columns, and the cursor of the next. Raises ValidationError."""
    only(request, *TEXTS, "overdue", "questioned", "ordering", "limit", "cursor")
    texts = {name: given(request, name, FILTERS.get(name, ("", None))[1]) for name in TEXTS}
    ordering = given(request, "ordering", ORDERS) or "priority"
    order = ORDERS[ordering]
    seen = last_seen(request, APV, order)
    who = viewer(request)
    shape = Shape(
        texts=frozenset(name for name, value in texts.items() if value is not None),
        overdue=flag(request, "overdue"),
        questioned=flag(request, "questioned"),
        ordering=ordering,
        goes_on=seen is not None,
        size=limit(request),
        sees_all=who.sees_all,
    )
    asked = rows.columns(order.columns)
    if not who.may("read"):
        return [], asked, None
    if texts["assignee"] == "me":
        texts["assignee"] = account(request).username
    found = _query(shape).rows(
        **texts,
        **{f"seen_{place}": value for place, value in enumerate(seen or ())},
        upper=(texts["search"] or "").upper(),
        now=timezone.now(),
        account=who.account_id,
    )
    items, following = cut(found, shape.size, order, rows.reader(asked))
    return items, asked, following


@lru_cache(SHAPES)
def _query(shape: Shape) -> Prepared:
    order = ORDERS[shape.ordering]
    found = selectors.apv_list(_anybody(shape.sees_all), _wanted(shape))
    if shape.ordering == "severity":
        found = selectors.by_severity(found)
    if shape.goes_on:
        columns = [field_of(APV, name.removeprefix("-")) for name in order.columns]
        found = found.filter(order.after([slot(f"seen_{place}", column) for place, column in enumerate(columns)]))
    return Prepared(found.order_by(*order.columns).values_list(*rows.columns(order.columns))[: shape.size + 1])


def _anybody(sees_all: bool) -> Viewer:
    """Who may read, everything or what their teams own: whoever asks then."""
    return Viewer(slot("account", Account._meta.pk), Role.VIEWER, sees_all)  # type: ignore[arg-type]


def _wanted(shape: Shape) -> Q:
    now = slot("now", field_of(APV, "due_at"))
    wanted = Q()
    for name in sorted(shape.texts & FILTERS.keys()):
        column = FILTERS[name][0]
        wanted &= Q(**{column: _repository(shape) if name == "repository" else slot(name, field_of(APV, column))})
    if "status" not in shape.texts:
        # Folded into an elder one, which the list shows.
        wanted &= ~Q(status=APVStatus.MERGED)
    if "assignee" in shape.texts:
        holder = slot("assignee", Account._meta.get_field("username"))
        held = Review.objects.filter(
            items__apv=OuterRef("pk"),
            claimed_by__username=holder,
            state=ReviewState.CLAIMED,
            claimed_until__gt=now,
        )
        wanted &= Q(Exists(held))
    if shape.overdue is not None:
        wanted &= selectors.overdue(now) if shape.overdue else ~selectors.overdue(now)
    if shape.questioned is not None:
        wanted &= Q(questioned=shape.questioned)
    if "search" in shape.texts:
        wanted &= selectors.matching(slot("upper", field_of(APV, "package_name")))
    return wanted


def _repository(shape: Shape) -> Subquery:
    """The id of the repository of this name in sight. By it the list is read off an index; joined by its name it would be sorted."""
    named = visible_repositories(_anybody(shape.sees_all)).filter(name=slot("repository", field_of(Repository, "name")))
    return Subquery(named.values("pk")[:1])
