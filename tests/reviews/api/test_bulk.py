"""One decision on many reviews through the API: a preview that changes nothing, then each row with its own outcome."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from immune.models import APV, Event, ForgeJob
from immune.models.apvs import APVStatus
from reviews.models import Decision, Review
from tests.reviews import cast as made
from tests.reviews.api.conftest import JUSTIFICATION, Api, bearer, code_of, problem
from tests.reviews.cast import Cast

PREVIEW = "/hitl/decisions/bulk/preview"
DECIDE = "/hitl/decisions/bulk"


def codes(*reviews: Review) -> list[str]:
    return [item.apv.apv_code for review in reviews for item in review.items.all()]


def preview(api: Api, *wanted: str, **more: Any) -> Any:
    return api.post(PREVIEW, {"apv_codes": list(wanted), "decision": "approve", **more})


def seen(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: row[name] for name in ("review_id", "head_commit", "patch_digest", "version")} for row in rows]


def decide(api: Api, rows: list[dict[str, Any]], **more: Any) -> Any:
    headers = more.pop("headers", {})
    body = {"decision": "approve", "justification": JUSTIFICATION, "reviews": rows, **more}
    return api.post(DECIDE, body, **headers)


def test_several_codes_of_one_remedy_are_one_row_and_one_decision(cast: Cast, rita: Api) -> None:
    large, small = made.proved_review(cast, apvs=3), made.proved_review(cast, package="flask")
    found = preview(rita, *codes(large, small), "APV-2026-999999").json()
    assert [row["apv_codes"] for row in found["items"]] == [codes(large), codes(small)]
    assert {row["outcome"] for row in found["items"]} == {"would_be_taken"}
    assert found["not_found"] == ["APV-2026-999999"]
    events = Event.objects.count()
    answer = decide(rita, seen(found["items"])).json()["items"]
    assert [(row["outcome"], row["apv_codes"]) for row in answer] == [
        ("decided", codes(large)),
        ("decided", codes(small)),
    ]
    assert Decision.objects.count() == ForgeJob.objects.count() == 2
    assert set(APV.objects.values_list("status", flat=True)) == {APVStatus.APPROVED}
    assert Event.objects.count() > events


def test_the_preview_says_what_each_row_would_meet_and_changes_nothing(cast: Cast, rita: Api, sol: Api) -> None:
    free, claimed, decided = (made.proved_review(cast, package=name) for name in ("one", "two", "three"))
    sol.post(f"/hitl/reviews/{code_of(claimed)}/claim")
    sol.decide(decided)
    before = (Event.objects.count(), Decision.objects.count())
    rows = {row["review_id"]: row for row in preview(rita, *codes(free, claimed, decided)).json()["items"]}
    assert rows[str(free.pk)]["outcome"] == "would_be_taken"
    assert (rows[str(free.pk)]["head_commit"], rows[str(free.pk)]["target_version"]) == (free.head_commit, "2.32.4")
    assert (rows[str(claimed.pk)]["outcome"], rows[str(claimed.pk)]["reason"]) == ("refused", "claimed_by_another")
    assert rows[str(decided.pk)]["reason"] == "already_decided"
    assert "Sol" in rows[str(decided.pk)]["message"]
    assert (Event.objects.count(), Decision.objects.count()) == before


def test_a_refused_row_keeps_none_of_the_others_back(cast: Cast, rita: Api, otto: Api) -> None:
    taken, stale = made.proved_review(cast), made.proved_review(cast, package="flask")
    foreign = made.proved_review(cast, package="theirs", where=made.repository("elsewhere/app"))
    rows = seen(preview(rita, *codes(taken, stale)).json()["items"])
    rows[1]["head_commit"] = "0" * 40
    absent = [{**rows[0], "review_id": str(pk)} for pk in (foreign.pk, uuid4())]
    answer = decide(rita, [*rows, *absent]).json()["items"]
    assert [(row["outcome"], row["reason"]) for row in answer] == [
        ("decided", ""), ("refused", "stale_evidence"), ("refused", "not_found"), ("refused", "not_found"),
    ]  # fmt: skip
    # What is another team's is told like what does not exist.
    assert {key: value for key, value in answer[2].items() if key != "review_id"} == {
        key: value for key, value in answer[3].items() if key != "review_id"
    }
    assert [decision.review_id for decision in Decision.objects.all()] == [taken.pk]
    assert preview(otto, *codes(taken)).json() == {"items": [], "not_found": codes(taken)}


def test_the_second_person_rule_holds_and_the_preview_foretells_it(cast: Cast, rita: Api, sol: Api) -> None:
    review = made.proved_review(cast)
    Review.objects.update(required_approvals=2)
    rows = preview(rita, *codes(review)).json()["items"]
    assert decide(rita, seen(rows)).json()["items"][0]["outcome"] == "noted"
    (again,) = preview(rita, *codes(review)).json()["items"]
    assert (again["outcome"], again["reason"]) == ("refused", "second_person_needed")
    assert decide(rita, seen([again])).json()["items"][0]["reason"] == "second_person_needed"
    assert decide(sol, seen([again])).json()["items"][0]["outcome"] == "decided"


def test_the_same_request_again_decides_nothing_again(cast: Cast, rita: Api) -> None:
    review = made.proved_review(cast)
    rows = seen(preview(rita, *codes(review)).json()["items"])
    key = {"Idempotency-Key": "monday"}
    first, second = (decide(rita, rows, headers=key).json()["items"][0] for _ in range(2))
    assert first == second
    assert first["decision_id"] == str(Decision.objects.get().pk)


def test_the_preview_takes_the_suppression_into_account(cast: Cast, rita: Api) -> None:
    review = made.proved_review(cast)
    past = {"reason": "Not used.", "expires_at": "2001-01-01T00:00:00Z"}
    (row,) = preview(rita, *codes(review), decision="reject", suppress=past).json()["items"]
    assert (row["outcome"], row["reason"]) == ("refused", "bad_decision")


@pytest.mark.parametrize(
    "more",
    [
        {"decision": "modify"},
        {"justification": 5},
        {"reviews": []},
        {"reviews": "all"},
        {"reviews": [{"review_id": "x", "head_commit": "", "patch_digest": "", "version": 1}]},
        {"reviews": [{"review_id": str(uuid4()), "head_commit": "", "patch_digest": ""}]},
        {"reviews": [{"review_id": "00000000-0000-0000-0000-000000000001", "head_commit": "", "patch_digest": "", "version": 1}] * 2},
        {"reviews": [{"review_id": str(uuid4()), "head_commit": "", "patch_digest": "", "version": 1} for _ in range(101)]},
        {"suppress": {"reason": "x", "expires_at": "2999-01-01T00:00:00Z", "apv_codes": ["APV-2026-000001"]}},
        {"as": "sol"},
    ],
)  # fmt: skip
def test_a_request_that_breaks_the_schema_decides_nothing(cast: Cast, rita: Api, more: dict[str, Any]) -> None:
    review = made.proved_review(cast)
    rows = seen(preview(rita, *codes(review)).json()["items"])
    problem(decide(rita, rows, **more), 400, "invalid")
    assert not Decision.objects.exists()


def test_a_preview_asks_for_each_row_what_a_decision_would_and_no_more(cast: Cast) -> None:
    api = bearer(cast.rita, "read", "decide")

    def asked(number: int) -> int:
        wanted = codes(*(made.proved_review(cast, package=f"p{number}-{n}", apvs=2) for n in range(number)))
        preview(api, *wanted)
        with CaptureQueriesContext(connection) as found:
            preview(api, *wanted)
        return len(found)

    assert asked(6) - asked(1) == 5 * 3
