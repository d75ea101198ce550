"""Reading the event table for the feed, off the event loop.

The threads here are the feed's own: Django's views never wait behind a replay, and each thread keeps its connection until an
error, so that following the log costs one query and not one connection a look.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import orjson
import structlog
from django.db import Error, connection

from immune.events.log import end_of_chain
from immune.models import Event
from reviews.live.frames import Frame, FrameRefused, Seen, frame_of

CHUNK = 500

T = TypeVar("T")
log = structlog.get_logger(__name__)
# One thread follows the log, so that a long replay never delays what happens now.
_follower = ThreadPoolExecutor(1, thread_name_prefix="live-follow")
_readers = ThreadPoolExecutor(2, thread_name_prefix="live-read")


async def following(ask: Callable[[], T]) -> T:
    """Runs one question for the hub's own cursor. Raises django.db.Error when the database cannot answer."""
    return await asyncio.get_running_loop().run_in_executor(_follower, _asked, ask)


async def reading(ask: Callable[[], T]) -> T:
    """Runs one question for a socket. Raises django.db.Error when the database cannot answer."""
    return await asyncio.get_running_loop().run_in_executor(_readers, _asked, ask)


def _asked(ask: Callable[[], T]) -> T:
    try:
        return ask()
    except Error:
        connection.close()
        raise


def last_position() -> int:
    return end_of_chain()[0]


def frames_after(position: int, limit: int = CHUNK) -> tuple[int, list[Frame], frozenset[str]]:
    """The frames of the events after ``position``: (last position read, frames in order, kinds of event read)."""
    rows = list(
        Event.objects.filter(position__gt=position)
        .order_by("position")
        .values_list("position", "kind", "occurred_at", "subject", "repository_id", "body")[:limit]
    )
    frames: list[Frame] = []
    for at, kind, occurred_at, subject, repository, body in rows:
        try:
            frame = frame_of(Seen(at, kind, occurred_at, subject, repository, orjson.loads(body)["data"]))
        except (FrameRefused, ValueError, KeyError, TypeError) as error:
            log.error("frame_refused", position=at, kind=kind, error=str(error))
            continue
        if frame is not None:
            frames.append(frame)
    return (rows[-1][0] if rows else position), frames, frozenset(row[1] for row in rows)
