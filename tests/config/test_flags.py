"""What is switched off answers 404 or says so, nothing else breaks, and without wargaming nothing counts as proved."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest
from channels.testing import WebsocketCommunicator
from django.test import Client

from immune import work
from immune.models import APV
from reviews.live.consumers import LiveConsumer
from reviews.models import Review
from tests.environment import ROOT
from tests.reviews import cast as made
from tests.reviews.cast import Cast
from wargaming.models import Wargame

ASK = """
import django
django.setup()
from django.test import Client
for path in ("/metrics", "/hitl/health/live", "/hitl/openapi.json"):
    print(path, Client().get(path).status_code)
"""


@pytest.mark.parametrize(("flag", "status"), [("false", 404), ("true", 200)])
def test_metrics_answer_only_while_switched_on(flag: str, status: int) -> None:
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "PROMETHEUS_ENABLED": flag,
        "ALLOWED_HOSTS": "testserver",
        "LOG_LEVEL": "ERROR",
    }
    done = subprocess.run(
        [sys.executable, "-c", ASK], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.split("\n")[:3] == [f"/metrics {status}", "/hitl/health/live 200", "/hitl/openapi.json 200"]


async def test_without_the_live_feed_no_socket_opens_and_the_refusal_says_why(settings: Any) -> None:
    settings.WEBSOCKET_ENABLED = False
    socket = WebsocketCommunicator(LiveConsumer.as_asgi(), "/hitl/ws")
    socket.scope["extensions"] = {"websocket.http.response": {}}
    await socket.send_input({"type": "websocket.connect"})
    start = await socket.receive_output()
    body = await socket.receive_output()
    assert (start["type"], start["status"]) == ("websocket.http.response.start", 404)
    assert body["body"] == b"The live feed is switched off."
    plain = WebsocketCommunicator(LiveConsumer.as_asgi(), "/hitl/ws")
    connected, _ = await plain.connect()
    assert not connected


@pytest.mark.django_db
def test_without_the_live_feed_the_live_page_shows_what_is_known_and_says_that_it_stands_still(settings: Any) -> None:
    cast = Cast()
    made.proved_review(cast)
    client = Client()
    client.force_login(cast.rita)
    assert b"live updates are switched off</span>" not in client.get("/dashboard/").content
    settings.WEBSOCKET_ENABLED = False
    page = client.get("/dashboard/")
    assert page.status_code == 200
    assert b"live updates are switched off</span>" in page.content
    assert APV.objects.get().apv_code.encode() in page.content


@pytest.mark.django_db(transaction=True)
def test_without_wargames_every_one_ends_inconclusive_and_nothing_is_recommended_for_approval(settings: Any) -> None:
    settings.WARGAMING_ENABLED = False
    cast = Cast()
    threat = made.apv(cast.repository, made.advisory("GHSA-off"))
    change = made.remedy(cast.repository, threat)
    waiting = Wargame.objects.create(
        apv=threat,
        remedy=change,
        scenario="requests-cve-2024-35195",
        scenario_digest="a" * 64,
        base_commit=change.base_commit,
        head_commit=change.head_commit,
        patch_digest=change.patch_digest,
    )
    assert work.run_one("wargame", pk=str(waiting.pk))
    waiting.refresh_from_db()
    assert (waiting.state, waiting.verdict, waiting.reason) == ("finished", "INCONCLUSIVE", "wargaming_off")
    assert waiting.confidence == 0
    assert not waiting.runs.exists()
    threat.refresh_from_db()
    assert threat.wargame_verdict == "INCONCLUSIVE"
    review = made.review(change)
    assert review.weakest_verdict == "INCONCLUSIVE"
    assert review.recommendation == "ask"
    assert Review.objects.count() == 1
    client = Client()
    assert client.get("/hitl/health/components/sandbox").json()["status"] == "degraded"
