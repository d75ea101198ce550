"""How sure we are of a verdict: a sum of visible factors, each a weight times a value between 0 and 1. Pure.

The factors, what each value stands for and worked examples are in docs/confidence.md. The weights add up to 1.
A verdict that says "could not tell" has confidence 0: there is nothing to be sure of. Nothing that failed adds to the sum.
"""

from __future__ import annotations

from dataclasses import dataclass

from immune.priority import Reachability
from wargaming.verdict import OwnTests, Verdict

NEAR_LIMIT = 0.8  # from this share of a limit on, the margin counts as used up in part; at the limit wholly

WEIGHTS: dict[str, float] = {
    "proof": 0.25,
    "scenario_source": 0.10,
    "variants": 0.10,
    "repeats": 0.10,
    "controls": 0.10,
    "own_tests": 0.10,
    "versions_observed": 0.10,
    "margins": 0.05,
    "reachability": 0.05,
    "driver": 0.05,
}

# How much is known of the use, whichever way it goes. That a package is imported does not say that its weak function is called, and
# static looking can miss a way to it.
REACHABILITY: dict[Reachability, float] = {
    Reachability.RUNTIME: 1.0,
    Reachability.STATIC: 1.0,
    Reachability.POTENTIAL: 0.6,
    Reachability.UNREACHABLE: 0.6,
    Reachability.UNKNOWN: 0.0,
}


@dataclass(frozen=True, slots=True)
class Factor:
    """One summand: ``weight`` times ``value``; ``why`` says in words what the value rests on."""

    name: str
    weight: float
    value: float
    why: str


@dataclass(frozen=True, slots=True)
class Grounds:
    """Everything confidence is drawn from. ``reachability``: how near this repository's code comes to what is vulnerable, and
    ``reachability_source`` where that was seen or why it is not known."""

    protocol: int
    observed_from_outside: bool
    shipped: bool
    accepted: bool
    variants: int
    fewest_repeats: int
    controls_pass: bool
    own_tests: OwnTests
    versions_observed: bool
    highest_share_of_a_limit: float
    driver: str
    driver_strength: float
    reachability: Reachability = Reachability.UNKNOWN
    reachability_source: str = ""
    built_here: tuple[str, ...] = ()


def factors(grounds: Grounds) -> tuple[Factor, ...]:
    """The factors in their documented order."""
    # A scenario says itself how it observes. Of one nobody stands for that is a claim, and counts as a plain script's word.
    believed = grounds.shipped or grounds.accepted
    outside = grounds.observed_from_outside and believed
    proof = 1.0 if outside else (0.8 if grounds.protocol >= 2 else 0.6)
    source, source_words = (
        (1.0, "shipped") if grounds.shipped else (0.7, "accepted") if grounds.accepted else (0.3, "not accepted")
    )
    margin = _margin(grounds.highest_share_of_a_limit)
    values: dict[str, tuple[float, str]] = {
        "proof": (
            proof,
            "judged by another process"
            if outside
            else f"says it judges from another process; nobody accepted it, so protocol {grounds.protocol} counts"
            if grounds.observed_from_outside
            else f"judged by the script itself, protocol {grounds.protocol}",
        ),
        "scenario_source": (source, source_words),
        "variants": ({0: 0.0, 1: 0.4, 2: 0.7}.get(grounds.variants, 1.0), f"{grounds.variants} reproduction(s)"),
        "repeats": (
            {0: 0.0, 1: 0.0, 2: 0.5}.get(grounds.fewest_repeats, 1.0),
            f"{grounds.fewest_repeats} equal run(s)",
        ),
        "controls": (1.0 if grounds.controls_pass else 0.0, "pass" if grounds.controls_pass else "do not all pass"),
        "own_tests": (1.0 if grounds.own_tests in {OwnTests.PASSED, OwnTests.BROKEN} else 0.0, str(grounds.own_tests)),
        "versions_observed": (
            1.0 if grounds.versions_observed else 0.0,
            "as asked, seen inside" if grounds.versions_observed else "not seen inside",
        ),
        "margins": (margin, f"{grounds.highest_share_of_a_limit:.0%} of the nearest limit used"),
        "reachability": (
            REACHABILITY[grounds.reachability],
            grounds.reachability.value + (f" ({grounds.reachability_source})" if grounds.reachability_source else ""),
        ),
        "driver": (min(1.0, max(0.0, grounds.driver_strength)), grounds.driver),
    }
    listed = tuple(Factor(name, WEIGHTS[name], *values[name]) for name in WEIGHTS)
    if grounds.built_here:
        # Shown, and worth nothing: that a wheel was built here makes nobody surer.
        listed += (Factor("built_from_source", 0.0, 0.0, "; ".join(grounds.built_here)),)
    return listed


def _margin(share: float) -> float:
    return min(1.0, max(0.0, (1.0 - share) / (1.0 - NEAR_LIMIT)))


def confidence(verdict: Verdict, listed: tuple[Factor, ...]) -> float:
    """The sum, rounded to three places; 0 for INCONCLUSIVE."""
    if verdict is Verdict.INCONCLUSIVE:
        return 0.0
    return round(sum(factor.weight * factor.value for factor in listed), 3)
