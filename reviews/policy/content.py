"""How a policy is written down: plain data that a form or a request gives, read strictly, kept as it was read.

What is kept never changes; ``digest`` goes into the event log, so that a row altered behind our back is noticed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from reviews.policy.conditions import CHOICES, Conditions
from reviews.policy.engine import BY_VERDICT, RECOMMENDATIONS, Outcome, Policy

MOST_APPROVALS = 9
MOST_LABELS = 50
LONGEST_LABEL = 100
LONGEST_AGE = 3650.0  # days
_OUTCOME = ("recommendation", "required_approvals", "team", "automatic", "valid_from", "valid_until")
_LABELS = ("labels", "without_labels")
_BOUNDS = {"minimum_confidence": 1.0, "minimum_release_age": LONGEST_AGE}


class BadContent(ValueError):
    """What was written is no policy. ``fields``: the complaint about each field."""

    reason = "bad_policy"

    def __init__(self, fields: Mapping[str, str]) -> None:
        super().__init__("; ".join(f"{name} {text}" for name, text in fields.items()))
        self.fields = dict(fields)


def checked(given: Mapping[str, Any]) -> dict[str, Any]:
    """What was given, complete and in its one written form. Raises BadContent."""
    wrong: dict[str, str] = {name: "is not known" for name in given if name not in (*_OUTCOME, "conditions")}
    asked = given.get("conditions", {})
    if not isinstance(asked, Mapping):
        raise BadContent({"conditions": "is an object of conditions"})
    content = {
        "conditions": _conditions(asked, wrong),
        "recommendation": given.get("recommendation", BY_VERDICT),
        "required_approvals": given.get("required_approvals", 1),
        "team": given.get("team") or "",
        "automatic": given.get("automatic", False),
        "valid_from": _moment(given.get("valid_from"), "valid_from", wrong),
        "valid_until": _moment(given.get("valid_until"), "valid_until", wrong),
    }
    _check_outcome(content, wrong)
    if wrong:
        raise BadContent(wrong)
    return content


def _check_outcome(content: dict[str, Any], wrong: dict[str, str]) -> None:
    if content["recommendation"] not in (BY_VERDICT, *RECOMMENDATIONS):
        wrong["recommendation"] = f"is one of {', '.join(RECOMMENDATIONS)}, or empty: as the verdict says"
    approvals = content["required_approvals"]
    if isinstance(approvals, bool) or not isinstance(approvals, int) or not 1 <= approvals <= MOST_APPROVALS:
        wrong["required_approvals"] = f"is a whole number from 1 to {MOST_APPROVALS}"
        return
    if content["team"] and (not isinstance(content["team"], str) or not _is_uuid(content["team"])):
        wrong["team"] = "is the id of a team"
    elif content["team"] and approvals < 2:
        wrong["required_approvals"] = "is at least 2 where a team has to approve after somebody else"
    if not isinstance(content["automatic"], bool):
        wrong["automatic"] = "is yes or no"
    elif content["automatic"] and (approvals > 1 or content["recommendation"] not in (BY_VERDICT, "approve")):
        wrong["automatic"] = "goes with one approval and a recommendation to approve, or none of its own"
    if content["valid_from"] and content["valid_until"] and content["valid_from"] >= content["valid_until"]:
        wrong["valid_until"] = "lies after valid_from"


def _conditions(asked: Mapping[str, Any], wrong: dict[str, str]) -> dict[str, Any]:
    known = {*CHOICES, *_LABELS, *_BOUNDS, "known_exploited"}
    wrong |= {f"conditions.{name}": "is not known" for name in asked if name not in known}
    found: dict[str, Any] = {}
    for name, choices in CHOICES.items():
        values = asked.get(name) or []
        if not isinstance(values, list) or any(value not in choices for value in values):
            wrong[f"conditions.{name}"] = f"lists some of {', '.join(choices)}"
        elif values:
            found[name] = [choice for choice in choices if choice in values]
    for name in _LABELS:
        values = asked.get(name) or []
        if not are_labels(values):
            wrong[f"conditions.{name}"] = f"lists at most {MOST_LABELS} labels of 1 to {LONGEST_LABEL} characters"
        elif values:
            found[name] = sorted(set(values))
    for name, most in _BOUNDS.items():
        value = asked.get(name)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= most:
            wrong[f"conditions.{name}"] = f"is a number from 0 to {most:g}"
        else:
            found[name] = float(value)
    exploited = asked.get("known_exploited")
    if exploited is not None and not isinstance(exploited, bool):
        wrong["conditions.known_exploited"] = "is yes, no or nothing"
    elif exploited is not None:
        found["known_exploited"] = exploited
    return found


def are_labels(values: Any) -> bool:
    return (
        isinstance(values, list)
        and len(values) <= MOST_LABELS
        and all(isinstance(value, str) and 0 < len(value) <= LONGEST_LABEL and value.isprintable() for value in values)
    )


def _moment(value: Any, name: str, wrong: dict[str, str]) -> str | None:
    if value in (None, ""):
        return None
    try:
        moment = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
        if moment.tzinfo is None:
            raise ValueError("without its zone")
        # Of one zone and one form, so that two of them compare as text.
        return moment.astimezone(UTC).isoformat(timespec="microseconds")
    except (ValueError, OverflowError):
        wrong[name] = "is a time with its zone"
        return None


def _is_uuid(text: str) -> bool:
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False


def digest(content: Mapping[str, Any]) -> str:
    """SHA-256 over the one written form."""
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def policy_of(content: Mapping[str, Any], *, name: str, version: int, key: str, team_name: str = "") -> Policy:
    """The policy that ``checked`` content stands for."""
    asked: dict[str, Any] = {
        field: frozenset(value) if isinstance(value, list) else value for field, value in content["conditions"].items()
    }
    return Policy(
        name=name,
        version=version,
        key=key,
        conditions=Conditions(**asked),
        outcome=Outcome(
            recommendation=content["recommendation"],
            required_approvals=content["required_approvals"],
            groups=frozenset({(content["team"], team_name)}) if content["team"] else frozenset(),
            automatic=content["automatic"],
        ),
        valid_from=_read(content["valid_from"]),
        valid_until=_read(content["valid_until"]),
    )


def _read(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
