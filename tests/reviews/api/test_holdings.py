"""Advisories, repositories, readings and wargames through the API."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from django.utils import timezone

from immune.models import Repository, Role, Scan
from immune.models.advisories import AdvisoryName, AffectedPackage
from tests.reviews import cast as made
from tests.reviews.api.conftest import Api, problem, session
from tests.reviews.cast import Cast

ADVISORIES = "/hitl/advisories/"


@pytest.fixture
def records(cast: Cast) -> None:
    for name, severity, package in (
        ("GHSA-1", "HIGH", "flask"),
        ("GHSA-2", "LOW", "requests"),
        ("PYSEC-1", "HIGH", "flask"),
    ):
        row = made.advisory(name, severity=severity, aliases=[f"CVE-of-{name}"])
        for known in (name, f"CVE-of-{name}"):
            AdvisoryName.objects.create(advisory=row, name=known)
        AffectedPackage.objects.create(advisory=row, ecosystem="PyPI", name=package)
    made.advisory("GONE-1", withdrawn=timezone.now())


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({}, ["GHSA-1", "GHSA-2", "GONE-1", "PYSEC-1"]),
        ({"name": "CVE-of-GHSA-2"}, ["GHSA-2"]),
        ({"name": "GHSA-2"}, ["GHSA-2"]),
        ({"name": "GHSA"}, []),
        ({"package": "flask"}, ["GHSA-1", "PYSEC-1"]),
        ({"package": "flask", "ecosystem": "npm"}, []),
        ({"ecosystem": "PyPI", "severity": "LOW"}, ["GHSA-2"]),
        ({"withdrawn": "true"}, ["GONE-1"]),
        ({"withdrawn": "false"}, ["GHSA-1", "GHSA-2", "PYSEC-1"]),
    ],
)
def test_advisories_are_found(otto: Api, records: None, filters: dict[str, str], expected: list[str]) -> None:
    assert [item["id"] for item in otto.get(ADVISORIES, **filters).json()["items"]] == expected
    found: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        answer = otto.get(ADVISORIES, **filters, limit="1", **cursor).json()
        found += [item["id"] for item in answer["items"]]
        if answer["next"] is None:
            break
        cursor = {"cursor": answer["next"]}
    assert found == expected


@pytest.mark.parametrize("query", ["severity=bad", "id=GHSA-1", "withdrawn=1", "name=%00", "cursor=e30"])
def test_what_the_list_of_advisories_does_not_understand_it_refuses(otto: Api, query: str) -> None:
    problem(otto.client.get(f"{ADVISORIES}?{query}"), 400, "invalid")


def test_an_advisory_names_what_it_affects_and_only_the_apvs_in_sight(cast: Cast, rita: Api, otto: Api) -> None:
    record = made.advisory("GHSA-both")
    AffectedPackage.objects.create(advisory=record, ecosystem="PyPI", name="requests")
    theirs = made.repository("other/secret")
    cast.other_team.repositories.add(theirs)
    mine, other = made.apv(cast.repository, record), made.apv(theirs, record)
    found = rita.get(f"{ADVISORIES}GHSA-both").json()
    assert found["affected"] == [{"ecosystem": "PyPI", "name": "requests"}]
    assert found["details"]
    assert found["references"]
    assert found["apvs"] == [mine.apv_code]
    assert otto.get(f"{ADVISORIES}GHSA-both").json()["apvs"] == [other.apv_code]


@pytest.mark.parametrize("name", ["GHSA-none", "%00", "a%00", "x" * 400])
def test_an_unknown_advisory_is_not_found(otto: Api, name: str) -> None:
    problem(otto.client.get(f"{ADVISORIES}{name}"), 404, "not_found")


def test_asking_for_a_reading_answers_with_where_to_follow_it(cast: Cast, rita: Api) -> None:
    answer = rita.post(f"/hitl/repositories/{cast.repository.pk}/immunize", {"again": True})
    assert answer.status_code == 202, answer.content
    scan = rita.get(answer["Location"])
    assert scan.json() == answer.json()
    assert scan.json()["state"] == "pending"
    assert Scan.objects.get().requested_by == cast.rita
    again = rita.post(f"/hitl/repositories/{cast.repository.pk}/immunize")
    assert again.json()["id"] == answer.json()["id"], "one that waits is enough"


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "/etc",
        "https://user:secret@git.example/a/b.git",
        "https://127.0.0.1/a/b.git",
        "https://not-configured.example/a/b.git",
        "http://github.com/a/b",
        "ext::sh -c id",
        "--upload-pack=id",
        "https://github.com/a/b\r\nx: y",
    ],
)
def test_an_address_that_is_not_to_be_asked_is_refused(cast: Cast, settings: Any, url: str) -> None:
    settings.GIT_HOSTS = ["github.com", "git.example"]
    before = Repository.objects.count()
    answer = session(cast.person(Role.OPERATOR)).post("/hitl/repositories/", {"url": url})
    problem(answer, 422, answer.json()["reason"])
    assert "secret" not in answer.content.decode()
    assert Repository.objects.count() == before


def test_who_does_not_see_all_registers_nothing_and_learns_nothing_of_what_others_have(
    cast: Cast, settings: Any
) -> None:
    settings.GIT_HOSTS, settings.GIT_ALLOW_PRIVATE_ADDRESSES = ["localhost"], True
    theirs = Repository.objects.create(name="other/secret", location="https://localhost/other/secret.git")
    cast.other_team.repositories.add(theirs)
    for role in (Role.VIEWER, Role.REVIEWER, Role.LEAD):
        api = session(cast.person(role))
        answers = [
            api.post("/hitl/repositories/", {"url": f"https://localhost/other/{name}"}) for name in ("secret", "x")
        ]
        problem(answers[0], 403, "not_allowed")
        assert answers[0].json() == answers[1].json()
    assert Repository.objects.count() == 2


def test_a_repository_is_registered_for_the_teams_named(cast: Cast, settings: Any) -> None:
    settings.GIT_HOSTS, settings.GIT_ALLOW_PRIVATE_ADDRESSES = ["localhost"], True
    api = session(cast.person(Role.OPERATOR))
    wanted = {"url": "https://localhost/a/b", "team_ids": [str(cast.other_team.pk)]}
    answer = api.post("/hitl/repositories/", wanted)
    assert answer.status_code == 201
    assert list(Repository.objects.get(pk=answer.json()["id"]).owners.all()) == [cast.other_team]
    assert api.post("/hitl/repositories/", wanted).json()["id"] == answer.json()["id"], "known already"
    wrong = {"url": "https://localhost/c/d", "team_ids": [str(cast.repository.pk)]}
    problem(api.post("/hitl/repositories/", wrong), 422, "unknown_team")


def test_a_scenario_is_attached_listed_and_accepted_by_another(cast: Cast, rita: Api, sol: Api) -> None:
    threat = made.proved_review(cast).items.get().apv
    address = f"/hitl/reviews/{threat.apv_code}/scenarios"
    archive = base64.b64encode(made.zipped(made.scenario(threat))).decode()
    answer = rita.post(address, {"archive": archive})
    assert answer.status_code == 201
    scenario = answer.json()
    assert (scenario["name"], scenario["version"], scenario["accepted_by"]) == ("theirs", 1, None)
    problem(rita.post(f"/hitl/scenarios/{scenario['id']}/accept"), 403, "second_person_needed")
    assert sol.post(f"/hitl/scenarios/{scenario['id']}/accept").json()["accepted_by"] == "Sol Serra"
    problem(sol.post(f"/hitl/scenarios/{scenario['id']}/accept"), 409, "accepted")
    assert [item["id"] for item in rita.get(address).json()["items"]] == [scenario["id"]]


@pytest.mark.parametrize(("archive", "status"), [("%%%", 400), ("bm8=", 422), ("A" * 700_000, 422)])
def test_what_is_no_scenario_is_refused_with_its_problems(cast: Cast, rita: Api, archive: str, status: int) -> None:
    code = made.proved_review(cast).items.get().apv.apv_code
    answer = rita.post(f"/hitl/reviews/{code}/scenarios", {"archive": archive})
    assert answer.status_code == status
    assert answer.json()["problems" if status == 422 else "fields"]


def test_a_wargame_is_cancelled_and_run_again_with_a_reason(cast: Cast, rita: Api) -> None:
    item = made.proved_review(cast).items.get()
    assert item.wargame is not None
    waits = made.wargame(item.wargame.remedy, item.apv, scenario="another", repeats=0, state="pending")
    problem(rita.post(f"/hitl/wargames/{waits.pk}/retry", {"reason": "again"}), 409, "not_ended")
    ended = rita.post(f"/hitl/wargames/{waits.pk}/cancel", {"reason": "It hangs."}).json()
    assert (ended["state"], ended["verdict"], ended["reason"]) == ("cancelled", "INCONCLUSIVE", "cancelled")
    assert [(order["kind"], order["by_name"], order["reason"]) for order in ended["orders"]] == [
        ("cancel", "Rita Reis", "It hangs.")
    ]
    answer = rita.post(f"/hitl/wargames/{waits.pk}/retry", {"reason": "The network is back."})
    assert answer.status_code == 201
    assert (answer.json()["state"], answer.json()["retry_of"]) == ("pending", str(waits.pk))
    problem(rita.post(f"/hitl/wargames/{waits.pk}/retry", {"reason": "and again"}), 409, "retried")
    assert rita.post(f"/hitl/wargames/{waits.pk}/cancel", {}).status_code == 400
