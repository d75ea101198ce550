"""What is asked of RabbitMQ beside sending and taking tasks: setting up its queues, counting what waits in them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from amqp.exceptions import NotFound, PreconditionFailed
from celery import current_app
from django.conf import settings
from kombu.connection import Connection
from kombu.entity import Queue
from kombu.exceptions import OperationalError

from immune import queues

CONNECT_SECONDS = 4


class BrokerDown(Exception):
    """The broker does not answer, does not let us in, or no broker is configured."""


@dataclass(frozen=True, slots=True)
class Declared:
    """One queue after set-up. ``outcome``: ``there``, ``made``, ``replaced``, or ``different`` (left as it is, unusable)."""

    queue: str
    outcome: str


@contextmanager
def connected() -> Iterator[Connection]:
    """A connection to RabbitMQ. Raises BrokerDown."""
    if not settings.RABBITMQ_URL:
        raise BrokerDown("RABBITMQ_URL names no broker: work runs in process")
    try:
        with current_app.connection_for_write(settings.RABBITMQ_URL, connect_timeout=CONNECT_SECONDS) as connection:
            connection.ensure_connection(max_retries=1, timeout=CONNECT_SECONDS)
            yield connection
    except (OperationalError, *Connection(settings.RABBITMQ_URL).connection_errors) as error:
        raise BrokerDown(f"the broker does not answer: {error}") from error


def set_up(*, replace: bool = False) -> list[Declared]:
    """Declares exchanges and queues as workers do. Idempotent. Raises BrokerDown.

    A queue that is there with other arguments is left and reported, or deleted and made anew with ``replace``: its messages are
    wake-ups, which the next sweep sends again.
    """
    with connected() as connection:
        # The dead letters first, so that no queue ever points to an exchange that is not there.
        return [_declare(connection, queue, replace=replace) for queue in (queues.DEAD, *queues.work_queues())]


def _declare(connection: Connection, queue: Queue, *, replace: bool) -> Declared:
    before = count(connection, queue.name)
    try:
        with connection.channel() as channel:
            queue.bind(channel).declare()
    except PreconditionFailed:
        if not replace:
            return Declared(queue.name, "different")
        with connection.channel() as channel:
            queue.bind(channel).delete()
            queue.bind(channel).declare()
        return Declared(queue.name, "replaced")
    return Declared(queue.name, "made" if before is None else "there")


def look() -> list[Declared]:
    """The state of each queue without making any: ``there``, ``missing`` or ``different``. Raises BrokerDown."""
    with connected() as connection:
        return [
            # Declaring what is there as it is there changes nothing; the broker has no other way to say that it differs.
            Declared(queue.name, "missing")
            if count(connection, queue.name) is None
            else _declare(connection, queue, replace=False)
            for queue in (queues.DEAD, *queues.work_queues())
        ]


def count(connection: Connection, name: str) -> int | None:
    """Messages that wait in a queue, None when there is no such queue. An error closes its channel, so each asks on its own."""
    try:
        with connection.channel() as channel:
            return int(channel.queue_declare(name, passive=True).message_count)
    except NotFound:
        return None


def waiting() -> dict[str, int | None]:
    """Messages that wait, by queue; None for a queue that is not there. Raises BrokerDown."""
    with connected() as connection:
        return {name: count(connection, name) for name in (*queues.NAMES, queues.DEAD.name)}
