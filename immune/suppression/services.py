"""Setting APVs aside with ground, reason, author and end; they come back by themselves when the end has come.

A suppression closes nothing: what it covers is ``suppressed`` while one that covers it holds, also what opens later, and ``open``
again after the last one ended. Each move is an event of its own, so coming back is as visible as going.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.utils import timezone
from django.utils.dateparse import parse_datetime

from immune.events.actors import SYSTEM, Actor
from immune.events.log import Log, act
from immune.models import APV, Account, AliasGroup, Repository, Suppression
from immune.models.apvs import APVStatus
from immune.models.suppressions import Ground, SuppressionScope
from immune.people.selectors import Viewer, visible_repositories
from immune.people.services import NotPermitted
from immune.remedies import retire_moot
from immune.services import Refused, request_scan
from immune.suppression.selectors import covered, covers, holding, holds_for
from immune.transitions import APV_MACHINE, Moved, move_apv
from immune.versions import normalize_name

# Who may suppress how far. Wider than one APV also holds for what nobody has seen yet.
RIGHTS = {
    SuppressionScope.APV.value: "decide",
    SuppressionScope.PACKAGE.value: "lead",
    SuppressionScope.ADVISORY.value: "operate",
}
SUPPRESSIBLE = tuple(state for state in APV_MACHINE.moves if APV_MACHINE.allows(state, APVStatus.SUPPRESSED))
LONGEST_REASON = 2000


@dataclass(frozen=True, slots=True)
class Target:
    """What to set aside: ``apv`` alone, ``repository`` with ecosystem and package, or ``group`` alone."""

    apv: APV | None = None
    repository: Repository | None = None
    ecosystem: str = ""
    package: str = ""
    group: AliasGroup | None = None

    @property
    def scope(self) -> str:
        if self.apv is not None:
            return SuppressionScope.APV
        return SuppressionScope.ADVISORY if self.repository is None else SuppressionScope.PACKAGE

    @property
    def where(self) -> Repository | None:
        """The repository it is in; None for everywhere."""
        return self.apv.repository if self.apv is not None else self.repository


def suppress(
    *,
    actor: Actor,
    viewer: Viewer,
    target: Target,
    ground: str,
    reason: str,
    until: datetime,
    author: Account | None = None,
    source: str = "",
) -> Suppression:
    """Sets aside what the target covers, now and for as long as it holds.

    ``until``: aware. ``source``: the document it was taken from, if one. Raises NotPermitted for who may not (``RIGHTS``), Refused
    (``bad_suppression``, ``not_suppressible``) for what cannot be set aside. An approved APV is on its way to be merged: alone it
    is refused, in a wider scope left out.
    """
    _may(viewer, target.scope, target.where)
    _sound(target, ground, reason, until)
    with act(actor) as log:
        if target.apv is not None:
            target.apv.refresh_from_db()
            if target.apv.status not in (*SUPPRESSIBLE, APVStatus.SUPPRESSED):
                raise Refused("not_suppressible", f"{target.apv.apv_code} is {target.apv.get_status_display()}.")
        row = Suppression.objects.create(
            scope=target.scope,
            apv=target.apv,
            repository=target.repository,
            ecosystem=target.ecosystem,
            package_name=normalize_name(target.ecosystem, target.package) if target.package else "",
            group=target.group,
            ground=ground,
            reason=reason.strip(),
            author=author,
            source=source[:300],
            expires_at=until,
        )
        found = APV.objects.filter(covers(row), status__in=SUPPRESSIBLE).select_related("repository")
        aside = [apv for apv in found if _set_aside(log, apv, row)]
        _note(log, "suppression.made", row, {"apvs": len(aside)})
        for repository in {apv.repository_id: apv.repository for apv in aside}.values():
            retire_moot(log, repository)
    return row


def suppress_apv(
    log: Log,
    apv: APV,
    *,
    reason: str,
    until: datetime | str | None,
    by: Account | None,
    ground: str = "",
    source: str = "",
) -> Suppression:
    """Suppresses one APV, as part of a decision or statement that was checked, until ``until`` (aware, or ISO text).

    Raises Moved or NotAllowed."""
    end = parse_datetime(until) if isinstance(until, str) else until
    if end is None:
        raise ValueError(f"{until!r} is not a date and time")
    row = Suppression.objects.create(
        apv=apv, ground=ground, reason=reason, author=by, source=source[:300], expires_at=end
    )
    move_apv(apv, to=APVStatus.SUPPRESSED, log=log, why="suppressed", reason=reason, remedy=None)
    _note(log, "suppression.made", row, {"apvs": 1})
    return row


def set_aside_covered(log: Log, repository: Repository) -> int:
    """Sets aside what opened in a repository and falls into a scope that holds. Part of each reading. Returns how many."""
    count = 0
    for apv in APV.objects.filter(covered(), repository=repository, status=APVStatus.OPEN):
        row = holds_for(apv)
        count += row is not None and _set_aside(log, apv, row)
    return count


def end_suppression(*, actor: Actor, viewer: Viewer, suppression: Suppression, account: Account | None = None) -> None:
    """Ends one before its time; what no other covers opens again at once.

    Raises NotPermitted for who neither made it nor may make one of its scope, Refused (``ended``) for one that holds no more.
    """
    row = suppression
    own = account is not None and row.author_id == account.pk and viewer.may("decide")
    where = row.apv.repository if row.apv is not None else row.repository
    _may(viewer, row.scope, where, right="decide" if own else "")
    with act(actor) as log:
        now = timezone.now()
        if not Suppression.objects.filter(holding(), pk=row.pk).update(ended_at=now, ended_by=account):
            raise Refused("ended", "It holds no more.")
        row.ended_at, row.ended_by = now, account
        _note(log, "suppression.ended", row, {"why": "ended_early"})
        _bring_back(log, list(APV.objects.filter(covers(row))), why="suppression_ended")


def end_at_once(log: Log, rows: list[Suppression], *, why: str) -> list[APV]:
    """Ends suppressions that no longer fit what they were made for, as part of a unit of work. Returns the APVs that came back."""
    back: list[APV] = []
    for row in rows:
        if Suppression.objects.filter(holding(), pk=row.pk).update(ended_at=timezone.now()):
            _note(log, "suppression.ended", row, {"why": why})
            back += _bring_back(log, list(APV.objects.filter(covers(row))), why="suppression_ended")
    return back


def shorten(log: Log, rows: list[Suppression], *, until: datetime, why: str) -> None:
    """Lets suppressions end earlier, as part of a unit of work. Never later: that takes a person."""
    for row in rows:
        if Suppression.objects.filter(holding(), pk=row.pk, expires_at__gt=until).update(expires_at=until):
            row.expires_at = until
            _note(log, "suppression.shortened", row, {"why": why})


def return_expired() -> int:
    """Ends what has expired and opens again what nothing covers any more. Idempotent; a duty. Returns how many APVs came back."""
    for row in Suppression.objects.filter(ended_at__isnull=True, expires_at__lte=timezone.now()):
        with act(SYSTEM) as log:
            if Suppression.objects.filter(pk=row.pk, ended_at__isnull=True).update(ended_at=timezone.now()):
                _note(log, "suppression.ended", row, {"why": "expired"})
    returned = 0
    for apv in APV.objects.filter(~covered(), status=APVStatus.SUPPRESSED):
        with act(SYSTEM) as log:
            returned += len(_bring_back(log, [apv], why="suppression_expired"))
    return returned


def _bring_back(log: Log, apvs: list[APV], *, why: str) -> list[APV]:
    """Opens what is suppressed and covered no more, and asks for its repository to be read, so that a remedy follows."""
    uncovered = APV.objects.filter(~covered(), pk__in=[apv.pk for apv in apvs], status=APVStatus.SUPPRESSED)
    back: list[APV] = []
    for apv in uncovered.select_related("repository"):
        try:
            move_apv(apv, to=APVStatus.OPEN, log=log, why=why, reason="The suppression ended.", remedy=None)
        except Moved:
            continue
        back.append(apv)
    for repository in {apv.repository_id: apv.repository for apv in back}.values():
        request_scan(actor=log.actor, repository=repository, cause="suppression_ended")
    return back


def _set_aside(log: Log, apv: APV, row: Suppression) -> bool:
    why = "suppressed" if row.scope == SuppressionScope.APV else "suppressed_by_scope"
    try:
        move_apv(apv, to=APVStatus.SUPPRESSED, log=log, why=why, reason=row.reason, remedy=None)
    except Moved:
        return False  # somebody was faster; the next reading looks again
    return True


def _may(viewer: Viewer, scope: str, where: Repository | None, *, right: str = "") -> None:
    if where is not None and not visible_repositories(viewer).filter(pk=where.pk).exists():
        raise NotPermitted("It is not yours to see.")
    if not viewer.may("read") or not viewer.may(right or RIGHTS[scope]):
        raise NotPermitted("Your role does not permit it.")


def _sound(target: Target, ground: str, reason: str, until: datetime) -> None:
    wrong = ""
    if ground not in Ground.values:
        wrong = f"The ground is one of {', '.join(Ground.values)}."
    elif not reason.strip() or len(reason) > LONGEST_REASON:
        wrong = f"A suppression needs a reason of at most {LONGEST_REASON} characters."
    elif until <= timezone.now():
        wrong = "A suppression must end in the future."
    elif target.apv is None and target.group is None and (target.repository is None or not target.package):
        wrong = "A suppression names an APV, a package in a repository, or an advisory."
    elif target.repository is not None and not target.ecosystem:
        wrong = "A package needs its ecosystem."
    if wrong:
        raise Refused("bad_suppression", wrong)


def _note(log: Log, kind: str, row: Suppression, data: dict[str, object]) -> None:
    where = row.apv.repository_id if row.apv is not None else row.repository_id
    about = {"scope": row.scope, "ground": row.ground, "until": row.expires_at.isoformat()}
    log.record(kind, subject=f"suppression:{row.pk}", repository=where, data={**about, **data})
