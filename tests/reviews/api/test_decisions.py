"""Decisions through the API: taken once, on what was seen, and told to the forge in the same breath."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from immune import forge_jobs
from immune.events.actors import SYSTEM
from immune.events.log import act
from immune.models import APV, Event, ForgeJob, Remedy, Suppression
from immune.models.apvs import APVStatus
from immune.models.remedies import ForgeJobState
from immune.people.selectors import EVERYTHING
from immune.vex import selectors as vex
from reviews import rounds
from reviews.models import Decision, Review
from tests.reviews import cast as made
from tests.reviews.api.conftest import JUSTIFICATION, Api, code_of, problem, session
from tests.reviews.cast import Cast

pytestmark = pytest.mark.both_databases
PATH = "/hitl/decisions/"


def no_fix_review(cast: Cast) -> Review:
    threat = made.apv(cast.repository, made.advisory("GHSA-no-fix"), status=APVStatus.NO_FIX, reason="no_fixed_version")
    with act(SYSTEM) as log:
        found = rounds.open_no_fix_round(log, apv=threat)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("choice", "action", "state"),
    [
        ("approve", "merge_pr", "decided"),
        ("reject", "close_pr", "decided"),
        ("modify", "request_changes", "decided"),
        ("escalate", "escalate_to_lead", "pending"),
    ],
)
def test_a_decision_and_the_job_it_gives_the_forge_are_one(
    cast: Cast, rita: Api, choice: str, action: str, state: str
) -> None:
    review = made.proved_review(cast, apvs=2)
    more: dict[str, Any] = {"modifications": {"target_version": "2.32.5"}} if choice == "modify" else {}
    answer = rita.decide(review, choice, confidence_override=0.5, comments="Mind the proxy.", **more)
    assert answer.status_code == 201, answer.content
    found = answer.json()
    assert answer["Location"] == f"{PATH}{found['id']}"
    assert rita.get(answer["Location"]).json() == found
    assert found["action_taken"] == action
    assert found["reviewer_name"] == "Rita Reis"
    assert found["confidence_override"] == 0.5
    assert found["holds_for"] == sorted(review.items.values_list("apv__apv_code", flat=True))
    job = ForgeJob.objects.get()
    assert found["job"] == {
        "id": str(job.pk),
        "kind": action,
        "state": "pending",
        "reason": "",
        "message": "",
        "held": "",
    }
    assert job.head_commit == review.head_commit
    assert job.cause == f"decision:{found['id']}"
    review.refresh_from_db()
    assert review.state == state
    event = Event.objects.get(kind="decision.made")
    assert str(job.pk) in event.body
    assert JUSTIFICATION not in event.body, "free text is in erasable rows only"


def test_nothing_of_a_refused_decision_remains(cast: Cast, rita: Api) -> None:
    review = made.proved_review(cast)
    before = Event.objects.count()
    problem(rita.decide(review, head_commit="f" * 40), 412, "stale_evidence")
    assert not Decision.objects.exists()
    assert not ForgeJob.objects.exists()
    assert Event.objects.count() == before


def test_deciding_on_what_is_no_longer_so_is_refused_and_says_what_changed(cast: Cast, rita: Api, sol: Api) -> None:
    review = made.proved_review(cast)
    found = problem(rita.decide(review, head_commit="f" * 40, patch_digest="e" * 64), 412, "stale_evidence")
    assert found["changed"]["head_commit"] == {"seen": "f" * 40, "now": review.head_commit}
    assert found["changed"]["patch_digest"]["now"] == review.patch_digest
    found = problem(rita.decide(review, headers={"If_Match": '"77"'}), 412, "stale_evidence")
    assert found["changed"] == {"version": {"seen": 77, "now": review.version}}
    Remedy.objects.update(head_commit="d" * 40)
    found = problem(rita.decide(review), 412, "stale_evidence")
    assert found["changed"]["remedy_head"]["now"] == "d" * 40


def test_the_etag_of_the_detail_is_what_if_match_takes(cast: Cast, rita: Api) -> None:
    review = made.proved_review(cast)
    seen = rita.get(f"/hitl/reviews/{code_of(review)}")["ETag"]
    claimed = rita.post(f"/hitl/reviews/{code_of(review)}/claim")["ETag"]
    assert claimed != seen
    problem(rita.decide(review, headers={"If_Match": seen}), 412, "stale_evidence")
    assert rita.decide(review, headers={"If_Match": claimed}).status_code == 201


@pytest.mark.parametrize("value", ["abc", '"1", "2"', '"٣"', '"99999999999999999999"', ""])
def test_an_if_match_that_is_no_etag_of_ours_is_refused(cast: Cast, rita: Api, value: str) -> None:
    review = made.proved_review(cast)
    problem(rita.decide(review, headers={"If_Match": value}), 400, "parse_error")


def test_who_comes_second_is_told_who_decided_what(cast: Cast, rita: Api, sol: Api) -> None:
    review = made.proved_review(cast)
    first = rita.decide(review, "reject").json()
    found = problem(sol.decide(review), 409, "already_decided")
    assert found["by"] == "Rita Reis"
    assert found["choice"] == "reject"
    assert found["decision"] == first["id"]
    assert Decision.objects.count() == 1


def test_a_repeated_key_gives_the_same_decision_and_another_body_is_refused(cast: Cast, rita: Api, sol: Api) -> None:
    review = made.proved_review(cast)
    key = {"Idempotency_Key": "5f2c"}
    first = rita.decide(review, headers=key)
    again = rita.decide(review, headers=key)
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json()["id"] == again.json()["id"]
    problem(rita.decide(review, "reject", headers=key), 409, "idempotency_conflict")
    # A key is one person's own.
    problem(sol.decide(review, headers=key), 409, "already_decided")
    assert Decision.objects.count() == ForgeJob.objects.count() == 1


def test_a_repeated_key_gives_the_same_decision_even_when_a_new_round_opened_since(cast: Cast, rita: Api) -> None:
    review = made.proved_review(cast)
    key = {"Idempotency_Key": "5f2c"}
    first = rita.decide(review, headers=key).json()
    assert rita.post(f"{PATH}{first['id']}/withdraw").status_code == 200
    assert Review.objects.count() == 2
    again = rita.decide(review, headers=key).json()
    assert again["id"] == first["id"]
    assert again["withdrawn_at"] is not None
    assert Review.objects.exclude(state="decided").count() == 1


def test_an_overlong_key_is_refused(cast: Cast, rita: Api) -> None:
    review = made.proved_review(cast)
    problem(rita.decide(review, headers={"Idempotency_Key": "k" * 201}), 400, "parse_error")


def test_withdrawing_while_the_forge_has_not_begun_opens_a_new_round(cast: Cast, rita: Api, sol: Api) -> None:
    review = made.proved_review(cast)
    decision = rita.decide(review).json()
    problem(sol.post(f"{PATH}{decision['id']}/withdraw"), 403, "not_allowed")
    answer = rita.post(f"{PATH}{decision['id']}/withdraw")
    assert answer.status_code == 200, answer.content
    assert answer.json()["withdrawn_at"] is not None
    assert answer.json()["job"]["state"] == "cancelled"
    shown = rita.get(f"/hitl/reviews/{code_of(review)}").json()
    assert shown["review"]["round"] == 2
    assert shown["review"]["state"] == "pending"
    assert shown["status"] == "in_review"
    problem(rita.post(f"{PATH}{decision['id']}/withdraw"), 409, "too_late")
    assert sol.decide(Review.objects.get(round=2)).status_code == 201


@pytest.mark.parametrize("state", [ForgeJobState.RUNNING, ForgeJobState.DONE, ForgeJobState.REFUSED])
def test_a_decision_the_forge_has_begun_on_stands(cast: Cast, rita: Api, state: str) -> None:
    review = made.proved_review(cast)
    decision = rita.decide(review).json()
    ForgeJob.objects.update(state=state, attempts=1)
    problem(rita.post(f"{PATH}{decision['id']}/withdraw"), 409, "too_late")
    assert Decision.objects.get().withdrawn_at is None
    assert Review.objects.count() == 1


@pytest.mark.parametrize("choice", ["approve", "modify"])
def test_what_has_no_fix_can_neither_be_approved_nor_modified(cast: Cast, rita: Api, choice: str) -> None:
    review = no_fix_review(cast)
    more: dict[str, Any] = {"modifications": {"target_version": "3"}} if choice == "modify" else {}
    found = problem(rita.decide(review, choice, **more), 422, "bad_decision")
    assert "decision" in found["fields"]


def test_what_has_no_fix_can_be_rejected_with_suppression(cast: Cast, rita: Api) -> None:
    review = no_fix_review(cast)
    until = timezone.now() + timedelta(days=30)
    suppress = {"reason": "Only used in the tests.", "expires_at": until.isoformat()}
    answer = rita.decide(review, "reject", suppress=suppress)
    assert answer.status_code == 201, answer.content
    assert answer.json()["job"] is None
    assert APV.objects.get().status == APVStatus.SUPPRESSED


def test_a_rejection_may_suppress_some_of_its_apvs_on_a_ground_of_vex(cast: Cast, rita: Api) -> None:
    review = made.proved_review(cast, apvs=3)
    one, other, _ = sorted(item.apv.apv_code for item in review.items.all())
    suppress = {
        "reason": "The proxy strips these headers.",
        "expires_at": "2999-01-01T00:00:00Z",
        "ground": "inline_mitigations_already_exist",
        "apv_codes": [one],
    }
    foreign = problem(
        rita.decide(review, "reject", suppress=suppress | {"apv_codes": ["APV-2026-999999"]}), 422, "bad_decision"
    )
    assert "suppress" in foreign["fields"]
    answer = rita.decide(review, "reject", suppress=suppress)
    assert answer.status_code == 201, answer.content
    job = ForgeJob.objects.get()
    with act(SYSTEM) as log:
        forge_jobs._closed(log, job, review.remedy, None)  # type: ignore[arg-type]
    (row,) = Suppression.objects.all()
    assert (row.apv.apv_code, row.ground, row.author) == (one, suppress["ground"], cast.rita)
    assert APV.objects.get(apv_code=one).status == APVStatus.SUPPRESSED
    assert APV.objects.get(apv_code=other).status == APVStatus.OPEN
    (found,) = [said for said in vex.said(EVERYTHING)[0] if said.justification]
    assert (found.justification, found.impact) == (suppress["ground"], suppress["reason"])


@pytest.mark.parametrize(
    ("choice", "more", "field"),
    [
        ("approve", {"suppress": {"reason": "No.", "expires_at": "2999-01-01T00:00:00Z"}}, "suppress"),
        ("reject", {"suppress": {"reason": "No.", "expires_at": "2001-01-01T00:00:00Z"}}, "suppress"),
        ("approve", {"modifications": {"target_version": "3"}}, "modifications"),
        ("modify", {}, "modifications"),
        ("approve", {"justification": "short"}, "justification"),
        ("approve", {"justification": "          "}, ""),
    ],
)
def test_a_decision_that_cannot_be_taken_names_its_fields(
    cast: Cast, rita: Api, choice: str, more: dict[str, Any], field: str
) -> None:
    answer = rita.decide(made.proved_review(cast), choice, **more)
    if field:
        assert field in problem(answer, 422, "bad_decision")["fields"]
    else:
        problem(answer, 400, "invalid")
    assert not Decision.objects.exists()


@pytest.mark.parametrize(
    "more",
    [
        {"reviewer_name": "Somebody else"},
        {"decision": "Approve"},
        {"decision": None},
        {"apv_code": 5.5e300},
        {"confidence_override": 1.01},
        {"confidence_override": -1},
        {"confidence_override": "much"},
        {"justification": "a" * 10_001},
        {"justification": "with a NUL\x00 in it, and long"},
        {"modifications": {"target_version": "3", "diff": "--- a"}},
        {"modifications": "2.0"},
        {"modifications": [1]},
        {"suppress": {"reason": "x"}},
        {"suppress": {"reason": "x", "expires_at": "2999-01-01T00:00:00Z", "ground": "because"}},
        {"suppress": {"reason": "x", "expires_at": "2999-01-01T00:00:00Z", "apv_codes": []}},
        {"suppress": {"reason": "x", "expires_at": "0001-01-01T00:00:00+14:00"}},
        {"suppress": {"reason": "x", "expires_at": "9999-12-31T23:59:59-14:00"}},
        {"suppress": {"reason": "x", "expires_at": 99999999999999}},
        {"head_commit": "a" * 65},
        {"comments": {"a": "b"}},
    ],
)
def test_a_body_that_breaks_the_schema_has_no_effect(cast: Cast, rita: Api, more: dict[str, Any]) -> None:
    review = made.proved_review(cast)
    problem(rita.decide(review, more.pop("decision", "reject"), **more), 400, "invalid")
    assert not Decision.objects.exists()


def test_the_history_of_one_code_includes_what_was_decided_through_another(cast: Cast, rita: Api, sol: Api) -> None:
    review = made.proved_review(cast, apvs=2)
    one, other = sorted(review.items.values_list("apv__apv_code", flat=True))
    made.proved_review(cast, package="flask")
    sol.decide(review, "escalate", code=one)
    rita.decide(review, code=other)
    histories = [rita.get(f"{PATH}history/{code}").json()["items"] for code in (one, other)]
    assert histories[0] == histories[1]
    assert [(d["apv_code"], d["decision"]) for d in histories[0]] == [(other, "approve"), (one, "escalate")]
    paged = rita.get(f"{PATH}history/{one}", limit="1").json()
    rest = rita.get(f"{PATH}history/{one}", limit="1", cursor=paged["next"]).json()
    assert [*paged["items"], *rest["items"]] == histories[0]
    assert rest["next"] is None
    assert rita.get(PATH).json()["items"] == histories[0]


def test_where_two_approvals_are_needed_the_second_is_anothers_and_need_not_wait(
    cast: Cast, rita: Api, sol: Api
) -> None:
    review = made.proved_review(cast)
    Review.objects.update(required_approvals=2)
    assert rita.post(f"/hitl/reviews/{code_of(review)}/claim").status_code == 200
    first = rita.decide(review)
    assert first.status_code == 201
    assert first.json()["is_final"] is False
    assert first.json()["job"] is None
    problem(rita.decide(review), 409, "second_person_needed")
    second = sol.decide(review)
    assert second.json()["is_final"] is True
    assert second.json()["job"]["kind"] == "merge_pr"
    assert ForgeJob.objects.count() == 1


def test_a_viewer_reads_and_changes_nothing(cast: Cast) -> None:
    review = made.proved_review(cast)
    code = code_of(review)
    looking = session(cast.person("viewer"))
    assert looking.get(f"/hitl/reviews/{code}").status_code == 200
    problem(looking.decide(review), 403, "not_allowed")
    for path in ("claim", "release"):
        problem(looking.post(f"/hitl/reviews/{code}/{path}"), 403, "not_allowed")
    problem(looking.post(f"/hitl/reviews/{code}/comments", {"text": "Hi."}), 403, "not_allowed")
    problem(looking.post(f"/hitl/repositories/{cast.repository.pk}/immunize"), 403, "not_allowed")
    assert not Decision.objects.exists()
    review.refresh_from_db()
    assert review.state == "pending"
