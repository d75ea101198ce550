"""Every filter and order of the list is read off an index on PostgreSQL: nothing reads the whole table, nothing sorts it."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test import RequestFactory
from django.test.utils import CaptureQueriesContext
from rest_framework.request import Request

from bench import api_rows
from immune.models import Account
from reviews.api import listing

pytestmark = [
    pytest.mark.both_databases,
    pytest.mark.skipif("connection.vendor != 'postgresql'", reason="plans of PostgreSQL, seen in its own run"),
]


@pytest.fixture
def plans(db: None) -> dict[str, list[dict[str, Any]]]:
    """Name of a filter or order → every node of the plan its query was run by, over 20,000 APVs."""
    api_rows.fill(20_000, 400)
    found = {}
    for name, query in api_rows.LISTS:
        request = Request(RequestFactory().get(f"/hitl/reviews/?{query}"))
        request.user, request.auth = Account.objects.get(username="bench"), None
        with CaptureQueriesContext(connection) as sent:
            listing.page(request)
        (statement,) = (query["sql"] for query in sent if "apv_reviews" in query["sql"])
        with connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}")
            found[name] = nodes(cursor.fetchone()[0][0]["Plan"])
    return found


def nodes(plan: dict[str, Any]) -> list[dict[str, Any]]:
    return [plan, *(node for part in plan.get("Plans", []) for node in nodes(part))]


def test_no_filter_or_order_reads_or_sorts_the_whole_table(plans: dict[str, list[dict[str, Any]]]) -> None:
    assert len(plans) == 19
    wrong = {}
    for name, plan in plans.items():
        read = [node for node in plan if node["Node Type"] == "Seq Scan" and node["Relation Name"] == "apv_reviews"]
        ordered = [node for node in plan if node["Node Type"] == "Sort" and node["Plans"][0]["Actual Rows"] > 1000]
        if read or ordered:
            wrong[name] = [node["Node Type"] for node in plan]
    assert wrong == {}
    used = {name: {node.get("Index Name") for node in plan} for name, plan in plans.items()}
    expected = {
        "list": "queue", "order severity": "worst", "order due": "due", "order -due": "due", "order created": "created",
        "order -created": "created", "order updated": "updated", "order -updated": "updated", "search rare": "search",
    }  # fmt: skip
    assert [name for name, index in expected.items() if f"ix_apv_reviews_{index}" not in used[name]] == []
