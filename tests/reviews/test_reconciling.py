"""A look at the forge beside a decision of ours: what was read a moment ago must not undo what was decided since."""

from __future__ import annotations

import pytest

from immune import reconciling
from immune.forges.base import Done, PullRequest, PullState
from tests.reviews import cast as builders
from tests.reviews.cast import Cast
from tests.reviews.journeys import decide


class Meanwhile:
    """A forge that shows the pull request as closed, and is slow: somebody decides before its answer is there."""

    def __init__(self, review, choice):
        self.review, self.choice = review, choice

    def read_pull_request(self, number):
        if self.choice:
            decide(self.review, self.choice)
        remedy = self.review.remedy
        return Done(PullRequest(number, remedy.branch, "main", remedy.head_commit, PullState.CLOSED, "Upgrade"))


@pytest.mark.django_db
@pytest.mark.parametrize(("choice", "state"), [("approve", "proposed"), ("", "closed")])
def test_what_was_read_counts_only_if_nothing_of_ours_moved_since(choice, state):
    review = builders.proved_review(Cast())
    reconciling._look(review.remedy, Meanwhile(review, choice))
    review.remedy.refresh_from_db()
    assert review.remedy.state == state
