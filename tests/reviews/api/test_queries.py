"""How often the database is asked: as often for many rows as for one."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from immune.models.advisories import AffectedPackage
from tests.reviews import cast as made
from tests.reviews.api.conftest import Api, bearer, code_of
from tests.reviews.cast import Cast

# One query finds the token and its account.
SIGNING_IN = 1


def asked(api: Api, path: str) -> int:
    api.get(path)  # the token's use is noted once a minute
    with CaptureQueriesContext(connection) as found:
        assert api.get(path).status_code == 200
    return len(found)


def many(cast: Cast) -> None:
    for number in range(6):
        review = made.proved_review(cast, apvs=3, package=f"package{number}")
        for item in review.items.all():
            AffectedPackage.objects.create(advisory_id=item.apv.advisory_id, ecosystem="PyPI", name="p")


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/hitl/reviews/", 1),
        ("/hitl/reviews/?ordering=severity&overdue=false&assignee=me&search=e", 1),
        ("/hitl/reviews/stats", 8),
        ("/hitl/decisions/", 3),
        ("/hitl/suppressions/?holding=true&package=p", 1),
        ("/hitl/repositories/", 1),
        ("/hitl/advisories/", 1),
        ("/hitl/tokens/", 1),
    ],
)
def test_lists_ask_as_often_for_many_rows_as_for_one(cast: Cast, rita: Api, path: str, expected: int) -> None:
    api = bearer(cast.rita, "read", "decide")
    rita.decide(made.proved_review(cast), "escalate")
    one = asked(api, path)
    many(cast)
    for review in cast.repository.reviews.all():
        rita.decide(review, "escalate")
    assert asked(api, path) == one == SIGNING_IN + expected


def test_the_detail_asks_as_often_for_a_large_round_as_for_a_small_one(cast: Cast, rita: Api, sol: Api) -> None:
    api = bearer(cast.rita, "read", "decide")

    def round_of(apvs: int, package: str) -> str:
        review = made.proved_review(cast, apvs=apvs, package=package)
        path = f"/hitl/reviews/{code_of(review)}"
        for _ in range(apvs):
            sol.post(f"{path}/comments", {"text": "Again."})
            rita.decide(review, "escalate")
        return path

    assert asked(api, round_of(1, "flask")) == asked(api, round_of(6, "jinja2")) == SIGNING_IN + 14
