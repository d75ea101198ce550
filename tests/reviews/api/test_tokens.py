"""Tokens: shown once, narrowed by scope and role, ended by time, by hand, and with their account."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from immune.models import ApiToken, Event, Role
from tests.reviews import cast as made
from tests.reviews.api.conftest import Api, bearer, problem, session
from tests.reviews.cast import Cast

TOKENS = "/hitl/tokens/"


def make(api: Api, *scopes: str, **more: Any) -> Any:
    return api.post(TOKENS, {"name": "a script", "scopes": list(scopes), **more})


def using(text: str) -> Api:
    return Api(headers={"Authorization": f"Bearer {text}"})


def test_a_tokens_text_is_shown_once_and_kept_nowhere(cast: Cast, rita: Api) -> None:
    answer = make(rita, "read", "decide", days=7)
    assert answer.status_code == 201, answer.content
    assert answer["Cache-Control"] == "no-store"
    text = answer.json()["token"]
    assert text.startswith(answer.json()["prefix"])
    listed = rita.get(TOKENS)
    assert text not in listed.content.decode()
    (item,) = listed.json()["items"]
    assert item == {key: value for key, value in answer.json().items() if key != "token"}
    row = ApiToken.objects.get()
    assert text not in str(row.__dict__)
    assert row.expires_at - row.created_at == pytest.approx(timedelta(days=7), abs=timedelta(seconds=5))
    assert not [event for event in Event.objects.all() if text in event.body or row.digest in event.body]


def test_last_used_is_noted(cast: Cast, rita: Api) -> None:
    text = make(rita, "read").json()["token"]
    assert rita.get(TOKENS).json()["items"][0]["last_used_at"] is None
    assert using(text).get("/hitl/reviews/").status_code == 200
    noted = rita.get(TOKENS).json()["items"][0]["last_used_at"]
    assert timezone.now() - datetime.fromisoformat(noted) < timedelta(minutes=1)


def test_a_token_does_what_its_scopes_and_its_accounts_role_both_permit(cast: Cast, rita: Api) -> None:
    review = made.proved_review(cast)
    reading = using(make(rita, "read").json()["token"])
    assert reading.get("/hitl/reviews/").status_code == 200
    problem(reading.decide(review), 403, "not_allowed")
    blind = using(make(rita, "decide").json()["token"])
    problem(blind.get("/hitl/reviews/"), 403, "permission_denied")
    deciding = using(make(rita, "read", "decide").json()["token"])
    # The role is asked each time, not when the token was made.
    cast.rita.role = Role.VIEWER
    cast.rita.save()
    problem(deciding.decide(review), 403, "not_allowed")
    cast.rita.role = Role.REVIEWER
    cast.rita.save()
    assert deciding.decide(review).status_code == 201


@pytest.mark.parametrize("ended", ["expired", "revoked", "inactive", "unknown", "cut", "doubled", "not ascii", "empty"])
def test_a_token_that_does_not_hold_is_refused_alike(cast: Cast, rita: Api, ended: str) -> None:
    text = make(rita, "read").json()["token"]
    assert using(text).get("/hitl/reviews/").status_code == 200
    if ended == "expired":
        ApiToken.objects.update(expires_at=timezone.now())
    elif ended == "revoked":
        ApiToken.objects.update(revoked_at=timezone.now())
    elif ended == "inactive":
        cast.rita.is_active = False
        cast.rita.save()
    text = {
        "unknown": "imm_00000000_x", "cut": text[:-1], "doubled": f"{text} {text}", "not ascii": "imm_é", "empty": "",
    }.get(ended, text)  # fmt: skip
    answer = using(text).get("/hitl/reviews/")
    found = problem(answer, 401, "authentication_failed")
    assert found["detail"] == "The token is not valid: unknown, expired or revoked."
    assert answer["WWW-Authenticate"] == 'Bearer realm="immune"'


def test_the_session_of_an_account_that_was_switched_off_no_longer_counts(cast: Cast, rita: Api) -> None:
    assert rita.get("/hitl/reviews/").status_code == 200
    cast.rita.is_active = False
    cast.rita.save()
    answer = rita.get("/hitl/reviews/")
    problem(answer, 401, "not_authenticated")
    assert answer["WWW-Authenticate"] == 'Bearer realm="immune"'


def test_a_wrong_token_is_not_made_good_by_a_session(cast: Cast, rita: Api) -> None:
    problem(
        Api(rita.client, {"Authorization": "Bearer imm_0_wrong"}).get("/hitl/reviews/"), 401, "authentication_failed"
    )


def test_rotating_voids_the_old_text_at_once(cast: Cast, rita: Api) -> None:
    first = make(rita, "read", "decide").json()
    second = rita.post(f"{TOKENS}{first['id']}/rotate")
    assert second.status_code == 201, second.content
    assert second.json()["id"] != first["id"]
    assert second.json()["scopes"] == first["scopes"]
    problem(using(first["token"]).get("/hitl/reviews/"), 401, "authentication_failed")
    assert using(second.json()["token"]).get("/hitl/reviews/").status_code == 200
    problem(rita.post(f"{TOKENS}{first['id']}/rotate"), 422, "token_ended")
    assert ApiToken.objects.filter(revoked_at__isnull=True).count() == 1


def test_an_overlap_lets_both_texts_hold_for_a_while_and_only_the_newer_one_be_rotated(cast: Cast, rita: Api) -> None:
    first = make(rita, "read").json()
    path = f"{TOKENS}{first['id']}/rotate"
    second = rita.post(path, {"overlap_minutes": 60}).json()
    assert using(first["token"]).get("/hitl/reviews/").status_code == 200
    assert using(second["token"]).get("/hitl/reviews/").status_code == 200
    old = ApiToken.objects.get(pk=first["id"])
    assert old.revoked_at is None
    assert timedelta(minutes=59) < old.expires_at - timezone.now() <= timedelta(minutes=60)
    problem(rita.post(path, {"overlap_minutes": 60}), 422, "token_ended")
    problem(using(first["token"]).post(path), 422, "token_ended")
    assert ApiToken.objects.count() == 2
    ApiToken.objects.filter(pk=first["id"]).update(expires_at=timezone.now())
    problem(using(first["token"]).get("/hitl/reviews/"), 401, "authentication_failed")
    assert using(second["token"]).get("/hitl/reviews/").status_code == 200


def test_an_overlap_never_prolongs_the_old_text(cast: Cast, rita: Api) -> None:
    token = make(rita, "read", days=1).json()
    rita.post(f"{TOKENS}{token['id']}/rotate", {"overlap_minutes": 7 * 24 * 60})
    assert ApiToken.objects.get(pk=token["id"]).expires_at == datetime.fromisoformat(token["expires_at"])
    for wrong in (-1, 10_081, "60", 1.5):
        problem(rita.post(f"{TOKENS}{token['id']}/rotate", {"overlap_minutes": wrong}), 400, "invalid")


def test_a_token_may_rotate_and_end_itself_and_never_outlives_its_end(cast: Cast, rita: Api) -> None:
    mine = make(rita, "read", days=10).json()
    other = make(rita, "read").json()
    api = using(mine["token"])
    problem(api.post(f"{TOKENS}{other['id']}/rotate"), 404, "not_found")
    problem(api.post(f"{TOKENS}{other['id']}/revoke"), 404, "not_found")
    turned = api.post(f"{TOKENS}{mine['id']}/rotate").json()
    ends = [datetime.fromisoformat(token["expires_at"]) for token in (mine, turned)]
    assert abs(ends[1] - ends[0]) < timedelta(seconds=1)
    own = using(turned["token"])
    assert own.post(f"{TOKENS}{turned['id']}/revoke").json()["revoked_at"] is not None
    problem(own.get("/hitl/reviews/"), 401, "authentication_failed")


def test_a_token_makes_no_tokens(cast: Cast) -> None:
    admin = cast.person(Role.ADMIN)
    for scopes in (["read"], ["read", "administer"]):
        problem(make(bearer(admin, *scopes), "read"), 403, "not_allowed")
    assert ApiToken.objects.count() == 2


def test_nobody_makes_a_token_with_rights_of_others(cast: Cast, rita: Api) -> None:
    problem(make(rita, "read", "administer"), 403, "not_allowed")
    problem(make(session(cast.person(Role.VIEWER)), "decide"), 403, "not_allowed")
    assert make(session(cast.person(Role.ADMIN)), "administer").status_code == 201
    assert ApiToken.objects.count() == 1


@pytest.mark.parametrize(
    "body",
    [
        {"name": "x", "scopes": []},
        {"name": "x", "scopes": ["root"]},
        {"name": "x", "scopes": "read"},
        {"name": "", "scopes": ["read"]},
        {"name": "x" * 121, "scopes": ["read"]},
        {"name": "x", "scopes": ["read"], "days": 0},
        {"name": "x", "scopes": ["read"], "days": 367},
        {"name": "x", "scopes": ["read"], "days": "7"},
        {"name": "x", "scopes": ["read"], "account": "sol"},
        {"name": 5, "scopes": ["read"]},
    ],
)
def test_a_request_that_breaks_the_schema_makes_no_token(cast: Cast, rita: Api, body: dict[str, Any]) -> None:
    problem(rita.post(TOKENS, body), 400, "invalid")
    assert not ApiToken.objects.exists()


def test_one_sees_and_ends_ones_own_and_who_administers_everybodys(cast: Cast, rita: Api, sol: Api) -> None:
    hers = make(rita, "read").json()
    his = make(sol, "read").json()
    assert [token["id"] for token in rita.get(TOKENS).json()["items"]] == [hers["id"]]
    assert rita.get(TOKENS, account="sol").json()["items"] == []
    problem(rita.post(f"{TOKENS}{his['id']}/revoke"), 404, "not_found")
    problem(rita.post(f"{TOKENS}{his['id']}/rotate"), 404, "not_found")
    problem(session(cast.person(Role.LEAD)).post(f"{TOKENS}{his['id']}/revoke"), 404, "not_found")
    admin = session(cast.person(Role.ADMIN))
    assert {token["account"] for token in admin.get(TOKENS).json()["items"]} == {"rita", "sol"}
    assert [token["id"] for token in admin.get(TOKENS, account="sol").json()["items"]] == [his["id"]]
    # The new text would be another's to see.
    problem(admin.post(f"{TOKENS}{his['id']}/rotate"), 403, "not_allowed")
    ended = admin.post(f"{TOKENS}{his['id']}/revoke").json()["revoked_at"]
    assert admin.post(f"{TOKENS}{his['id']}/revoke").json()["revoked_at"] == ended
    problem(using(his["token"]).get("/hitl/reviews/"), 401, "authentication_failed")
