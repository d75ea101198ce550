"""The hub: one per process. It hears the doorbell (and looks every half second anyway), reads each new event once, and hands its
frame to every socket that may see it, in memory.

    commit → doorbell → hub reads the table after its position → frames → each socket's bounded queue → its sender

The hub's position only moves when everything up to it has been handed out, without a pause in between; so a socket that joins
having read the table up to some position misses nothing after it and ignores what it already has.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Protocol

import structlog
from channels.layers import get_channel_layer
from django.conf import settings
from django.db import Error
from django.utils import timezone

from immune.events import doorbell
from immune.people.selectors import Viewer
from reviews.live import table
from reviews.live.admission import Credential, Sight, sight_of
from reviews.live.bell import GROUP
from reviews.live.figures import live_figures
from reviews.live.frames import Frame, stats_frame

POLL_SECONDS = 0.5
# What a viewer may see is looked up again this often, and at once after an event about accounts, tokens, teams or repositories.
RECHECK_SECONDS = 5.0
STATS_SECONDS = 1.0
PEOPLE = ("account.", "token.", "team.", "repository.")

log = structlog.get_logger(__name__)


class Socket(Protocol):
    """What the hub needs of one connection. ``offer`` and ``offer_stats`` never wait."""

    credential: Credential
    sight: Sight
    wants_stats: bool

    def offer(self, frame: Frame) -> None: ...
    def offer_stats(self, position: int, text: str) -> None: ...
    def turn_out(self, why: str) -> None: ...


class Hub:
    """Follows the log for the sockets of one event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.position = 0
        self._sockets: set[Socket] = set()
        self._live: set[Socket] = set()
        self._rung = asyncio.Event()
        self._recheck = asyncio.Event()
        self._stats = asyncio.Event()
        self._started: asyncio.Future[None] | None = None
        self._tasks: list[asyncio.Task[None]] = []

    async def register(self, socket: Socket) -> None:
        """Takes a socket in; it gets frames only after ``follow``. Raises django.db.Error when the log cannot be read."""
        if self._started is None or (self._started.done() and self._started.exception()):
            self._started = asyncio.ensure_future(self._start())
        await asyncio.shield(self._started)
        self._sockets.add(socket)

    async def _start(self) -> None:
        self.position = await table.following(table.last_position)
        doorbell.hear(self._heard)
        self._tasks = [
            asyncio.create_task(self._restarted(part), name=part.__name__)
            for part in (self._follow, self._look_again, self._tell_stats)
        ]
        if settings.REDIS_URL:
            self._tasks.append(asyncio.create_task(self._listen(), name="live-listen"))

    def unregister(self, socket: Socket) -> None:
        self._sockets.discard(socket)
        self._live.discard(socket)

    def follow(self, socket: Socket, covered: int) -> bool:
        """Hands the socket every frame from now on. False when it has not read the table up to the hub's position yet."""
        if covered < self.position:
            return False
        self._live.add(socket)
        return True

    def is_live(self, socket: Socket) -> bool:
        return socket in self._live

    def leave(self, socket: Socket) -> None:
        """The socket reads the table itself again."""
        self._live.discard(socket)

    def want_stats(self) -> None:
        self._stats.set()

    def _heard(self, positions: list[int], _wakes: list[tuple[str, str]]) -> None:
        """The doorbell's bell: may be called from any thread, also after the loop was closed."""
        if positions and not self.loop.is_closed():
            self.loop.call_soon_threadsafe(self._rung.set)

    async def _follow(self) -> None:
        while True:
            if not await self._step():
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._rung.wait(), POLL_SECONDS)
            self._rung.clear()

    async def _step(self) -> bool:
        """Reads and hands out one chunk; True when there may be more."""
        after = self.position
        last, frames, kinds = await table.following(partial(table.frames_after, after))
        if last == after:
            return False
        # No await from here to the new position: a socket joins either before all of these frames or after all of them.
        for socket in tuple(self._live):
            for frame in frames:
                socket.offer(frame)
        self.position = last
        if frames:
            self._stats.set()
        if any(kind.startswith(PEOPLE) for kind in kinds):
            self._recheck.set()
        return True

    async def _look_again(self) -> None:
        """Asks again what each viewer may see; who may no longer look is turned out."""
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._recheck.wait(), RECHECK_SECONDS)
            self._recheck.clear()
            by_credential: dict[Credential, list[Socket]] = {}
            for socket in self._sockets:
                by_credential.setdefault(socket.credential, []).append(socket)
            for credential, sockets in by_credential.items():
                sight = await table.reading(partial(sight_of, credential))
                for socket in sockets:
                    if sight is None:
                        socket.turn_out("the credential no longer holds")
                    else:
                        socket.sight = sight

    async def _tell_stats(self) -> None:
        """Figures after something happened, at most once a second, worked out once for each viewer."""
        while True:
            await self._stats.wait()
            self._stats.clear()
            # The figures are read after this position was handed out, so they are at least as new.
            position = self.position
            told: dict[tuple[object, ...], str] = {}
            for socket in [socket for socket in self._live if socket.wants_stats]:
                viewer = socket.sight.viewer
                key = (viewer.sees_all,) if viewer.sees_all else (viewer.account_id, viewer.scopes)
                if key not in told:
                    told[key] = await table.reading(partial(_stats_text, position, viewer))
                socket.offer_stats(position, told[key])
            await asyncio.sleep(STATS_SECONDS)

    async def _restarted(self, part: Callable[[], Awaitable[None]]) -> None:
        """Runs a part for ever. A database that is away is asked again; sockets stay, since the log loses nothing meanwhile."""
        while True:
            try:
                await part()
            except Error:
                log.warning("live_database_unreachable", part=part.__name__, exc_info=True)
            except Exception:
                log.exception("live_part_failed", part=part.__name__)
            await asyncio.sleep(POLL_SECONDS)

    async def _listen(self) -> None:
        """One subscription for the whole process. While Redis is away the poll carries the feed alone."""
        wait = 0.5
        while True:
            began = time.monotonic()
            try:
                layer = get_channel_layer()
                channel = await layer.new_channel("immune.live")
                await layer.group_add(GROUP, channel)
                while True:
                    await layer.receive(channel)
                    self._rung.set()
            except Exception:
                log.warning("live_doorbell_away", exc_info=True)
            wait = 0.5 if time.monotonic() - began > 30 else min(wait * 2, 15)
            await asyncio.sleep(wait)


def _stats_text(position: int, viewer: Viewer) -> str:
    return stats_frame(position, timezone.now(), live_figures(viewer))


_hubs: dict[asyncio.AbstractEventLoop, Hub] = {}


def hub() -> Hub:
    """The hub of the running loop; a process has one loop, tests may have several one after the other."""
    loop = asyncio.get_running_loop()
    for old in [known for known in _hubs if known.is_closed()]:
        doorbell.unhear(_hubs.pop(old)._heard)
    if loop not in _hubs:
        _hubs[loop] = Hub(loop)
    return _hubs[loop]
