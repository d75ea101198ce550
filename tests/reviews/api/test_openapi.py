"""The OpenAPI document: committed as the code says it, and kept to by every answer."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from django.core.management import call_command
from django.core.signals import request_finished, request_started
from django.db import close_old_connections
from django.test import Client
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import CHECKS

from config.wsgi import application
from immune.events.actors import SYSTEM
from immune.models import Advisory, Job, Question, Role, Scan
from immune.people.selectors import viewer_of
from immune.people.services import create_token
from reviews import campaigns
from reviews.api import docs
from reviews.bulk import Seen
from reviews.decisions import Asked
from reviews.notices.models import Notice, NoticeChannel
from tests.environment import ROOT
from tests.reviews import cast as made
from tests.reviews.api.conftest import JUSTIFICATION, Api, bearer, code_of, session
from tests.reviews.cast import Cast

COMMITTED = ROOT / "docs" / "openapi.json"


def test_the_committed_document_is_what_the_code_says(db: None) -> None:
    answer = Client().get("/hitl/openapi.json")
    assert answer["Content-Type"] == "application/json"
    assert answer.json() == json.loads(COMMITTED.read_text()), "run `make openapi`"


def test_the_document_is_openapi_3_1_and_made_without_a_warning(tmp_path: Any) -> None:
    path = tmp_path / "openapi.json"
    call_command(
        "spectacular", "--format", "openapi-json", "--validate", "--fail-on-warn", "--file", str(path), verbosity=0
    )
    found = json.loads(path.read_text())
    assert found["openapi"].startswith("3.1.")
    text = json.dumps(found)
    assert '"nullable"' not in text, "3.0's word"
    names = list(found["components"]["schemas"])
    assert not [name for name in names if name.endswith("Enum")], "an enum that nobody named"


def test_every_operation_says_who_may_ask_and_what_is_refused() -> None:
    for path, item in docs.document()["paths"].items():
        for method, operation in item.items():
            answers = set(operation["responses"])
            assert operation["description"], (method, path)
            if path.startswith("/hitl/health"):
                assert "security" not in operation or operation["security"] == [{}], path
                continue
            assert {"token": []} in operation["security"]
            assert {"401", "403", "404", "429"} <= answers, (method, path)
            for code in answers - {"200", "201", "202"}:
                assert list(operation["responses"][code]["content"]) == ["application/problem+json"]
            if "requestBody" in operation:
                assert {"400", "413", "415"} <= answers, (method, path)


def test_the_page_lists_every_operation(db: None) -> None:
    page = Client().get("/hitl/docs")
    assert page.status_code == 200
    text = page.content.decode()
    for path, item in docs.document()["paths"].items():
        assert path in text
        assert all(operation["operationId"] in text for operation in item.values())
    assert "<script" not in text


SCHEMA = schemathesis.openapi.from_dict(docs.document())
SCHEMA.app = application
KEPT_TO = [
    check
    for check in CHECKS.get_all()
    if check.__name__
    in (
        "not_a_server_error",
        "status_code_conformance",
        "content_type_conformance",
        "response_schema_conformance",
        "response_headers_conformance",
        "negative_data_rejection",
    )
]


@pytest.fixture
def world(cast: Cast) -> Iterator[dict[str, Any]]:
    """One of everything, and who may do anything with it."""
    admin = cast.person(Role.ADMIN)
    review = made.proved_review(cast, apvs=2)
    decided = made.proved_review(cast, package="flask")
    decision = session(cast.rita).decide(decided, "escalate").json()["id"]
    scan = Scan.objects.create(repository=cast.repository, cause="asked")
    record = Advisory.objects.get(pk=review.items.all()[0].apv.advisory_id)
    campaign = campaigns.start(
        account=admin,
        viewer=viewer_of(admin),
        advisory=record,
        asked=Asked("approve", JUSTIFICATION),
        seen=[Seen(review, review.head_commit, review.patch_digest, review.version)],
    )
    token, _ = create_token(actor=SYSTEM, account=admin, name="another", scopes=["read"])
    channel = NoticeChannel.objects.create(team=cast.team, name="theirs", kind="mail", topics=["reviews"])
    # Django ends a connection with the request, and its test client, used above, restores that; here the test's own
    # transaction lives on the connection.
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield {
        "headers": bearer(admin, "read", "decide", "lead", "immunize", "operate", "administer").headers,
        "apv_code": code_of(review),
        "review": {
            "review_id": str(review.pk),
            "head_commit": review.head_commit,
            "patch_digest": review.patch_digest,
            "version": review.version,
        },
        "ids": {
            "advisories": record.pk,
            "campaigns": str(campaign.pk),
            "aftermaths": str(made.alarmed(cast.repository).pk),
            "decisions": decision,
            "repositories": str(cast.repository.pk),
            "reports": str(Job.objects.create(repository=cast.repository, source="trivy.json", size=2).pk),
            "jobs": str(Job.objects.create(repository=cast.repository, source="trivy.json", size=2).pk),
            "reviews": Question.objects.create(apv=review.items.all()[0].apv, kind="alias_removed", about="x").pk,
            "scans": str(scan.pk),
            "suppressions": made.set_aside(cast.repository, cast.rita).pk,
            "scenarios": str(made.attached(review.items.all()[0].apv, by=cast.sol).pk),
            "tokens": str(token.pk),
            "policies": str(made.rule("policy").rule_id),
            "reflexes": str(made.rule("reflex").rule_id),
            "freezes": made.freeze(cast.repository).pk,
            "channels": str(channel.pk),
            "notices": str(Notice.objects.create(channel=channel, key="test:1", state="done").pk),
            "wargames": str(review.items.all()[0].wargame_id),
        },
    }
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


def met(case: Any, world: dict[str, Any]) -> Any:
    """The case about things that are there, so that more than 404 is tried."""
    resource = case.path.split("/")[2]
    if "id" in case.path_parameters:
        case.path_parameters["id"] = world["ids"][resource]
    if "apv_code" in case.path_parameters:
        case.path_parameters["apv_code"] = world["apv_code"]
    if "name" in case.path_parameters:
        case.path_parameters["name"] = "database"
    if isinstance(case.body, dict) and "apv_code" in case.body:
        case.body |= {"apv_code": world["apv_code"]}
        case.body |= {"justification": JUSTIFICATION} if resource == "decisions" else {}
    if isinstance(case.body, dict) and "apv_codes" in case.body:
        case.body |= {"apv_codes": [world["apv_code"]]}
    if isinstance(case.body, dict) and isinstance(case.body.get("reviews"), list):
        case.body |= {"reviews": [world["review"]], "justification": JUSTIFICATION}
    if isinstance(case.body, dict) and "advisory_id" in case.body:
        case.body |= {"advisory_id": world["ids"]["advisories"]}
    return case


@SCHEMA.parametrize()
@settings(
    max_examples=2,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_no_answer_is_a_fault_or_undeclared(case: Any, world: dict[str, Any], settings: Any) -> None:
    settings.API_RATE_PER_MINUTE = settings.API_ANONYMOUS_RATE_PER_MINUTE = 0
    case.call_and_validate(headers=world["headers"], checks=KEPT_TO)
    answer = met(case, world).call(headers=world["headers"])
    case.validate_response(answer, checks=[check for check in KEPT_TO if check.__name__ != "negative_data_rejection"])


def test_an_etag_is_said_where_there_is_a_round(cast: Cast) -> None:
    review = made.proved_review(cast)
    answer = Api(headers=bearer(cast.rita, "read").headers).get(f"/hitl/reviews/{code_of(review)}")
    assert answer["ETag"] == f'"{review.version}"'
