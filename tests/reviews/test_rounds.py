"""What counts when a round is opened."""

from __future__ import annotations

import pytest

from reviews.policies.consulting import counted
from reviews.policy import Facts, Outcome, Policy, advise
from wargaming.models import Trust, Wargame
from wargaming.speaking import speaking


@pytest.mark.parametrize("trust", [Trust.REPOSITORY, Trust.ATTACHED])
def test_a_proof_that_only_the_repositorys_own_scenario_gives_is_never_recommended(trust):
    confidence = counted(Wargame(verdict="PATCH_EFFECTIVE", confidence=0.99, trust=trust))

    advice = advise(Facts((("PATCH_EFFECTIVE", confidence),), "HIGH", "P2", "patch", has_remedy=True))

    assert advice.recommendation == "ask"


def test_an_accepted_scenario_counts_in_full():
    assert counted(Wargame(confidence=0.93, trust=Trust.ATTACHED, accepted=True)) == 0.93


def test_what_nobody_stands_for_is_never_recommended_however_sure_a_policy_asks_to_be():
    facts = Facts((("PATCH_EFFECTIVE", 0.5),), "HIGH", "P2", "patch", has_remedy=True, vouched=False)
    assert advise(facts, (Policy("eager", outcome=Outcome("approve", automatic=True)),)).recommendation == "ask"


def game(verdict, **more):
    return Wargame(state="finished", verdict=verdict, **{"confidence": 0.7, "trust": Trust.SHIPPED, **more})


def test_of_several_the_weakest_verdict_speaks_and_a_strangers_equal_one_takes_nobodys_place():
    ours, theirs = game("PATCH_EFFECTIVE"), game("PATCH_EFFECTIVE", confidence=0.1, trust=Trust.ATTACHED)
    assert speaking([theirs, ours]) is ours
    broken = game("REGRESSION", trust=Trust.ATTACHED)
    assert speaking([ours, broken]) is broken
    cancelled = Wargame(state="cancelled", verdict="INCONCLUSIVE")
    assert speaking([ours, cancelled]) is cancelled
    assert speaking([Wargame(state="pending")]) is None


def test_a_shipped_scenario_counts_in_full():
    assert counted(Wargame(confidence=0.93, trust=Trust.SHIPPED)) == 0.93
