"""Policies, reflexes, freezes and the switch through the API."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from immune.models import Event, Role
from reviews.models import Decision, Rule
from tests.reviews import cast as made
from tests.reviews.api.conftest import Api, bearer, code_of, problem, session
from tests.reviews.cast import Cast

CONTENT = {"conditions": {"severities": ["HIGH"], "minimum_release_age": 3}, "required_approvals": 2}


@pytest.fixture
def ada(cast: Cast) -> Api:
    return session(cast.person(Role.ADMIN))


def create(ada: Api, name: str = "grave", **content: Any) -> dict[str, Any]:
    answer = ada.post("/hitl/policies/", {"name": name, "content": content or CONTENT, "note": "asked by security"})
    assert answer.status_code == 201, answer.content
    found: dict[str, Any] = answer.json()
    assert answer["Location"] == f"/hitl/policies/{found['id']}"
    return found


def test_a_policy_is_made_edited_and_switched_on_by_version(ada: Api, rita: Api) -> None:
    policy = create(ada)
    path = f"/hitl/policies/{policy['id']}"
    assert policy["active"] is None
    assert policy["versions"][0]["content"]["conditions"] == {"severities": ["HIGH"], "minimum_release_age": 3.0}
    edited = ada.post(f"{path}/versions", {"content": {"required_approvals": 3}, "seen": 1}).json()
    assert [version["number"] for version in edited["versions"]] == [2, 1]
    problem(ada.post(f"{path}/versions", {"content": {}, "seen": 1}), 412, "stale_policy")
    assert ada.post(f"{path}/switch-on", {"version": 1}).json()["active"]["number"] == 1
    assert rita.get("/hitl/policies/").json()["items"][0]["active"]["number"] == 1
    assert ada.post(f"{path}/switch-off").json()["active"] is None
    found = problem(ada.post(f"{path}/switch-on", {"version": 9}), 422, "bad_policy")
    assert found["fields"] == {"version": "is none of its versions"}


@pytest.mark.parametrize(
    ("content", "status", "field"),
    [
        ({"nonsense": 1}, 400, "content"),
        ({"conditions": {"severities": ["WORST"]}}, 422, "conditions.severities"),
        ({"automatic": True, "required_approvals": 2}, 422, "automatic"),
        ({"required_approvals": "2"}, 400, "content"),
        ({"team": "nobody", "required_approvals": 2}, 422, "team"),
    ],
)
def test_what_is_no_policy_is_refused_by_the_name_of_its_field(ada: Api, content: Any, status: int, field: str) -> None:
    answer = ada.post("/hitl/policies/", {"name": "x", "content": content})
    assert field in problem(answer, status, "invalid" if status == 400 else "bad_policy")["fields"]
    assert not Rule.objects.exists()


def test_the_order_is_given_whole(ada: Api) -> None:
    ids = [create(ada, name)["id"] for name in ("one", "two")]
    answer = ada.post("/hitl/policies/order", {"order": ids[::-1]})
    assert [item["name"] for item in answer.json()["items"]] == ["two", "one"]
    problem(ada.post("/hitl/policies/order", {"order": ids[:1]}), 422, "bad_policy")


def test_the_dry_run_of_what_was_decided(cast: Cast, ada: Api, rita: Api) -> None:
    rita.decide(made.proved_review(cast), "reject")
    policy = create(ada, automatic=True)
    found = rita.get(f"/hitl/policies/{policy['id']}/dry-run").json()
    assert found["totals"]["automatic_against_people"] == 1
    assert found["rounds"][0]["decided"] == "reject"
    assert rita.get(f"/hitl/policies/{policy['id']}/dry-run", version="7").status_code == 404
    assert session(cast.otto).get(f"/hitl/policies/{policy['id']}/dry-run").json()["rounds"] == []


def test_what_policy_asked_for_is_shown_with_the_round_and_its_decisions(
    cast: Cast, ada: Api, rita: Api, sol: Api
) -> None:
    policy = create(ada, required_approvals=2, team=str(cast.team.pk))
    ada.post(f"/hitl/policies/{policy['id']}/switch-on", {"version": 1})
    review = made.proved_review(cast)
    spoke = [{"version": policy["versions"][0]["id"], "name": "grave", "number": 1}]
    shown = rita.get(f"/hitl/reviews/{code_of(review)}").json()["review"]
    assert (shown["required_approvals"], shown["policies"]) == (2, spoke)
    assert shown["required_groups"] == [[str(cast.team.pk), "Board"]]
    assert rita.decide(review).json()["is_final"] is False
    problem(rita.decide(review), 409, "second_person_needed")
    boss = made.account("outside-the-team", Role.ADMIN)
    assert problem(session(boss).decide(review), 409, "not_of_the_group")["groups"] == ["Board"]
    last = sol.decide(review).json()
    assert (last["is_final"], last["is_automatic"], last["policies"]) == (True, False, spoke)


def test_reflexes_have_the_same_ways_and_a_policy_is_none_of_them(ada: Api) -> None:
    reflex = ada.post("/hitl/reflexes/", {"name": "exploited", "content": made.REFLEX}).json()
    path = f"/hitl/reflexes/{reflex['id']}"
    assert ada.post(f"{path}/versions", {"content": {"minimum_epss": 0.5, "raise_to": "P1"}}).status_code == 200
    assert ada.post(f"{path}/switch-on", {"version": 2}).json()["active"]["content"]["raise_to"] == "P1"
    assert ada.post(f"{path}/switch-off").status_code == 200
    assert ada.get(f"/hitl/policies/{reflex['id']}").status_code == 404
    problem(ada.post("/hitl/reflexes/", {"name": "x", "content": {"notify": True}}), 422, "bad_policy")


def test_the_switch_starts_disarmed_and_takes_a_person_who_signed_in(cast: Cast, ada: Api, rita: Api) -> None:
    assert rita.get("/hitl/automatic").json()["state"] == "disarmed"
    reason = {"reason": "The dry run of a month agreed."}
    boss = made.account("boss", Role.ADMIN)
    problem(bearer(boss, "read", "administer").post("/hitl/automatic/arm", reason), 403, "not_allowed")
    assert ada.post("/hitl/automatic/arm", reason).json()["state"] == "armed"
    viewer = session(cast.person(Role.VIEWER))
    problem(viewer.post("/hitl/automatic/disarm", reason), 403, "not_allowed")
    stopped = rita.post("/hitl/automatic/disarm", {"reason": "Something smells."}).json()
    assert (stopped["state"], stopped["reason"], stopped["changed_by"]) == (
        "disarmed",
        "Something smells.",
        "Rita Reis",
    )
    operator = session(cast.person(Role.OPERATOR))
    assert operator.post("/hitl/automatic/disarm", reason).status_code == 200


def freeze_body(cast: Cast, **more: Any) -> dict[str, Any]:
    ends = (timezone.now() + timedelta(days=2)).isoformat()
    where = str(cast.repository.pk)
    return {
        "repository_id": where,
        "reason": "release",
        "starts_at": timezone.now().isoformat(),
        "ends_at": ends,
        **more,
    }


def test_a_lead_freezes_what_the_team_owns_and_an_operator_everything(cast: Cast, rita: Api, otto: Api) -> None:
    lead, operator = session(cast.person(Role.LEAD)), session(cast.person(Role.OPERATOR))
    here = lead.post("/hitl/freezes/", freeze_body(cast))
    assert here.status_code == 201
    problem(lead.post("/hitl/freezes/", freeze_body(cast, repository_id=None)), 403, "not_allowed")
    everywhere = operator.post("/hitl/freezes/", freeze_body(cast, repository_id=None)).json()
    problem(rita.post("/hitl/freezes/", freeze_body(cast)), 403, "not_allowed")
    problem(otto.post("/hitl/freezes/", freeze_body(cast)), 404, "not_found")
    assert {row["id"] for row in rita.get("/hitl/freezes/", holding="true").json()["items"]} == {
        here.json()["id"],
        everywhere["id"],
    }
    assert [row["id"] for row in otto.get("/hitl/freezes/").json()["items"]] == [everywhere["id"]]
    problem(otto.post(f"/hitl/freezes/{here.json()['id']}/end"), 404, "not_found")
    problem(rita.post(f"/hitl/freezes/{here.json()['id']}/end"), 403, "not_allowed")
    assert lead.post(f"/hitl/freezes/{here.json()['id']}/end").json()["ended_at"]
    problem(lead.post(f"/hitl/freezes/{here.json()['id']}/end"), 422, "ended")
    labelled = freeze_body(cast, repository_id=None, label="pci")
    problem(lead.post("/hitl/freezes/", labelled), 403, "not_allowed")
    assert operator.post("/hitl/freezes/", labelled).json()["label"] == "pci"
    for label in ("", "   "):
        problem(operator.post("/hitl/freezes/", {**labelled, "label": label}), 400, "invalid")
    problem(operator.post("/hitl/freezes/", freeze_body(cast, label="pci")), 422, "bad_freeze")


@pytest.mark.parametrize(
    "more",
    [{"ends_at": "2020-01-01T00:00:00Z"}, {"ends_at": "2999-01-01T00:00:00Z"}, {"starts_at": "2998-01-01T00:00:00Z"}],
)
def test_a_freeze_needs_a_span_that_can_be(cast: Cast, more: dict[str, str]) -> None:
    lead = session(cast.person(Role.LEAD))
    problem(lead.post("/hitl/freezes/", freeze_body(cast, **more)), 422, "bad_freeze")


def test_labels_are_set_by_who_administers_and_told(cast: Cast, ada: Api) -> None:
    path = f"/hitl/repositories/{cast.repository.pk}/labels"
    assert ada.post(path, {"labels": ["web", " board ", "web"]}).json()["labels"] == ["board", "web"]
    assert ada.post(path, {"labels": ["board", "web"]}).status_code == 200
    assert Event.objects.filter(kind="repository.labelled").count() == 1
    problem(ada.post(path, {"labels": ["a\u0000"]}), 400, "invalid")
    assert not Decision.objects.exists()
