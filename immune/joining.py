"""What becomes of two APVs of one package in one repository that turn out to be one problem.

The older keeps its code, the younger is ``merged`` and its code leads there. Where one of them was settled and the other was not,
the stricter state holds: an open problem over one that is set aside, either over one that is gone. What was decided stays in the
history of the one that is kept, and a person is asked to look.

An approval is no settling: its change is merged all the same, and only the reading after that closes what is gone.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from django.db.models import Q
from django.utils import timezone

from immune.advisories.exploitation import raised
from immune.apvs import note_updated
from immune.events.log import Log
from immune.models import APV, AliasGroup, Sighting, Suppression
from immune.models.apvs import LIVE, APVStatus
from immune.models.questions import Question, QuestionKind
from immune.questions import ask
from immune.suppression.selectors import about as suppressions_of
from immune.suppression.selectors import covered, holding
from immune.suppression.services import end_at_once, shorten
from immune.transitions import move_apv

_GONE, _SET_ASIDE, _STANDS = range(3)


def _strictness(status: str) -> int:
    if status == APVStatus.SUPPRESSED:
        return _SET_ASIDE
    return _STANDS if status in LIVE else _GONE


def join(log: Log, kept: APV, folded: APV) -> None:
    """Folds the younger APV into the older."""
    differed = _strictness(kept.status) != _strictness(folded.status) or (
        APVStatus.APPROVED in (kept.status, folded.status) and kept.status != folded.status
    )
    about = f"{kept.apv_code} {kept.status}, {folded.apv_code} {folded.status}"
    _carry_priority(log, kept, folded)
    if _strictness(folded.status) > _strictness(kept.status):
        if folded.status == APVStatus.SUPPRESSED:
            Suppression.objects.filter(holding(), apv=folded).update(apv=kept)  # the next reading sets it aside by it
        else:
            end_at_once(log, list(Suppression.objects.filter(holding(), apv=kept)), why="aliases_joined")
        _open_again(log, kept, folded)
    elif kept.status == folded.status == APVStatus.SUPPRESSED and (sooner := _sooner_end(kept, folded)) is not None:
        # Both are set aside: the stricter of the two is the one that comes back first.
        own = Suppression.objects.filter(holding(), apv=kept, expires_at__gt=sooner)
        shorten(log, list(own), until=sooner, why="aliases_joined")
        differed, about = True, f"{kept.apv_code} and {folded.apv_code} set aside, until {sooner:%Y-%m-%d}"
    _hand_over_sightings(folded, kept)
    _hand_over_questions(folded, kept)
    move_apv(
        folded,
        to=APVStatus.MERGED,
        log=log,
        why="aliases",
        merged_into=kept,
        reason=f"The same problem as {kept.apv_code}.",
    )
    APV.objects.filter(merged_into=folded).update(merged_into=kept)  # every code leads there in one step
    if differed:
        ask(log, kept, QuestionKind.ALIASES_JOINED, about)


def _sooner_end(kept: APV, folded: APV) -> datetime | None:
    """When the younger comes back, where that is before the elder does by what sets it alone aside; else None."""
    ends = [_latest_end(apv) for apv in (kept, folded)]
    return ends[1] if ends[0] is not None and ends[1] is not None and ends[1] < ends[0] else None


def _latest_end(apv: APV) -> datetime | None:
    rows = Suppression.objects.filter(holding()).filter(suppressions_of(apv))
    return max(rows.values_list("expires_at", flat=True), default=None)


def _carry_priority(log: Log, kept: APV, folded: APV) -> None:
    """What a reflex raised one of them to holds for the one that is kept, and no weighing takes it back."""
    to = min(filter(None, (kept.raised_to, folded.raised_to)), default="")
    if to == kept.raised_to:
        return
    columns = {name: getattr(kept, name) for name in ("priority", "priority_factors", "due_at")}
    found = raised(columns, kept.created_at, to)
    APV.objects.filter(pk=kept.pk).update(raised_to=to, updated_at=timezone.now(), **found)
    kept.raised_to = to
    for name, value in found.items():
        setattr(kept, name, value)
    if found is not columns:
        note_updated(log, kept)


def _open_again(log: Log, kept: APV, folded: APV) -> None:
    """Brings the older APV back to where the younger one shows that it belongs."""
    if kept.status == APVStatus.SUPPRESSED and APV.objects.filter(covered(), pk=kept.pk).exists():
        return  # the whole package is set aside here, whatever the problem is called
    kept.refresh_from_db()
    if kept.status != APVStatus.OPEN:
        move_apv(
            kept,
            to=APVStatus.OPEN,
            log=log,
            why="aliases_joined",
            reason=f"{folded.apv_code} is the same problem and was not settled.",
            remedy=None,
        )


def end_disputed_suppressions(log: Log, one: AliasGroup, other: AliasGroup) -> set[UUID]:
    """Ends what sets one of two names aside everywhere while the other stands somewhere: the stricter holds.

    Returns the APVs that came back.
    """
    back: set[UUID] = set()
    _share_the_sooner_end(log, one, other)
    for aside, standing in ((one, other), (other, one)):
        rows = list(Suppression.objects.filter(holding(), group=aside))
        stands = APV.objects.filter(group=standing, status__in=LIVE - {APVStatus.SUPPRESSED})
        if rows and stands.exists():
            back |= {apv.pk for apv in end_at_once(log, rows, why="aliases_joined")}
    return back


def _share_the_sooner_end(log: Log, one: AliasGroup, other: AliasGroup) -> None:
    """Where both names are set aside everywhere, neither holds longer than the other."""
    rows = [list(Suppression.objects.filter(holding(), group=group)) for group in (one, other)]
    if all(rows):
        sooner = min(max(row.expires_at for row in of) for of in rows)
        shorten(log, [row for of in rows for row in of if row.expires_at > sooner], until=sooner, why="aliases_joined")


def _hand_over_sightings(folded: APV, kept: APV) -> None:
    """What reports say of the younger APV they say of the elder; where one report saw both, one of its words is enough."""
    Sighting.objects.filter(apv=folded, stream__in=Sighting.objects.filter(apv=kept).values("stream")).delete()
    Sighting.objects.filter(apv=folded).update(apv=kept)
    if folded.scan_sees and not kept.scan_sees:
        APV.objects.filter(pk=kept.pk).update(scan_sees=True)


def _hand_over_questions(folded: APV, kept: APV) -> None:
    known = set(Question.objects.filter(apv=kept, settled_at__isnull=True).values_list("kind", "about"))
    twice = Q(pk__in=[])
    for kind, about in known:
        twice |= Q(kind=kind, about=about)
    Question.objects.filter(twice, apv=folded, settled_at__isnull=True).delete()
    Question.objects.filter(apv=folded).update(apv=kept)
