"""From an event to the frame that clients see: which channel, which type, which fields. Pure; no Django, no I/O.

Every shape is declared here. An event kind without a shape is not shown (accounts, tokens and teams have none on purpose); data
that does not fit its shape is refused, so that nothing leaves the house because somebody added a field to an event.

A data frame is {type, channel, position, timestamp, repository, subject, data}: ``position`` is the event's, ``timestamp`` UTC
ISO 8601, ``repository`` an id or null, ``subject`` "apv:<id>" and the like, ``data`` the declared fields the event has.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson

CHANNELS = ("apvs", "wargames", "decisions", "stats")

# What a field may hold. Shape has a field named type, so the name is bound out here.
Kinds = tuple[type, ...]
TEXT: Kinds = (str,)
TEXT_OR_NONE: Kinds = (str, type(None))
WHOLE: Kinds = (int,)
TRUTH: Kinds = (bool,)
TEXTS: Kinds = (list,)


class FrameRefused(ValueError):
    """An event whose data does not fit the shape declared for its kind."""

    reason = "frame_refused"


@dataclass(frozen=True, slots=True)
class Seen:
    """One event as the feed reads it."""

    position: int
    kind: str
    occurred_at: datetime
    subject: str
    repository: UUID | None
    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Shape:
    """What a kind of event looks like to clients. ``everyone``: it concerns no repository and holds nothing to hide."""

    channel: str
    type: str
    required: dict[str, Kinds] = field(default_factory=dict)
    optional: dict[str, Kinds] = field(default_factory=dict)
    everyone: bool = False


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame, serialised once for every socket. ``repository`` None and not ``everyone``: only for who sees all."""

    position: int
    channel: str
    type: str
    repository: UUID | None
    everyone: bool
    text: str


_MOVE = {"from": TEXT, "to": TEXT, "why": TEXT}
_WARGAME = {"apv_code": TEXT, "remedy": TEXT, "head": TEXT}
_ROUND = {"remedy": TEXT_OR_NONE, "round": WHOLE}
_SUPPRESSION = {"scope": TEXT, "ground": TEXT, "until": TEXT}
_QUESTION = {"apv_code": TEXT, "question": TEXT, "number": WHOLE}
_APV = {"apv_code": TEXT, "severity": TEXT, "priority": TEXT}

# Every kind of event that is shown, with the fields it has (those of the first set must be there). Kinds that are not here are
# shown to nobody: accounts, tokens, teams, and what only says that work was asked for.
SHAPES: dict[str, Shape] = {
    "apv.opened": Shape("apvs", "new_apv", {"apv_code": TEXT}, {**_APV, "advisory": TEXT, "package": TEXT}),
    "apv.updated": Shape("apvs", "apv_updated", {}, _APV),
    "apv.moved": Shape("apvs", "apv_moved", _MOVE, {**_MOVE, "apv_code": TEXT, "remedy": TEXT_OR_NONE}),
    "question.asked": Shape("apvs", "question_asked", {}, _QUESTION),
    "question.settled": Shape("apvs", "question_settled", {}, _QUESTION),
    "remedy.planned": Shape(
        "apvs",
        "remedy_planned",
        {},
        {"package": TEXT, "to": TEXT, "head": TEXT, "base": TEXT, "patch": TEXT, "apvs": TEXTS},
    ),
    "remedy.proposed": Shape("apvs", "remedy_proposed", {}, {"remedy": TEXT, "head": TEXT, "pull_request": WHOLE}),
    "remedy.rebased": Shape("apvs", "remedy_rebased", {}, {"head": TEXT, "base": TEXT, "patch": TEXT}),
    "remedy.moved": Shape("apvs", "remedy_moved", _MOVE, {**_MOVE, "head": TEXT}),
    "aftermath.moved": Shape("apvs", "aftermath_moved", _MOVE, {**_MOVE, "remedy": TEXT, "merge": TEXT}),
    "aftermath.alarmed": Shape(
        "apvs", "aftermath_alarmed", {"cause": TEXT}, {"cause": TEXT, "remedy": TEXT, "merge": TEXT}
    ),
    "repository.registered": Shape("apvs", "repository_registered", {}, {"forge": TEXT, "write_back": TRUTH}),
    "repository.merging_set": Shape("apvs", "repository_merging_set", {}, {"method": TEXT, "queue": TRUTH}),
    "repository.scanned": Shape("apvs", "repository_scanned", {}, {"scan": TEXT, "head": TEXT, "refused": WHOLE}),
    "repository.unreadable": Shape("apvs", "repository_unreadable", {}, {"scan": TEXT, "reason": TEXT}),
    "suppression.made": Shape("apvs", "suppression_made", {}, {**_SUPPRESSION, "apvs": WHOLE}),
    "suppression.ended": Shape("apvs", "suppression_ended", {}, {**_SUPPRESSION, "why": TEXT}),
    "reflex.fired": Shape(
        "apvs",
        "reflex_fired",
        {"apv_code": TEXT},
        {"apv_code": TEXT, "rule": TEXT, "version": TEXT, "raised_to": TEXT, "wargame": TRUTH, "notify": TRUTH},
    ),
    "freeze.made": Shape("decisions", "freeze_made", {}, {"from": TEXT, "until": TEXT}),
    "freeze.ended": Shape("decisions", "freeze_ended"),
    "automatic.armed": Shape("decisions", "automatic_armed", everyone=True),
    "automatic.disarmed": Shape("decisions", "automatic_disarmed", {}, {"withdrawn": WHOLE}, everyone=True),
    "advisories.synced": Shape(
        "apvs",
        "advisories_synced",
        {},
        dict.fromkeys(("read", "added", "updated", "refused"), WHOLE),
        everyone=True,
    ),
    "wargame.queued": Shape("wargames", "wargame_progress", {}, {**_WARGAME, "scenario": TEXT}),
    "wargame.started": Shape("wargames", "wargame_progress", {}, {**_WARGAME, "attempt": WHOLE}),
    "wargame.progress": Shape(
        "wargames",
        "wargame_progress",
        {},
        {
            **_WARGAME,
            "what": TEXT,
            "step": TEXT,
            "phase": TEXT,
            "variant": TEXT,
            "round": WHOLE,
            "outcome": TEXT_OR_NONE,
        },
    ),
    "wargame.cancelled": Shape("wargames", "wargame_progress", {}, _WARGAME),
    "wargame.finished": Shape(
        "wargames",
        "wargame_finished",
        {},
        {
            **_WARGAME,
            "verdict": TEXT,
            "confidence": TEXT,
            "reason": TEXT,
            "evidence": TEXT_OR_NONE,
            "scenario": TEXT,
        },
    ),
    "review.opened": Shape(
        "decisions",
        "review_opened",
        {},
        {
            **_ROUND,
            "apvs": TEXTS,
            "weakest_verdict": TEXT,
            "recommendation": TEXT,
            "policies": TEXTS,
            "priority": TEXT,
        },
    ),
    "review.moved": Shape("decisions", "review_moved", _MOVE, {**_MOVE, **_ROUND, "apv": TEXT_OR_NONE}),
    "review.advised": Shape(
        "decisions",
        "review_advised",
        {},
        {**_ROUND, "recommendation": TEXT, "required_approvals": WHOLE, "policies": TEXTS},
    ),
    "review.commented": Shape("decisions", "review_commented", {}, {**_ROUND, "comment": WHOLE}),
    "decision.made": Shape(
        "decisions",
        "decision_made",
        {"type": TEXT},
        {
            **_ROUND,
            "decision": TEXT,
            "type": TEXT,
            "final": TRUTH,
            "action": TEXT,
            "apvs": TEXTS,
            "severity": TEXT,
            "head": TEXT,
            "patch": TEXT,
            "job": TEXT_OR_NONE,
            "automatic": TRUTH,
            "policies": TEXTS,
        },
    ),
    "decision.withdrawn": Shape(
        "decisions", "decision_withdrawn", {"type": TEXT}, {**_ROUND, "decision": TEXT, "type": TEXT}
    ),
    "forge_job.held": Shape("decisions", "action_held", {"kind": TEXT, "reason": TEXT}, {"remedy": TEXT}),
    "forge_job.admitted": Shape("decisions", "action_admitted", {"kind": TEXT}, {"remedy": TEXT}),
    "remedy.looped": Shape("apvs", "remedy_looped", {}, {"package": TEXT, "to": TEXT, "apvs": TEXTS}),
    "balance.moved": Shape("stats", "balance_moved", {"from": TEXT, "to": TEXT}, {"reasons": TEXTS}, everyone=True),
    "forge_job.finished": Shape(
        "decisions",
        "action_finished",
        {"kind": TEXT, "state": TEXT},
        {
            "kind": TEXT,
            "state": TEXT,
            "reason": TEXT,
            "remedy": TEXT,
            "head": TEXT,
            "round": WHOLE,
            "attempts": WHOLE,
            "stale": TRUTH,
        },
    ),
}


def frame_of(event: Seen) -> Frame | None:
    """The frame of an event, None for a kind nobody is shown. Raises FrameRefused for data its shape does not declare."""
    shape = SHAPES.get(event.kind)
    if shape is None:
        return None
    _check(event, shape)
    return Frame(
        position=event.position,
        channel=shape.channel,
        type=shape.type,
        repository=event.repository,
        everyone=shape.everyone,
        text=serialise(
            {
                "type": shape.type,
                "channel": shape.channel,
                "position": event.position,
                "timestamp": event.occurred_at.isoformat(),
                "kind": event.kind,
                "repository": str(event.repository) if event.repository else None,
                "subject": event.subject,
                "data": event.data,
            }
        ),
    )


def _check(event: Seen, shape: Shape) -> None:
    missing = sorted(set(shape.required) - set(event.data))
    if missing:
        raise FrameRefused(f"{event.kind} at {event.position} lacks {', '.join(missing)}")
    for name, value in event.data.items():
        types = shape.required.get(name) or shape.optional.get(name)
        if types is None:
            raise FrameRefused(f"{event.kind} at {event.position} has a field no frame declares: {name}")
        # bool is an int to Python; a number that became a truth is a mistake we want to see.
        fits = isinstance(value, types) and (bool in types or not isinstance(value, bool))
        if isinstance(value, list):
            fits = fits and all(isinstance(item, str) for item in value)
        if not fits:
            raise FrameRefused(f"{event.kind} at {event.position}: {name} is a {type(value).__name__}")


def serialise(value: dict[str, Any]) -> str:
    """One frame as the text of one WebSocket message."""
    return orjson.dumps(value).decode()


def stats_frame(position: int, at: datetime, figures: dict[str, Any]) -> str:
    """The figures as of ``position``: a client that got it has got everything it may see up to there."""
    return serialise(
        {
            "type": "stats_update",
            "channel": "stats",
            "position": position,
            "timestamp": at.isoformat(),
            "data": figures,
        }
    )


def resync_frame(position: int, at: datetime, reason: str, channels: list[str]) -> str:
    """Tells a client that replay cannot bridge the gap: load what is shown anew, then go on from ``position``.

    ``reason`` is since_in_the_future (a position the log does not have) or since_too_old (before the bounded replay).
    """
    return serialise(
        {
            "type": "resync",
            "position": position,
            "timestamp": at.isoformat(),
            "reason": reason,
            "channels": channels,
        }
    )


def error_frame(code: str, message: str) -> str:
    return serialise({"type": "error", "error_code": code, "error_message": message})
