"""Which policy speaks for a change, and what it says. It recommends; people decide.

The first policy of the order whose conditions hold, inside its window of validity, speaks; ``DEFAULT`` lies underneath. Where it
cannot be told whether a policy holds, it and what comes after it both speak, and of everything the two say the stricter part holds.
So not knowing never makes things laxer: forgetting a fact can only add approvals and take away a recommendation to approve.

Below every policy stands what none of them may lift: only a change proved for every APV, by scenarios somebody stands for, is ever
recommended for approval; and what is approved without people needs evidence of a driver that counts, besides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import reduce

from reviews.policy.conditions import Conditions, holds
from reviews.policy.facts import EFFECTIVE, Facts, Proof, weakest

RECOMMENDATIONS = ("approve", "reject", "escalate", "ask")
BY_VERDICT = ""
# Below it, where a policy says nothing of its own, a proved patch is put to a person without a recommendation.
USUAL_CONFIDENCE = 0.6
AUTOMATIC_PROOFS = frozenset({Proof.SHIPPED.value, Proof.ACCEPTED.value})


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a policy says. ``recommendation`` empty: as the verdict says. ``groups``: (id, name) of the teams that must each give
    one of the approvals after the first. ``automatic``: whether it may be approved without people."""

    recommendation: str = BY_VERDICT
    required_approvals: int = 1
    groups: frozenset[tuple[str, str]] = frozenset()
    automatic: bool = False


@dataclass(frozen=True, slots=True)
class Policy:
    """One version of one policy. ``key`` names the version for those who keep it; ``valid_from`` ≤ now < ``valid_until``."""

    name: str = "default"
    version: int = 0
    key: str = ""
    conditions: Conditions = field(default_factory=Conditions)
    outcome: Outcome = field(default_factory=Outcome)
    valid_from: datetime | None = None
    valid_until: datetime | None = None

    def is_valid(self, now: datetime) -> bool:
        return (self.valid_from is None or self.valid_from <= now) and (
            self.valid_until is None or now < self.valid_until
        )

    def __str__(self) -> str:
        return f"{self.name} (version {self.version})" if self.version else self.name


DEFAULT = Policy()


@dataclass(frozen=True, slots=True)
class Advice:
    """``recommendation`` is approve, reject, escalate or ask; ``reasons`` are sentences for the reviewer.

    ``spoke``: the policies that did, the deciding one last; those before it are the ones of which it could not be told.
    """

    recommendation: str
    reasons: tuple[str, ...]
    required_approvals: int
    groups: frozenset[tuple[str, str]]
    automatic: bool
    spoke: tuple[Policy, ...]

    @property
    def policy(self) -> Policy:
        """The policy that holds for certain."""
        return self.spoke[-1]


def advise(facts: Facts, policies: Sequence[Policy] = (), *, now: datetime | None = None) -> Advice:
    """What to recommend to the reviewer, and why. ``policies`` in their order; without ``now`` windows of validity are not asked."""
    by_verdict, reasons = _by_verdict(facts)
    if not facts.has_remedy:
        return Advice(by_verdict, reasons, 1, frozenset(), False, (DEFAULT,))
    spoke, words = _speaking(facts, policies, now)
    said = reduce(stricter, (_resolved(policy.outcome, by_verdict) for policy in spoke))
    recommendation = said.recommendation
    if recommendation == "approve" and (lacking := _not_proved(facts)):
        recommendation, words = "ask", (*words, lacking)
    automatic = said.automatic and recommendation == "approve" and not _not_automatic(facts, said)
    approvals = max(said.required_approvals, 1 + len(said.groups))
    if approvals > 1:
        words = (*words, _approvals_in_words(approvals, said))
    if said.automatic:
        words = (
            *words,
            "Policy allows it to be approved without people." if automatic else _not_automatic(facts, said),
        )
    return Advice(
        recommendation, tuple(word for word in (*reasons, *words) if word), approvals, said.groups, automatic, spoke
    )


def stricter(one: Outcome, other: Outcome) -> Outcome:
    """The least outcome that is as strict as both: more approvals, every group, automatic only where both allow it.

    Of differing recommendations neither holds for certain: a person has to look, and where one escalates, it is escalated.
    """
    recommendation = one.recommendation
    if one.recommendation != other.recommendation:
        recommendation = "escalate" if "escalate" in (one.recommendation, other.recommendation) else "ask"
    return Outcome(
        recommendation,
        max(one.required_approvals, other.required_approvals),
        one.groups | other.groups,
        one.automatic and other.automatic,
    )


def _speaking(
    facts: Facts, policies: Sequence[Policy], now: datetime | None
) -> tuple[tuple[Policy, ...], tuple[str, ...]]:
    spoke: list[Policy] = []
    words: list[str] = []
    for policy in policies:
        if now is not None and not policy.is_valid(now):
            continue
        answer = holds(policy.conditions, facts)
        if answer.holds is None:
            spoke.append(policy)
            words.append(
                f"It cannot be told whether policy {policy} holds ({answer.words}); the stricter of it and what follows does."
            )
        elif answer.holds:
            return (*spoke, policy), (*words, f"Policy {policy} speaks: {answer.words}.")
    return (*spoke, DEFAULT), tuple(words)


def _resolved(outcome: Outcome, by_verdict: str) -> Outcome:
    if outcome.recommendation != BY_VERDICT:
        return outcome
    return Outcome(by_verdict, outcome.required_approvals, outcome.groups, outcome.automatic)


def _by_verdict(facts: Facts) -> tuple[str, tuple[str, ...]]:
    """What the evidence says by itself, without any policy of the site's own."""
    if not facts.has_remedy:
        return "escalate", ("There is no version to upgrade to; somebody has to decide how to live with it.",)
    found = weakest(facts.verdicts)
    if found is None:
        return "ask", ("No wargame spoke for this change.",)
    verdict, confidence = found
    if verdict == "REGRESSION":
        return "reject", ("The patched release breaks what worked before.",)
    if verdict == "PATCH_INSUFFICIENT":
        return "reject", ("The weakness can still be used against the patched release.",)
    if lacking := _not_proved(facts):
        return "ask", (lacking,)
    if confidence < USUAL_CONFIDENCE:
        return "ask", (f"Proved, but with confidence {confidence:.2f}, below the {USUAL_CONFIDENCE:.2f} asked for.",)
    proved = "Every wargame showed the weakness before the patch and not after it, with the controls green."
    if facts.bump == "major":
        return "ask", (proved, "It is a major upgrade; read the release notes.")
    if not facts.bump:
        return "ask", (proved, "How large the upgrade is cannot be told; read the release notes.")
    return "approve", (proved,)


def _not_proved(facts: Facts) -> str:
    """Why nothing may be recommended for approval; empty when it may."""
    found = weakest(facts.verdicts)
    if found is None:
        return "No wargame spoke for this change."
    if found[0] == "NOT_REPRODUCED":
        return "At least one weakness did not show before the patch, so its absence after proves nothing."
    if found[0] == "INCONCLUSIVE":
        return "At least one wargame could not tell; the change is not proved."
    if found[0] != EFFECTIVE:
        return f"The weakest verdict is {found[0]}; the change is not proved."
    if not facts.vouched:
        return "It rests on a scenario that nobody but its author stands for; a second person has to accept it."
    return ""


def _not_automatic(facts: Facts, said: Outcome) -> str:
    """Why a change whose policy allows it is not approved without people all the same; empty when it may be."""
    if lacking := _not_proved(facts):
        return lacking
    if facts.proof not in AUTOMATIC_PROOFS:
        return "Not approved without people: the kind of proof does not suffice for that."
    if not facts.counts:
        return "Not approved without people: it was proved by a driver whose evidence does not count for that."
    if said.required_approvals > 1 or said.groups:
        return "Not approved without people: more than one approval is needed."
    if said.recommendation != "approve":
        return "Not approved without people: it is not recommended for approval."
    return ""


def _approvals_in_words(approvals: int, said: Outcome) -> str:
    names = ", ".join(sorted(name for _, name in said.groups))
    return f"{approvals} approvals are needed" + (f", after the first by people of {names}." if names else ".")
