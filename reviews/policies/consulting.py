"""Asking policy about a change: the facts gathered from rows, the versions that are switched on, and what they say together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.utils import timezone

from immune import priority
from immune.models import APV, DependencyRow, KevRow, Remedy, SignalFeed
from immune.models.apvs import Priority
from reviews.models import Review, Rule, RuleKind, RuleVersion
from reviews.policy.content import digest, policy_of
from reviews.policy.engine import DEFAULT, Advice, Outcome, Policy, advise
from reviews.policy.facts import REACHABILITIES, SEVERITIES, Facts, Proof, Use, weakest_proof, worst_of
from wargaming.actions.order import DRIVER as AT_ACTIONS
from wargaming.models import Wargame
from wargaming.speaking import counts, speaking, vouched

# Below what the built-in policy asks for before it recommends an approval.
UNVOUCHED = 0.5
SECONDS_A_DAY = 86_400


@dataclass(frozen=True, slots=True)
class Consulted:
    """What was known, and what policy said of it."""

    facts: Facts
    advice: Advice

    def columns(self) -> dict[str, Any]:
        """The columns of a review that hold it."""
        return {
            "recommendation": self.advice.recommendation,
            "recommendation_reasons": list(self.advice.reasons),
            "required_approvals": self.advice.required_approvals,
            "required_groups": [list(group) for group in sorted(self.advice.groups)],
            "facts": self.facts.record(),
            **spoke_columns(self.advice),
        }


def spoke_columns(advice: Advice) -> dict[str, Any]:
    """The columns, of a review or a decision, that name the versions that spoke."""
    key = advice.policy.key
    return {"policies": named(advice.spoke), "policy_version_id": UUID(key) if key else None}


def named(policies: Iterable[Policy]) -> list[dict[str, Any]]:
    """The site's own policies among these, as rows keep them."""
    return [{"version": one.key, "name": one.name, "number": one.version} for one in policies if one.key]


def active_policies() -> tuple[Policy, ...]:
    """The policies that are switched on, in their order."""
    rows = Rule.objects.filter(kind=RuleKind.POLICY, active__isnull=False).select_related("active__team")
    return tuple(as_policy(row.active, row.name) for row in rows.order_by("position", "pk") if row.active is not None)


def as_policy(version: RuleVersion, name: str) -> Policy:
    """A version as the engine takes it. One whose content is not what its digest says was altered: nothing is made laxer by it."""
    if digest(version.content) != version.digest:
        return Policy(name=f"{name}, altered", version=version.number, key=str(version.pk), outcome=Outcome("ask", 2))
    team = version.team.name if version.team is not None else ""
    return policy_of(version.content, name=name, version=version.number, key=str(version.pk), team_name=team)


def consult(
    remedy: Remedy, apvs: Sequence[APV], spoke: Sequence[Wargame], *, policies: Sequence[Policy] | None = None
) -> Consulted:
    """What policy says now of a change that serves ``apvs``. ``spoke``: the wargame that speaks for each, where one does."""
    now = timezone.now()
    facts = facts_of(remedy, apvs, spoke, now)
    return Consulted(facts, advise(facts, active_policies() if policies is None else policies, now=now))


def advice_now(review: Review) -> Advice:
    """What policy says now of a round, for a decision on it. A site without policies of its own is not asked for facts: whatever they
    are, the built-in one wants one person and allows nothing without people."""
    policies = active_policies()
    if not policies:
        return Advice(review.recommendation, (), 1, frozenset(), False, (DEFAULT,))
    return consult_review(review, policies).advice


def consult_review(review: Review, policies: Sequence[Policy] | None = None) -> Consulted:
    """What policy says now of a round about a change."""
    assert review.remedy is not None  # noqa: S101 - of an APV without a fix there is nothing to ask
    items = list(review.items.select_related("apv", "wargame"))
    spoke = [item.wargame for item in items if item.wargame is not None]
    return consult(review.remedy, [item.apv for item in items], spoke, policies=policies)


def facts_of(remedy: Remedy, apvs: Sequence[APV], spoke: Sequence[Wargame], now: datetime) -> Facts:
    """Everything policy may ask, as far as rows tell."""
    return Facts(
        verdicts=verdicts_of(apvs, spoke),
        severity=worst_of(SEVERITIES, (apv.severity for apv in apvs), unknown="UNKNOWN"),
        priority=min((apv.priority for apv in apvs), default=Priority.P4.value),
        bump=remedy.bump,
        has_remedy=True,
        vouched=all(map(vouched, spoke)),
        known_exploited=_known_exploited(apvs),
        proof=weakest_proof([_proof(wargame) for wargame in spoke]) if len(spoke) == len(apvs) else "",
        counts=bool(spoke) and len(spoke) == len(apvs) and all(map(counts, spoke)),
        uses=_uses(remedy),
        labels=frozenset(str(label) for label in remedy.repository.labels),
        release_age=_age(remedy, now),
        reachability=worst_of(
            REACHABILITIES,
            (priority.reachability_in(apv.priority_factors)[0].value for apv in apvs),
            unknown="unknown",
        ),
    )


def verdicts_of(apvs: Sequence[APV], spoke: Sequence[Wargame]) -> tuple[tuple[str, float], ...]:
    known = tuple((wargame.verdict or "INCONCLUSIVE", counted(wargame)) for wargame in spoke)
    # An APV for which no wargame spoke is not proved, whatever the others say.
    return known if len(spoke) == len(apvs) else (*known, ("INCONCLUSIVE", 0.0))


def counted(wargame: Wargame) -> float:
    """The confidence as far as it counts: what only a scenario shows that nobody stands for is no ground for an approval."""
    confidence = wargame.confidence or 0.0
    return confidence if vouched(wargame) else min(confidence, UNVOUCHED)


def speaking_per_apv(wargames: Sequence[Wargame]) -> dict[object, Wargame]:
    found = {apv: speaking([w for w in wargames if w.apv_id == apv]) for apv in {w.apv_id for w in wargames}}
    return {apv: wargame for apv, wargame in found.items() if wargame is not None}


def _proof(wargame: Wargame) -> str:
    if not wargame.scenario_digest and not wargame.scenario:
        return Proof.WITHOUT_SCENARIO
    if not vouched(wargame):
        return Proof.UNVOUCHED
    if wargame.driver == AT_ACTIONS:
        return Proof.AT_ACTIONS
    return Proof.ACCEPTED if wargame.accepted else Proof.SHIPPED


def _known_exploited(apvs: Sequence[APV]) -> bool | None:
    """Whether one of them stands in the catalogue of known exploitation. None while there is no catalogue to look in, or a
    vulnerability has no CVE to look for."""
    cves = [apv.cve_id for apv in apvs]
    if KevRow.objects.filter(pk__in=[cve for cve in cves if cve]).exists():
        return True
    return False if all(cves) and SignalFeed.objects.filter(pk="kev").exists() else None


def _uses(remedy: Remedy) -> frozenset[str]:
    """What the repository needs the package for, over all places that name it; each that it may be where it cannot be told."""
    rows = DependencyRow.objects.filter(
        repository=remedy.repository_id, ecosystem=remedy.ecosystem, name=remedy.package_name
    )
    found: set[str] = set()
    for direct, scope in set(rows.values_list("direct", "scope")):
        if scope in ("dev", "unknown"):
            found.add(Use.DEV)
        if scope != "dev":
            found |= {Use.DIRECT} if direct else {Use.TRANSITIVE} if direct is False else {Use.DIRECT, Use.TRANSITIVE}
    return frozenset(str(use) for use in found)


def _age(remedy: Remedy, now: datetime) -> float | None:
    """Days since the target was published; None when that is not known, or is said to lie ahead."""
    if remedy.released_at is None or remedy.released_at > now:
        return None
    return (now - remedy.released_at).total_seconds() / SECONDS_A_DAY
