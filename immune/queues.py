"""The broker's queues, by cost and trust: defined here once, so that workers, publishers and ``setup_queues`` never disagree.

Quorum queues with a delivery limit: a message that ends its worker again and again goes to the dead letters instead of
round and round, and stays there until a person looks. No Django here, since the settings read this.
"""

from __future__ import annotations

from kombu.entity import Exchange, Queue

NAMES = ("ingest", "remedy", "wargame", "forge", "notify", "events")
DEFAULT = "events"
# Redeliveries before a message is dead. The row it wakes counts its own attempts; this bounds what the broker repeats.
DELIVERY_LIMIT = 5

WORK = Exchange("immune", type="topic", durable=True)
DEAD_LETTERS = Exchange("immune.dead", type="topic", durable=True)
DEAD = Queue("dead", exchange=DEAD_LETTERS, routing_key="#", queue_arguments={"x-queue-type": "quorum"})


def work_queues() -> tuple[Queue, ...]:
    return tuple(
        Queue(
            name,
            exchange=WORK,
            routing_key=name,
            queue_arguments={
                "x-queue-type": "quorum",
                "x-delivery-limit": DELIVERY_LIMIT,
                "x-dead-letter-exchange": DEAD_LETTERS.name,
                # A dead letter leaves its queue only when the other has confirmed it; the broker asks for reject-publish with it.
                "x-dead-letter-strategy": "at-least-once",
                "x-overflow": "reject-publish",
            },
        )
        for name in NAMES
    )
