"""What ``bench.api`` reads: rows written by INSERT … SELECT, a million in a minute, and the questions asked about them."""

from __future__ import annotations

from django.db import connection
from django.utils import timezone

from immune.events.actors import SYSTEM
from immune.models import Account, AliasGroup, Repository
from immune.people.services import create_token

REPOSITORIES, GROUPS = 200, 5000
# Name and query of every filter and order the list offers; api_server answers the same ones by hand.
LISTS = (
    ("list", ""),
    ("severity", "severity=HIGH"),
    ("priority", "priority=P3"),
    ("strategy", "strategy=version_bump"),
    ("verdict", "verdict=INCONCLUSIVE"),
    ("status", "status=failed"),
    ("package", "package=p7"),
    ("repository", "repository=bench/r7"),
    ("assignee", "assignee=bench"),
    ("overdue", "overdue=true"),
    ("search rare", "search=ghsa-4321"),
    ("search common", "search=ghsa-1"),
    ("order severity", "ordering=severity"),
    ("order due", "ordering=due_at"),
    ("order -due", "ordering=-due_at"),
    ("order created", "ordering=created_at"),
    ("order -created", "ordering=-created_at"),
    ("order updated", "ordering=updated_at"),
    ("order -updated", "ordering=-updated_at"),
)

# n: 0 … apvs - 1. The first ones wait for a decision, as many again were decided over the last two months, most others are resolved.
STATEMENTS = (
    """CREATE TEMPORARY TABLE made AS
       SELECT n, gen_random_uuid() AS id, gen_random_uuid() AS remedy, gen_random_uuid() AS review, gen_random_uuid() AS decision,
              (%(repositories)s::uuid[])[1 + n %% {repositories}] AS repository, (%(groups)s::bigint[])[1 + n %% {groups}] AS grp,
              n < %(open)s AS waits, n >= %(open)s AND n < 2 * %(open)s AS decided,
              now() + (n::bigint * 7919 %% 100000 - 20000) * interval '1 minute' AS due,
              now() - (n::bigint * 104729 %% 86400) * interval '1 minute' - interval '1 hour' AS born
       FROM generate_series(0, %(apvs)s - 1) n""",
    """INSERT INTO remedies (id, repository_id, ecosystem, package_name, from_version, target_version, strategy, bump, state, branch,
              base_commit, head_commit, patch, patch_digest, changes, manifest_digests, reason,
              created_at, pull_request_url, merge_commit, served)
       SELECT remedy, repository, 'PyPI', 'p' || n, '1', '2', 'version_bump', 'minor',
              CASE WHEN waits THEN 'proposed' ELSE 'merged' END, 'b' || n, repeat('a', 40), repeat('b', 40), 'diff', repeat('c', 64),
              '{{}}', '{{}}', '', born, '', '', '[]' FROM made WHERE waits OR decided""",
    """INSERT INTO apv_reviews (id, apv_code, repository_id, group_id, advisory_id, cve_id, severity, ecosystem, package_name, versions,
              fixed_versions, manifests, scan_sees, priority, priority_factors, due_at, patch_strategy, wargame_verdict,
              wargame_confidence, status, raised_to, reason, remedy_id, created_at, updated_at)
       SELECT id, 'APV-2026-' || lpad(n::text, 7, '0'), repository, grp, 'GHSA-' || n %% {groups}, '',
              (ARRAY['CRITICAL', 'HIGH', 'MEDIUM', 'LOW', 'UNKNOWN'])[1 + n * 31 %% 5], 'PyPI', 'p' || n / {groups}, '["1"]', '["2"]', '[]',
              true, 'P' || 1 + n * 17 %% 4, '[]', due, CASE WHEN n %% 3 = 0 THEN '' ELSE 'version_bump' END,
              (ARRAY['', 'PATCH_EFFECTIVE', 'INCONCLUSIVE'])[1 + n %% 3], CASE WHEN n %% 3 = 1 THEN 0.8 END,
              CASE WHEN waits THEN 'in_review' WHEN n %% 10 < 7 THEN 'resolved' WHEN n %% 1000 = 999 THEN 'failed'
                   WHEN n %% 10 = 8 THEN 'suppressed' ELSE 'open' END, '',
              '', CASE WHEN waits OR decided THEN remedy END, born, born + (n %% 50) * interval '1 minute' FROM made""",
    """INSERT INTO reviews (id, repository_id, remedy_id, round, state, head_commit, patch_digest, evidence_digest, weakest_verdict,
              confidence, recommendation, recommendation_reasons, required_approvals, opened_because, closed_because, opened_at,
              decided_at, due_at, priority, version, claimed_by_id, claimed_until, facts, policies, required_groups)
       SELECT review, repository, remedy, 1, CASE WHEN decided THEN 'decided' WHEN n %% 50 = 49 THEN 'claimed' ELSE 'pending' END,
              repeat('b', 40), repeat('c', 64), '', 'PATCH_EFFECTIVE', 0.8, 'approve', '[]', 1, '', '', born,
              CASE WHEN decided THEN born + interval '30 minutes' END, due, 'P2', 1,
              CASE WHEN waits AND n %% 50 = 49 THEN %(account)s::bigint END,
              CASE WHEN waits AND n %% 50 = 49 THEN now() + interval '1 day' END, '{{}}', '[]', '[]' FROM made WHERE waits OR decided""",
    """INSERT INTO review_items (review_id, apv_id, verdict) SELECT review, id, 'PATCH_EFFECTIVE' FROM made WHERE waits OR decided""",
    """INSERT INTO hitl_decisions (id, apv_id, apv_code, review_id, decision, justification, comments, modifications, suppress,
              reviewer_id, reviewer_name, reviewer_email, is_final, action_taken, head_commit, patch_digest, idempotency_key,
              request_digest, created_at, is_automatic, policies)
       SELECT decision, id, 'APV-2026-' || lpad(n::text, 7, '0'), review, CASE WHEN n %% 7 = 0 THEN 'reject' ELSE 'approve' END,
              'Both runs were read.', '', '{{}}', '{{}}', %(account)s, 'Rita', '', true, 'merge_pr', repeat('b', 40),
              repeat('c', 64), '', '', born + interval '30 minutes', false, '[]' FROM made WHERE decided""",
    "DROP TABLE made",
)


def fill(apvs: int, open_rounds: int) -> str:
    """Writes the rows; returns the text of a token that may read and decide."""
    account = Account.objects.create(username="bench", role="admin", is_staff=True)
    _, text = create_token(actor=SYSTEM, account=account, name="bench", scopes=["read", "decide"])
    groups = AliasGroup.objects.bulk_create(AliasGroup(canonical_id=f"GHSA-{n}") for n in range(GROUPS))
    repositories = Repository.objects.bulk_create(
        Repository(name=f"bench/r{n}", location=f"https://git.example/r{n}.git", created_at=timezone.now())
        for n in range(REPOSITORIES)
    )
    given = {
        "repositories": [row.pk for row in repositories], "groups": [row.pk for row in groups], "apvs": apvs, "open": open_rounds,
        "account": account.pk,
    }  # fmt: skip
    with connection.cursor() as cursor:
        for statement in STATEMENTS:
            cursor.execute(statement.format(repositories=REPOSITORIES, groups=GROUPS), given)
        cursor.execute("ANALYZE")
    return text
