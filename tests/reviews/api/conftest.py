"""The cast, and clients of the API that speak for one of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from django.core.cache import cache
from django.test import Client

from immune.events.actors import SYSTEM
from immune.models import Account
from immune.people.services import create_token
from reviews.models import Review
from tests.reviews.cast import Cast

JUSTIFICATION = "Both runs were read; the change is what it says."


@dataclass
class Api:
    """A client of the API. Bodies go out as JSON unless ``content_type`` says otherwise."""

    client: Client = field(default_factory=Client)
    headers: dict[str, str] = field(default_factory=dict)

    def get(self, path: str, **parameters: Any) -> Any:
        return self.client.get(path, parameters, headers=self.headers)

    def post(self, path: str, body: Any = None, *, content_type: str = "application/json", **headers: str) -> Any:
        data = {} if body is None else body
        more = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.client.post(path, data, content_type=content_type, headers=self.headers | more)

    def decide(self, review: Review, decision: str = "approve", *, code: str = "", **more: Any) -> Any:
        """Gives a decision having seen the round as it is given here. ``headers`` go out as headers."""
        headers = more.pop("headers", {})
        body = {
            "apv_code": code or code_of(review),
            "decision": decision,
            "justification": JUSTIFICATION,
            "head_commit": review.head_commit,
            "patch_digest": review.patch_digest,
            **more,
        }
        return self.post("/hitl/decisions/", body, **headers)


def code_of(review: Review) -> str:
    return review.items.order_by("apv__apv_code").values_list("apv__apv_code", flat=True)[0]


def session(account: Account) -> Api:
    client = Client()
    client.force_login(account)
    return Api(client)


def bearer(account: Account, *scopes: str) -> Api:
    _, text = create_token(
        actor=SYSTEM, account=account, name="a script", scopes=list(scopes), lifetime=timedelta(days=1)
    )
    return Api(headers={"Authorization": f"Bearer {text}"})


def problem(answer: Any, status: int, reason: str) -> dict[str, Any]:
    """The problem document of a refusal, checked for the members each has."""
    assert answer.status_code == status, answer.content
    assert answer["Content-Type"] == "application/problem+json"
    found: dict[str, Any] = answer.json()
    assert found["status"] == status
    assert found["type"] == "about:blank"
    assert found["title"]
    assert found["detail"]
    assert found["reason"] == reason
    return found


@pytest.fixture(autouse=True)
def unhurried() -> Iterator[None]:
    """No test is slowed by what another one asked before."""
    cache.clear()
    yield
    cache.clear()


@pytest.fixture
def cast(db: None) -> Cast:
    return Cast()


@pytest.fixture
def rita(cast: Cast) -> Api:
    return session(cast.rita)


@pytest.fixture
def sol(cast: Cast) -> Api:
    return session(cast.sol)


@pytest.fixture
def otto(cast: Cast) -> Api:
    return session(cast.otto)
