"""``/hooks/github``: who is believed, that a delivery is stored once and answered at once, and what it leads to."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from immune import hints, work
from immune.forges.webhooks import MAX_BYTES, signature
from immune.models import Scan, WebhookDelivery
from tests.reviews import cast as builders
from tests.reviews.cast import Cast

pytestmark = pytest.mark.django_db

SECRET, OLDER = "a secret of some length", "the secret before that one"
FULL_NAME = "demo/noticeboard"
COMMIT = "a" * 40


@pytest.fixture
def cast(db: None, settings: Any) -> Cast:
    settings.GITHUB_WEBHOOK_SECRETS = [SECRET, OLDER]
    made = Cast()
    made.repository.forge = "github"
    made.repository.location = f"https://github.com/{FULL_NAME}.git"
    made.repository.save(update_fields=["forge", "location"])
    return made


def push(branch: str = "main", full_name: str = FULL_NAME) -> bytes:
    body = {
        "ref": f"refs/heads/{branch}",
        "before": "b" * 40,
        "after": COMMIT,
        "forced": False,
        "created": False,
        "deleted": False,
        "repository": {"full_name": full_name, "default_branch": "main"},
    }
    return json.dumps(body).encode()


def send(
    raw: bytes, *, event: str = "push", pk: str = "delivery-0001", secret: str | None = SECRET, **more: str
) -> Any:
    headers = {"X-GitHub-Event": event, "X-GitHub-Delivery": pk, **more}
    if secret is not None:
        headers["X-Hub-Signature-256"] = signature(raw, secret.encode())
    # A client that checks CSRF tokens: GitHub has none.
    return Client(enforce_csrf_checks=True).post("/hooks/github", raw, content_type="application/json", headers=headers)


def worked_off() -> WebhookDelivery:
    while work.run_one("webhook"):
        pass
    return WebhookDelivery.objects.get()


@pytest.mark.parametrize("secret", [SECRET, OLDER])
def test_a_signed_push_to_the_default_branch_is_stored_at_once_and_later_has_the_repository_read(
    cast: Cast, secret: str
) -> None:
    raw = push()
    assert send(raw, secret=secret).status_code == 202
    stored = WebhookDelivery.objects.get()
    assert (stored.state, bytes(stored.raw)) == ("pending", raw)
    assert not Scan.objects.exists()

    done = worked_off()

    assert (done.state, done.outcome, bytes(done.raw)) == ("done", f"push:{COMMIT[:12]}", b"")
    assert Scan.objects.get().repository == cast.repository


def test_a_replayed_delivery_has_no_effect(cast: Cast) -> None:
    send(push())
    worked_off()
    assert send(push()).status_code == 200
    assert send(push("other")).status_code == 200, "the id counts, not the content"
    worked_off()
    assert Scan.objects.count() == 1


@pytest.mark.parametrize(
    ("raw", "event"),
    [
        (push("feature"), "push"),
        (push(full_name="demo/noticeboard2"), "push"),
        (push(full_name="else/noticeboard"), "push"),
        (b'{"zen": "x"}', "ping"),
        (b'{"action": "x"}', "never_heard_of"),
    ],
)
def test_what_gives_no_reason_to_look_leads_to_nothing(cast: Cast, raw: bytes, event: str) -> None:
    assert send(raw, event=event).status_code == 202
    assert worked_off().outcome == "nothing to do"
    assert not Scan.objects.exists()


def test_names_are_compared_as_github_does(cast: Cast) -> None:
    send(push(full_name="Demo/NoticeBoard"))
    worked_off()
    assert Scan.objects.count() == 1


@pytest.mark.parametrize(("number", "scans"), [(7, 1), (8, 0)])
def test_a_closed_pull_request_matters_when_it_is_ours(cast: Cast, number: int, scans: int) -> None:
    remedy = builders.proved_review(cast).remedy
    assert remedy is not None
    type(remedy).objects.filter(pk=remedy.pk).update(pull_request_number=7)
    body = {
        "action": "closed",
        "number": number,
        "pull_request": {
            "number": number,
            "state": "closed",
            "merged": True,
            "merge_commit_sha": COMMIT,
            "draft": False,
            "head": {"ref": "immune/x", "sha": COMMIT},
            "base": {"ref": "main", "sha": COMMIT},
        },
        "repository": {"full_name": FULL_NAME},
    }
    send(json.dumps(body).encode(), event="pull_request")
    assert worked_off().state == "done"
    assert Scan.objects.count() == scans


@pytest.mark.parametrize(
    ("given", "status", "reason"),
    [
        ({"secret": None}, 401, "unsigned"),
        ({"secret": "another secret altogether"}, 401, "wrong_signature"),
        ({"X-GitHub-Delivery": "../../x"}, 400, "no_delivery_id"),
        ({"X-GitHub-Event": "<script>"}, 400, "no_event"),
    ],
)
def test_what_is_not_genuine_is_refused_and_stores_nothing(
    cast: Cast, given: dict[str, Any], status: int, reason: str
) -> None:
    answer = send(push(), **given)
    assert answer.status_code == status
    assert answer["Content-Type"] == "application/problem+json"
    assert answer.json()["reason"] == reason
    assert not WebhookDelivery.objects.exists()


def test_a_body_over_the_limit_is_refused(cast: Cast) -> None:
    answer = send(b"x" * (MAX_BYTES + 1))
    assert (answer.status_code, answer.json()["reason"]) == (413, "too_large")


@pytest.mark.parametrize(
    "raw", [b"", b"[]", b"{", b"\xff", b'{"ref": 1, "repository": {"full_name": []}}', b"[" * 100_000]
)
def test_a_genuine_delivery_that_cannot_be_read_ends_as_failed_with_the_reason(cast: Cast, raw: bytes) -> None:
    assert send(raw).status_code == 202
    ended = worked_off()
    assert ended.state == "failed"
    assert ended.outcome
    assert not Scan.objects.exists()


def test_without_a_secret_the_address_is_not_there(cast: Cast, settings: Any) -> None:
    settings.GITHUB_WEBHOOK_SECRETS = []
    assert send(push()).status_code == 404


def test_a_get_is_told_how_to_ask(cast: Cast) -> None:
    answer = Client().get("/hooks/github")
    assert (answer.status_code, answer["Allow"]) == (405, "POST")


def test_what_was_worked_on_long_ago_is_forgotten_and_the_rest_kept(cast: Cast) -> None:
    send(push())
    assert hints.forget() == 0
    worked_off()
    assert hints.forget() == 0
    WebhookDelivery.objects.update(finished_at=timezone.now() - hints.KEPT * 2)
    assert hints.forget() == 1
