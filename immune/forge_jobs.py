"""Carrying out what was decided at the forge: claimed, attempted, and closed with what the forge itself then says.

Every attempt looks before it acts, so doing it twice is harmless. What the forge refuses is kept on the job with its reason and
comes back to people; it never counts as success. What could not be told is tried again, not before the time the forge names.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db.models import Q, QuerySet
from django.utils import timezone

from immune import aftermath, claims, ending, freezes, git, reading, work
from immune.ending import release_apvs
from immune.events.actors import SYSTEM
from immune.events.log import Log, act
from immune.fetching import bring
from immune.forges import base
from immune.forges.base import Answer, Done, Failed, Forge, Refused
from immune.forges.store import ForgeNotConfigured, ForgeUnavailable, forge_of
from immune.git_process import GitError
from immune.homeostasis import admission
from immune.models import Account, ForgeJob, Remedy
from immune.models.apvs import APVStatus
from immune.models.remedies import LIVE_REMEDIES, ForgeJobKind, ForgeJobState, RemedyState
from immune.remedies import AUTHOR, EPOCH, commit_message, order_job, retire_moot
from immune.services import mirror_of, request_scan
from immune.suppression.services import suppress_apv
from immune.transitions import move_apv, move_remedy

LONGEST_WAIT = timedelta(minutes=15)
# How long being told to wait is no attempt that failed; then a person has to look at the merge queue, or at who uses the account up.
PATIENCE = {
    base.Failure.PENDING: timedelta(hours=12),
    base.Failure.RATE_LIMITED: timedelta(hours=24),
    base.Failure.SECONDARY_RATE_LIMITED: timedelta(hours=24),
}
MOST_QUEUE_ENTRIES = 3  # put out as often, its checks do not pass on top of the others: a person has to look
STALE = "stale"
TEAM = "team:"


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
    except ForgeUnavailable as error:
        answer = error.answer
    if lost.is_set():
        raise claims.LostClaim(f"forge job {job.pk} was taken over")
    if isinstance(answer, Failed) and _is_told_to_wait(job, answer):
        # By GitHub's merge queue or its limits. Never back to none: it has begun.
        wait = (answer.retry_at or timezone.now()) - timezone.now()
        changes: dict[str, Any] = {"attempts": max(1, job.attempts - 1), "last_error": answer.message}
        if answer.detail == base.ENTERED_QUEUE:
            changes["arguments"] = {**job.arguments, "queue_entries": job.arguments.get("queue_entries", 0) + 1}
        claims.finish(job, to=ForgeJobState.PENDING, due_at=timezone.now() + min(wait, LONGEST_WAIT), **changes)
    elif isinstance(answer, Failed) and job.attempts < FORGE.attempts:
        _wait(job, answer)
    else:
        _close(job, answer)
        admission.settle()  # what ended may have left a place


def _is_told_to_wait(job: ForgeJob, answer: Failed) -> bool:
    return timezone.now() - job.created_at < PATIENCE.get(answer.reason, timedelta(0))


def _attempt(job: ForgeJob, remedy: Remedy, forge: Forge) -> Answer[Any]:
    number = remedy.pull_request_number or 0
    if job.kind == ForgeJobKind.OPEN_PULL_REQUEST:
        return _open(remedy, forge)
    if job.kind == ForgeJobKind.REVERT:
        return _revert(job, remedy, forge)
    if not number:
        return Refused(base.Refusal.NOT_FOUND, "the remedy has no pull request")
    if job.kind == ForgeJobKind.MERGE:
        return _merge(job, remedy, forge)
    if job.kind == ForgeJobKind.CLOSE:
        return _close_pull_request(job, remedy, forge, number)
    if job.kind == ForgeJobKind.REQUEST_CHANGES:
        return forge.request_changes(
            base.NoteRequest(number, f"changes:{job.pk}", "Changes were requested in review.", job.head_commit)
        )
    if job.kind == ForgeJobKind.ESCALATE:
        return forge.escalate(
            base.EscalationRequest(
                number,
                f"escalate:{job.pk}",
                "This change was escalated.",
                assignees=[name for name in settings.GITHUB_LEADS if not name.startswith(TEAM)],
                team=next((name.removeprefix(TEAM) for name in settings.GITHUB_LEADS if name.startswith(TEAM)), ""),
                labels=("escalated",),
            )
        )
    if job.kind == ForgeJobKind.REPORT_VERDICT:
        return _report(job, remedy, forge)
    raise ValueError(f"unknown kind of forge job {job.kind}")


def _close_pull_request(job: ForgeJob, remedy: Remedy, forge: Forge, number: int) -> Answer[base.PullRequest]:
    """Closed; where the job says ``because``, that is said there first. A forge that takes no comment is closed there without one."""
    if because := job.arguments.get("because"):
        said = forge.comment(base.NoteRequest(number, f"closed:{job.pk}", because))
        if isinstance(said, Failed):
            return said
    return _tidied(forge.close_pull_request(number), remedy, forge)


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
    return forge.ensure_pull_request(_pull_request(remedy, default.value.name))


def _pull_request(remedy: Remedy, onto: str, evidence: Sequence[str] = ()) -> base.PullRequestRequest:
    """Ours for the remedy's present head; with ``evidence`` once its wargames have ended."""
    codes = list(remedy.apvs.order_by("apv_code").values_list("apv_code", "advisory_id"))
    closes = [base.Part(f"{code}: {advisory}", base.Style.ITEM) for code, advisory in codes]
    shown = [base.Part(line, base.Style.ITEM) for line in evidence]
    return base.PullRequestRequest(
        key=str(remedy.pk),
        branch=remedy.branch,
        base=onto,
        head_commit=remedy.head_commit,
        title=f"Upgrade {remedy.package_name} from {remedy.from_version} to {remedy.target_version}",
        body=(
            base.Part("Closes", base.Style.HEADING),
            *closes,
            *(
                (base.Part("Evidence", base.Style.HEADING), base.Part(f"Of {remedy.head_commit}"), *shown)
                if shown
                else ()
            ),
        ),
        labels=("security", "immune"),
    )


def _report(job: ForgeJob, remedy: Remedy, forge: Forge) -> Answer[Any]:
    """The verdict beside the commit it is about, then in the pull request, if that still proposes this commit."""
    told = forge.report_verdict(
        base.VerdictReport(
            head_commit=job.head_commit,
            key="wargame",
            name="Immune wargame",
            conclusion=base.Conclusion(job.arguments["conclusion"]),
            summary=job.arguments["summary"],
        )
    )
    if not isinstance(told, Done) or remedy.state not in LIVE_REMEDIES or remedy.head_commit != job.head_commit:
        return told
    pull = forge.read_pull_request(remedy.pull_request_number or 0)
    if not isinstance(pull, Done) or pull.value.state is not base.PullState.OPEN:
        return told if isinstance(pull, Done) else pull
    return forge.ensure_pull_request(_pull_request(remedy, pull.value.base, job.arguments["evidence"]))


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
        unread = bring(remedy.repository, compared)
        if unread is not None:
            return unread
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
            method=base.MergeMethod(remedy.repository.merge_method),
            base_commit=compared,
            may_enter_queue=job.arguments.get("queue_entries", 0) < MOST_QUEUE_ENTRIES,
        )
    )
    return _tidied(merged, remedy, forge)


def _revert(job: ForgeJob, remedy: Remedy, forge: Forge) -> Answer[base.PullRequest]:
    """The merge undone on the default branch as it stood at the first attempt: the same branch and commit at every further one."""
    default = forge.read_default_branch()
    if not isinstance(default, Done):
        return default
    cut_from = job.arguments.setdefault("base", default.value.commit)
    ForgeJob.objects.filter(pk=job.pk, owner=job.owner).update(arguments=job.arguments)
    missing = bring(remedy.repository, cut_from)
    if missing is not None:
        return missing
    try:
        changes = git.reversal(mirror_of(remedy.repository), remedy.merge_commit, cut_from)
    except GitError as error:
        if error.passing:
            raise
        about = f": {', '.join(error.paths[:5])}" if error.paths else ""
        return Refused(base.Refusal.CONFLICT, f"the merge cannot be undone by itself: {error.message}{about}")
    name = f"immune/revert/{remedy.merge_commit[:12]}-{cut_from[:12]}"
    title = f"Revert the upgrade of {remedy.package_name} to {remedy.target_version}"
    branch = forge.ensure_branch(base.BranchRequest(name, cut_from, changes, f"{title}\n", AUTHOR, EPOCH))
    if not isinstance(branch, Done):
        return branch
    return forge.ensure_pull_request(
        base.PullRequestRequest(
            key=f"revert:{job.pk}",
            branch=name,
            base=default.value.name,
            head_commit=branch.value.commit,
            title=title,
            body=(
                base.Part(
                    f"Undoes {remedy.merge_commit}, which was merged as pull request {remedy.pull_request_number}."
                ),
                base.Part("The vulnerabilities it closed are open again once this is merged."),
            ),
            labels=("immune", "revert"),
        )
    )


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
            release_apvs(log, remedy, to=APVStatus.FAILED, why="not_opened", reason=job.message)
        elif job.kind == ForgeJobKind.MERGE and changes["result"].get("detail") == STALE:
            for apv in remedy.apvs.filter(status=APVStatus.APPROVED):
                move_apv(apv, to=APVStatus.REMEDIATING, log=log, why=STALE, reason=job.message)
            request_scan(actor=SYSTEM, repository=remedy.repository, cause=f"rebase:{remedy.pk}")
        elif job.kind == ForgeJobKind.REVERT:
            aftermath.revert_refused(log, remedy)
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
    ending.merged(log, remedy, answer.value.merge_commit or "", why="merged")


def _closed(log: Log, job: ForgeJob, remedy: Remedy, answer: Done[base.PullRequest]) -> None:
    if remedy.state not in LIVE_REMEDIES:
        return
    suppress = job.arguments.get("suppress")
    apvs = list(remedy.apvs.filter(status=APVStatus.IN_REVIEW))
    because = f"The upgrade to {remedy.target_version} was rejected."
    ending.closed(log, remedy, why="rejected", reason="Rejected in review.", apvs_because=because)
    if suppress:
        by = Account.objects.filter(pk=suppress.get("by")).first()
        named = suppress.get("apv_codes")
        for apv in apvs:
            if named and apv.apv_code not in named:
                continue
            apv.refresh_from_db()
            suppress_apv(
                log,
                apv,
                reason=suppress["reason"],
                until=suppress["expires_at"],
                by=by,
                ground=suppress.get("ground", ""),
            )


def _changes_requested(log: Log, job: ForgeJob, remedy: Remedy, answer: Done[base.PullRequest]) -> None:
    if remedy.state not in LIVE_REMEDIES:
        return
    release_apvs(log, remedy, to=APVStatus.REMEDIATING, why="changes_requested", reason="")
    request_scan(actor=SYSTEM, repository=remedy.repository, cause=f"modify:{job.pk}")


def _revert_opened(log: Log, job: ForgeJob, remedy: Remedy, answer: Done[base.PullRequest]) -> None:
    aftermath.revert_opened(remedy, number=answer.value.number, url=answer.value.url)


def _nothing(log: Log, job: ForgeJob, remedy: Remedy, answer: Done[Any]) -> None:
    """Nothing of ours follows."""


_AFTER: dict[str, Callable[[Log, ForgeJob, Remedy, Done[Any]], None]] = {
    ForgeJobKind.OPEN_PULL_REQUEST: _opened,
    ForgeJobKind.MERGE: _merged,
    ForgeJobKind.CLOSE: _closed,
    ForgeJobKind.REQUEST_CHANGES: _changes_requested,
    ForgeJobKind.ESCALATE: _nothing,
    ForgeJobKind.COMMENT: _nothing,
    ForgeJobKind.REPORT_VERDICT: _nothing,
    ForgeJobKind.REVERT: _revert_opened,
}


def give_up(job: ForgeJob, error: str) -> None:
    """Ends a job that never got an answer as failed, which people see."""
    _close(job, Failed(base.Failure.UNREACHABLE, f"given up after {job.attempts} attempts: {error}"))


def _claimable() -> QuerySet[ForgeJob]:
    """What is not held: a job without a place waits unclaimed until it is given one, a merge while its repository is frozen."""
    return ForgeJob.objects.filter(held="").select_related("remedy__repository").exclude(freezes.held_merges())


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
