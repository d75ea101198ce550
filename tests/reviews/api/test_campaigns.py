"""Campaigns through the API: seen, started, followed. What they decide stands in tests/reviews/test_campaigns.py."""

from __future__ import annotations

from typing import Any

import pytest

from immune import work
from immune.models import AdvisoryName
from reviews.models import Campaign, Decision, Review
from tests.reviews import cast as made
from tests.reviews.api.conftest import JUSTIFICATION, Api, bearer, problem
from tests.reviews.cast import Cast

PATH = "/hitl/campaigns/"


@pytest.fixture
def review(cast: Cast) -> Review:
    found = made.proved_review(cast)
    record = found.items.get().apv.group.advisories.get()
    for name in (record.pk, *record.aliases):
        AdvisoryName.objects.create(advisory=record, name=name)
    return found


def name_of(review: Review) -> str:
    return review.items.get().apv.advisory_id


def body(api: Api, review: Review, **more: Any) -> dict[str, Any]:
    """A campaign over what the preview shows."""
    rows = api.post(f"{PATH}preview", {"advisory_id": name_of(review), "decision": "approve"}).json()["items"]
    seen = [{name: row[name] for name in ("review_id", "head_commit", "patch_digest", "version")} for row in rows]
    return {
        "advisory_id": name_of(review), "decision": "approve", "justification": JUSTIFICATION, "reviews": seen, **more,
    }  # fmt: skip


def test_seen_started_and_followed_to_the_end(cast: Cast, rita: Api, sol: Api, review: Review) -> None:
    alias = review.items.get().apv.cve_id
    found = rita.post(f"{PATH}preview", {"advisory_id": alias, "decision": "approve"}).json()
    assert (found["advisory_id"], found["more"]) == (name_of(review), False)
    assert [row["outcome"] for row in found["items"]] == ["would_be_taken"]
    assert not Campaign.objects.exists()
    answer = rita.post(PATH, body(rita, review))
    assert answer.status_code == 201, answer.content
    path = answer["Location"]
    assert answer.json()["progress"]["reviews"] == {
        "waiting": 1, "decided": 0, "noted": 0, "refused": 0, "shown": 0,
    }  # fmt: skip
    while work.run_one("delivery"):
        pass
    shown = sol.get(path).json()
    assert (shown["progress"]["reviews"]["decided"], shown["progress"]["jobs"]) == (1, {"pending": 1})
    assert (shown["author"], shown["ended_at"]) == ("Rita Reis", None)
    (row,) = sol.get(f"{path}/items", state="decided").json()["items"]
    assert row["decision_id"] == str(Decision.objects.get().pk)
    assert (row["review_state"], row["job_state"]) == ("decided", "pending")
    assert sol.get(f"{path}/items", state="refused").json()["items"] == []
    assert [one["id"] for one in sol.get(PATH, advisory=alias, running="true").json()["items"]] == [shown["id"]]
    problem(sol.post(f"{path}/end"), 403, "not_allowed")
    assert rita.post(f"{path}/end").json()["ended_by"] == "Rita Reis"
    assert sol.get(PATH, running="true").json()["items"] == []
    problem(sol.get(f"{path}/items", status="decided"), 400, "invalid")


def test_another_teams_campaign_and_reviews_are_not_there(cast: Cast, rita: Api, otto: Api, review: Review) -> None:
    mine = body(rita, review)
    path = rita.post(PATH, mine)["Location"]
    for address in (path, f"{path}/items"):
        problem(otto.get(address), 404, "not_found")
    problem(otto.post(f"{path}/end"), 404, "not_found")
    assert otto.get(PATH).json()["items"] == []
    assert "reviews" in problem(otto.post(PATH, mine), 422, "bad_decision")["fields"]
    assert otto.post(f"{PATH}preview", {"advisory_id": name_of(review), "decision": "approve"}).json()["items"] == []
    assert Campaign.objects.count() == 1


def test_a_token_starts_one_but_not_for_what_comes_later(cast: Cast, review: Review) -> None:
    api = bearer(cast.rita, "read", "decide")
    problem(api.post(PATH, body(api, review, takes_later=True)), 403, "not_allowed")
    assert api.post(PATH, body(api, review)).status_code == 201


@pytest.mark.parametrize(
    ("more", "status"),
    [
        ({"decision": "modify"}, 400),
        ({"reviews": []}, 400),
        ({"takes_later": "yes"}, 400),
        ({"until": "tomorrow"}, 400),
        ({"until": "2001-01-01T00:00:00Z"}, 422),
        ({"justification": "short"}, 422),
        ({"advisory_id": "GHSA-nobody"}, 404),
        ({"author": "sol"}, 400),
    ],
)
def test_what_cannot_be_started_starts_nothing(
    cast: Cast, rita: Api, review: Review, more: dict[str, Any], status: int
) -> None:
    assert rita.post(PATH, body(rita, review, **more)).status_code == status
    assert not Campaign.objects.exists()
