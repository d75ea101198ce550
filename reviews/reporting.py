"""What the forge is told once the wargames of a change have ended: one check beside its head, and the evidence in the pull request.

Only words and figures; the forge makes them harmless (``immune.forges.github_text``). A verdict that proves nothing is never shown as
a success.
"""

from __future__ import annotations

from typing import Any

from immune.forges.base import Conclusion
from immune.models.apvs import Verdict
from reviews.models import Review

_CONCLUSIONS = {
    Verdict.PATCH_EFFECTIVE: Conclusion.SUCCESS,
    Verdict.PATCH_INSUFFICIENT: Conclusion.FAILURE,
    Verdict.REGRESSION: Conclusion.FAILURE,
}


def report_of(review: Review) -> dict[str, Any]:
    """The arguments of the forge job ``report_verdict``: ``conclusion``, ``summary`` (one line), ``evidence`` (a line for each APV)."""
    conclusion = (
        _CONCLUSIONS.get(Verdict(review.weakest_verdict), Conclusion.NEUTRAL) if review.weakest_verdict else None
    )
    items = review.items.select_related("apv", "wargame").order_by("apv__apv_code")
    lines = [_line(item) for item in items]
    return {
        "conclusion": (conclusion or Conclusion.NEUTRAL).value,
        "summary": f"{review.weakest_verdict or Verdict.INCONCLUSIVE}{_sure(review.confidence)}, weakest of {len(lines)}",
        "evidence": lines,
    }


def _line(item: Any) -> str:
    game = item.wargame
    said = item.verdict or Verdict.INCONCLUSIVE
    parts = [f"{item.apv.apv_code} ({item.apv.advisory_id}): {said}{_sure(item.confidence)}"]
    if game is not None and game.reason:
        parts.append(game.reason)
    if game is not None and game.scenario:
        parts.append(f"scenario {game.scenario}")
    if game is not None and game.evidence_id:
        parts.append(f"evidence sha256 {game.evidence_id}")
    return "; ".join(parts)


def _sure(confidence: float | None) -> str:
    return "" if confidence is None else f", confidence {confidence:.2f}"
