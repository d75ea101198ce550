"""What writer and follower processes of the log's tests do; run through ``tests.worlds``."""

from __future__ import annotations

import json
import random
import signal
import threading
import time
import uuid
from typing import Any

from immune.events.actors import SYSTEM
from immune.events.log import Log, act
from immune.models import Event, Repository


class Undone(Exception):
    """The failure that undoes a unit of work."""


def repositories(count: int) -> list[str]:
    return [str(Repository.objects.create(name=f"r{n}", location=f"/r{n}").pk) for n in range(count)]


def write(name: str, acts: int, rooms: list[str], linger: float = 0.02) -> list[list[str]]:
    """Works as services do: changes a row, records events, sometimes lingers before the commit, sometimes fails.

    Returns [mark, repository] of each event it committed, in its order.
    """
    chance = random.Random(name)
    committed: list[list[str]] = []
    for number in range(acts):
        room = chance.choice(rooms)
        marks = [f"{name}-{number}-{part}" for part in range(chance.randint(1, 3))]
        fate = chance.random()
        try:
            with act(SYSTEM) as log:
                # One shared row a unit of work, so that writers also wait for each other outside the log's own lock.
                Repository.objects.filter(pk=room).update(labels=[name, number])
                for mark in marks:
                    _record(log, mark, room)
                if 0.4 < fate < 0.5:
                    _undo_a_part(log, f"{name}-{number}-undone", room)
                if fate < 0.2:
                    time.sleep(chance.random() * linger)  # a slow transaction, which the test is about
                if 0.2 < fate < 0.4:
                    raise Undone
        except Undone:
            continue
        committed += [[mark, room] for mark in marks]
    return committed


def _undo_a_part(log: Log, mark: str, room: str) -> None:
    try:
        with act(SYSTEM) as inner:
            _record(inner, mark, room)
            raise Undone
    except Undone:
        return


def _record(log: Log, mark: str, room: str) -> None:
    data = {"from": "open", "to": "remediating", "why": mark}
    log.record("apv.moved", subject=f"apv:{uuid.uuid4()}", repository=uuid.UUID(room), data=data)


def follow() -> dict[str, Any]:
    """Follows the log with a cursor, as the hub does, until it was told to end (SIGTERM) and nothing new comes.

    Returns {positions, marks, gaps: [[cursor, next position], …]}.
    """
    ending = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ending.set())
    cursor = 0
    seen: dict[str, list[Any]] = {"positions": [], "marks": [], "gaps": []}
    while True:
        last = ending.is_set()
        rows = Event.objects.filter(position__gt=cursor).order_by("position").values_list("position", "body")[:200]
        found = list(rows)
        for position, body in found:
            if position != cursor + 1:
                seen["gaps"].append([cursor, position])
            cursor = position
            seen["positions"].append(position)
            seen["marks"].append(json.loads(body)["data"]["why"])
        if last and not found:
            return seen
        ending.wait(0.002)
