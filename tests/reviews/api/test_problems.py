"""What is refused before any service is asked: every refusal is a problem document, none has an effect, none is a fault."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.db import OperationalError
from django.test import Client
from django.test.utils import override_settings

from immune.models import Role
from reviews import pace, selectors
from reviews.models import Comment, Decision
from tests.reviews import cast as made
from tests.reviews.api.conftest import Api, bearer, code_of, problem, session
from tests.reviews.cast import PASSWORD, Cast

DECISIONS = "/hitl/decisions/"
MEGABYTE = 1024 * 1024


def test_without_an_account_nothing_is_shown_and_the_answer_says_how_to_sign_in(cast: Cast) -> None:
    review = made.proved_review(cast)
    for path in ("/hitl/reviews/", "/hitl/reviews/stats", f"/hitl/reviews/{code_of(review)}", "/hitl/tokens/"):
        answer = Api().get(path)
        problem(answer, 401, "not_authenticated")
        assert answer["WWW-Authenticate"] == 'Bearer realm="immune"'
    problem(Api().decide(review), 401, "not_authenticated")
    assert not Decision.objects.exists()


def test_a_session_writes_only_with_the_sites_own_token(cast: Cast) -> None:
    review = made.proved_review(cast)
    client = Client(enforce_csrf_checks=True)
    client.force_login(cast.rita)
    problem(Api(client).decide(review), 403, "permission_denied")
    assert not Decision.objects.exists()
    client.get("/admin/")
    client.get(f"/admin/reviews/review/{review.pk}/change/")
    token = client.cookies["csrftoken"].value
    assert Api(client, {"X-CSRFToken": token}).decide(review).status_code == 201


def test_a_bearer_token_needs_no_such_proof(cast: Cast) -> None:
    review = made.proved_review(cast)
    api = bearer(cast.rita, "read", "decide")
    assert Api(Client(enforce_csrf_checks=True), api.headers).decide(review).status_code == 201


def test_what_is_not_there_is_a_problem_whatever_the_method(rita: Api) -> None:
    for path in ("/hitl/", "/hitl/nothing", "/hitl/reviews", "/hitl/ws", "/hitl/decisions/not-an-id"):
        problem(rita.get(path), 404, "not_found")
        problem(Api(Client(enforce_csrf_checks=True)).post(path), 404, "not_found")


@pytest.mark.parametrize("method", ["put", "patch", "delete", "trace"])
def test_a_method_that_is_not_offered_is_refused_by_name(rita: Api, method: str) -> None:
    answer = getattr(rita.client, method)("/hitl/reviews/")
    problem(answer, 405, "method_not_allowed")
    assert "GET" in answer["Allow"]


@pytest.mark.parametrize("accept", ["text/html", "application/problem+json", "application/zip", "*/*", "x"])
def test_answers_are_json_whatever_is_asked_for(cast: Cast, rita: Api, accept: str) -> None:
    review = made.proved_review(cast)
    answer = rita.client.get("/hitl/reviews/", headers={"Accept": accept})
    assert answer.status_code == 200
    assert answer["Content-Type"] == "application/json"
    game = review.items.get().wargame_id
    download = rita.client.get(f"/hitl/wargames/{game}/evidence", headers={"Accept": accept})
    assert download.content == b"archive"
    assert download["Content-Type"] == "application/zip"
    assert download["Content-Disposition"].startswith("attachment;")
    assert download["X-Content-Type-Options"] == "nosniff"


def deep(levels: int) -> bytes:
    return b'{"apv_code": ' + b"[" * levels + b"]" * levels + b"}"


BODIES = {
    "nothing": b"",
    "half an object": b'{"apv_code": "x"',
    "no JSON": b"apv_code=x",
    "two documents": b"{} {}",
    "a list": b"[]",
    "a string": b'"x"',
    "a number": b"5",
    "null": b"null",
    "NaN": b'{"confidence_override": NaN}',
    "infinity": b'{"confidence_override": -Infinity}',
    "a number beyond all floats": b'{"confidence_override": 1e999}',
    "a number of 5000 digits": b'{"confidence_override": ' + b"9" * 5000 + b"}",
    "a number of 100 digits": b'{"confidence_override": ' + b"9" * 100 + b"}",
    "one key twice": b'{"decision": "reject", "decision": "approve"}',
    "one key twice further in": b'{"suppress": {"reason": "a", "reason": "b"}}',
    "half a character": b'{"decision": "\\ud800"}',
    "half a character in a name": b'{"\\udfff": 1}',
    "a NUL": b'{"apv_code": "APV\\u0000"}',
    "a NUL in a name": b'{"\\u0000": 1}',
    "not UTF-8": b'{"decision": "\xff\xfe"}',
    "UTF-16": json.dumps({"decision": "approve"}).encode("utf-16"),
    "a mark before it": b"\xef\xbb\xbf{}",
    "deep": deep(300),
    "too deep for anybody": deep(100_000),
    "many unknown names": json.dumps({f"field{n}": n for n in range(5000)}).encode(),
}


@pytest.mark.parametrize("name", BODIES)
def test_a_body_that_cannot_be_taken_is_refused(cast: Cast, rita: Api, name: str) -> None:
    answer = rita.post(DECISIONS, BODIES[name])
    found = problem(answer, 400, answer.json()["reason"])
    assert found["reason"] in ("parse_error", "invalid")
    assert len(answer.content) < 5000
    assert not Decision.objects.exists()


@pytest.mark.parametrize("name", ["half an object", "a NUL", "deep", "half a character", "a list"])
def test_every_address_that_takes_a_body_reads_it_alike(cast: Cast, name: str) -> None:
    review = made.proved_review(cast)
    admin = session(cast.person(Role.ADMIN))
    for path in (f"/hitl/reviews/{code_of(review)}/comments", "/hitl/repositories/", "/hitl/tokens/"):
        assert admin.post(path, BODIES[name]).status_code == 400, path
    assert not Comment.objects.exists()


@pytest.mark.parametrize("size", [MEGABYTE + 1, 5 * MEGABYTE])
def test_a_body_of_megabytes_is_refused(cast: Cast, rita: Api, size: int) -> None:
    review = made.proved_review(cast)
    problem(rita.decide(review, comments="a" * size), 413, "too_large")
    problem(bearer(cast.rita, "read", "decide").decide(review, comments="a" * size), 413, "too_large")
    assert not Decision.objects.exists()


@pytest.mark.parametrize(
    "content_type",
    ["text/plain", "application/xml", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "x", ""],
)
def test_a_body_that_is_not_said_to_be_json_is_refused(cast: Cast, rita: Api, content_type: str) -> None:
    review = made.proved_review(cast)
    body = json.dumps({"apv_code": code_of(review), "decision": "approve", "justification": "long enough for it"})
    answer = rita.client.generic("POST", DECISIONS, body.encode(), content_type=content_type)
    problem(answer, 415, "unsupported_media_type")
    assert not Decision.objects.exists()


@pytest.mark.parametrize(
    "content_type", ["application/json; charset=utf-8", "application/JSON", "application/json;x=y"]
)
def test_parameters_of_the_content_type_do_not_matter(cast: Cast, rita: Api, content_type: str) -> None:
    answer = rita.client.generic("POST", DECISIONS, b"{}", content_type=content_type)
    problem(answer, 400, "invalid")


def test_a_fault_of_ours_says_nothing_of_its_inside(cast: Cast, rita: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(viewer: Any) -> Any:
        raise RuntimeError("the inside of it")

    monkeypatch.setattr(selectors, "stats", broken)
    rita.client.raise_request_exception = False
    answer = rita.get("/hitl/reviews/stats")
    problem(answer, 500, "server_error")
    assert b"inside" not in answer.content


def test_a_database_that_is_away_is_said_to_be_away(cast: Cast, rita: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(viewer: Any) -> Any:
        raise OperationalError("could not connect to db.internal")

    monkeypatch.setattr(selectors, "stats", away)
    answer = rita.get("/hitl/reviews/stats")
    problem(answer, 503, "unavailable")
    assert answer["Retry-After"] == "5"
    assert b"db.internal" not in answer.content


def test_a_host_that_is_not_ours_is_refused_as_a_problem(rita: Api) -> None:
    problem(rita.client.get("/hitl/reviews/", headers={"Host": "evil.example"}), 400, "bad_request")
    assert b"problem" not in rita.client.get("/admin/", headers={"Host": "evil.example"}).content


@override_settings(CORS_ALLOWED_ORIGINS=["https://console.example"])
def test_pages_of_listed_origins_may_call_the_api_and_no_others(cast: Cast) -> None:
    api = bearer(cast.rita, "read")
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization, if-match"}
    listed = Client().options(DECISIONS, headers={"Origin": "https://console.example", **asked})
    assert listed["Access-Control-Allow-Origin"] == "https://console.example"
    assert "POST" in listed["Access-Control-Allow-Methods"]
    for name in ("authorization", "if-match", "idempotency-key"):
        assert name in listed["Access-Control-Allow-Headers"]
    answer = api.client.get("/hitl/reviews/", headers={"Origin": "https://console.example", **api.headers})
    assert answer["Access-Control-Allow-Origin"] == "https://console.example"
    assert "etag" in answer["Access-Control-Expose-Headers"].lower()
    assert "Access-Control-Allow-Credentials" not in answer, "cookies do not travel"
    for origin in ("https://other.example", "http://console.example", "null", "https://console.example.evil.example"):
        other = Client().options(DECISIONS, headers={"Origin": origin, **asked})
        assert "Access-Control-Allow-Origin" not in other
    console = Client().get("/admin/login/", headers={"Origin": "https://console.example"})
    assert "Access-Control-Allow-Origin" not in console


@override_settings(API_RATE_PER_MINUTE=3)
def test_an_account_that_asks_too_often_is_told_when_to_come_back(cast: Cast, sol: Api) -> None:
    apis = [session(cast.rita), bearer(cast.rita, "read")]
    answers = [apis[n % 2].get("/hitl/reviews/stats") for n in range(5)]
    statuses = [answer.status_code for answer in answers]
    # A minute may end in between; then the count begins anew, once.
    assert statuses in ([200, 200, 200, 429, 429], sorted(statuses)) or 429 not in statuses[:3]
    refused = [answer for answer in answers if answer.status_code == 429]
    if refused:
        problem(refused[0], 429, "throttled")
        assert 1 <= int(refused[0]["Retry-After"]) <= 61
    assert sol.get("/hitl/reviews/stats").status_code == 200, "others are not slowed"
    assert Api().get("/hitl/health/live").status_code == 200


@override_settings(API_ANONYMOUS_RATE_PER_MINUTE=3)
def test_guessing_tokens_is_slowed_by_address(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reviews.pace.time.time", lambda: 1_000_000_000.0)
    guess = Api(headers={"Authorization": "Bearer imm_0000_guess"})
    assert [guess.get("/hitl/reviews/").status_code for _ in range(5)] == [401, 401, 401, 429, 429]
    assert bearer(cast.rita, "read").get("/hitl/reviews/").status_code == 200


@override_settings(LOGIN_FAILURES=3)
def test_guessing_passwords_is_slowed_and_the_right_one_waits_too(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reviews.pace.time.time", lambda: 1_000_000_000.0)

    def sign_in(name: str, password: str, **more: Any) -> int:
        data = {"username": name, "password": password}
        return int(Client().post("/admin/login/?next=/admin/", data, **more).status_code)

    assert [sign_in("rita", "wrong") for _ in range(4)] == [200, 200, 200, 429]
    assert sign_in("rita", PASSWORD) == 429
    assert sign_in("Rita", PASSWORD) == 429
    assert sign_in("rita", PASSWORD, REMOTE_ADDR="192.0.2.9") == 302, "nobody is locked out from afar"
    assert sign_in("sol", PASSWORD) == 302
    # One address trying many names.
    for n in range(12):
        sign_in(f"name{n}", "wrong")
    assert sign_in("sol", PASSWORD) == 429
    monkeypatch.setattr("reviews.pace.time.time", lambda: 1_000_000_300.0)
    assert sign_in("rita", PASSWORD) == 302


@pytest.mark.parametrize(
    ("proxies", "forwarded", "seen"),
    [
        (0, "203.0.113.5", "127.0.0.1"),
        (1, "203.0.113.5", "203.0.113.5"),
        (1, "198.51.100.1, 203.0.113.5", "203.0.113.5"),
        (2, "198.51.100.1, 203.0.113.5", "198.51.100.1"),
        (2, "203.0.113.5", "127.0.0.1"),
        (1, "", "127.0.0.1"),
        (1, "a b:evil\r\nkey", "abevilkey".replace("b", "b:", 1)),
    ],
)
def test_only_our_own_proxies_are_believed(rf: Any, settings: Any, proxies: int, forwarded: str, seen: str) -> None:
    settings.PROXIES_BEFORE = proxies
    assert pace.client_address(rf.get("/", HTTP_X_FORWARDED_FOR=forwarded)) == seen


def test_limits_hold_while_the_shared_cache_is_away(cast: Cast, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    class Away:
        def __getattr__(self, name: str) -> Any:
            raise ConnectionError("no answer")

    monkeypatch.setattr(pace, "cache", Away())
    monkeypatch.setattr("reviews.pace.time.time", lambda: 1_000_000_000.0)
    pace._own.clear()
    settings.API_RATE_PER_MINUTE = 2
    rita = session(cast.rita)
    assert [rita.get("/hitl/reviews/stats").status_code for _ in range(4)] == [200, 200, 429, 429]
