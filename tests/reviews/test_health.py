"""The health addresses: open to everybody, saying states and nothing else."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import OperationalError
from django.test import Client

from immune.models import ForgeJob
from immune.models.remedies import ForgeJobState
from reviews import health
from tests.reviews import cast as made
from tests.reviews.cast import Cast

PATHS = ("", "/ready", "/live", "/components", *(f"/components/{name}" for name in health.COMPONENTS))


@pytest.mark.django_db
@pytest.mark.parametrize("path", PATHS)
def test_anybody_may_ask(path: str) -> None:
    answer = Client().get(f"/hitl/health{path}")
    assert answer.status_code == 200
    assert answer.json()["status"] in ("ok", "degraded")
    assert set(answer.json()) == {"status", "name", "version", "components"}


@pytest.mark.django_db
def test_an_unknown_part_is_not_found() -> None:
    answer = Client().get("/hitl/health/components/engine%00")
    assert answer.status_code == 404
    assert answer["Content-Type"] == "application/problem+json"


class Away:
    def cursor(self) -> Any:
        raise OperationalError("could not connect to db.internal")


def test_without_its_database_it_lives_but_is_not_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "connection", Away())
    client = Client()
    assert client.get("/hitl/health/live").status_code == 200
    for path in ("", "/ready", "/components/database", "/components/migrations", "/components/work"):
        answer = client.get(f"/hitl/health{path}")
        assert answer.status_code == 503, path
        assert answer.json()["status"] == "down"
        assert b"db.internal" not in answer.content
    assert client.get("/hitl/health/components").json()["components"]["database"] == "down"


@pytest.mark.django_db
def test_a_broker_or_doorbell_that_is_away_degrades_and_does_not_stop(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.RABBITMQ_URL = "amqp://guest:hidden@127.0.0.1:1//"
    settings.REDIS_URL = "redis://127.0.0.1:1/0"

    class Gone:
        def get(self, key: str) -> Any:
            raise ConnectionError("no answer from 127.0.0.1:1")

    def refused(**more: Any) -> Any:
        raise OSError("connection refused")

    monkeypatch.setattr(health, "cache", Gone())
    monkeypatch.setattr(health.current_app, "connection_for_write", refused)
    answer = Client().get("/hitl/health")
    assert answer.status_code == 200
    found = answer.json()
    assert found["status"] == "degraded"
    assert found["components"]["broker"] == found["components"]["doorbell"] == "degraded"
    assert b"hidden" not in answer.content


@pytest.mark.django_db
def test_work_that_waits_for_a_person_shows() -> None:
    cast = Cast()
    review = made.proved_review(cast)
    assert health.work() == "ok"
    ForgeJob.objects.create(
        remedy=review.remedy, kind="merge_pr", head_commit="a" * 40, cause="test", state=ForgeJobState.FAILED
    )
    assert health.work() == "degraded"


def test_the_parts_are_those_the_document_names() -> None:
    assert set(health.NEEDED) <= set(health.COMPONENTS)
    with pytest.raises(KeyError):
        health.component("nothing")
