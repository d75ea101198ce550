"""What was given up and kept: messages in the broker's dead letters, parked deliveries and failed forge jobs. Seen, shown, replayed.

Messages are wake-ups, so replaying one is harmless and rarely needed; a dead letter above all says which work keeps ending its
worker. A failed forge job is never replayed here: it came back to people as a new round of its review, who decide again.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from amqp.exceptions import NotFound
from django.conf import settings
from kombu.connection import Connection
from kombu.message import Message

from immune import broker, deliveries, queues
from immune.events.actors import Actor
from immune.events.log import act
from immune.models import Delivery, ForgeJob
from immune.models.events import DeliveryState
from immune.models.remedies import ForgeJobState

MOST = 1000


class Unknown(LookupError):
    """No dead letter has this name."""


class NotReplayable(Exception):
    """This one is not repeated as it is; the text says what to do instead."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """``id`` is ``message:…``, ``delivery:…`` or ``forge:…``; ``at`` is ISO text, empty where nobody noted it."""

    id: str
    kind: str
    about: str
    reason: str
    at: str
    attempts: int
    replayable: bool
    detail: dict[str, Any] = field(default_factory=dict)


def everywhere() -> tuple[list[DeadLetter], str]:
    """All of them, and why the broker could not be asked: unreadable is not empty. Without a broker there is nothing to ask."""
    letters = in_database()
    if not settings.RABBITMQ_URL:
        return letters, ""
    try:
        return [*letters, *in_broker()], ""
    except broker.BrokerDown as error:
        return letters, str(error)


def in_database() -> list[DeadLetter]:
    parked = Delivery.objects.filter(state=DeliveryState.PARKED).select_related("event").order_by("pk")
    failed = ForgeJob.objects.filter(state=ForgeJobState.FAILED).select_related("remedy").order_by("created_at")
    return [*map(_of_delivery, parked[:MOST]), *map(_of_job, failed[:MOST])]


def _of_delivery(row: Delivery) -> DeadLetter:
    return DeadLetter(
        id=f"delivery:{row.pk}",
        kind="delivery",
        about=f"event {row.event_id} ({row.event.kind}) to {row.handler}",
        reason=row.last_error,
        at=row.event.occurred_at.isoformat(),
        attempts=row.attempts,
        replayable=True,
        detail={"event": row.event_id, "handler": row.handler, "subject": row.event.subject},
    )


def _of_job(row: ForgeJob) -> DeadLetter:
    return DeadLetter(
        id=f"forge:{row.pk}",
        kind="forge",
        about=f"{row.kind} of pull request {row.remedy.pull_request_number or '-'}",
        reason=row.message or row.last_error,
        at=row.finished_at.isoformat() if row.finished_at else "",
        attempts=row.attempts,
        replayable=False,
        detail={"remedy": str(row.remedy_id), "head": row.head_commit, "round": row.round},
    )


def in_broker() -> list[DeadLetter]:
    """The messages, oldest first, left where they are. Raises broker.BrokerDown."""
    with _held() as (_, messages):
        return [_of_message(message) for message in messages]


@contextmanager
def _held() -> Iterator[tuple[Connection, list[Message]]]:
    """Takes the dead letters without acknowledging any: what is not acknowledged inside goes back when the channel closes."""
    with broker.connected() as connection, connection.channel() as channel:
        dead = queues.DEAD.bind(channel)
        messages: list[Message] = []
        try:
            while len(messages) < MOST and (message := dead.get(no_ack=False)) is not None:
                messages.append(message)
        except NotFound:
            messages = []  # never set up, so nothing can have died
        try:
            yield connection, messages
        finally:
            for message in messages:
                if not message.acknowledged:
                    message.requeue()


def _of_message(message: Message) -> DeadLetter:
    headers = message.headers or {}
    death = _death(message)
    time = death.get("time")
    return DeadLetter(
        id=f"message:{headers.get('id') or message.properties.get('correlation_id') or message.delivery_tag}",
        kind="message",
        about=f"{headers.get('task', 'no task')}{headers.get('argsrepr', '')} on {_origin(message) or 'no known queue'}",
        reason=str(death.get("reason", "unknown")),
        at=time.isoformat() if isinstance(time, datetime) else "",
        attempts=int(death.get("count", 0)),
        replayable=_origin(message) in queues.NAMES,
        detail={
            "queue": _origin(message),
            "task": headers.get("task", ""),
            "args": headers.get("argsrepr", ""),
            "from": headers.get("origin", ""),
        },
    )


def _death(message: Message) -> dict[str, Any]:
    """The broker's note on the latest death, the first of its list."""
    deaths: list[dict[str, Any]] = (message.headers or {}).get("x-death") or [{}]
    return deaths[0]


def _origin(message: Message) -> str:
    return str((message.headers or {}).get("x-first-death-queue") or _death(message).get("queue") or "")


def replay(name: str, *, actor: Actor) -> DeadLetter:
    """Puts one dead letter back in line and records who did. Raises Unknown, NotReplayable, broker.BrokerDown."""
    kind, _, rest = name.partition(":")
    if kind == "delivery" and rest.isdigit():
        return _replay_delivery(int(rest), actor)
    if kind == "forge":
        if not any(letter.id == name for letter in in_database()):
            raise Unknown(name)
        raise NotReplayable("a failed forge job came back as a new round of its review: decide there again")
    if kind == "message":
        letter = _replay_message(name)
        with act(actor) as log:
            log.record("message.replayed", subject=f"queue:{letter.detail['queue']}", data={"message": letter.id})
        return letter
    raise Unknown(name)


def _replay_delivery(pk: int, actor: Actor) -> DeadLetter:
    with act(actor) as log:
        row = Delivery.objects.select_related("event").filter(pk=pk, state=DeliveryState.PARKED).first()
        if row is None or not deliveries.replay(row):
            raise Unknown(f"delivery:{pk}")
        data = {"event": row.event_id, "handler": row.handler}
        log.record("delivery.replayed", subject=f"delivery:{pk}", repository=row.event.repository_id, data=data)
        log.wake("delivery", pk)
    return _of_delivery(row)


def _replay_message(name: str) -> DeadLetter:
    with _held() as (connection, messages):
        for message in messages:
            letter = _of_message(message)
            if letter.id != name:
                continue
            if not letter.replayable:
                raise NotReplayable("the message does not say which queue it came from")
            _send_again(connection, message)
            # After the broker confirmed the copy: a kill between the two leaves one too many, which is harmless.
            message.ack()
            return letter
    raise Unknown(name)


def _send_again(connection: Connection, message: Message) -> None:
    # Without its history: the limit counts from the beginning again.
    headers = {key: value for key, value in message.headers.items() if not key.startswith("x-")}
    kept = ("correlation_id", "reply_to", "priority", "message_id")
    with connection.channel() as channel:
        connection.Producer(channel).publish(
            message.body,
            exchange=queues.WORK,
            routing_key=_origin(message),
            headers=headers,
            content_type=message.content_type,
            content_encoding=message.content_encoding,
            delivery_mode=2,
            mandatory=True,
            **{key: value for key, value in message.properties.items() if key in kept and value is not None},
        )
