"""What a pull request has become beside what we know of its remedy: the rule alone, on plain values."""

from __future__ import annotations

import pytest

from immune.forges.base import PullRequest, PullState
from immune.reconciling import Became, became

OURS, BEFORE, THEIRS = "a" * 40, "b" * 40, "c" * 40
OPEN, CLOSED, MERGED = PullState.OPEN, PullState.CLOSED, PullState.MERGED


@pytest.mark.parametrize(
    ("state", "shown", "head", "expected"),
    [
        ("proposed", OPEN, OURS, Became.SAME),
        ("proposed", OPEN, BEFORE, Became.SAME),  # GitHub still shows the head of before our rebase
        ("proposed", OPEN, THEIRS, Became.TAKEN_OVER),
        ("proposed", CLOSED, OURS, Became.CLOSED),
        ("proposed", CLOSED, THEIRS, Became.CLOSED),
        ("proposed", MERGED, OURS, Became.MERGED),
        ("proposed", MERGED, BEFORE, Became.MERGED_OTHERWISE),
        ("proposed", MERGED, THEIRS, Became.MERGED_OTHERWISE),
        ("closed", CLOSED, OURS, Became.SAME),
        ("closed", OPEN, OURS, Became.REOPENED),
        ("closed", OPEN, THEIRS, Became.SAME),
        ("closed", MERGED, OURS, Became.SAME),
    ],
)
def test_what_a_pull_request_became(state, shown, head, expected):
    pull = PullRequest(7, "immune/x", "main", head, shown, "Upgrade")
    assert became(pull, state=state, head=OURS, earlier=frozenset({BEFORE})) is expected
