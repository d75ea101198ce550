"""The list of APVs as JSON, from the columns to the bytes: no model objects, no serializer.

It is the address that is asked most, and both cost more than the query. ``shapes.ReviewItem`` says in the OpenAPI document what
stands here; a test holds the two together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any
from uuid import UUID

import orjson
from django.http import HttpResponse

# Field of the answer → column of ``selectors.apv_list``.
COLUMNS = {
    "apv_code": "apv_code",
    "advisory_id": "advisory_id",
    "cve_id": "cve_id",
    "severity": "severity",
    "score": "score",
    "priority": "priority",
    "ecosystem": "ecosystem",
    "package_name": "package_name",
    "versions": "versions_text",
    "patch_strategy": "patch_strategy",
    "wargame_verdict": "wargame_verdict",
    "wargame_confidence": "wargame_confidence",
    "status": "status",
    "reason": "reason",
    "repository": "repository__name",
    "repository_id": "repository_id",
    "remedy_id": "remedy_id",
    "review_id": "round",
    "review_state": "round",
    "questioned": "questioned",
    "due_at": "due_at",
    "created_at": "created_at",
    "updated_at": "updated_at",
}


def columns(order: Iterable[str]) -> list[str]:
    """The columns to ask for: those shown, and those of the order."""
    return list(dict.fromkeys([*COLUMNS.values(), *(name.removeprefix("-") for name in order)]))


def reader(asked: list[str]) -> Callable[[tuple[Any, ...], str], Any]:
    """Reads a column off a row."""
    places = {name: place for place, name in enumerate(asked)}
    return lambda row, name: row[places[name]]


def answer(rows: list[tuple[Any, ...]], asked: list[str], following: str | None) -> HttpResponse:
    places = [(field, asked.index(column)) for field, column in COLUMNS.items()]
    items = []
    for row in rows:
        item = {field: row[place] for field, place in places}
        latest = item["review_id"]
        item["review_id"], item["review_state"] = (UUID(latest["id"]), latest["state"]) if latest else (None, None)
        item["versions"] = orjson.Fragment(item["versions"])
        items.append(item)
    body = orjson.dumps({"items": items, "next": following}, option=orjson.OPT_UTC_Z)
    return HttpResponse(body, content_type="application/json")
