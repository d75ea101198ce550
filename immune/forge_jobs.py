"""Carrying out what was decided at the forge: claimed, attempted, and closed with what the forge itself then says.

Every attempt looks before it acts, so doing it twice is harmless. What the forge refuses is kept on the job with its reason and
comes back to people; it never counts as success. What could not be told is tried again, not before the time the forge names.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.db.models import Q, QuerySet
from django.utils import timezone

from immune import claims, reading, work
from immune.events.actors import SYSTEM
from immune.events.log import Log, act
from immune.forges import base
from immune.forges.base import Answer, Done, Failed, Forge, Refused
from immune.forges.store import ForgeNotConfigured, forge_of
from immune.git_process import GitError
from immune.homeostasis import admission
from immune.models import APV, Account, ForgeJob, Remedy
from immune.models.apvs import APVStatus
from immune.models.remedies import LIVE_REMEDIES, ForgeJobKind, ForgeJobState, RemedyState
from immune.remedies import AUTHOR, EPOCH, commit_message, order_job, retire_moot
from immune.services import mirror_of, request_scan
from immune.suppression.services import suppress_apv
from immune.transitions import move_apv, move_remedy

LONGEST_WAIT = timedelta(minutes=15)
STALE = "stale"


def run(job: ForgeJob, lost: threading.Event) -> None:
    """Attempts one claimed job and closes it with the forge's answer. Raises claims.LostClaim when it is no longer ours.

    Where the caps leave no place for it, it goes back unattempted (``immune.homeostasis.admission``).
    """
    remedy = job.remedy
    if job.kind == ForgeJobKind.OPEN_PULL_REQUEST and remedy.state not in LIVE_REMEDIES:
        # It was superseded while it waited: nothing is opened only to be closed.
        claims.finish(job, to=ForgeJobState.CANCELLED, finished_at=timezone.now(), reason="superseded")
        return
    if not admission.may_begin(job):
        return
    try:
        answer = _attempt(job, remedy, forge_of(remedy.repository))
    except ForgeNotConfigured as error:
        answer = Refused(base.Refusal.UNAUTHENTICATED, str(error))
    if lost.is_set():
        raise claims.LostClaim(f"forge job {job.pk} was taken over")
    if isinstance(answer, Failed) and job.attempts < FORGE.attempts:
        _wait(job, answer)
    else:
        _close(job, answer)
        admission.settle()  # what ended may have left a place


def _attempt(job: ForgeJob, remedy: Remedy, forge: Forge) -> Answer[Any]:
    number = remedy.pull_request_number or 0
    if job.kind == ForgeJobKind.OPEN_PULL_REQUEST:
        return _open(remedy, forge)
    if not number:
        return Refused(base.Refusal.NOT_FOUND, "the remedy has no pull request")
    if job.kind == ForgeJobKind.MERGE:
        return _merge(job, remedy, forge)
    if job.kind == ForgeJobKind.CLOSE:
        return _tidied(forge.close_pull_request(number), remedy, forge)
    if job.kind == ForgeJobKind.REQUEST_CHANGES:
        return forge.request_changes(
            base.NoteRequest(number, f"changes:{job.pk}", "Changes were requested in review.", job.head_commit)
        )
    if job.kind == ForgeJobKind.ESCALATE:
        return forge.escalate(
            base.EscalationRequest(number, f"escalate:{job.pk}", "This change was escalated.", labels=("escalated",))
        )
    raise ValueError(f"unknown kind of forge job {job.kind}")


def _open(remedy: Remedy, forge: Forge) -> Answer[base.PullRequest]:
    default = forge.read_default_branch()
    if not isinstance(default, Done):
        return default
    replaced = remedy.jobs.filter(kind=ForgeJobKind.OPEN_PULL_REQUEST, state=ForgeJobState.DONE).order_by("-created_at")
    branch = forge.ensure_branch(
        base.BranchRequest(
            name=remedy.branch,
            base_commit=remedy.base_commit,
            changes={path: text.encode() for path, text in remedy.changes.items()},
            message=commit_message(remedy.package_name, remedy.target_version),
            author=AUTHOR,
            when=EPOCH,
            replaces=next((job.head_commit for job in replaced if job.head_commit != remedy.head_commit), None),
        )
    )
    if not isinstance(branch, Done):
        return branch
    if branch.value.commit != remedy.head_commit:
        return Refused(base.Refusal.HEAD_MOVED, "the branch is not at the commit that was prepared")
    codes = list(remedy.apvs.order_by("apv_code").values_list("apv_code", "advisory_id"))
    return forge.ensure_pull_request(
        base.PullRequestRequest(
            key=str(remedy.pk),
            branch=remedy.branch,
            base=default.value.name,
            head_commit=remedy.head_commit,
            title=f"Upgrade {remedy.package_name} from {remedy.from_version} to {remedy.target_version}",
            body="Closes\n\n" + "\n".join(f"- {code}: {advisory}" for code, advisory in codes),
            labels=("security", "immune"),
        )
    )


def _merge(job: ForgeJob, remedy: Remedy, forge: Forge) -> Answer[base.PullRequest]:
    number = remedy.pull_request_number or 0
    now = forge.read_pull_request(number)
    if not isinstance(now, Done):
        return now
    compared: str | None = None
    if now.value.state is not base.PullState.MERGED:
        default = forge.read_default_branch()
        if not isinstance(default, Done):
            return default
        compared = default.value.commit
        if stale := staleness(remedy, compared):
            # Asked again once it looks stale: the merge of an attempt before, landing just now, changes the manifests itself.
            again = forge.read_pull_request(number)
            if not isinstance(again, Done):
                return again
            if again.value.state is not base.PullState.MERGED:
                return Refused(base.Refusal.BRANCH_MOVED, stale, base.Retry.AFTER_REVIEW, detail=STALE)
    merged = forge.merge_pull_request(
        base.MergeRequest(
            number=number,
            head_commit=job.head_commit,
            title=f"Upgrade {remedy.package_name} to {remedy.target_version}",
            message="",
            when=job.created_at,
            base_commit=compared,
        )
    )
    return _tidied(merged, remedy, forge)


def _tidied(answer: Answer[base.PullRequest], remedy: Remedy, forge: Forge) -> Answer[base.PullRequest]:
    """Removes our branch once its pull request has ended. One that somebody moved stays: it is theirs now."""
    if isinstance(answer, Done):
        forge.delete_branch(remedy.branch, remedy.head_commit)
    return answer


def staleness(remedy: Remedy, commit: str) -> str:
    """Why the verdict no longer stands for what a merge onto ``commit`` would make; empty while it does.

    Compares the digests of every manifest and lock file there with those the remedy was made from.
    """
    if commit == remedy.base_commit:
        return ""
    try:
        there = reading.read_tree(mirror_of(remedy.repository), commit).digests
    except GitError as error:
        if error.passing:
            raise
        return f"the default branch could not be read: {error.message}"
    before = remedy.manifest_digests
    changed = sorted(path for path in {*there, *before} if there.get(path) != before.get(path))
    return f"{', '.join(changed[:5])} changed on the default branch since the wargame" if changed else ""


def _wait(job: ForgeJob, answer: Failed) -> None:
    wait = claims.backoff(job.attempts)
    if answer.retry_at is not None:
        wait = max(wait, answer.retry_at - timezone.now())
    claims.release(job, wait=min(wait, LONGEST_WAIT), error=f"{answer.reason}: {answer.message}")


def _close(job: ForgeJob, answer: Answer[Any]) -> None:
    now = timezone.now()
    state, changes = _outcome(answer)
    with act(SYSTEM) as log:
        claims.finish(job, to=state, finished_at=now, **changes)
        remedy = Remedy.objects.select_for_update(of=("self",)).select_related("repository").get(pk=job.remedy_id)
        log.record(
            "forge_job.finished",
            subject=f"forge_job:{job.pk}",
            repository=remedy.repository_id,
            data={
                "kind": job.kind,
                "state": str(state),
                "reason": job.reason,
                "remedy": str(remedy.pk),
                "head": job.head_commit,
                "round": job.round,
                "attempts": job.attempts,
                "stale": job.result.get("detail") == STALE,
            },
        )
        if isinstance(answer, Done):
            _AFTER[job.kind](log, job, remedy, answer)
        elif job.kind == ForgeJobKind.OPEN_PULL_REQUEST and remedy.state in LIVE_REMEDIES:
            move_remedy(remedy, to=RemedyState.FAILED, log=log, why="not_opened", reason=job.message)
            _release_apvs(log, remedy, to=APVStatus.FAILED, why="not_opened", reason=job.message)
        elif job.kind == ForgeJobKind.MERGE and changes["result"].get("detail") == STALE:
            for apv in remedy.apvs.filter(status=APVStatus.APPROVED):
                move_apv(apv, to=APVStatus.REMEDIATING, log=log, why=STALE, reason=job.message)
            request_scan(actor=SYSTEM, repository=remedy.repository, cause=f"rebase:{remedy.pk}")
        else:
            retire_moot(log, remedy.repository)  # a reading meanwhile may have left to this job what it found fixed


def _outcome(answer: Answer[Any]) -> tuple[str, dict[str, Any]]:
    if isinstance(answer, Done):
        value = answer.value
        result: dict[str, Any] = {"already": answer.already}
        if isinstance(value, base.PullRequest):
            result |= {"number": value.number, "state": value.state.value, "merge_commit": value.merge_commit}
        return ForgeJobState.DONE, {"message": "", "reason": "", "result": result}
    state = ForgeJobState.REFUSED if isinstance(answer, Refused) else ForgeJobState.FAILED
    return state, {
        "reason": answer.reason.value,
        "message": answer.message,
        "result": {"detail": answer.detail[:2000]},
        "last_error": answer.message,
    }


def _opened(log: Log, job: ForgeJob, remedy: Remedy, answer: Done[base.PullRequest]) -> None:
    pull = answer.value
    changes = {"pull_request_number": pull.number, "pull_request_url": pull.url}
    if remedy.state == RemedyState.PLANNED:
        move_remedy(remedy, to=RemedyState.PROPOSED, log=log, why="pull_request_opened", **changes)
    elif remedy.state not in LIVE_REMEDIES:
        # Superseded while it was being opened: what nobody waits for does not stay open.
        Remedy.objects.filter(pk=remedy.pk, pull_request_number=None).update(**changes)
        order_job(log, remedy, ForgeJobKind.CLOSE, cause=f"superseded:{remedy.pk}")
        return
    if job.head_commit != remedy.head_commit:
        return
    for apv in remedy.apvs.filter(status=APVStatus.REMEDIATING):
        move_apv(apv, to=APVStatus.WARGAMING, log=log, why="remedy_proposed")
    log.record(
        "remedy.proposed",
        subject=f"remedy:{remedy.pk}",
        repository=remedy.repository_id,
        data={"remedy": str(remedy.pk), "head": remedy.head_commit, "pull_request": pull.number},
    )


def _merged(log: Log, job: ForgeJob, remedy: Remedy, answer: Done[base.PullRequest]) -> None:
    move_remedy(remedy, to=RemedyState.MERGED, log=log, why="merged")
    # The APVs are resolved only when the default branch was read again and holds no affected version.
    request_scan(actor=SYSTEM, repository=remedy.repository, cause=f"merged:{remedy.pk}")


def _closed(log: Log, job: ForgeJob, remedy: Remedy, answer: Done[base.PullRequest]) -> None:
    if remedy.state not in LIVE_REMEDIES:
        return
    move_remedy(remedy, to=RemedyState.CLOSED, log=log, why="rejected", reason="Rejected in review.")
    suppress = job.arguments.get("suppress")
    apvs = list(remedy.apvs.filter(status=APVStatus.IN_REVIEW))
    _release_apvs(
        log, remedy, to=APVStatus.OPEN, why="rejected", reason=f"The upgrade to {remedy.target_version} was rejected."
    )
    if suppress:
        by = Account.objects.filter(pk=suppress.get("by")).first()
        for apv in apvs:
            apv.refresh_from_db()
            suppress_apv(log, apv, reason=suppress["reason"], until=suppress["expires_at"], by=by)


def _changes_requested(log: Log, job: ForgeJob, remedy: Remedy, answer: Done[base.PullRequest]) -> None:
    if remedy.state not in LIVE_REMEDIES:
        return
    _release_apvs(log, remedy, to=APVStatus.REMEDIATING, why="changes_requested", reason="")
    request_scan(actor=SYSTEM, repository=remedy.repository, cause=f"modify:{job.pk}")


def _nothing(log: Log, job: ForgeJob, remedy: Remedy, answer: Done[Any]) -> None:
    """Nothing of ours follows."""


def _release_apvs(log: Log, remedy: Remedy, *, to: str, why: str, reason: str) -> None:
    waiting = (APVStatus.REMEDIATING, APVStatus.WARGAMING, APVStatus.IN_REVIEW)
    for apv in remedy.apvs.filter(status__in=waiting):
        if apv.status == to:
            APV.objects.filter(pk=apv.pk).update(remedy=None, reason=reason)
        else:
            move_apv(apv, to=to, log=log, why=why, reason=reason, remedy=None)


_AFTER: dict[str, Callable[[Log, ForgeJob, Remedy, Done[Any]], None]] = {
    ForgeJobKind.OPEN_PULL_REQUEST: _opened,
    ForgeJobKind.MERGE: _merged,
    ForgeJobKind.CLOSE: _closed,
    ForgeJobKind.REQUEST_CHANGES: _changes_requested,
    ForgeJobKind.ESCALATE: _nothing,
    ForgeJobKind.COMMENT: _nothing,
}


def give_up(job: ForgeJob, error: str) -> None:
    """Ends a job that never got an answer as failed, which people see."""
    _close(job, Failed(base.Failure.UNREACHABLE, f"given up after {job.attempts} attempts: {error}"))


def _claimable() -> QuerySet[ForgeJob]:
    """What is not held: a job without a place waits unclaimed until it is given one."""
    return ForgeJob.objects.filter(held="").select_related("remedy__repository")


FORGE = work.Kind(
    name="forge",
    queue="forge",
    rows=_claimable,
    run=run,
    give_up=give_up,
    scope=lambda repository: Q(remedy__repository=repository),
    lease=timedelta(minutes=2),
    attempts=8,
)
