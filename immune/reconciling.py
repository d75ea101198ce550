"""What happened at GitHub to our pull requests while nobody told us: merged, closed, reopened or pushed to by hand; a branch that moved.

Webhooks come late, twice or never, so they only name what to look at (``hints``); a duty looks at the same things again
and again. Reads carry the last ETag, so that what has not changed costs nothing of the hourly limit. What was read counts only if
nothing of ours moved meanwhile: a job on its way knows better, and the next look comes soon.
"""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum

import structlog
from django.db.models import Q, QuerySet
from django.utils import timezone

from immune import ending, leases
from immune.aftermath import watched
from immune.events.actors import SYSTEM
from immune.events.log import Log, act
from immune.forges.base import Done, Failed, Forge, PullRequest, PullState
from immune.forges.store import ForgeNotConfigured, ForgeUnavailable, forge_of
from immune.models import APV, Aftermath, Remedy, Repository, Scan
from immune.models.apvs import APVStatus
from immune.models.remedies import LIVE_REMEDIES, ForgeJobKind, ForgeJobState, RemedyState
from immune.models.repositories import ForgeKind
from immune.remedies import order_job
from immune.services import request_scan
from immune.transitions import move_apv, move_remedy

# A closed pull request is looked at for so long: who reopens it asks for it again.
REOPENED_WITHIN = timedelta(days=30)
_UNFINISHED = (ForgeJobState.PENDING, ForgeJobState.RUNNING)

log_ = structlog.get_logger(__name__)


class Became(StrEnum):
    """What a pull request has become, beside what we know of its remedy. Also the cause in the log."""

    SAME = "same"
    MERGED = "merged_at_forge"
    MERGED_OTHERWISE = "merged_otherwise"
    CLOSED = "closed_at_forge"
    TAKEN_OVER = "taken_over"
    REOPENED = "reopened_at_forge"


def became(pull: PullRequest, *, state: str, head: str, earlier: frozenset[str]) -> Became:
    """Pure. ``earlier``: heads it had before by our own doing; GitHub may show one of them for a moment after a rebase."""
    if state == RemedyState.CLOSED:
        return Became.REOPENED if pull.state is PullState.OPEN and pull.head_commit == head else Became.SAME
    if pull.state is PullState.MERGED:
        return Became.MERGED if pull.head_commit == head else Became.MERGED_OTHERWISE
    if pull.state is PullState.CLOSED:
        return Became.CLOSED
    return Became.SAME if pull.head_commit == head or pull.head_commit in earlier else Became.TAKEN_OVER


def reconcile_all() -> int:
    """Looks at every repository at GitHub of which something is under way. Returns how many pull requests had become something else.

    One that cannot be asked keeps no other waiting.
    """
    changed = 0
    for repository in _of_interest():
        try:
            changed += reconcile(repository)
        except (ForgeNotConfigured, ForgeUnavailable) as error:
            log_.warning("not_reconciled", repository=str(repository.pk), error=str(error))
    return changed


def _of_interest() -> QuerySet[Repository]:
    under_way = Q(remedies__in=_to_look_at()) | Q(aftermaths__in=Aftermath.objects.filter(watched()))
    return Repository.objects.filter(under_way, forge=ForgeKind.GITHUB).distinct().order_by("name")


def _to_look_at() -> QuerySet[Remedy]:
    lately = Q(state=RemedyState.CLOSED, ended_at__gt=timezone.now() - REOPENED_WITHIN)
    return Remedy.objects.filter(Q(state=RemedyState.PROPOSED) | lately, pull_request_number__isnull=False)


def reconcile(repository: Repository, number: int | None = None) -> int:
    """Looks at the repository's pull requests, or the one with ``number``, and at its default branch. Returns how many had changed.

    Raises ForgeNotConfigured, ForgeUnavailable (also when the forge does not answer now).
    """
    forge = forge_of(repository)
    remedies = _to_look_at().filter(repository=repository).order_by("created_at")
    if number is not None:
        remedies = remedies.filter(pull_request_number=number)
    changed = sum(_look(remedy, forge) is not Became.SAME for remedy in remedies)
    default = forge.read_default_branch()
    if isinstance(default, Done) and default.value.commit != repository.head_commit:
        ask_to_read(repository, default.value.commit)
    return changed


def ask_to_read(repository: Repository, commit: str) -> None:
    """Asks once for the default branch to be read at a commit, however often it is told of it."""
    cause = f"push:{commit[:12]}"
    if not Scan.objects.filter(repository=repository, cause=cause).exists():
        with act(SYSTEM):
            request_scan(actor=SYSTEM, repository=repository, cause=cause)


def _look(remedy: Remedy, forge: Forge) -> Became:
    before = _known(remedy)
    if before is None:
        return Became.SAME
    answer = forge.read_pull_request(remedy.pull_request_number or 0)
    if isinstance(answer, Failed):
        raise ForgeUnavailable(answer)
    if not isinstance(answer, Done):
        log_.warning("pull_request_unreadable", remedy=str(remedy.pk), reason=answer.reason.value)
        return Became.SAME
    with act(SYSTEM) as log:
        leases.fence()
        held = Remedy.objects.select_for_update(of=("self",)).select_related("repository").get(pk=remedy.pk)
        if _known(held) != before:
            return Became.SAME
        earlier = frozenset(held.jobs.exclude(head_commit=held.head_commit).values_list("head_commit", flat=True))
        found = became(answer.value, state=held.state, head=held.head_commit, earlier=earlier)
        return _follow(log, held, answer.value, found)


def _known(remedy: Remedy) -> tuple[str, str, int] | None:
    """What we know of it; None while a job of ours is on its way, whose answer says it better."""
    jobs = list(remedy.jobs.values_list("state", flat=True))
    return None if set(jobs) & set(_UNFINISHED) else (remedy.state, remedy.head_commit, len(jobs))


def _follow(log: Log, remedy: Remedy, pull: PullRequest, found: Became) -> Became:
    name = f"Pull request #{pull.number}"
    if found is Became.MERGED:
        reason = f"{name} was merged at the forge by hand, with the head that was prepared."
        ending.merged(log, remedy, pull.merge_commit or "", why=found, reason=reason)
    elif found is Became.MERGED_OTHERWISE:
        reason = f"{name} was merged at the forge by hand, with another head than the one that was proved."
        ending.taken_over(log, remedy, to=APVStatus.OPEN, why=found, reason=reason)
        request_scan(actor=SYSTEM, repository=remedy.repository, cause=f"pull_request:{pull.number}")
    elif found is Became.CLOSED:
        reason = f"{name} was closed at the forge by hand."
        again = f"{reason} {remedy.target_version} is proposed again when a person asks, or reopens it."
        ending.closed(log, remedy, why=found, reason=reason, apvs_because=again)
    elif found is Became.TAKEN_OVER:
        reason = (
            f"Somebody pushed to {name.lower()}: what stands there was not proved and is theirs now. Merge or close it at the"
            " forge and remove its branch, then ask again."
        )
        ending.taken_over(log, remedy, to=APVStatus.FAILED, why=found, reason=reason)
    elif found is Became.REOPENED:
        return _propose_again(log, remedy)
    return found


def _propose_again(log: Log, remedy: Remedy) -> Became:
    """Whoever reopens our pull request asks for it again: it is proved and reviewed anew, if its APVs still wait for a remedy."""
    package = Q(repository=remedy.repository, ecosystem=remedy.ecosystem, package_name=remedy.package_name)
    apvs = list(APV.objects.filter(pk__in=remedy.served, status=APVStatus.OPEN, remedy=None, scan_sees=True))
    if not apvs or Remedy.objects.filter(package, state__in=LIVE_REMEDIES).exists():
        return Became.SAME
    move_remedy(remedy, to=RemedyState.PROPOSED, log=log, why=Became.REOPENED, reason="", ended_at=None)
    for apv in apvs:
        move_apv(apv, to=APVStatus.REMEDIATING, log=log, why=Became.REOPENED, reason="", remedy=remedy)
    order_job(log, remedy, ForgeJobKind.OPEN_PULL_REQUEST, cause=f"reopened:{remedy.jobs.count()}")
    return Became.REOPENED
