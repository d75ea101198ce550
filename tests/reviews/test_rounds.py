"""What counts when a round is opened."""

from __future__ import annotations

import pytest

from reviews.policy import Facts, advise
from reviews.rounds import _counted
from wargaming.models import Trust, Wargame


@pytest.mark.parametrize("trust", [Trust.REPOSITORY, Trust.ATTACHED])
def test_a_proof_that_only_the_repositorys_own_scenario_gives_is_never_recommended(trust):
    counted = _counted(Wargame(verdict="PATCH_EFFECTIVE", confidence=0.99, trust=trust))

    advice = advise(Facts((("PATCH_EFFECTIVE", counted),), "HIGH", "P2", "patch", has_remedy=True))

    assert advice.recommendation == "ask"


def test_a_shipped_scenario_counts_in_full():
    assert _counted(Wargame(confidence=0.93, trust=Trust.SHIPPED)) == 0.93
