"""The short game: twenty remedies from the first scan to the merge while everything is killed once and the forge goes wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.run import BLOWS, Options, play


@pytest.mark.xdist_group("chaos")
def test_every_decision_acts_once_and_nothing_is_lost_while_everything_is_killed(tmp_path: Path) -> None:
    outcome = play(Options(remedies=20, seed=1), tmp_path)
    assert not outcome.problems, "\n".join(outcome.problems)
    assert outcome.found["remedies"] >= 20
    assert set(outcome.kills) == set(BLOWS)
    assert {"fail_before", "silent_after", "twice"} <= set(outcome.faults)
    assert outcome.found["effects"] > 0
    assert outcome.reruns > 0
    assert outcome.resumed > 0
