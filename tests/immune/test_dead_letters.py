"""What was given up: listed, shown and put back in line, in the database and on a real RabbitMQ."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from celery import Celery
from kombu import Connection
from kombu.message import Message

from immune import queues
from immune.events.actors import SYSTEM
from immune.events.log import act
from immune.models import Delivery, Event
from tests.worlds import World

HERE = "tests.immune.test_dead_letters"
PARKED_ERROR = "OSError: the chat is down"


def park() -> int:
    """A delivery that was given up; run in a world."""
    with act(SYSTEM) as log:
        log.record("x.y", subject="x:1", data={})
    made = Delivery.objects.create(
        event=Event.objects.get(), handler="h", state="parked", attempts=8, last_error=PARKED_ERROR
    )
    return made.pk


def state() -> tuple[str, int]:
    row = Delivery.objects.get()
    return row.state, row.attempts


def asked(world: World, *words: str, code: int) -> dict[str, Any]:
    done = world.manage("dead_letters", *words, "--format", "json")
    assert done.returncode == code, (done.stdout, done.stderr)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def kill_message(url: str, queue: str) -> None:
    """Sends a task and refuses it until it is dead."""
    app = Celery("sender", broker=url, set_as_current=False)
    app.conf.task_queues = queues.work_queues()
    app.conf.broker_transport_options = {"confirm_publish": True}
    with Connection(url) as connection:
        for declared in (queues.DEAD, *queues.work_queues()):
            bound = declared.bind(connection.channel())
            bound.declare()
            bound.purge()  # what earlier tests left in this virtual host of ours is not meant
        app.send_task("immune.tasks.work", args=["delivery", "7"], queue=queue)
        source = next(known for known in queues.work_queues() if known.name == queue)
        dead = 0
        while not dead:
            with connection.channel() as channel:
                message = source.bind(channel).get(no_ack=False)
                if message is not None:
                    message.reject(requeue=True)
                dead = queues.DEAD.bind(channel).queue_declare(passive=True).message_count


def taken(url: str, queue: str) -> Message | None:
    with Connection(url) as connection, connection.channel() as channel:
        source = next(known for known in queues.work_queues() if known.name == queue)
        return source.bind(channel).get(no_ack=True)


def test_a_parked_delivery_is_listed_shown_and_put_back_in_line(new_world: Callable[..., World]) -> None:
    world = new_world("sqlite")
    assert asked(world, "list", code=0) == {"dead_letters": [], "refused": []}
    name = f"delivery:{world.call(f'{HERE}:park')}"
    [letter] = asked(world, "list", code=1)["dead_letters"]
    assert (letter["id"], letter["reason"], letter["attempts"]) == (name, PARKED_ERROR, 8)
    assert asked(world, "show", name, code=0)["detail"]["handler"] == "h"
    assert asked(world, "replay", name, code=0) == {"replayed": [name], "refused": []}
    assert world.call(f"{HERE}:state") == ["pending", 0]
    assert asked(world, "replay", name, code=2)["refused"][0]["source"] == name, "it is not dead any more"


def test_what_is_not_a_dead_letter_is_bad_input(new_world: Callable[..., World]) -> None:
    world = new_world("sqlite")
    for words in (["show", "delivery:1"], ["show"], ["replay"], ["list", "delivery:1"]):
        assert world.manage("dead_letters", *words).returncode == 2, words
    for name in ("delivery:x", "nothing", "forge:1"):
        asked(world, "replay", name, code=2)


def test_a_dead_message_is_seen_without_being_taken_and_replayed_to_the_queue_it_came_from(
    new_world: Callable[..., World], rabbitmq_url: str
) -> None:
    world = new_world("sqlite", RABBITMQ_URL=rabbitmq_url)
    kill_message(rabbitmq_url, "forge")
    [letter] = asked(world, "list", code=1)["dead_letters"]
    assert letter["reason"] == "delivery_limit"
    assert letter["detail"]["queue"] == "forge"
    assert "immune.tasks.work('delivery', '7')" in letter["about"].replace("[", "(").replace("]", ")")
    assert [again["id"] for again in asked(world, "list", code=1)["dead_letters"]] == [letter["id"]], (
        "looking takes none"
    )
    assert asked(world, "replay", "--all", code=0)["replayed"] == [letter["id"]]
    assert asked(world, "list", code=0)["dead_letters"] == []
    message = taken(rabbitmq_url, "forge")
    assert message is not None
    assert message.headers["task"] == "immune.tasks.work"
    assert "x-death" not in message.headers
    assert json.loads(message.body)[0] == ["delivery", "7"]


def test_a_broker_that_is_not_there_is_not_an_empty_list(new_world: Callable[..., World]) -> None:
    world = new_world("sqlite", RABBITMQ_URL="amqp://guest:guest@127.0.0.1:9//")
    assert asked(world, "list", code=1)["refused"][0]["source"] == "broker"
