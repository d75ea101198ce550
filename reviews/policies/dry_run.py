"""What policies would have said of rounds that people decided, from the facts that were kept with each. Nothing changes.

Windows of validity and freezes are left out: the question is what the policy means, not what time it was.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from django.db.models import Prefetch, QuerySet

from immune.people.selectors import Viewer
from reviews.models import (
    Choice,
    Decision,
    Recommendation,
    Review,
    ReviewItem,
    ReviewState,
    Rule,
    RuleKind,
    RuleVersion,
)
from reviews.policies.consulting import as_policy
from reviews.policy.engine import Advice, Policy, advise
from reviews.policy.facts import read_facts
from reviews.selectors import reviews

MOST = 500


@dataclass(frozen=True, slots=True)
class Line:
    """One round: what the policies would have said beside what people decided."""

    review: Review
    decision: Decision
    advice: Advice
    speaks: bool  # whether the version tried is among those that spoke

    @property
    def codes(self) -> list[str]:
        return [item.apv.apv_code for item in self.review.items.all()]

    @property
    def recommendation_label(self) -> str:
        return str(Recommendation(self.advice.recommendation).label)

    @property
    def agrees(self) -> bool | None:
        """Whether people did what it would have recommended; None where it would have recommended nothing."""
        said = self.advice.recommendation
        return None if said == Recommendation.ASK else said == self.decision.decision

    @property
    def is_wrong(self) -> bool:
        """Whether it would have been approved without people, who decided otherwise."""
        return self.advice.automatic and self.decision.decision != Choice.APPROVE


@dataclass(frozen=True, slots=True)
class DryRun:
    """``lines`` newest first. ``without_facts``: rounds of before facts were kept, of which nothing can be told."""

    lines: tuple[Line, ...]
    without_facts: int
    table: dict[str, dict[str, int]] = field(default_factory=dict)  # would have recommended → people decided → how many

    @property
    def totals(self) -> dict[str, int]:
        lines = self.lines
        return {
            "looked_at": len(lines),
            "without_facts": self.without_facts,
            "speaks": sum(line.speaks for line in lines),
            "advised": sum(line.agrees is not None for line in lines),
            "agrees": sum(line.agrees is True for line in lines),
            "more_than_one_approval": sum(line.advice.required_approvals > 1 for line in lines),
            "automatic": sum(line.advice.automatic for line in lines),
            "automatic_against_people": sum(line.is_wrong for line in lines),
        }


def dry_run(viewer: Viewer, version: RuleVersion | None = None, *, most: int = MOST) -> DryRun:
    """Tries the policies that are switched on, with ``version`` in its rule's place, on the latest rounds people decided.

    Without ``version``: those that are switched on as they are.
    """
    policies = _policies(version)
    key = str(version.pk) if version is not None else ""
    lines: list[Line] = []
    without_facts = 0
    for review in _decided(viewer)[:most]:
        facts = read_facts(review.facts)
        if facts is None:
            without_facts += 1
            continue
        advice = advise(facts, policies)
        decision = next(iter(review.decisions.all()))
        lines.append(Line(review, decision, advice, any(one.key == key for one in advice.spoke) if key else False))
    counted = Counter((line.advice.recommendation, line.decision.decision) for line in lines)
    table = {
        said: {did: counted[said, did] for did in Choice.values if did != Choice.ESCALATE}
        for said in Recommendation.values
    }
    return DryRun(tuple(lines), without_facts, table)


def _policies(version: RuleVersion | None) -> tuple[Policy, ...]:
    rows = Rule.objects.filter(kind=RuleKind.POLICY).select_related("active__team").order_by("position", "pk")
    found = []
    for row in rows:
        chosen = version if version is not None and version.rule_id == row.pk else row.active
        if chosen is not None:
            found.append(as_policy(chosen, row.name))
    return tuple(found)


def _decided(viewer: Viewer) -> QuerySet[Review]:
    """Rounds about a change that a person's final word ended, the latest first."""
    final = Decision.objects.filter(is_final=True, withdrawn_at__isnull=True, is_automatic=False)
    items = ReviewItem.objects.select_related("apv").order_by("apv__priority", "apv__apv_code")
    return (
        reviews(viewer)
        .filter(state=ReviewState.DECIDED, remedy__isnull=False, pk__in=final.values("review"))
        .select_related("remedy", "repository")
        .prefetch_related(Prefetch("decisions", queryset=final), Prefetch("items", queryset=items))
        .order_by("-decided_at", "-pk")
    )
