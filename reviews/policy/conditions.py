"""What a policy asks of the facts, each question answered yes, no or "cannot be told".

A condition that names nothing holds always. Where a fact is not known, or holds for a part only (a package that is needed both
directly and for development), the answer is None: who asks must then reckon with both.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from reviews.policy.facts import (
    BUMPS,
    PRIORITIES,
    REACHABILITIES,
    SEVERITIES,
    WEAKEST_FIRST,
    Facts,
    Proof,
    Use,
    weakest,
)

# What each condition that lists values may list.
CHOICES: dict[str, tuple[str, ...]] = {
    "severities": SEVERITIES,
    "priorities": PRIORITIES,
    "verdicts": WEAKEST_FIRST,
    "proofs": tuple(kind.value for kind in Proof),
    "bumps": BUMPS,
    "uses": tuple(use.value for use in Use),
    "reachabilities": REACHABILITIES,
}


@dataclass(frozen=True, slots=True)
class Conditions:
    """Empty and None ask nothing. Labels: at least one of ``labels``, none of ``without_labels``."""

    severities: frozenset[str] = frozenset()
    priorities: frozenset[str] = frozenset()
    known_exploited: bool | None = None
    verdicts: frozenset[str] = frozenset()
    minimum_confidence: float | None = None
    proofs: frozenset[str] = frozenset()
    bumps: frozenset[str] = frozenset()
    uses: frozenset[str] = frozenset()
    labels: frozenset[str] = frozenset()
    without_labels: frozenset[str] = frozenset()
    minimum_release_age: float | None = None  # days
    reachabilities: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Answer:
    """``holds``: None when it cannot be told. ``words`` say what was found, for the reviewer."""

    holds: bool | None
    words: str


def holds(conditions: Conditions, facts: Facts) -> Answer:
    """Whether all conditions hold: no as soon as one does not, otherwise unknown as soon as one cannot be told."""
    answers = list(_answers(conditions, facts))
    for wanted in (False, None):
        found = [answer.words for answer in answers if answer.holds is wanted]
        if found:
            return Answer(wanted, ", ".join(found))
    return Answer(True, ", ".join(answer.words for answer in answers) or "it asks nothing")


def _answers(asked: Conditions, facts: Facts) -> Iterator[Answer]:
    found = weakest(facts.verdicts)
    if asked.severities:
        yield _among("severity", asked.severities, _known(facts.severity, SEVERITIES))
    if asked.priorities:
        yield _among("priority", asked.priorities, {facts.priority})
    if asked.known_exploited is not None:
        yield _exploited(asked.known_exploited, facts.known_exploited)
    if asked.verdicts:
        yield _among("weakest verdict", asked.verdicts, {found[0]} if found else set())
    if asked.minimum_confidence is not None:
        yield _at_least("confidence", asked.minimum_confidence, found[1] if found else None, "")
    if asked.proofs:
        yield _among("proof", asked.proofs, _known(facts.proof, CHOICES["proofs"]))
    if asked.bumps:
        yield _among("size of the upgrade", asked.bumps, _known(facts.bump, BUMPS))
    if asked.uses:
        yield _among("use", asked.uses, facts.uses)
    if asked.labels:
        shared = sorted(asked.labels & facts.labels)
        yield Answer(bool(shared), f"labels {_list(shared)}" if shared else f"no label of {_list(asked.labels)}")
    if asked.without_labels:
        shared = sorted(asked.without_labels & facts.labels)
        yield Answer(not shared, f"labels {_list(shared)}" if shared else f"no label of {_list(asked.without_labels)}")
    if asked.minimum_release_age is not None:
        yield _at_least("age of the release", asked.minimum_release_age, facts.release_age, " days")
    if asked.reachabilities:
        yield _among("reachability", asked.reachabilities, _known(facts.reachability, REACHABILITIES))


def _known(value: str, choices: Collection[str]) -> set[str]:
    return {value} if value in choices else set()


def _among(name: str, wanted: Collection[str], found: Collection[str]) -> Answer:
    """``found`` are the values that are, or may be, the fact's; none at all when nothing is known of it."""
    if not found:
        return Answer(None, f"{name} not known")
    words = f"{name} {_list(found)}"
    if set(found) <= set(wanted):
        return Answer(True, words)
    return Answer(None if set(found) & set(wanted) else False, words)


def _exploited(wanted: bool, known: bool | None) -> Answer:
    if known is None:
        return Answer(None, "known exploitation cannot be told")
    return Answer(known is wanted, "known to be exploited" if known else "not known to be exploited")


def _at_least(name: str, least: float, found: float | None, unit: str) -> Answer:
    if found is None:
        return Answer(None, f"{name} not known")
    return Answer(found >= least, f"{name} {found:g}{unit}" if unit else f"{name} {found:.2f}")


def _list(values: Collection[str]) -> str:
    return ", ".join(sorted(values))
