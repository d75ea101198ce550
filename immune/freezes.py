"""Freezes: nothing is merged while one holds. Decisions are taken and kept; the merge waits, seen by everybody, until it has ended.

A held merge is a forge job that nobody claims (``immune.forge_jobs`` leaves it out), so no attempt is spent on it, it can still be
withdrawn, and it starts by itself when the freeze ends.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone

from immune.events.actors import Actor
from immune.events.log import act
from immune.models import Account, ForgeJob, Freeze, Repository
from immune.models.remedies import ForgeJobKind, ForgeJobState
from immune.people.selectors import Viewer, visible_repositories
from immune.people.services import NotPermitted
from immune.services import LONGEST_LABEL, Refused

_EVERYWHERE = Q(repository__isnull=True, label="")
LONGEST_REASON = 2000
LONGEST = timedelta(days=366)


def holding(now: datetime | None = None) -> Q:
    """The freezes that hold now."""
    now = now or timezone.now()
    return Q(ended_at__isnull=True, starts_at__lte=now, ends_at__gt=now)


def frozen(repository_id: UUID) -> Freeze | None:
    """The freeze that holds for a repository, the one that ends last; None without one."""
    labels = Repository.objects.values_list("labels", flat=True).get(pk=repository_id)
    here = Q(repository=repository_id) | _EVERYWHERE | Q(label__in=[label for label in labels if label])
    return Freeze.objects.filter(holding(), here).order_by("-ends_at").first()


def held_merges() -> Q:
    """Merges that wait for the end of a freeze, as a condition on forge jobs."""
    found = Freeze.objects.filter(Q(repository=OuterRef("remedy__repository")) | _EVERYWHERE, holding())
    labelled = Q(remedy__repository__in=_frozen_by_label())
    return (Q(Exists(found)) | labelled) & Q(kind=ForgeJobKind.MERGE, state=ForgeJobState.PENDING)


def _frozen_by_label() -> list[UUID]:
    """The repositories that carry a label which is frozen now. Looked up beforehand: SQLite cannot ask what a list holds."""
    frozen_labels = set(Freeze.objects.filter(holding()).exclude(label="").values_list("label", flat=True))
    if not frozen_labels:
        return []
    rows = Repository.objects.exclude(labels=[]).values_list("pk", "labels")
    return [pk for pk, labels in rows if frozen_labels & set(labels)]


def freezes(viewer: Viewer) -> QuerySet[Freeze]:
    """What the viewer may see: freezes of everything, of the repositories in sight, and of the labels these carry."""
    rows = Freeze.objects.select_related("repository", "author", "ended_by")
    if not viewer.may("read"):
        return rows.none()
    if viewer.sees_all:
        return rows
    seen = visible_repositories(viewer)
    labels = {label for carried in seen.exclude(labels=[]).values_list("labels", flat=True) for label in carried}
    return rows.filter(_EVERYWHERE | Q(label__in=labels - {""}) | Q(repository__in=seen.values("pk")))


def freeze(
    *,
    account: Account,
    viewer: Viewer,
    repository: Repository | None,
    reason: str,
    starts_at: datetime,
    ends_at: datetime,
    label: str = "",
) -> Freeze:
    """Freezes one repository (a lead who sees it), all with a label, or everything (operators). Times are aware.

    Raises NotPermitted, Refused (``bad_freeze``). Merges under way are not stopped.
    """
    may_change(viewer, repository)
    now = timezone.now()
    # A label of nothing but blanks is no label; taken for none it would freeze everything.
    if label and (repository is not None or not (0 < len(label.strip()) <= LONGEST_LABEL and label.isprintable())):
        raise Refused("bad_freeze", f"A freeze is of a repository or of a label of at most {LONGEST_LABEL} characters.")
    if not reason.strip() or len(reason) > LONGEST_REASON:
        raise Refused("bad_freeze", f"A freeze needs a reason of at most {LONGEST_REASON} characters.")
    if not (starts_at < ends_at and now < ends_at <= now + LONGEST):
        raise Refused("bad_freeze", f"A freeze ends after it begins, and within {LONGEST.days} days.")
    with act(Actor.of(account)) as log:
        row = Freeze.objects.create(
            repository=repository,
            label=label.strip(),
            reason=reason.strip(),
            starts_at=starts_at,
            ends_at=ends_at,
            author=account,
        )
        log.record(
            "freeze.made",
            subject=f"freeze:{row.pk}",
            repository=repository.pk if repository else None,
            data={"from": starts_at.isoformat(), "until": ends_at.isoformat()},
        )
    return row


def end_freeze(*, account: Account, viewer: Viewer, row: Freeze) -> None:
    """Ends a freeze before its time; what it held starts at once. Raises NotPermitted, Refused (``ended``)."""
    may_change(viewer, row.repository)
    with act(Actor.of(account)) as log:
        now = timezone.now()
        still = Freeze.objects.filter(pk=row.pk, ended_at__isnull=True, ends_at__gt=now)
        if not still.update(ended_at=now, ended_by=account):
            raise Refused("ended", "It holds no more.")
        log.record("freeze.ended", subject=f"freeze:{row.pk}", repository=row.repository_id, data={})
        waiting = ForgeJob.objects.filter(kind=ForgeJobKind.MERGE, state=ForgeJobState.PENDING, due_at__lte=now)
        if row.repository_id is not None:
            waiting = waiting.filter(remedy__repository=row.repository_id)
        for pk in waiting.exclude(held_merges()).values_list("pk", flat=True)[:200]:
            log.wake("forge", pk)
    row.refresh_from_db()


def may_change(viewer: Viewer, repository: Repository | None) -> None:
    """Raises NotPermitted unless the viewer may freeze there, or end a freeze of it."""
    if repository is not None and not visible_repositories(viewer).filter(pk=repository.pk).exists():
        raise NotPermitted("It is not yours to see.")
    wanted = ("operate",) if repository is None else ("lead", "operate")
    if not viewer.may("read") or not any(viewer.may(right) for right in wanted):
        raise NotPermitted("Your role does not permit it.")
