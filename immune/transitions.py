"""The tables of allowed moves and the one function that moves a state.

A move names the state it comes from, changes exactly one row or fails politely with ``Moved``, and notes its event (who, from, to,
why) in the same unit of work. No other code assigns a state after a row was made, except claims on work rows.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.db.models import Model
from django.utils import timezone

from immune.events.log import Log
from immune.models.apvs import APV, LIVE, APVStatus
from immune.models.remedies import Remedy, RemedyState


class TransitionError(Exception):
    """A move that was not made. ``reason`` is machine-readable."""

    reason = "not_moved"


class NotAllowed(TransitionError):
    """The table has no such move."""

    reason = "move_not_allowed"


class Moved(TransitionError):
    """Somebody else moved the row first; ``found`` is the state it has now."""

    reason = "moved_meanwhile"

    def __init__(self, message: str, found: str) -> None:
        super().__init__(message)
        self.found = found


@dataclass(frozen=True, slots=True)
class Machine:
    """One kind of row: the field that holds its state, the name its events begin with, and its moves."""

    noun: str
    field: str
    moves: dict[str, frozenset[str]]

    def allows(self, from_: str, to: str) -> bool:
        return to in self.moves.get(from_, frozenset())


S = APVStatus
# Any live APV may be found gone from the default branch, withdrawn by its source or folded into an older twin.
_ALWAYS = frozenset({S.RESOLVED, S.WITHDRAWN, S.MERGED})
APV_MACHINE = Machine(
    "apv",
    "status",
    {
        S.OPEN: _ALWAYS | {S.REMEDIATING, S.SUPPRESSED, S.NO_FIX, S.FAILED},
        S.REMEDIATING: _ALWAYS | {S.WARGAMING, S.OPEN, S.NO_FIX, S.FAILED, S.SUPPRESSED},
        S.WARGAMING: _ALWAYS | {S.IN_REVIEW, S.REMEDIATING, S.OPEN, S.FAILED, S.SUPPRESSED},
        S.IN_REVIEW: _ALWAYS | {S.APPROVED, S.OPEN, S.REMEDIATING, S.WARGAMING, S.SUPPRESSED, S.FAILED},
        S.APPROVED: _ALWAYS | {S.IN_REVIEW, S.OPEN, S.REMEDIATING, S.FAILED},
        S.SUPPRESSED: _ALWAYS | {S.OPEN},
        S.NO_FIX: _ALWAYS | {S.OPEN, S.REMEDIATING, S.SUPPRESSED},
        S.FAILED: _ALWAYS | {S.OPEN, S.REMEDIATING, S.SUPPRESSED, S.NO_FIX},
        # It may come back: the version is in the tree again, or the record is published again.
        S.RESOLVED: frozenset({S.OPEN, S.MERGED}),
        S.WITHDRAWN: frozenset({S.OPEN, S.MERGED}),
        S.MERGED: frozenset(),
    },
)
assert all(S.RESOLVED in APV_MACHINE.moves[state] for state in LIVE)  # noqa: S101 - a mistake in the table above

R = RemedyState
REMEDY_MACHINE = Machine(
    "remedy",
    "state",
    {
        R.PLANNED: frozenset({R.PROPOSED, R.FAILED, R.SUPERSEDED, R.CLOSED}),
        R.PROPOSED: frozenset({R.MERGED, R.CLOSED, R.SUPERSEDED, R.FAILED}),
        R.MERGED: frozenset(),
        # Somebody reopened its pull request at the forge.
        R.CLOSED: frozenset({R.PROPOSED}),
        # Its pull request may have been merged all the same, before it could be closed: what the forge says is what is.
        R.SUPERSEDED: frozenset({R.MERGED}),
        R.FAILED: frozenset(),
    },
)


def move(
    machine: Machine, row: Any, *, to: str, log: Log, why: str, data: dict[str, Any] | None = None, **changes: Any
) -> None:
    """Moves ``row`` to ``to`` and notes "<noun>.moved".

    ``why`` is a short machine-readable cause (it goes into the log); a sentence for people goes into ``changes`` as a column.
    Raises NotAllowed when the table has no such move, Moved when the row left its state meanwhile.
    """
    from_ = getattr(row, machine.field)
    if not machine.allows(from_, to):
        raise NotAllowed(f"{machine.noun} {row.pk}: {from_} → {to} is not a move")
    model: type[Model] = type(row)
    if hasattr(row, "updated_at"):
        changes.setdefault("updated_at", timezone.now())
    rows = model._default_manager.filter(pk=row.pk, **{machine.field: from_})
    if rows.update(**{machine.field: to}, **changes) != 1:
        found = model._default_manager.values_list(machine.field, flat=True).get(pk=row.pk)
        raise Moved(f"{machine.noun} {row.pk} is {found} by now, no longer {from_}", found)
    for name, value in {machine.field: to, **changes}.items():
        setattr(row, name, value)
    _note(machine, row, from_, to, log, why, data)


def move_many(
    machine: Machine,
    rows: Iterable[Any],
    *,
    to: str,
    log: Log,
    why: str,
    data: dict[str, Any] | None = None,
    **changes: Any,
) -> None:
    """Moves rows of one model with the same ``changes``: one UPDATE for each state they come from, one event for each row.

    Raises NotAllowed, or Moved when one of them left its state meanwhile; what was moved before that goes with the transaction.
    """
    by_state: dict[str, list[Any]] = defaultdict(list)
    for row in rows:
        by_state[getattr(row, machine.field)].append(row)
    for from_, held in by_state.items():
        if not machine.allows(from_, to):
            raise NotAllowed(f"{machine.noun} {held[0].pk}: {from_} → {to} is not a move")
        model: type[Model] = type(held[0])
        if hasattr(held[0], "updated_at"):
            changes.setdefault("updated_at", timezone.now())
        found = model._default_manager.filter(pk__in=[row.pk for row in held], **{machine.field: from_})
        if found.update(**{machine.field: to}, **changes) != len(held):
            raise Moved(f"one of {len(held)} {machine.noun} rows is no longer {from_}", "")
        for row in held:
            for name, value in {machine.field: to, **changes}.items():
                setattr(row, name, value)
            _note(machine, row, from_, to, log, why, data)


def _note(machine: Machine, row: Any, from_: str, to: str, log: Log, why: str, data: dict[str, Any] | None) -> None:
    log.record(
        f"{machine.noun}.moved",
        subject=f"{machine.noun}:{row.pk}",
        repository=getattr(row, "repository_id", None),
        data={"from": str(from_), "to": str(to), "why": why, **_identity(row), **(data or {})},
    )


def _identity(row: Any) -> dict[str, Any]:
    if isinstance(row, APV):
        return {"apv_code": row.apv_code, "remedy": str(row.remedy_id) if row.remedy_id else None}
    if isinstance(row, Remedy):
        return {"head": row.head_commit}
    return {}


def move_apv(apv: APV, *, to: str, log: Log, why: str, **changes: Any) -> None:
    move(APV_MACHINE, apv, to=to, log=log, why=why, **changes)


def move_remedy(remedy: Remedy, *, to: str, log: Log, why: str, **changes: Any) -> None:
    move(REMEDY_MACHINE, remedy, to=to, log=log, why=why, **changes)


def move_apvs(apvs: Iterable[APV], *, to: str, log: Log, why: str, **changes: Any) -> None:
    move_many(APV_MACHINE, apvs, to=to, log=log, why=why, **changes)
