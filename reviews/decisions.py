"""A decision as it is asked for: its fields, their bounds and what each choice makes the forge do. Pure."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

ACTIONS = {
    "approve": "merge_pr",
    "reject": "close_pr",
    "modify": "request_changes",
    "escalate": "escalate_to_lead",
}
FINAL = frozenset({"approve", "reject", "modify"})
SHORTEST_JUSTIFICATION = 10
LONGEST_TEXT = 10_000
STRATEGY_MODIFICATIONS = {"version_bump": frozenset({"target_version"})}


@dataclass(frozen=True, slots=True)
class Suppression:
    """Asked for with a reject: why APVs are set aside and until when.

    ``ground``: one of VEX's justifications or ``accepted_risk``, empty for words alone. ``apv_codes``: which of the round's APVs;
    none named means all of them.
    """

    reason: str
    expires_at: datetime
    ground: str = ""
    apv_codes: tuple[str, ...] = ()

    def kept(self) -> dict[str, Any]:
        """As the decision and its forge job keep it."""
        found: dict[str, Any] = {"reason": self.reason, "expires_at": self.expires_at.isoformat()}
        if self.ground:
            found["ground"] = self.ground
        if self.apv_codes:
            found["apv_codes"] = sorted(set(self.apv_codes))
        return found


@dataclass(frozen=True, slots=True)
class Asked:
    """One decision as a person asks for it. ``seen_*`` are what the person had before their eyes."""

    choice: str
    justification: str
    seen_head: str = ""
    seen_patch: str = ""
    comments: str = ""
    confidence_override: float | None = None
    modifications: dict[str, Any] = field(default_factory=dict)
    suppress: Suppression | None = None

    def digest(self, review_id: str) -> str:
        """Tells whether two requests under one idempotency key are the same."""
        text = json.dumps({"review": review_id, **asdict(self)}, sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()


def complaints(
    asked: Asked, *, has_remedy: bool, strategy: str, now: datetime, codes: frozenset[str], grounds: frozenset[str]
) -> dict[str, str]:
    """What is wrong with the request, by field; empty when nothing is.

    ``codes``: the APVs the round holds for. ``grounds``: those a suppression may give.
    """
    found: dict[str, str] = {}
    if asked.choice not in ACTIONS:
        return {"decision": f"must be one of {', '.join(ACTIONS)}"}
    if len(asked.justification.strip()) < SHORTEST_JUSTIFICATION:
        found["justification"] = f"needs at least {SHORTEST_JUSTIFICATION} characters"
    for name in ("justification", "comments"):
        if len(getattr(asked, name)) > LONGEST_TEXT:
            found[name] = f"may hold at most {LONGEST_TEXT} characters"
    if asked.confidence_override is not None and not 0 <= asked.confidence_override <= 1:
        found["confidence_override"] = "lies between 0 and 1"
    if not has_remedy and asked.choice in ("approve", "modify"):
        found["decision"] = "there is no change to approve or modify: the APV has no fix"
    if asked.suppress is not None:
        if asked.choice != "reject":
            found["suppress"] = "goes with reject only"
        elif not asked.suppress.reason.strip():
            found["suppress"] = "needs a reason"
        elif asked.suppress.expires_at <= now:
            found["suppress"] = "must expire in the future"
        elif asked.suppress.ground and asked.suppress.ground not in grounds:
            found["suppress"] = f"its ground is one of {', '.join(sorted(grounds))}"
        elif not codes.issuperset(asked.suppress.apv_codes):
            found["suppress"] = "names an APV this review does not hold for"
    found.update(_modification_complaints(asked, strategy))
    return found


def _modification_complaints(asked: Asked, strategy: str) -> dict[str, str]:
    if asked.choice != "modify":
        return {"modifications": "goes with modify only"} if asked.modifications else {}
    allowed = STRATEGY_MODIFICATIONS.get(strategy, frozenset())
    unknown = sorted(set(asked.modifications) - allowed)
    if unknown:
        return {"modifications": f"{', '.join(unknown)} cannot be modified in a {strategy} remedy"}
    target = asked.modifications.get("target_version")
    if not isinstance(target, str) or not target.strip() or len(target) > 200:
        return {"modifications": "needs target_version, the version wanted instead"}
    return {}
