"""A dry run as plain data: what the command prints and the API answers."""

from __future__ import annotations

from typing import Any

from reviews.policies.dry_run import DryRun


def dry_run_record(found: DryRun) -> dict[str, Any]:
    """The figures and every round."""
    return {
        "totals": found.totals,
        "table": found.table,
        "rounds": [
            {
                "review_id": str(line.review.pk),
                "apvs": line.codes,
                "change": str(line.review.remedy),
                "repository": line.review.repository.name,
                "recommendation": line.advice.recommendation,
                "required_approvals": line.advice.required_approvals,
                "automatic": line.advice.automatic,
                "policy": str(line.advice.policy),
                "reasons": list(line.advice.reasons),
                "recommended_then": line.review.recommendation,
                "decided": line.decision.decision,
                "agrees": line.agrees,
            }
            for line in found.lines
        ],
    }
