"""Lists and details of reviews: what they hold, how they are narrowed, and how they are read page by page."""

from __future__ import annotations

import base64
import json
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from immune.models import APV
from immune.models.apvs import APVStatus
from reviews.api import listing, shapes
from reviews.models import Review
from tests.reviews import cast as made
from tests.reviews.api.conftest import Api, code_of, problem, session
from tests.reviews.cast import Cast

LIST = "/hitl/reviews/"


def codes(answer: Any) -> list[str]:
    assert answer.status_code == 200, answer.content
    return [item["apv_code"] for item in answer.json()["items"]]


def test_each_apv_is_one_item_with_the_remedy_and_round_that_serve_it(cast: Cast, rita: Api) -> None:
    review = made.proved_review(cast, apvs=2)
    items = rita.get(LIST).json()["items"]
    assert len(items) == 2
    assert {item["remedy_id"] for item in items} == {str(review.remedy_id)}
    assert {(item["review_id"], item["review_state"]) for item in items} == {(str(review.pk), "pending")}
    one = items[0]
    assert one["repository"] == "demo/noticeboard"
    assert one["wargame_verdict"] == "PATCH_EFFECTIVE"
    assert one["status"] == "in_review"
    assert one["severity"] == "HIGH"


def test_an_apv_without_a_round_says_so(cast: Cast, rita: Api) -> None:
    made.apv(cast.repository, made.advisory("GHSA-alone"))
    (item,) = rita.get(LIST).json()["items"]
    assert item["review_id"] is None
    assert item["review_state"] is None
    assert item["remedy_id"] is None


@pytest.fixture
def mixed(cast: Cast) -> dict[str, str]:
    """APVs that differ in everything a list is narrowed by; name → code."""
    now = timezone.now()
    proved = made.proved_review(cast, package="requests")
    APV.objects.filter(apv_code=code_of(proved)).update(patch_strategy="version_bump")
    second = made.repository("demo/second")
    cast.team.repositories.add(second)
    low = made.apv(
        second,
        made.advisory("GHSA-low", severity="LOW", score=2.0),
        package="flask",
        priority="P4",
        due_at=now - timedelta(days=1),
        status=APVStatus.OPEN,
    )
    done = made.apv(
        second,
        made.advisory("GHSA-done", severity="MEDIUM"),
        package="jinja2",
        priority="P3",
        due_at=now - timedelta(days=2),
        status=APVStatus.RESOLVED,
    )
    unknown = made.apv(
        second,
        made.advisory("GHSA-unknown", severity="UNKNOWN", score=None),
        package="click",
        priority="P1",
        due_at=now + timedelta(days=1),
        status=APVStatus.OPEN,
    )
    return {"proved": code_of(proved), "low": low.apv_code, "done": done.apv_code, "unknown": unknown.apv_code}


@pytest.mark.both_databases
@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"severity": "HIGH"}, ["proved"]),
        ({"severity": "UNKNOWN"}, ["unknown"]),
        ({"priority": "P4"}, ["low"]),
        ({"strategy": "version_bump"}, ["proved"]),
        ({"verdict": "PATCH_EFFECTIVE"}, ["proved"]),
        ({"verdict": "REGRESSION"}, []),
        ({"status": "resolved"}, ["done"]),
        ({"package": "flask"}, ["low"]),
        ({"repository": "demo/second"}, ["unknown", "done", "low"]),
        ({"overdue": "true"}, ["low"]),
        ({"overdue": "false"}, ["unknown", "proved", "done"]),
        ({"search": "jinj"}, ["done"]),
        ({"search": "ghsa-LOW"}, ["low"]),
        ({"search": "%"}, []),
        ({"severity": "LOW", "package": "flask"}, ["low"]),
        ({"severity": "LOW", "package": "click"}, []),
        ({"assignee": "me"}, []),
        ({"ordering": "severity"}, ["proved", "unknown", "done", "low"]),
        ({"ordering": "due_at"}, ["done", "low", "unknown", "proved"]),
        ({"ordering": "-due_at"}, ["proved", "unknown", "low", "done"]),
        ({"ordering": "created_at"}, ["proved", "low", "done", "unknown"]),
        ({"ordering": "-created_at"}, ["unknown", "done", "low", "proved"]),
        ({}, ["unknown", "proved", "done", "low"]),
    ],
)
def test_the_list_is_narrowed_and_ordered(
    rita: Api, mixed: dict[str, str], filters: dict[str, str], expected: list[str]
) -> None:
    assert codes(rita.get(LIST, **filters)) == [mixed[name] for name in expected]
    # The same page by page.
    found: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        answer = rita.get(LIST, **filters, limit="1", **cursor)
        found += codes(answer)
        if (following := answer.json()["next"]) is None:
            break
        cursor = {"cursor": following}
    assert found == [mixed[name] for name in expected]


@pytest.mark.both_databases
@pytest.mark.parametrize(
    ("name", "first", "second"),
    [
        ("severity", "LOW", "HIGH"),
        ("priority", "P4", "P2"),
        ("strategy", "version_bump", "replace"),
        ("verdict", "INCONCLUSIVE", "PATCH_EFFECTIVE"),
        ("status", "open", "failed"),
        ("package", "flask", "click"),
        ("repository", "demo/ours", "demo/theirs"),
        ("search", "flas", "clic"),
        ("assignee", "rita", "otto"),
    ],
)
def test_one_question_is_written_once_and_asked_by_each_with_values_and_sight_of_their_own(
    cast: Cast, rita: Api, otto: Api, name: str, first: str, second: str
) -> None:
    """Two teams hold the same two rows each; whoever asks, and with what, never gets what another asked for."""
    found = {}
    for owner, team, place in ((rita, cast.team, "demo/ours"), (otto, cast.other_team, "demo/theirs")):
        repository = made.repository(place)
        team.repositories.add(repository)
        for severity, priority, strategy, verdict, status, package in (
            ("LOW", "P4", "version_bump", "INCONCLUSIVE", "open", "flask"),
            ("HIGH", "P2", "replace", "PATCH_EFFECTIVE", "failed", "click"),
        ):
            advisory = made.advisory(f"GHSA-{place}-{package}", severity=severity)
            row = made.apv(
                repository,
                advisory,
                package=package,
                priority=priority,
                patch_strategy=strategy,
                wargame_verdict=verdict,
                status=status,
            )
            found[owner is rita, package] = row.apv_code

    def expected(asks_rita: bool, value: str) -> set[str]:
        if name == "assignee":
            return set()
        if name == "repository":
            own = "demo/ours" if asks_rita else "demo/theirs"
            return {code for (of_rita, _), code in found.items() if of_rita == asks_rita and value == own}
        return {found[asks_rita, "flask" if value == first else "click"]}

    rita.get(LIST, **{name: first})
    written = listing._query.cache_info().misses
    for value in (first, second, first):
        assert set(codes(rita.get(LIST, **{name: value}))) == expected(True, value)
        assert set(codes(otto.get(LIST, **{name: value}))) == expected(False, value)
    assert listing._query.cache_info().misses == written


def test_what_somebody_claimed_is_found_by_their_name_until_the_claim_runs_out(cast: Cast, rita: Api, sol: Api) -> None:
    review = made.proved_review(cast)
    assert rita.post(f"{LIST}{code_of(review)}/claim").status_code == 200
    assert codes(rita.get(LIST, assignee="me")) == [code_of(review)]
    assert codes(sol.get(LIST, assignee="rita")) == [code_of(review)]
    assert codes(sol.get(LIST, assignee="me")) == []
    Review.objects.update(claimed_until=timezone.now() - timedelta(seconds=1))
    assert codes(rita.get(LIST, assignee="me")) == []


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("verdicts=REGRESSION", "verdicts"),
        ("Severity=HIGH", "Severity"),
        ("severity=high", "severity"),
        ("severity=", "severity"),
        ("severity=HIGH&severity=LOW", "severity"),
        ("status=gone", "status"),
        ("overdue=yes", "overdue"),
        ("ordering=score", "ordering"),
        ("search=a%00b", "search"),
        ("search=" + "a" * 301, "search"),
        ("package=%00", "package"),
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        ("limit=-1", "limit"),
        ("limit=1e3", "limit"),
        ("limit=%D9%A3", "limit"),
        ("limit=" + "9" * 5000, "limit"),
        ("cursor=zzz", "cursor"),
        ("cursor=%00", "cursor"),
        ("cursor=bnVsbA", "cursor"),
        ("cursor=" + "A" * 5000, "cursor"),
        ("limit=5&offset=10", "offset"),
    ],
)
def test_what_the_list_does_not_understand_it_refuses_by_name(rita: Api, query: str, field: str) -> None:
    found = problem(rita.client.get(f"{LIST}?{query}"), 400, "invalid")
    assert list(found["fields"]) == [field]


@pytest.mark.parametrize(
    "values",
    [
        ["priority", "due_at", "id", "P1", "2026-01-01T00:00:00+00:00", "not a uuid"],
        ["priority", "due_at", "id", "P1", "2026-01-01T00:00:00", "0" * 32],
        ["priority", "due_at", "id", "P1", 5, "0" * 32],
        ["priority", "due_at", "id", "P\x00", "2026-01-01T00:00:00+00:00", "0" * 32],
        ["priority", "due_at", "id", {"a": 1}, "2026-01-01T00:00:00+00:00", "0" * 32],
        ["priority", "due_at", "id", None, None, None],
        ["due_at", "id", "2026-01-01T00:00:00+00:00", "0" * 32],
        ["priority", "due_at", "id", "P1"],
        {"priority": 1},
    ],
)
def test_a_forged_cursor_is_refused_and_never_reaches_the_database(rita: Api, values: Any) -> None:
    text = base64.urlsafe_b64encode(json.dumps(values).encode()).decode().rstrip("=")
    assert list(problem(rita.get(LIST, cursor=text), 400, "invalid")["fields"]) == ["cursor"]


def test_pages_neither_skip_nor_repeat_what_stays_while_other_rows_come_and_go(cast: Cast, rita: Api) -> None:
    record = [made.advisory(f"GHSA-{n:03d}") for n in range(40)]
    stay = {made.apv(cast.repository, one, package=f"p{n % 3}").apv_code for n, one in enumerate(record[:20])}
    go = [made.apv(cast.repository, one).apv_code for one in record[20:30]]
    later = iter(record[30:])
    found: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        answer = rita.get(LIST, limit="3", **cursor)
        found += codes(answer)
        if (following := answer.json()["next"]) is None:
            break
        cursor = {"cursor": following}
        # Between two pages one row leaves, one comes.
        if go:
            APV.objects.filter(apv_code=go.pop()).delete()
        if (another := next(later, None)) is not None:
            made.apv(cast.repository, another)
    assert len(found) == len(set(found))
    assert stay <= set(found)


def test_a_list_shows_at_most_two_hundred_and_fifty_unless_asked(cast: Cast, rita: Api) -> None:
    for n in range(55):
        made.apv(cast.repository, made.advisory(f"GHSA-{n:03d}"))
    assert len(codes(rita.get(LIST))) == 50
    assert len(codes(rita.get(LIST, limit="200"))) == 55
    assert len(codes(rita.get(LIST, limit="7"))) == 7


def test_the_detail_holds_what_the_review_page_shows(cast: Cast, rita: Api) -> None:
    review = made.proved_review(cast, apvs=2)
    rita.post(f"{LIST}{code_of(review)}/comments", {"text": "Looks right."})
    answer = rita.get(f"{LIST}{code_of(review)}")
    found = answer.json()
    assert answer["ETag"] == f'"{review.version}"'
    shown = found["review"]
    assert shown["id"] == str(review.pk)
    assert shown["version"] == review.version
    assert shown["recommendation"] == "approve"
    assert shown["recommendation_reasons"]
    assert [item["apv_code"] for item in shown["items"]] == sorted(item["apv_code"] for item in shown["items"])
    assert all(item["advisories"][0]["summary"] for item in shown["items"])
    assert [len(game["runs"]) for game in shown["wargames"]] == [12, 12]
    assert shown["wargames"][0]["factors"]
    assert shown["remedy"]["patch"].startswith("diff --git")
    assert shown["comments"] == [{"author": "Rita Reis", "text": "Looks right.", "at": shown["comments"][0]["at"]}]
    assert shown["decisions"] == []


def test_the_code_of_a_merged_apv_leads_to_its_elder_and_the_list_shows_the_elder_only(cast: Cast, rita: Api) -> None:
    elder = made.apv(cast.repository, made.advisory("GHSA-elder"))
    middle = made.apv(cast.repository, made.advisory("GHSA-middle"))
    young = made.apv(cast.repository, made.advisory("GHSA-young"))
    APV.objects.filter(pk=young.pk).update(status=APVStatus.MERGED, merged_into=middle)
    APV.objects.filter(pk=middle.pk).update(status=APVStatus.MERGED, merged_into=elder)
    assert rita.get(f"{LIST}{young.apv_code}").json()["apv_code"] == elder.apv_code
    assert codes(rita.get(LIST)) == [elder.apv_code]
    assert set(codes(rita.get(LIST, status="merged"))) == {middle.apv_code, young.apv_code}


@pytest.mark.parametrize("code", ["APV-2026-999999", "%00", "a%00b", "x" * 500, "stats/", "..%2f"])
def test_an_unknown_code_is_not_found(cast: Cast, rita: Api, code: str) -> None:
    problem(rita.client.get(f"{LIST}{code}"), 404, "not_found")


def test_another_teams_objects_are_not_found_wherever_one_asks(cast: Cast, rita: Api, otto: Api) -> None:
    review = made.proved_review(cast)
    decision = rita.decide(review, "escalate").json()
    code, wargame = code_of(review), review.items.get().wargame_id
    assert codes(otto.get(LIST)) == []
    for path in (
        f"/hitl/reviews/{code}",
        f"/hitl/decisions/history/{code}",
        f"/hitl/decisions/{decision['id']}",
        f"/hitl/wargames/{wargame}",
        f"/hitl/wargames/{wargame}/evidence",
    ):
        assert rita.get(path).status_code == 200, path
        problem(otto.get(path), 404, "not_found")
    for path in (
        f"/hitl/reviews/{code}/claim",
        f"/hitl/reviews/{code}/release",
        f"/hitl/decisions/{decision['id']}/withdraw",
        f"/hitl/repositories/{cast.repository.pk}/immunize",
    ):
        problem(otto.post(path), 404, "not_found")
    problem(otto.post(f"/hitl/reviews/{code}/comments", {"text": "Hello."}), 404, "not_found")
    problem(otto.decide(review), 404, "not_found")
    assert otto.get("/hitl/decisions/").json()["items"] == []
    assert otto.get("/hitl/repositories/").json()["items"] == []
    assert otto.get("/hitl/reviews/stats").json()["pending"] == 0


def test_claim_release_and_comment(cast: Cast, rita: Api, sol: Api) -> None:
    review = made.proved_review(cast)
    path = f"{LIST}{code_of(review)}"
    claimed = rita.post(f"{path}/claim")
    assert claimed.json()["state"] == "claimed"
    assert claimed.json()["claimed_by"] == "Rita Reis"
    assert claimed["ETag"] == f'"{review.version + 1}"'
    refused = problem(sol.post(f"{path}/claim"), 409, "claimed_by_another")
    assert refused["by"] == "Rita Reis"
    problem(sol.decide(review), 409, "claimed_by_another")
    problem(sol.post(f"{path}/release"), 403, "not_allowed")
    assert session(cast.person("lead")).post(f"{path}/release").json()["state"] == "pending"
    assert sol.post(f"{path}/claim").json()["claimed_by"] == "Sol Serra"
    # A word is free, claimed or not.
    assert rita.post(f"{path}/comments", {"text": "Mind the proxy."}).status_code == 201
    assert sol.get(path).json()["review"]["comments"][0]["text"] == "Mind the proxy."


def test_figures_count_reviews_and_peoples_final_words(cast: Cast, rita: Api, sol: Api) -> None:
    before = rita.get("/hitl/reviews/stats").json()
    assert before["pending"] == before["decided_today"] == 0
    assert before["median_seconds_to_decision"] is None
    assert before["agreement_with_recommendation"] is None
    now = timezone.now()
    first = made.proved_review(cast, apvs=3, package="requests")
    second = made.proved_review(cast, package="flask", verdict="REGRESSION")
    third = made.proved_review(cast, package="jinja2")
    Review.objects.filter(pk=third.pk).update(due_at=now - timedelta(days=1))
    Review.objects.filter(pk=first.pk).update(opened_at=now - timedelta(seconds=100))
    Review.objects.filter(pk=second.pk).update(opened_at=now - timedelta(seconds=300))
    assert rita.decide(first).status_code == 201
    # Against the advice to reject.
    assert rita.decide(second).status_code == 201
    rita.decide(third, "escalate")
    found = rita.get("/hitl/reviews/stats").json()
    assert (found["pending"], found["claimed"], found["overdue"]) == (1, 0, 1)
    assert found["pending_by_severity"] == {
        "CRITICAL": 0, "HIGH": 1, "UNKNOWN": 0, "MEDIUM": 0, "LOW": 0, "NONE": 0,
    }  # fmt: skip
    assert (found["decided_today"], found["decided_this_week"]) == (2, 2)
    assert 100 <= found["median_seconds_to_decision"] < 200
    assert 300 <= found["p95_seconds_to_decision"] < 400
    assert found["agreement_with_recommendation"] == 0.5
    assert found["decisions_by_type"] == {"approve": 2, "reject": 0, "modify": 0, "escalate": 1}
    assert found["live_apvs_by_severity"]["HIGH"] == 5


def test_the_list_says_of_an_apv_what_its_shape_and_its_detail_say(cast: Cast, rita: Api) -> None:
    made.proved_review(cast, apvs=2, versions=["2.31.0", 'ä "1"'], score=7.5)
    made.apv(cast.repository, made.advisory("GHSA-bare", severity="UNKNOWN", score=None), package="bare", versions=[])
    items = rita.get("/hitl/reviews/").json()["items"]
    assert len(items) == 3
    for item in items:
        detail = rita.get(f"/hitl/reviews/{item['apv_code']}").json()
        assert item == {name: detail[name] for name in shapes.ReviewItem.Meta.fields}
        assert list(item) == list(shapes.ReviewItem.Meta.fields)
