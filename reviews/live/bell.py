"""The doorbell between processes: after a commit anywhere, one short message in one Redis group wakes every hub.

Losing a message only delays, since hubs poll too; so ringing never waits for Redis and never fails a commit. One thread with its
own loop rings for the whole process, at most one message under way at a time however many commits there are.
"""

from __future__ import annotations

import asyncio
import os
import threading

import structlog
from channels.layers import get_channel_layer
from django.conf import settings

from immune.events import doorbell

GROUP = "immune.live"
MESSAGE = {"type": "live.ring"}

log = structlog.get_logger(__name__)


class Ringer:
    """Sends rings from a thread of its own. Made anew in a forked child, which inherits no threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._wanted = threading.Event()
        self._pid = 0

    def __call__(self, _positions: list[int], _wakes: list[tuple[str, str]]) -> None:
        if self._pid != os.getpid():
            with self._lock:
                if self._pid != os.getpid():
                    self._wanted = threading.Event()
                    threading.Thread(target=self._ring, args=(self._wanted,), name="doorbell", daemon=True).start()
                    self._pid = os.getpid()
        self._wanted.set()

    def _ring(self, wanted: threading.Event) -> None:
        with asyncio.Runner() as runner:
            while wanted.wait():
                wanted.clear()
                try:
                    runner.run(asyncio.wait_for(_send(), timeout=5))
                except Exception:
                    log.warning("doorbell_unreachable", exc_info=True)


async def _send() -> None:
    await get_channel_layer().group_send(GROUP, MESSAGE)


_ringer = Ringer()


def install() -> None:
    """Lets every commit of this process ring across processes, where Redis is there to carry it."""
    if settings.REDIS_URL:
        doorbell.hear(_ringer)
