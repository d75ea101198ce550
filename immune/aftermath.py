"""What comes after a merge of ours: for a while its checks and the default branch are watched, and what is worse for it is an alarm.

An alarm is an event (``aftermath.alarmed``: remedy, cause, merge) that others may act on; here it only waits for a person, who may
have the revert opened as a pull request. What is undone is not proposed again until a person asks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import structlog
from django.db.models import Q
from django.utils import timezone

from immune import git, leases
from immune.events.actors import SYSTEM, Actor
from immune.events.log import Log, act
from immune.fetching import bring
from immune.findings import Findings
from immune.forges.base import ChecksState, Done, Failed, Forge
from immune.forges.store import ForgeNotConfigured, ForgeUnavailable, forge_of
from immune.git_process import GitError
from immune.models import APV, Account, Aftermath, ForgeJob, Remedy, Repository
from immune.models.aftermaths import BACK, AftermathState, AlarmCause
from immune.models.apvs import APVStatus
from immune.models.remedies import ForgeJobKind
from immune.models.repositories import ForgeKind
from immune.people.selectors import Viewer, visible_repositories
from immune.people.services import NotPermitted
from immune.remedies import order_job
from immune.services import Refused, mirror_of
from immune.transitions import Machine, move, move_apv

S = AftermathState
AFTERMATH_MACHINE = Machine(
    "aftermath",
    "state",
    {
        S.WATCHING: frozenset({S.CLEAR, S.ALARMED}),
        S.ALARMED: frozenset({S.REVERTING, S.REVERTED}),
        # The revert could not be opened: the alarm stands.
        S.REVERTING: frozenset({S.ALARMED, S.REVERTED}),
        S.CLEAR: frozenset(),
        S.REVERTED: frozenset(),
    },
)
OPEN = (S.WATCHING, S.ALARMED, S.REVERTING)

log_ = structlog.get_logger(__name__)


def watched() -> Q:
    """The merges whose default branch still matters: within their time, or with a revert on its way."""
    return Q(state__in=OPEN, until__gt=timezone.now()) | Q(state=S.REVERTING)


# --- checks, asked of the forge


def watch_all() -> int:
    """Looks at the checks of every merge that is watched, and ends the watch of those whose time is over. Returns how many alarms."""
    alarms = 0
    watched = Aftermath.objects.filter(state=S.WATCHING).select_related("remedy__repository").order_by("began_at")
    for row in watched:
        try:
            alarms += watch(row)
        except (ForgeNotConfigured, ForgeUnavailable, GitError) as error:
            log_.warning("merge_not_watched", aftermath=str(row.pk), error=str(error))
    return alarms


def watch(row: Aftermath) -> bool:
    """Looks at one merge. True when it alarmed. Raises ForgeNotConfigured, ForgeUnavailable, GitError."""
    red: Sequence[str] = ()
    if row.repository.forge != ForgeKind.LOCAL:  # nobody checks commits there
        red = _newly_red(row, forge_of(row.repository))
    if not red and timezone.now() < row.until:
        return False
    with act(SYSTEM) as log:
        leases.fence()
        held = Aftermath.objects.select_for_update(of=("self",)).select_related("remedy").get(pk=row.pk)
        if held.state != S.WATCHING:
            return False
        if red:
            alarm(log, held, AlarmCause.CHECKS_RED, ", ".join(red)[:2000])
        else:
            move(AFTERMATH_MACHINE, held, to=S.CLEAR, log=log, why="watched_to_the_end", data=_names(held))
    return bool(red)


def _newly_red(row: Aftermath, forge: Forge) -> Sequence[str]:
    """The checks that are red on the merge and were not on the commit before it: what was red anyway is not its doing."""
    merge = row.remedy.merge_commit
    red = _red(forge, merge)
    if not red:
        return ()
    missing = bring(row.repository, merge)
    if isinstance(missing, Failed):
        raise ForgeUnavailable(missing)
    if missing is not None:
        return red
    parents = git.parents_of(mirror_of(row.repository), merge)
    before = set(_red(forge, parents[0])) if parents else set()
    return tuple(name for name in red if name not in before)


def _red(forge: Forge, commit: str) -> Sequence[str]:
    answer = forge.read_checks(commit)
    if isinstance(answer, Failed):
        raise ForgeUnavailable(answer)
    return answer.value.red if isinstance(answer, Done) and answer.value.state is ChecksState.RED else ()


# --- the default branch, looked at by each reading


@dataclass(frozen=True, slots=True)
class Since:
    """A merge as the commit that was read holds it. ``undone``: its files stand there as they did before it, or it is not there at all."""

    row: UUID
    undone: bool


def merges_before(repository: Repository, commit: str) -> tuple[Since, ...]:
    """The watched merges that a reading of ``commit`` comes after. Runs git, so not for use inside a unit of work. Raises GitError."""
    mirror = mirror_of(repository)
    found = []
    for row in Aftermath.objects.filter(watched(), repository=repository).select_related("remedy"):
        merge = row.remedy.merge_commit
        if not git.commit_exists(mirror, merge):
            continue
        if git.is_ancestor(mirror, merge, commit):
            found.append(Since(row.pk, _undone(mirror, merge, commit)))
        elif not git.is_ancestor(mirror, commit, merge):
            # Neither before nor after it: the branch was rewritten without it.
            found.append(Since(row.pk, undone=True))
    return tuple(found)


def _undone(mirror: git.Mirror, merge: str, commit: str) -> bool:
    parents = git.parents_of(mirror, merge)
    if not parents or merge == commit:
        return False
    changed = set(git.changed_paths(mirror, parents[0], merge))
    return not changed & set(git.changed_paths(mirror, parents[0], commit))


def compare(log: Log, since: Sequence[Since], findings: Findings) -> None:
    """Within the unit of work of a reading, after its findings were applied: what a merge had closed and is there again is an alarm."""
    there = {one.identity for one in findings.found}
    undone = {one.row: one.undone for one in since}
    rows = Aftermath.objects.filter(pk__in=undone, state__in=OPEN).select_related("remedy")
    for row in rows.select_for_update(of=("self",)):
        served = APV.objects.filter(pk__in=row.remedy.served)
        back = [apv for apv in served if (apv.group_id, apv.ecosystem, apv.package_name) in there]
        if not back:
            continue
        for apv in back:
            _open_again(log, apv, row.remedy)
        cause = AlarmCause.REVERTED if undone[row.pk] else AlarmCause.VULNERABLE_AGAIN
        codes = ", ".join(sorted(apv.apv_code for apv in back))
        if row.state == S.WATCHING:
            alarm(log, row, cause, codes)
        else:
            move(AFTERMATH_MACHINE, row, to=S.REVERTED, log=log, why=cause, data=_names(row), cause=cause, detail=codes)


def _open_again(log: Log, apv: APV, remedy: Remedy) -> None:
    """One that still waited for its resolution: the merge has not brought it."""
    reason = "The change was merged, and an affected version is on the default branch all the same."
    if apv.status in (APVStatus.APPROVED, APVStatus.IN_REVIEW, APVStatus.WARGAMING) and apv.remedy_id == remedy.pk:
        move_apv(apv, to=APVStatus.OPEN, log=log, why="found_again", reason=reason, remedy=None)


def alarm(log: Log, row: Aftermath, cause: str, detail: str) -> None:
    """Notes that the default branch is worse for a merge. The event is for whoever stops or asks because of it."""
    now = timezone.now()
    names = _names(row)
    move(
        AFTERMATH_MACHINE, row, to=S.ALARMED, log=log, why=cause, data=names, cause=cause, detail=detail, alarmed_at=now
    )
    log.record(
        "aftermath.alarmed",
        subject=f"aftermath:{row.pk}",
        repository=row.repository_id,
        data={**names, "cause": str(cause)},
    )


def _names(row: Aftermath) -> dict[str, Any]:
    return {"remedy": str(row.remedy_id), "merge": row.remedy.merge_commit}


# --- the revert, by one click


def order_revert(*, account: Account, viewer: Viewer, row: Aftermath) -> ForgeJob:
    """Has the revert of an alarmed merge opened as a pull request, which people at the forge decide on.

    Raises NotPermitted, Refused (not_alarmed, undone_already).
    """
    in_sight = visible_repositories(viewer).filter(pk=row.repository_id).exists()
    if not in_sight or not viewer.may("decide"):
        raise NotPermitted("Your role or token does not permit it.")
    with act(Actor.of(account)) as log:
        held = Aftermath.objects.select_for_update(of=("self",)).select_related("remedy").get(pk=row.pk)
        if held.state == S.REVERTED or held.cause in BACK:
            raise Refused("undone_already", "It is undone already.")
        if held.state != S.ALARMED:
            raise Refused("not_alarmed", "There is no alarm about this merge.")
        move(AFTERMATH_MACHINE, held, to=S.REVERTING, log=log, why="revert_ordered", data=_names(held))
        number = held.remedy.jobs.filter(kind=ForgeJobKind.REVERT).count()
        return order_job(log, held.remedy, ForgeJobKind.REVERT, cause=f"revert:{number}")


def revert_opened(remedy: Remedy, *, number: int, url: str) -> None:
    """The forge has the revert's pull request now."""
    Aftermath.objects.filter(remedy=remedy).update(revert_number=number, revert_url=url[:1000])


def revert_refused(log: Log, remedy: Remedy) -> None:
    """The revert could not be opened: the alarm stands, and the job says why."""
    row = Aftermath.objects.select_related("remedy").filter(remedy=remedy, state=S.REVERTING).first()
    if row is not None:
        move(AFTERMATH_MACHINE, row, to=S.ALARMED, log=log, why="revert_refused", data=_names(row))
