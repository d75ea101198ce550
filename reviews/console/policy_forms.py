"""Policies and reflexes as forms and as words: the fields that a content fills, the content that a form gives, what a version says.

Nothing is checked here: what a form gives goes to the service as it is, which refuses by the name of the field.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.http import QueryDict
from django.utils.translation import gettext_lazy as _

from immune.models import Team
from immune.models.advisories import Severity
from immune.models.apvs import Verdict
from reviews.console.base import type_of_text
from reviews.models import Recommendation, RuleKind
from reviews.policy.conditions import CHOICES
from reviews.policy.content import MOST_APPROVALS
from reviews.policy.facts import PRIORITIES

LABELS: dict[str, type_of_text] = {
    "severities": _("Severity, the worst of its APVs"),
    "priorities": _("Priority"),
    "known_exploited": _("Known to be exploited"),
    "verdicts": _("Verdict, the weakest of its APVs"),
    "minimum_confidence": _("Confidence, at least"),
    "proofs": _("Kind of proof"),
    "bumps": _("Size of the upgrade"),
    "uses": _("What the package is needed for"),
    "labels": _("Repository has one of the labels"),
    "without_labels": _("Repository has none of the labels"),
    "minimum_release_age": _("Days since the release, at least"),
    "reachabilities": _("Reachability, the nearest of its APVs"),
    "recommendation": _("Recommendation"),
    "required_approvals": _("Approvals needed"),
    "team": _("Team that approves after the first person"),
    "automatic": _("May be approved without people"),
    "valid_from": _("Valid from (UTC)"),
    "valid_until": _("Valid until (UTC)"),
    "minimum_epss": _("Probability of exploitation (EPSS), at least"),
    "wargame": _("Start a wargame"),
    "raise_to": _("Raise the priority to"),
    "notify": _("Tell people at once"),
}
WORDS: dict[str, type_of_text] = {
    **dict((*Severity.choices, *Verdict.choices)),
    "shipped": _("scenario of the library"),
    "accepted": _("attached scenario that a second person accepted"),
    "at_actions": _("scenario run at GitHub Actions"),
    "unvouched": _("scenario that nobody else stands for"),
    "without_scenario": _("without a scenario"),
    "major": _("major"),
    "minor": _("minor"),
    "patch": _("patch"),
    "direct": _("directly"),
    "transitive": _("by another package"),
    "dev": _("development"),
    "runtime": _("seen running"),
    "static": _("used in the code"),
    "potential": _("imported"),
    "unreachable": _("not imported"),
}
YES_NO = (("", _("does not matter")), ("yes", _("yes")), ("no", _("no")))
CONDITIONS = (
    "severities", "priorities", "known_exploited", "verdicts", "minimum_confidence", "proofs", "bumps", "uses", "labels",
    "without_labels", "minimum_release_age", "reachabilities",
)  # fmt: skip
OUTCOME = ("recommendation", "required_approvals", "team", "automatic", "valid_from", "valid_until")
REFLEX = ("known_exploited", "minimum_epss", "severities", "labels", "raise_to", "wargame", "notify")


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a form. ``kind``: ticks, select, tick, number, moment or text. ``choices``: (value, label, whether chosen)."""

    name: str
    label: type_of_text
    kind: str
    value: Any = ""
    choices: Sequence[tuple[str, type_of_text, bool]] = ()
    step: str = "any"
    least: str = "0"
    most: str = ""


def fields(kind: str, content: Mapping[str, Any]) -> list[Field]:
    """The fields of a form, filled from a content, whole or in part."""
    if kind == RuleKind.REFLEX:
        return [_field(name, content.get(name), reflex=True) for name in REFLEX]
    asked = content.get("conditions") or {}
    return [_field(name, asked.get(name)) for name in CONDITIONS] + [
        _field(name, content.get(name)) for name in OUTCOME
    ]


def _field(name: str, value: Any, *, reflex: bool = False) -> Field:
    label = LABELS[name]
    if name in CHOICES:
        chosen = value if isinstance(value, list) else []
        return Field(name, label, "ticks", choices=[(one, WORDS.get(one, one), one in chosen) for one in CHOICES[name]])
    if name in ("labels", "without_labels"):
        return Field(name, label, "text", ", ".join(map(str, value or [])))
    if name in ("minimum_confidence", "minimum_epss"):
        return Field(name, label, "number", "" if value is None else value, step="0.01", most="1")
    if name == "minimum_release_age":
        return Field(name, label, "number", "" if value is None else value)
    if name == "required_approvals":
        return Field(name, label, "number", value or 1, step="1", least="1", most=str(MOST_APPROVALS))
    if name in ("valid_from", "valid_until"):
        return Field(name, label, "moment", str(value or "")[:16])
    if name == "known_exploited" and not reflex:
        now = "" if value is None else "yes" if value else "no"
        return Field(name, label, "select", choices=[(one, words, one == now) for one, words in YES_NO])
    if name == "recommendation":
        return _select(name, value, ("", _("as the verdict says")), Recommendation.choices)
    if name == "raise_to":
        return _select(name, value, ("", _("leave it")), [(one, one) for one in PRIORITIES[:-1]])
    if name == "team":
        teams = Team.objects.order_by("name").values_list("pk", "name")[:500]
        return _select(name, value, ("", _("anybody")), [(str(pk), found) for pk, found in teams])
    return Field(name, label, "tick", bool(value))


def _select(name: str, value: Any, none: tuple[str, type_of_text], offers: Iterable[tuple[Any, type_of_text]]) -> Field:
    choices = [(str(one), words, one == (value or "")) for one, words in (none, *offers)]
    return Field(name, LABELS[name], "select", choices=choices)


def content_of(kind: str, data: QueryDict) -> dict[str, Any]:
    """What a form gives, as the service takes it; what is no number stays as it was typed, and is refused there."""
    if kind == RuleKind.REFLEX:
        return {
            "known_exploited": "known_exploited" in data,
            "minimum_epss": _number(data.get("minimum_epss", "")),
            "severities": data.getlist("severities"),
            "labels": _labels(data.get("labels", "")),
            "raise_to": data.get("raise_to", ""),
            "wargame": "wargame" in data,
            "notify": "notify" in data,
        }
    conditions: dict[str, Any] = {name: data.getlist(name) for name in CHOICES}
    conditions |= {name: _labels(data.get(name, "")) for name in ("labels", "without_labels")}
    conditions |= {name: _number(data.get(name, "")) for name in ("minimum_confidence", "minimum_release_age")}
    if exploited := data.get("known_exploited"):
        conditions["known_exploited"] = {"yes": True, "no": False}.get(exploited, exploited)
    approvals = _number(data.get("required_approvals", "1"))
    return {
        "conditions": conditions,
        "recommendation": data.get("recommendation", ""),
        "required_approvals": int(approvals) if isinstance(approvals, float) and approvals.is_integer() else approvals,
        "team": data.get("team", ""),
        "automatic": "automatic" in data,
        "valid_from": _moment(data.get("valid_from", "")),
        "valid_until": _moment(data.get("valid_until", "")),
    }


def said(content: Mapping[str, Any], team: Team | None = None) -> list[tuple[type_of_text, str]]:
    """What a version says, as label and words, leaving out what asks nothing."""
    found = []
    for name, value in {**(content.get("conditions") or {}), **content}.items():
        if name not in LABELS or value in (None, "", [], False) or (name == "required_approvals" and value == 1):
            continue
        if name == "team":
            words = team.name if team is not None else ""
        elif isinstance(value, list):
            words = ", ".join(str(WORDS.get(one, one)) for one in value)
        elif isinstance(value, bool):
            words = str(YES_NO[1 if value else 2][1])
        elif name == "recommendation":
            words = str(Recommendation(value).label)
        else:
            words = str(value)[:16] if name.startswith("valid_") else str(value)
        found.append((LABELS[name], words))
    # That something is *not* known to be exploited is asked as well.
    if (content.get("conditions") or {}).get("known_exploited") is False:
        found.append((LABELS["known_exploited"], str(YES_NO[2][1])))
    return found


def _labels(text: str) -> list[str]:
    return [one.strip() for one in text.split(",") if one.strip()]


def _number(text: str) -> float | str | None:
    text = text.strip().replace(",", ".")
    if not text:
        return None
    try:
        return float(text)
    except ValueError:
        return text


def moment(text: str) -> datetime | None:
    """A moment of a form, in UTC; None for what is none."""
    try:
        return datetime.fromisoformat(f"{text.strip()}+00:00") if len(text.strip()) in (16, 19) else None
    except ValueError:
        return None


def _moment(text: str) -> str:
    return f"{text.strip()}+00:00" if text.strip() else ""
