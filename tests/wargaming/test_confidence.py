"""Confidence is a sum of visible factors; a failure never raises it."""

from dataclasses import replace

import pytest

from immune.priority import Reachability
from wargaming.confidence import REACHABILITY, WEIGHTS, Grounds, confidence, factors
from wargaming.verdict import OwnTests, Verdict

PLAIN = Grounds(
    protocol=1,
    observed_from_outside=False,
    shipped=True,
    accepted=False,
    variants=1,
    fewest_repeats=3,
    controls_pass=True,
    own_tests=OwnTests.NONE,
    versions_observed=True,
    highest_share_of_a_limit=0.1,
    driver="bubblewrap",
    driver_strength=1.0,
)
BEST = replace(
    PLAIN,
    protocol=2,
    observed_from_outside=True,
    variants=3,
    own_tests=OwnTests.PASSED,
    reachability=Reachability.STATIC,
)


def of(grounds: Grounds, verdict: Verdict = Verdict.PATCH_EFFECTIVE) -> float:
    return confidence(verdict, factors(grounds))


def test_the_weights_add_up_to_one_and_the_best_proof_is_certain():
    assert sum(WEIGHTS.values()) == pytest.approx(1.0)
    assert of(BEST) == 1.0


def test_the_worked_example_of_the_documentation():
    assert of(PLAIN) == 0.69
    assert of(replace(PLAIN, protocol=2)) == 0.74
    assert of(replace(PLAIN, highest_share_of_a_limit=0.9)) == 0.665
    assert of(replace(PLAIN, reachability=Reachability.STATIC)) == 0.74
    assert of(replace(PLAIN, reachability=Reachability.POTENTIAL)) == 0.72


def test_reachability_says_its_word_and_where_it_was_seen():
    seen = replace(PLAIN, reachability=Reachability.STATIC, reachability_source="app/views.py")
    assert {factor.name: factor.why for factor in factors(seen)}["reachability"] == "static (app/views.py)"
    assert set(REACHABILITY) == set(Reachability)


def test_that_a_strangers_scenario_judges_from_outside_is_believed_once_it_is_accepted():
    claims = replace(PLAIN, shipped=False, observed_from_outside=True, variants=3)
    assert of(claims) == of(replace(claims, observed_from_outside=False)) == 0.68
    assert of(replace(claims, accepted=True)) == 0.82
    assert "nobody accepted it" in factors(claims)[0].why


def test_what_was_built_here_is_shown_and_makes_nobody_surer():
    built = replace(PLAIN, built_here=("tiny 1.0 built from source here",))
    assert of(built) == of(PLAIN)
    assert factors(built)[-1].name == "built_from_source"
    assert [factor.name for factor in factors(PLAIN)] == list(WEIGHTS)


def test_could_not_tell_has_no_confidence_whatever_the_factors():
    assert of(BEST, Verdict.INCONCLUSIVE) == 0.0


@pytest.mark.parametrize(
    "worse",
    [
        {"own_tests": OwnTests.UNCLEAR},
        {"own_tests": OwnTests.NOT_RUN},
        {"controls_pass": False},
        {"versions_observed": False},
        {"fewest_repeats": 1},
        {"highest_share_of_a_limit": 1.0},
        {"driver_strength": 0.2},
        {"shipped": False},
        {"variants": 1},
        {"observed_from_outside": False},
        {"reachability": Reachability.POTENTIAL},
        {"reachability": Reachability.UNREACHABLE},
        {"reachability": Reachability.UNKNOWN},
    ],
    ids=str,
)
def test_whatever_is_missing_or_failed_lowers_it(worse):
    assert of(replace(BEST, **worse)) < of(BEST)


def test_every_factor_shows_its_weight_value_and_why():
    for factor in factors(PLAIN):
        assert 0.0 <= factor.value <= 1.0
        assert factor.weight == WEIGHTS[factor.name]
        assert factor.why
