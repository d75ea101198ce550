"""The product's addresses and, beside them, the same answers by hand-written SQL: what ``bench.api`` asks in one server."""

from __future__ import annotations

import hashlib
import json
import uuid
from typing import Any

import django
import orjson

django.setup()

from django.conf import settings  # noqa: E402
from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.db import connection, transaction  # noqa: E402
from django.http import HttpRequest, HttpResponse  # noqa: E402
from django.urls import path  # noqa: E402
from django.utils import timezone  # noqa: E402
from django.views.decorators.csrf import csrf_exempt  # noqa: E402

from config.urls import urlpatterns as product  # noqa: E402
from immune.events import subscriptions  # noqa: E402
from immune.events.log import LOCK  # noqa: E402

LIST = """
SELECT a.apv_code, a.advisory_id, a.cve_id, a.severity, a.score, a.priority, a.ecosystem, a.package_name, a.versions,
       a.patch_strategy, a.wargame_verdict, a.wargame_confidence, a.status, a.reason, r.name AS repository,
       a.repository_id, a.remedy_id, v.id AS review_id, v.state AS review_state, a.due_at, a.created_at, a.updated_at
FROM (SELECT * FROM apv_reviews a WHERE {where} ORDER BY {order} LIMIT 51) a
JOIN repositories r ON r.id = a.repository_id
LEFT JOIN LATERAL (
  SELECT w.id, w.state FROM reviews w JOIN review_items i ON i.review_id = w.id WHERE i.apv_id = a.id
  ORDER BY w.opened_at DESC, w.round DESC LIMIT 1
) v ON true
ORDER BY {order}
"""
WHERE = {
    "severity": "severity = %s",
    "priority": "priority = %s",
    "strategy": "patch_strategy = %s",
    "verdict": "wargame_verdict = %s",
    "status": "status = %s",
    "package": "package_name = %s",
    "repository": "repository_id = (SELECT id FROM repositories WHERE name = %s)",
    "assignee": """EXISTS (SELECT 1 FROM reviews v JOIN review_items i ON i.review_id = v.id JOIN accounts c ON c.id = v.claimed_by_id
                   WHERE i.apv_id = a.id AND c.username = %s AND v.state = 'claimed' AND v.claimed_until > now())""",
    "overdue": "due_at < now() AND status NOT IN ('resolved', 'withdrawn', 'merged', 'suppressed') AND %s::bool",
    "search": "UPPER(apv_code || ' ' || cve_id || ' ' || advisory_id || ' ' || package_name) LIKE '%%' || UPPER(%s) || '%%'",
}
RANK = " ".join(
    f"WHEN a.severity = '{name}' THEN {rank}"
    for rank, name in enumerate(("CRITICAL", "HIGH", "UNKNOWN", "MEDIUM", "LOW", "NONE"))
)
ORDER = {
    "priority": "a.priority, a.due_at, a.id",
    "severity": f"CASE {RANK} ELSE 0 END, a.due_at, a.id",
    **{name: f"a.{name}, a.id" for name in ("due_at", "created_at", "updated_at")},
    **{f"-{name}": f"a.{name} DESC, a.id DESC" for name in ("due_at", "created_at", "updated_at")},
}
STATS = (
    """SELECT count(*) FILTER (WHERE state = 'pending'), count(*) FILTER (WHERE state = 'claimed'),
       count(*) FILTER (WHERE due_at < now()) FROM reviews WHERE state <> 'decided'""",
    """SELECT worst, count(*) FROM (SELECT min(CASE a.severity WHEN 'CRITICAL' THEN 0 WHEN 'HIGH' THEN 1 WHEN 'UNKNOWN'
       THEN 2 WHEN 'MEDIUM' THEN 3 WHEN 'LOW' THEN 4 ELSE 5 END) AS worst FROM reviews v JOIN review_items i
       ON i.review_id = v.id JOIN apv_reviews a ON a.id = i.apv_id WHERE v.state <> 'decided' GROUP BY v.id) w GROUP BY 1""",
    """SELECT count(*) FILTER (WHERE created_at >= date_trunc('day', now())), count(*) FROM hitl_decisions
       WHERE is_final AND withdrawn_at IS NULL AND created_at >= date_trunc('week', now())""",
    """SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY s), percentile_disc(0.95) WITHIN GROUP (ORDER BY s), avg(agreed)
       FROM (SELECT extract(epoch FROM d.created_at - v.opened_at) s, (d.decision = v.recommendation)::int agreed
       FROM hitl_decisions d JOIN reviews v ON v.id = d.review_id WHERE d.is_final AND d.withdrawn_at IS NULL
       AND d.created_at >= now() - interval '30 days' ORDER BY d.created_at DESC LIMIT 1000) x""",
    """SELECT severity, count(*) FROM apv_reviews WHERE status IN
       ('open','remediating','wargaming','in_review','approved','suppressed','no_fix','failed') GROUP BY 1""",
    "SELECT decision, count(*) FROM hitl_decisions GROUP BY 1",
    "SELECT state, since, reasons FROM balance ORDER BY id LIMIT 1",
    "SELECT held, count(*) FROM forge_jobs WHERE state = 'pending' AND held <> '' GROUP BY 1",
)


def _answer(data: Any) -> HttpResponse:
    return HttpResponse(orjson.dumps(data, default=str), content_type="application/json")


def bare_list(request: HttpRequest) -> HttpResponse:
    asked = request.GET.dict()
    order = ORDER[asked.pop("ordering", "priority")]
    where = " AND ".join(["TRUE" if "status" in asked else "status <> 'merged'", *(WHERE[name] for name in asked)])
    with connection.cursor() as cursor:
        cursor.execute(LIST.format(where=where, order=order), list(asked.values()))
        names = [column[0] for column in cursor.description]
        return _answer({"items": [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]})


def bare_stats(request: HttpRequest) -> HttpResponse:
    found = []
    with connection.cursor() as cursor:
        for statement in STATS:
            cursor.execute(statement)
            found.append(cursor.fetchall())
    return _answer(found)


@csrf_exempt
def bare_decision(request: HttpRequest) -> HttpResponse:
    """The rows of one approval, written without asking anything: the least that any such view must do."""
    code = orjson.loads(request.body)["apv_code"]
    now, job, decision = timezone.now(), uuid.uuid4(), uuid.uuid4()
    with transaction.atomic(durable=True), connection.cursor() as cursor:
        cursor.execute(
            """SELECT v.id, v.remedy_id, v.head_commit, v.patch_digest, v.repository_id, a.id FROM apv_reviews a
               JOIN review_items i ON i.apv_id = a.id JOIN reviews v ON v.id = i.review_id
               WHERE a.apv_code = %s AND v.state <> 'decided' FOR UPDATE OF v""",
            [code],
        )
        review, remedy, head, patch, repository, apv = cursor.fetchone()
        cursor.execute(
            """INSERT INTO forge_jobs (due_at, held, owner, attempts, last_error, id, remedy_id, kind, head_commit, round, cause,
               arguments, state, reason, message, result, created_at)
               VALUES (%s, '', '', 0, '', %s, %s, 'merge_pr', %s, 1, %s, '{}', 'pending', '', '', '{}', %s)""",
            [now, job, remedy, head, f"decision:{decision}", now],
        )
        cursor.execute(
            """INSERT INTO hitl_decisions (id, apv_id, apv_code, review_id, decision, justification, comments, modifications,
               suppress, reviewer_id, reviewer_name, reviewer_email, is_automatic, is_final, policies, action_taken, job_id, head_commit,
               patch_digest, idempotency_key, request_digest, created_at)
               VALUES (%s, %s, %s, %s, 'approve', 'Both runs were read.', '', '{}', '{}', NULL, 'Rita', '', false, true, '[]', 'merge_pr',
               %s, %s, %s, '', '', %s)""",
            [decision, apv, code, review, job, head, patch, now],
        )
        cursor.execute(
            "UPDATE reviews SET state = 'decided', decided_at = %s, claimed_by_id = NULL, version = version + 1 WHERE id = %s",
            [now, review],
        )
        cursor.execute("UPDATE apv_reviews SET status = 'approved', updated_at = %s WHERE id = %s", [now, apv])
        _events(cursor, now, repository)
    return HttpResponse(orjson.dumps({"id": str(decision)}), status=201, content_type="application/json")


def _events(cursor: Any, now: Any, repository: Any) -> None:
    kinds = ("decision.made", "review.moved", "apv.moved")
    cursor.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])
    cursor.execute("SELECT position, hash FROM events ORDER BY position DESC LIMIT 1")
    position, previous = cursor.fetchone() or (0, "")
    rows, owed = [], []
    for kind in kinds:
        position += 1
        body = json.dumps({"kind": kind, "at": now.isoformat(), "data": {"a": "b" * 200}})
        digest = hashlib.sha256(f"{previous}{position}{body}".encode()).hexdigest()
        rows.append((position, kind, now, "account:1", "review:1", repository, body, previous, digest))
        owed += [(now, position, handler, now) for handler in subscriptions.handlers_for(kind)]
        previous = digest
    marks = ", ".join(["(%s, %s, %s, %s, %s, %s, %s, %s, %s)"] * len(rows))
    cursor.execute(
        "INSERT INTO events (position, kind, occurred_at, actor, subject, repository_id, body, previous_hash, hash) VALUES "
        + marks,
        [value for row in rows for value in row],
    )
    if owed:
        marks = ", ".join(["(%s, %s, %s, 'pending', '', 0, '', %s)"] * len(owed))
        cursor.execute(
            "INSERT INTO deliveries (due_at, event_id, handler, state, owner, attempts, last_error, created_at) VALUES "
            + marks,
            [value for row in owed for value in row],
        )


urlpatterns = [
    path("bare/reviews", bare_list),
    path("bare/stats", bare_stats),
    path("bare/decisions", bare_decision),
    *product,
]
settings.ROOT_URLCONF = __name__
application = get_wsgi_application()
