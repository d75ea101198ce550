"""Statements that something is not affected, taken before it was found: they hold for the APV when it opens.

Each is used once: what a person opens again afterwards stays open. A later statement about the same takes its place.
"""

from __future__ import annotations

from django.db.models import Q
from django.utils import timezone

from immune.events.log import Log
from immune.formats.reports.shapes import Status
from immune.models import APV, Repository, VexStatement
from immune.models.apvs import APVStatus
from immune.suppression.services import LONGEST_REASON, suppress_apv


def set_aside_as_stated(log: Log, repository: Repository) -> int:
    """Sets aside the open APVs of the repository that a standing statement covers, until the statement's end. Returns how many.

    Part of each reading and of each report taken in. A statement that names versions covers an APV only when it names all of them.
    """
    standing = _standing(repository)
    if not standing:
        return 0
    count = 0
    groups = {group for group, _, _ in standing}
    for apv in APV.objects.filter(repository=repository, status=APVStatus.OPEN, group__in=groups):
        row = standing.get((apv.group_id, apv.ecosystem, apv.package_name))
        if row is None or (row.versions is not None and not set(apv.versions) <= set(row.versions)):
            continue
        reason = (row.impact or f"{row.source} says so.")[:LONGEST_REASON]
        end = row.expires_at
        suppress_apv(log, apv, reason=reason, until=end, by=row.author, ground=row.justification, source=row.source)
        VexStatement.objects.filter(pk=row.pk).update(spent_at=timezone.now())
        count += 1
    return count


def _standing(repository: Repository) -> dict[tuple[int, str, str], VexStatement]:
    """The statements that hold, by vulnerability and package: where the latest one says not affected."""
    rows = VexStatement.objects.filter(repository=repository).order_by("created_at", "pk")
    if not rows.filter(holding()).exists():
        return {}
    latest = {(row.group_id, row.ecosystem, row.package_name): row for row in rows.select_related("author")}
    return {about: row for about, row in latest.items() if is_standing(row)}


def holding() -> Q:
    """The condition on statements that they stand, unless a later one was taken."""
    return Q(status=Status.NOT_AFFECTED.value, spent_at__isnull=True, expires_at__gt=timezone.now())


def is_standing(row: VexStatement) -> bool:
    return (
        row.status == Status.NOT_AFFECTED
        and row.spent_at is None
        and row.expires_at is not None
        and row.expires_at > timezone.now()
    )
