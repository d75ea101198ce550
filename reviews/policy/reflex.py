"""Reflex rules: what is done at once about an APV, without having met it before. They start, raise and tell; they never approve.

What is not known never sets one off: a reflex answers to what was learned, and priority already weighs what was not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from reviews.policy.content import BadContent, are_labels
from reviews.policy.facts import PRIORITIES, SEVERITIES


@dataclass(frozen=True, slots=True)
class Threat:
    """What is known of one APV. None: not known."""

    severity: str
    known_exploited: bool | None
    epss: float | None
    labels: frozenset[str]


@dataclass(frozen=True, slots=True)
class Reflex:
    """All that is named must hold. ``raise_to`` empty: the priority stays as it is."""

    known_exploited: bool = False
    minimum_epss: float | None = None
    severities: frozenset[str] = frozenset()
    labels: frozenset[str] = frozenset()
    wargame: bool = False
    raise_to: str = ""
    notify: bool = False


def fires(rule: Reflex, threat: Threat) -> bool:
    """Whether everything the rule names is known to hold."""
    return (
        (not rule.known_exploited or threat.known_exploited is True)
        and (rule.minimum_epss is None or (threat.epss is not None and threat.epss >= rule.minimum_epss))
        and (not rule.severities or threat.severity in rule.severities)
        and (not rule.labels or bool(rule.labels & threat.labels))
    )


def checked_rule(given: Mapping[str, Any]) -> dict[str, Any]:
    """What was given, complete and in its one written form. Raises BadContent."""
    wrong = {name: "is not known" for name in given if name not in Reflex.__dataclass_fields__}
    content = {
        "known_exploited": given.get("known_exploited", False),
        "minimum_epss": given.get("minimum_epss"),
        "severities": given.get("severities") or [],
        "labels": given.get("labels") or [],
        "wargame": given.get("wargame", False),
        "raise_to": given.get("raise_to") or "",
        "notify": given.get("notify", False),
    }
    for name in ("known_exploited", "wargame", "notify"):
        if not isinstance(content[name], bool):
            wrong[name] = "is yes or no"
    epss = content["minimum_epss"]
    if epss is not None and (isinstance(epss, bool) or not isinstance(epss, (int, float)) or not 0 <= epss <= 1):
        wrong["minimum_epss"] = "is a number from 0 to 1"
    if not isinstance(content["severities"], list) or any(one not in SEVERITIES for one in content["severities"]):
        wrong["severities"] = f"lists some of {', '.join(SEVERITIES)}"
    if not are_labels(content["labels"]):
        wrong["labels"] = "lists labels"
    if content["raise_to"] not in ("", *PRIORITIES[:-1]):
        wrong["raise_to"] = f"is one of {', '.join(PRIORITIES[:-1])}, or empty"
    if not wrong and not (content["known_exploited"] or epss is not None or content["severities"]):
        wrong["known_exploited"] = "or another cause is needed: a rule without one would answer to everything"
    if not wrong and not (content["wargame"] or content["raise_to"] or content["notify"]):
        wrong["notify"] = "or another action is needed: a rule without one does nothing"
    if wrong:
        raise BadContent(wrong)
    content["minimum_epss"] = None if epss is None else float(epss)
    content["severities"] = [one for one in SEVERITIES if one in content["severities"]]
    content["labels"] = sorted(set(content["labels"]))
    return content


def reflex_of(content: Mapping[str, Any]) -> Reflex:
    """The rule that ``checked_rule`` content stands for."""
    read: dict[str, Any] = {
        name: frozenset(value) if isinstance(value, list) else value for name, value in content.items()
    }
    return Reflex(**read)
