"""The broker's queues on a real RabbitMQ: quorum, the same for workers and set-up, and nothing that fails for ever goes round."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import pytest
from celery import Celery
from kombu import Connection, Queue

from immune import queues
from tests.conftest import provided
from tests.environment import worker
from tests.servers import vhost
from tests.worlds import World

NEW = dict.fromkeys(("dead", *queues.NAMES), "made")


@pytest.fixture
def broker_url() -> Iterator[str]:
    """An empty virtual host for one test of one of the processes that run tests side by side."""
    with vhost(provided("rabbitmq"), f"queues_{worker()}") as url:
        yield url


@pytest.fixture
def world(new_world: Callable[..., World], broker_url: str) -> World:
    return new_world("sqlite", RABBITMQ_URL=broker_url)


def set_up(world: World, *words: str, code: int = 0) -> dict[str, str]:
    done = world.manage("setup_queues", "--format", "json", *words)
    assert done.returncode == code, done.stderr
    return {made["queue"]: made["outcome"] for made in json.loads(done.stdout)["queues"]}


def listed(url: str) -> dict[str, str]:
    """Type of each queue, as the broker's own command line tells it."""
    server = provided("rabbitmq")
    done = subprocess.run(
        [*server.control, "--quiet", "list_queues", "-p", urlsplit(url).path[1:], "name", "type"],
        env=server.control_environment or None,
        capture_output=True,
        text=True,
        check=True,
    )
    return dict(line.split("\t") for line in done.stdout.splitlines() if line and not line.startswith("name"))


def test_set_up_makes_quorum_queues_and_doing_it_again_changes_nothing(world: World, broker_url: str) -> None:
    assert set_up(world) == NEW
    assert set_up(world) == dict.fromkeys(NEW, "there")
    types = listed(broker_url)
    assert set(types) == set(NEW)
    assert all("quorum" in kind for kind in types.values()), types


def test_a_queue_of_another_kind_is_reported_and_made_anew_only_when_asked(world: World, broker_url: str) -> None:
    with Connection(broker_url) as connection:
        Queue("forge", durable=True, channel=connection.channel()).declare()
    assert set_up(world, code=1)["forge"] == "different"
    assert "quorum" not in listed(broker_url)["forge"]
    assert set_up(world, "--replace")["forge"] == "replaced"
    assert "quorum" in listed(broker_url)["forge"]


def test_a_message_that_is_never_acknowledged_ends_in_the_dead_letters_and_stays(world: World, broker_url: str) -> None:
    set_up(world)
    app = Celery("sender", broker=broker_url, set_as_current=False)
    app.conf.task_queues = queues.work_queues()
    app.conf.broker_transport_options = {"confirm_publish": True}
    app.send_task("immune.tasks.work", args=["delivery", "7"], queue="wargame")
    deliveries = 0
    with Connection(broker_url) as connection, connection.channel() as channel:

        def refuse(message: object) -> None:
            nonlocal deliveries
            deliveries += 1
            message.reject(requeue=True)  # type: ignore[attr-defined]

        name = next(queue for queue in queues.work_queues() if queue.name == "wargame")
        dead: list[object] = []
        channel.basic_qos(0, 1, False)
        with (
            connection.Consumer(name, on_message=refuse, channel=channel, prefetch_count=1),
            connection.Consumer(queues.DEAD, on_message=dead.append, channel=connection.channel()),
        ):
            while not dead:
                connection.drain_events(timeout=30)
        [message] = dead
        assert deliveries == queues.DELIVERY_LIMIT + 1
        assert message.headers["x-death"][0]["queue"] == "wargame"  # type: ignore[attr-defined]
        assert message.headers["x-death"][0]["reason"] == "delivery_limit"  # type: ignore[attr-defined]
        assert message.headers["task"] == "immune.tasks.work"  # type: ignore[attr-defined]


def test_without_a_broker_there_is_nothing_to_set_up(new_world: Callable[..., World]) -> None:
    assert set_up(new_world("sqlite")) == {}


def test_a_broker_that_is_not_there_is_said_with_exit_code_1(new_world: Callable[..., World]) -> None:
    world = new_world("sqlite", RABBITMQ_URL="amqp://guest:guest@127.0.0.1:9//")
    done = world.manage("setup_queues", "--format", "json")
    assert done.returncode == 1
    assert json.loads(done.stdout)["refused"][0]["source"] == "broker"
