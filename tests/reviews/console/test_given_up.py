"""What was given up, in the console: one page for all of it, put back in line by operators, each replay on record."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from immune.models import Account, Delivery, Event, Role
from tests.immune.test_dead_letters import kill_message, taken
from tests.reviews import cast as builders
from tests.reviews.cast import Cast
from tests.servers.private import free_port

SignedIn = Callable[[Account], Client]
PAGE = "admin:immune_delivery_dead_letters"


@pytest.fixture
def operator(cast: Cast, signed_in: SignedIn) -> Client:
    return signed_in(builders.account("ola", Role.OPERATOR))


def parked(cast: Cast) -> Delivery:
    builders.proved_review(cast)
    event = Event.objects.latest("position")
    return Delivery.objects.create(event=event, handler="x", state="parked", attempts=8, last_error="<b>no</b>")


def said(client: Client) -> str:
    return client.get(reverse(PAGE)).content.decode()


@pytest.mark.parametrize("way", ["list", "letters"])
def test_a_parked_delivery_is_put_back_in_line_by_an_operator_and_that_is_recorded(
    cast: Cast, operator: Client, way: str
) -> None:
    delivery = parked(cast)
    assert f"delivery:{delivery.pk}" in said(operator)
    assert "<b>no</b>" not in said(operator)
    address, data = {
        "list": (reverse("admin:immune_delivery_replay", args=(delivery.pk,)), {}),
        "letters": (reverse("admin:immune_delivery_replay_letter"), {"letter": f"delivery:{delivery.pk}"}),
    }[way]
    operator.post(address, data)
    delivery.refresh_from_db()
    assert (delivery.state, delivery.attempts) == ("pending", 0)
    event = Event.objects.latest("position")
    assert (event.kind, event.subject) == ("delivery.replayed", f"delivery:{delivery.pk}")
    assert event.actor.startswith("account:")
    assert "not parked" in operator.post(address, data, follow=True).content.decode()
    assert Event.objects.latest("position") == event


def test_a_message_that_died_in_the_broker_is_shown_and_put_back_in_line(
    cast: Cast, operator: Client, settings: Any, rabbitmq_url: str
) -> None:
    settings.RABBITMQ_URL = rabbitmq_url
    kill_message(rabbitmq_url, "forge")
    page = said(operator)
    assert "immune.tasks.work" in page
    name = page.split('name="letter" value="')[1].split('"')[0]
    assert name.startswith("message:")
    operator.post(reverse("admin:immune_delivery_replay_letter"), {"letter": name})
    assert taken(rabbitmq_url, "forge") is not None
    assert Event.objects.latest("position").kind == "message.replayed"
    assert "Nothing here." in said(operator)


def test_a_broker_that_does_not_answer_is_said_and_never_shown_as_empty(
    cast: Cast, operator: Client, settings: Any
) -> None:
    settings.RABBITMQ_URL = f"amqp://guest:guest@127.0.0.1:{free_port()}//"
    page = said(operator)
    assert "could not be asked" in page
    assert "Nothing here." not in page


@pytest.mark.parametrize("letter", ["", "delivery:", "delivery:9999999999999999999", "message:x", "x:1", "forge:x"])
def test_an_unknown_letter_is_refused_with_words(cast: Cast, operator: Client, letter: str) -> None:
    answer = operator.post(reverse("admin:immune_delivery_replay_letter"), {"letter": letter}, follow=True)
    assert answer.status_code == 200
    assert not Event.objects.filter(kind__endswith=".replayed").exists()
