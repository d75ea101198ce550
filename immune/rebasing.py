"""Stale remedies: when manifests changed on the default branch, the change is made anew on it and has to be proved again.

Only the next to merge is rebased (the one a decision asked for, or the most urgent that waits), not every open one.
"""

from __future__ import annotations

from uuid import UUID

from immune import ending
from immune.events.actors import SYSTEM
from immune.events.log import Log, act
from immune.formats.requirements_edit import CannotEdit
from immune.git_process import GitError
from immune.models import Remedy
from immune.models.apvs import APVStatus
from immune.models.remedies import ForgeJobKind, ForgeJobState, RemedyState
from immune.remedies import CannotRemedy, Workbench, decision_under_way, order_job, prepare_change
from immune.services import request_scan
from immune.transitions import move_apv


def rebase_stale(bench: Workbench, *, only: UUID | None, after_merge: bool) -> int:
    """Rebases the remedy ``only``, or after a merge the most urgent stale one. Returns how many were rebased or retired."""
    if only is None and not after_merge:
        return 0
    rows = Remedy.objects.filter(repository=bench.repository, state=RemedyState.PROPOSED)
    if only is not None:
        rows = rows.filter(pk=only)
    # The one a decision asked for has been found stale already, and its APVs wait for it.
    stale = [remedy for remedy in rows if only is not None or _is_stale(remedy, bench)]
    stale = [remedy for remedy in stale if not remedy.apvs.filter(status=APVStatus.APPROVED).exists()]
    stale.sort(key=lambda remedy: min(remedy.apvs.values_list("priority", "due_at", "apv_code"), default=("P9",)))
    return sum(_rebase(bench, remedy) for remedy in stale[:1])


def _is_stale(remedy: Remedy, bench: Workbench) -> bool:
    return bool(remedy.base_commit != bench.reading.commit and remedy.manifest_digests != bench.reading.digests)


def _rebase(bench: Workbench, remedy: Remedy) -> int:
    package = (remedy.ecosystem, remedy.package_name)
    try:
        closes = frozenset(remedy.apvs.values_list("group__canonical_id", flat=True))
        change = prepare_change(bench, package, remedy.target_version, closes)
    except (CannotRemedy, CannotEdit, GitError) as error:
        if isinstance(error, GitError) and error.passing:
            raise
        with act(SYSTEM) as log:
            if decision_under_way(remedy):
                return 0
            # Planned once more by a reading of its own, which says to people what stands in the way where it still does.
            begin_anew(log, remedy, why="cannot_rebase", because=str(error))
        return 1
    with act(SYSTEM) as log:
        remedy = Remedy.objects.select_for_update(of=("self",)).get(pk=remedy.pk)
        if remedy.state != RemedyState.PROPOSED or decision_under_way(remedy):
            return 0
        if change.head == remedy.head_commit:
            return _still_current(log, remedy)
        Remedy.objects.filter(pk=remedy.pk).update(
            base_commit=change.base,
            head_commit=change.head,
            patch=change.patch,
            patch_digest=change.digest,
            changes=change.files,
            manifest_digests=bench.reading.digests,
        )
        remedy.refresh_from_db()
        log.record(
            "remedy.rebased",
            subject=f"remedy:{remedy.pk}",
            repository=remedy.repository_id,
            data={"head": change.head, "base": change.base, "patch": change.digest},
        )
        for apv in remedy.apvs.filter(status__in=(APVStatus.IN_REVIEW, APVStatus.WARGAMING)):
            move_apv(apv, to=APVStatus.REMEDIATING, log=log, why="rebased")
        order_job(log, remedy, ForgeJobKind.OPEN_PULL_REQUEST, cause=f"rebase:{change.head}")
    return 1


def begin_anew(log: Log, remedy: Remedy, *, why: str, because: str) -> None:
    """Gives up a proposed change: its pull request is closed and says ``because``, and its APVs are open for the reading asked for here."""
    ending.taken_over(log, remedy, to=APVStatus.OPEN, why=why, reason=because)
    order_job(log, remedy, ForgeJobKind.CLOSE, cause=f"superseded:{remedy.pk}", arguments={"because": because})
    request_scan(actor=SYSTEM, repository=remedy.repository, cause=f"{why}:{remedy.pk}")


def _still_current(log: Log, remedy: Remedy) -> int:
    """The change is made already as it would be made now: by this reading before it was killed, or by another one beside it.

    Where its pull request stands too, nothing else would ever move an APV that waits for a rebase.
    """
    opened = remedy.jobs.filter(kind=ForgeJobKind.OPEN_PULL_REQUEST, head_commit=remedy.head_commit)
    waiting = list(remedy.apvs.filter(status=APVStatus.REMEDIATING))
    if not waiting or opened.filter(state__in=(ForgeJobState.PENDING, ForgeJobState.RUNNING)).exists():
        return 0
    for apv in waiting:
        move_apv(apv, to=APVStatus.WARGAMING, log=log, why="still_current")
    log.record(
        "remedy.proposed",
        subject=f"remedy:{remedy.pk}",
        repository=remedy.repository_id,
        data={
            "remedy": str(remedy.pk),
            "head": remedy.head_commit,
            "pull_request": remedy.pull_request_number,
        },
    )
    return 1
