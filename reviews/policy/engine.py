"""The decision engine: from the facts of a review to a recommendation with its reasons. Pure.

It recommends; people decide. Without a policy of its own a site runs on ``DEFAULT``, under which nothing is ever approved
automatically and anything but a proved patch is put to a person without a recommendation to approve.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

# Weakest first: what policy reads when a remedy's APVs have different verdicts.
WEAKEST_FIRST = ("REGRESSION", "PATCH_INSUFFICIENT", "INCONCLUSIVE", "NOT_REPRODUCED", "PATCH_EFFECTIVE")


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known about the change under review. ``verdicts`` holds one (verdict, confidence) per APV; may be empty."""

    verdicts: tuple[tuple[str, float], ...]
    severity: str
    priority: str
    bump: str
    has_remedy: bool
    vouched: bool = True  # whether somebody stands for every scenario that speaks


@dataclass(frozen=True, slots=True)
class Advice:
    """``recommendation`` is approve, reject, escalate or ask; ``reasons`` are sentences for the reviewer."""

    recommendation: str
    reasons: tuple[str, ...]
    required_approvals: int
    policy: str


@dataclass(frozen=True, slots=True)
class Policy:
    """``minimum_confidence``: below it a proved patch is put to a person without a recommendation."""

    name: str = "default"
    minimum_confidence: float = 0.6
    required_approvals: int = 1


DEFAULT = Policy()


def weakest(verdicts: Sequence[tuple[str, float]]) -> tuple[str, float] | None:
    """The weakest verdict and the lowest confidence it was given; None when there is none."""
    if not verdicts:
        return None
    worst = min((verdict for verdict, _ in verdicts), key=WEAKEST_FIRST.index)
    return worst, min(confidence for verdict, confidence in verdicts if verdict == worst)


def advise(facts: Facts, policy: Policy = DEFAULT) -> Advice:
    """What to recommend to the reviewer, and why. Never approves anything by itself."""

    def advice(recommendation: str, *reasons: str) -> Advice:
        return Advice(recommendation, reasons, policy.required_approvals, policy.name)

    if not facts.has_remedy:
        return advice("escalate", "There is no version to upgrade to; somebody has to decide how to live with it.")
    found = weakest(facts.verdicts)
    if found is None:
        return advice("ask", "No wargame spoke for this change.")
    verdict, confidence = found
    if verdict == "REGRESSION":
        return advice("reject", "The patched release breaks what worked before.")
    if verdict == "PATCH_INSUFFICIENT":
        return advice("reject", "The weakness can still be used against the patched release.")
    if verdict == "INCONCLUSIVE":
        return advice("ask", "At least one wargame could not tell; the change is not proved.")
    if verdict == "NOT_REPRODUCED":
        return advice(
            "ask", "At least one weakness did not show before the patch, so its absence after proves nothing."
        )
    if not facts.vouched:
        return advice(
            "ask", "It rests on a scenario that nobody but its author stands for; a second person has to accept it."
        )
    if confidence < policy.minimum_confidence:
        return advice(
            "ask", f"Proved, but with confidence {confidence:.2f}, below the {policy.minimum_confidence:.2f} asked for."
        )
    reasons = ["Every wargame showed the weakness before the patch and not after it, with the controls green."]
    if facts.bump == "major":
        reasons.append("It is a major upgrade; read the release notes.")
        return advice("ask", *reasons)
    return advice("approve", *reasons)
