"""How often the database is asked: as often for many rows as for one."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from immune.models.advisories import Advisory, AffectedPackage
from immune.people.selectors import viewer_of
from reviews import campaigns
from reviews.bulk import Seen
from reviews.decisions import Asked
from reviews.models import Campaign, CampaignItem
from tests.reviews import cast as made
from tests.reviews.api.conftest import JUSTIFICATION, Api, bearer, code_of
from tests.reviews.cast import Cast

# One query finds the token and its account.
SIGNING_IN = 1


def asked(api: Api, path: str) -> int:
    api.get(path)  # the token's use is noted once a minute
    with CaptureQueriesContext(connection) as found:
        assert api.get(path).status_code == 200
    return len(found)


def campaign_of(cast: Cast, apvs: int = 1) -> Campaign:
    """One that Sol started over a review of its own."""
    review = made.proved_review(cast, package=f"shared{Campaign.objects.count()}", apvs=apvs)
    return campaigns.start(
        account=cast.sol,
        viewer=viewer_of(cast.sol),
        advisory=Advisory.objects.get(pk=review.items.all()[0].apv.advisory_id),
        asked=Asked("escalate", JUSTIFICATION),
        seen=[Seen(review, "", "", review.version)],
    )


def many(cast: Cast) -> None:
    for number in range(6):
        made.freeze(cast.repository)
        for kind in ("policy", "reflex"):
            made.rule(kind, f"rule {number}")
        review = made.proved_review(cast, apvs=3, package=f"package{number}")
        made.alarmed(cast.repository, f"merged{number}")
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
        ("/hitl/aftermaths/?state=alarmed", 1),
        ("/hitl/advisories/", 1),
        ("/hitl/tokens/", 1),
        ("/hitl/campaigns/", 1),
        ("/hitl/policies/", 1),
        ("/hitl/reflexes/", 1),
        ("/hitl/freezes/", 2),  # the second: which labels are in sight
        ("/hitl/statements/", 1),
    ],
)
def test_lists_ask_as_often_for_many_rows_as_for_one(cast: Cast, rita: Api, path: str, expected: int) -> None:
    api = bearer(cast.rita, "read", "decide")
    rita.decide(made.proved_review(cast), "escalate")
    campaign_of(cast)
    one = asked(api, path)
    many(cast)
    for _ in range(3):
        campaign_of(cast)
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

    assert asked(api, round_of(1, "flask")) == asked(api, round_of(6, "jinja2")) == SIGNING_IN + 15


def test_a_decision_asks_as_often_for_a_large_round_as_for_a_small_one(cast: Cast) -> None:
    api = bearer(cast.rita, "read", "decide")
    api.get("/hitl/reviews/stats")  # the token's use is noted once a minute

    def asked_to_approve(apvs: int, package: str) -> list[str]:
        review = made.proved_review(cast, apvs=apvs, package=package)
        code = code_of(review)
        with CaptureQueriesContext(connection) as found:
            assert api.decide(review, "approve", code=code).status_code == 201
        return [query["sql"] for query in found if "SAVEPOINT" not in query["sql"]]

    one, six = asked_to_approve(1, "flask"), asked_to_approve(6, "jinja2")
    # The round by its code; whether it is in sight; round, remedy and APVs under a lock; the policies; earlier approvals; job,
    # decision, round, APVs; the last event, the events, what is owed for them.
    assert len(one) == len(six) == SIGNING_IN + 14
    texts = [query for query in six if '"remedies"."patch"' in query or '"remedies"."changes"' in query]
    assert not texts, "a lock file's whole text is read to decide on it"


def test_a_campaigns_rows_are_asked_for_as_often_for_many_as_for_one(cast: Cast) -> None:
    api = bearer(cast.rita, "read")
    one, other = campaign_of(cast), campaign_of(cast, apvs=3)
    first = asked(api, f"/hitl/campaigns/{one.pk}/items")
    for _ in range(3):
        CampaignItem.objects.filter(campaign=campaign_of(cast, apvs=2)).update(campaign=other)
    assert asked(api, f"/hitl/campaigns/{other.pk}/items") == first == SIGNING_IN + 3
    assert asked(api, f"/hitl/campaigns/{other.pk}") == asked(api, f"/hitl/campaigns/{one.pk}") == SIGNING_IN + 4
