"""Suppressions through the API: made for each scope, listed by what they are about, ended."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from immune.models import APV, AdvisoryName, Role, Suppression, VexStatement
from tests.reviews import cast as made
from tests.reviews.api.conftest import Api, problem, session
from tests.reviews.cast import Cast

PATH = "/hitl/suppressions/"
UNTIL = "2999-01-01T00:00:00Z"


def body(**more: Any) -> dict[str, Any]:
    return {"ground": "vulnerable_code_not_in_execute_path", "reason": "Only in tests.", "expires_at": UNTIL, **more}


@pytest.fixture
def threat(cast: Cast) -> APV:
    record = made.advisory("GHSA-1", aliases=["CVE-2099-1"])
    for name in ("GHSA-1", "CVE-2099-1"):
        AdvisoryName.objects.create(advisory=record, name=name)
    return made.apv(cast.repository, record, status="open")


@pytest.fixture
def admin(cast: Cast) -> Api:
    return session(cast.person(Role.ADMIN))


def about(cast: Cast, threat: APV, scope: str) -> dict[str, Any]:
    return {
        "apv": {"apv_code": threat.apv_code},
        "package": {"repository_id": str(cast.repository.pk), "ecosystem": "PyPI", "package": "Requests"},
        "advisory": {"advisory_id": "CVE-2099-1"},
    }[scope]


@pytest.mark.parametrize("scope", ["apv", "package", "advisory"])
def test_each_scope_is_made_shown_and_ended(cast: Cast, threat: APV, admin: Api, scope: str) -> None:
    answer = admin.post(PATH, body(scope=scope, **about(cast, threat, scope)))
    assert answer.status_code == 201, answer.content
    found = answer.json()
    assert (found["scope"], found["holds"], found["author"], found["apvs"]) == (
        scope,
        True,
        "the-admin",
        [threat.apv_code],
    )
    assert admin.get(answer["Location"]).json() == found
    assert admin.get(f"/hitl/reviews/{threat.apv_code}").json()["status"] == "suppressed"

    ended = admin.post(f"{answer['Location']}/end").json()
    assert (ended["holds"], ended["ended_by"]) == (False, "the-admin")
    assert admin.get(f"/hitl/reviews/{threat.apv_code}").json()["status"] == "open"
    problem(admin.post(f"{answer['Location']}/end"), 422, "ended")


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"scope": "apv"}, "apv_code"),
        ({"scope": "package", "package": "requests"}, "ecosystem"),
        ({"scope": "advisory", "advisory_id": "GHSA-1", "package": "requests"}, "package"),
        ({"scope": "everything"}, "scope"),
        ({"scope": "advisory", "advisory_id": "GHSA-1", "ground": "because"}, "ground"),
        ({"scope": "advisory", "advisory_id": "GHSA-1", "expires_at": None}, "expires_at"),
        ({"scope": "advisory", "advisory_id": "GHSA-1", "forever": True}, "forever"),
    ],
)
def test_what_is_wrong_is_named(threat: APV, admin: Api, wrong: dict[str, Any], field: str) -> None:
    found = problem(admin.post(PATH, body(**wrong)), 400, "invalid")
    assert field in found["fields"]


def test_an_end_in_the_past_is_refused(threat: APV, admin: Api) -> None:
    past = (timezone.now() - timedelta(days=1)).isoformat()
    problem(admin.post(PATH, body(scope="apv", apv_code=threat.apv_code, expires_at=past)), 422, "bad_suppression")


@pytest.mark.parametrize(
    "named",
    [
        {"scope": "apv", "apv_code": "APV-1999-000001"},
        {"scope": "advisory", "advisory_id": "GHSA-unknown"},
        {"scope": "package", "repository_id": "0" * 32, "ecosystem": "PyPI", "package": "requests"},
    ],
)
def test_what_does_not_exist_is_not_found(threat: APV, admin: Api, named: dict[str, str]) -> None:
    problem(admin.post(PATH, body(**named)), 404, "not_found")


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({}, ["advisory", "package", "apv"]),
        ({"scope": "package"}, ["package"]),
        ({"ground": "accepted_risk"}, ["apv"]),
        ({"repository": "demo/noticeboard"}, ["package", "apv"]),
        ({"package": "requests", "ecosystem": "PyPI"}, ["package", "apv"]),
        ({"advisory": "CVE-2099-1"}, ["advisory", "apv"]),
        ({"advisory": "CVE-unknown"}, []),
        ({"holding": "true"}, ["advisory", "package"]),
        ({"holding": "false"}, ["apv"]),
    ],
)
def test_they_are_found(cast: Cast, threat: APV, admin: Api, filters: dict[str, str], expected: list[str]) -> None:
    for scope in ("apv", "package", "advisory"):
        admin.post(PATH, body(scope=scope, **about(cast, threat, scope)))
    Suppression.objects.filter(scope="apv").update(ground="accepted_risk", expires_at=timezone.now())
    assert [item["scope"] for item in admin.get(PATH, **filters).json()["items"]] == expected
    assert len(admin.get(PATH, apv_code=threat.apv_code).json()["items"]) == 3


def test_an_outsider_sees_what_holds_everywhere_and_none_of_its_apvs(
    cast: Cast, threat: APV, admin: Api, otto: Api
) -> None:
    for scope in ("apv", "package", "advisory"):
        admin.post(PATH, body(scope=scope, **about(cast, threat, scope)))
    items = otto.get(PATH).json()["items"]
    assert [item["scope"] for item in items] == ["advisory"]
    assert otto.get(f"{PATH}{items[0]['id']}").json()["apvs"] == []
    problem(otto.post(f"{PATH}{items[0]['id']}/end"), 403, "not_allowed")


@pytest.mark.parametrize("query", ["scope=bad", "id=1", "holding=1", "package=%00", "cursor=e30"])
def test_filters_it_does_not_know_are_refused(rita: Api, query: str) -> None:
    problem(rita.get(f"{PATH}?{query}"), 400, "invalid")


def test_kept_statements_are_listed_to_who_sees_their_repository(cast: Cast, rita: Api, otto: Api) -> None:
    record = made.advisory("GHSA-said")
    AdvisoryName.objects.create(advisory=record, name="CVE-2099-1")
    about = {"repository": cast.repository, "group": record.group, "ecosystem": "PyPI", "package_name": "flask"}
    VexStatement.objects.create(**about, status="fixed", source="vendor.json", author=cast.sol)
    VexStatement.objects.create(**about, status="affected", impact="It is reached.", source="ours.json")
    path = "/hitl/statements/"
    assert [item["status"] for item in rita.get(path).json()["items"]] == ["affected", "fixed"]
    (item,) = rita.get(path, status="fixed", package="flask", advisory="CVE-2099-1").json()["items"]
    assert (item["advisory_id"], item["source"], item["author"]) == ("GHSA-said", "vendor.json", "Sol Serra")
    assert rita.get(path, advisory="CVE-2099-2").json()["items"] == []
    assert otto.get(path).json()["items"] == []
    problem(rita.get(path, status="not_affected"), 400, "invalid")
    problem(rita.get(path, verdict="fixed"), 400, "invalid")
