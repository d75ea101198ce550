"""One WebSocket at /hitl/ws: admits the client, answers its frames, replays from the table and then follows the hub.

Client frames: {"type": "ping"}, {"type": "subscribe", "channels": [...], "since": <position>?}, {"type": "unsubscribe",
"channels": [...]}. Everything up to ``position`` in a ``pong`` or ``stats_update`` has been sent as far as the client may see it, so
a client keeps the largest position of any frame and subscribes with it as ``since`` when it comes back.

Close codes: 4401 the credential no longer holds, 4408 the client reads too slowly (come back with ``since``), 1011 our fault.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from functools import partial
from typing import Any

import orjson
import structlog
from channels.generic.websocket import AsyncWebsocketConsumer
from django.conf import settings
from django.db import Error
from django.utils import timezone

from reviews import metrics
from reviews.live import table
from reviews.live.admission import BEARER, Credential, Sight, credential_in, origin_allowed, sight_of
from reviews.live.frames import CHANNELS, Frame, error_frame, resync_frame, serialise
from reviews.live.hub import Hub, hub

LARGEST_FRAME = 4096
QUEUE = 2000
# Events further back than this are not replayed: the client loads its page anew and goes on from now.
REPLAY_EVENTS = 50_000
# A send that waits longer than this has met a client that does not read.
SEND_SECONDS = 15.0
COMMANDS_A_SECOND = 20.0

CREDENTIAL_GONE, TOO_SLOW, OUR_FAULT = 4401, 4408, 1011

log = structlog.get_logger(__name__)


class Refused(Exception):
    """A client frame that is answered with an error frame."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class LiveConsumer(AsyncWebsocketConsumer):
    """One client. ``cursor`` is the position up to which it has been sent everything it may see and asked for."""

    # No channel of its own in the layer: sockets are fed by the hub, and must open while Redis is away.
    channel_layer_alias = None
    credential: Credential
    sight: Sight

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.client_id = secrets.token_hex(8)
        # Channel → position up to which it is sent already (or was not asked for).
        self.floors: dict[str, int] = {}
        self.cursor = 0
        self.waiting: asyncio.Queue[Frame | tuple[int, str]] = asyncio.Queue(QUEUE)
        self._turn = asyncio.Lock()
        self._busy = False
        self._hub: Hub | None = None
        self._sender: asyncio.Task[None] | None = None
        self._leaving: asyncio.Task[None] | None = None
        self._allowance = COMMANDS_A_SECOND
        self._counted_at = 0.0

    # ── opening and closing ──────────────────────────────────────────────────────────────────────────────────────────

    async def websocket_connect(self, message: dict[str, Any]) -> None:
        await self.connect()

    async def connect(self) -> None:
        if not settings.WEBSOCKET_ENABLED:
            await self._deny(404, b"The live feed is switched off.")
            return
        credential = credential_in(self.scope)
        if credential is None:
            await self._deny(401, b"Sign in, or send a token.")
            return
        if not origin_allowed(self.scope, credential):
            await self._deny(403, b"This origin may not open the live feed.")
            return
        try:
            sight = await table.reading(partial(sight_of, credential))
            if sight is None:
                await self._deny(401, b"The session or token does not hold.")
                return
            self.credential, self.sight = credential, sight
            self._hub = hub()
            await self._hub.register(self)
        except Error:
            log.warning("live_database_unreachable", exc_info=True)
            await self._deny(503, b"The database does not answer.")
            return
        metrics.socket_opened()
        self.cursor = self._hub.position
        offered = self.scope.get("subprotocols") or ()
        await self.accept(subprotocol=BEARER if BEARER in offered else None)
        await self._say("connection_ack", {"client_id": self.client_id, "position": self.cursor})
        self._sender = asyncio.create_task(self._send_waiting(), name=f"live-{self.client_id}")

    async def _deny(self, status: int, why: bytes) -> None:
        """Refuses before the handshake: with the status and a sentence where the server can say it, else as a plain 403."""
        if "websocket.http.response" in self.scope.get("extensions", {}):
            headers = [(b"content-type", b"text/plain; charset=utf-8")]
            await self.base_send({"type": "websocket.http.response.start", "status": status, "headers": headers})
            await self.base_send({"type": "websocket.http.response.body", "body": why, "more_body": False})
        else:
            await self.close()

    async def disconnect(self, code: int) -> None:
        if self._hub is None or self._sender is None:
            return
        self._hub.unregister(self)
        metrics.socket_closed()
        for task in (self._sender, self._leaving):
            if task is not None and task is not asyncio.current_task():
                task.cancel()

    def turn_out(self, why: str) -> None:
        self._leave(CREDENTIAL_GONE, why)

    def _leave(self, code: int, why: str) -> None:
        """Closes from our side; nothing more is sent from here on."""
        if self._leaving is not None:
            return
        if self._hub is not None:
            self._hub.unregister(self)
        self.floors.clear()
        if self._sender is not None:
            self._sender.cancel()
        log.info("live_socket_closed", client=self.client_id, code=code, why=why)
        self._leaving = asyncio.create_task(self._close(code))

    async def _close(self, code: int) -> None:
        with contextlib.suppress(OSError, RuntimeError, TimeoutError):
            await asyncio.wait_for(self.close(code=code), SEND_SECONDS)

    # ── what the hub hands over ──────────────────────────────────────────────────────────────────────────────────────

    @property
    def wants_stats(self) -> bool:
        return "stats" in self.floors

    def offer(self, frame: Frame) -> None:
        if frame.channel in self.floors and self.sight.covers(frame.repository, frame.everyone):
            self._put(frame)

    def offer_stats(self, position: int, text: str) -> None:
        self._put((position, text))

    def _put(self, item: Frame | tuple[int, str]) -> None:
        try:
            self.waiting.put_nowait(item)
        except asyncio.QueueFull:
            self._leave(TOO_SLOW, "the client reads too slowly")

    async def _send_waiting(self) -> None:
        try:
            while True:
                item = await self.waiting.get()
                self._busy = True
                async with self._turn:
                    await self._send_item(item)
                self._busy = False
        except TimeoutError:
            self._leave(TOO_SLOW, "a frame could not be sent in time")
        except (OSError, RuntimeError):
            # The connection went away while we wrote; the server tells us so with a disconnect of its own.
            self._leave(OUR_FAULT, "the connection broke")

    async def _send_item(self, item: Frame | tuple[int, str]) -> None:
        if isinstance(item, Frame):
            await self._send_frame(item)
        elif item[0] >= self.cursor and self.wants_stats:
            await self._send_text(item[1], "stats", "stats_update")
            self.cursor = item[0]

    async def _send_frame(self, frame: Frame) -> None:
        """Sends a frame once: not when a replay has passed it, not when it has gone out of sight since it was queued."""
        floor = self.floors.get(frame.channel)
        if floor is None or frame.position <= floor or not self.sight.covers(frame.repository, frame.everyone):
            return
        await self._send_text(frame.text, frame.channel, frame.type)
        self.floors[frame.channel] = self.cursor = max(self.cursor, frame.position)

    async def _send_text(self, text: str, channel: str, kind: str) -> None:
        async with asyncio.timeout(SEND_SECONDS):
            await self.send(text_data=text)
        metrics.message_sent(channel, kind)

    async def _say(self, kind: str, fields: dict[str, Any]) -> None:
        await self._send_text(serialise({"type": kind, **fields}), "", kind)

    # ── what the client says ─────────────────────────────────────────────────────────────────────────────────────────

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        if self._leaving is not None:
            return
        try:
            await self._answer(self._read(text_data))
        except Refused as refusal:
            await self._send_text(error_frame(refusal.code, str(refusal)), "", "error")
        except Error:
            log.warning("live_database_unreachable", exc_info=True)
            self._leave(OUR_FAULT, "the database does not answer")
        except TimeoutError:
            self._leave(TOO_SLOW, "a replay could not be sent in time")

    def _read(self, text: str | None) -> dict[str, Any]:
        now = asyncio.get_running_loop().time()
        self._allowance = min(COMMANDS_A_SECOND, self._allowance + (now - self._counted_at) * COMMANDS_A_SECOND)
        self._counted_at = now
        if self._allowance < 1:
            raise Refused("too_many_frames", f"send at most {COMMANDS_A_SECOND:.0f} frames a second")
        self._allowance -= 1
        if text is None:
            raise Refused("not_text", "frames are JSON text")
        if len(text) > LARGEST_FRAME or len(text.encode("utf-8", "surrogatepass")) > LARGEST_FRAME:
            raise Refused("frame_too_large", f"a frame holds at most {LARGEST_FRAME} bytes")
        try:
            said = orjson.loads(text)
        except orjson.JSONDecodeError:
            raise Refused("malformed_json", "the frame is not JSON") from None
        if not isinstance(said, dict) or not isinstance(said.get("type"), str):
            raise Refused("malformed_frame", 'a frame is an object with a "type"')
        return said

    async def _answer(self, said: dict[str, Any]) -> None:
        allowed = {"ping": {"type"}, "subscribe": {"type", "channels", "since"}, "unsubscribe": {"type", "channels"}}
        kind = said["type"]
        if kind not in allowed:
            raise Refused("unknown_type", "known types are ping, subscribe and unsubscribe")
        if unknown := sorted(set(said) - allowed[kind]):
            raise Refused("unknown_field", f"{kind} has no field {unknown[0][:60]!r}")
        if kind == "ping":
            await self._say("pong", {"position": self._covered(), "timestamp": timezone.now().isoformat()})
        elif kind == "unsubscribe":
            channels = _channels(said)
            for channel in channels:
                self.floors.pop(channel, None)
            await self._say("unsubscription_confirmed", {"channels": channels})
        else:
            since = said.get("since")
            # The bound is what a database position can hold.
            if since is not None and (isinstance(since, bool) or not isinstance(since, int) or not 0 <= since < 2**63):
                raise Refused("bad_since", "since is a position: a whole number, zero or more")
            await self._subscribe(_channels(said), since)

    def _covered(self) -> int:
        """Up to here the client has everything: what the hub handed out, once none of it waits any more."""
        assert self._hub is not None  # noqa: S101 - set before the socket was accepted
        if self._hub.is_live(self) and self.waiting.empty() and not self._busy:
            self.cursor = max(self.cursor, self._hub.position)
        return self.cursor

    async def _subscribe(self, channels: list[str], since: int | None) -> None:
        """Adds channels. With ``since`` they are replayed from there; those followed already go on from where they are."""
        assert self._hub is not None  # noqa: S101 - set before the socket was accepted
        async with self._turn:
            self._covered()
            self._hub.leave(self)
            while not self.waiting.empty():
                self.waiting.get_nowait()
            now = await table.reading(table.last_position)
            for channel in self.floors:
                self.floors[channel] = max(self.floors[channel], self.cursor)
            begin = now if since is None else since
            reason = ""
            if begin > now:
                begin, reason = now, "since_in_the_future"
            elif now - begin > REPLAY_EVENTS:
                begin, reason = now, "since_too_old"
            # What is followed already was sent up to the cursor; the table is read from whichever is further back.
            added = [channel for channel in channels if channel not in self.floors or since is not None]
            self.cursor = min([begin, *(self.floors.values())])
            for channel in added:
                self.floors[channel] = max(begin, self.floors.get(channel, begin))
            await self._say("subscription_confirmed", {"channels": channels, "position": begin})
            if reason:
                await self._send_text(resync_frame(now, timezone.now(), reason, channels), "", "resync")
            await self._catch_up()
        if "stats" in channels:
            self._hub.want_stats()

    async def _catch_up(self) -> None:
        """Replays the table in chunks until the hub can take over where the reading ended."""
        assert self._hub is not None  # noqa: S101 - set before the socket was accepted
        at = self.cursor
        while self._leaving is None:
            last, frames, _kinds = await table.reading(partial(table.frames_after, at))
            for frame in frames:
                await self._send_frame(frame)
            at = last
            self.cursor = max(self.cursor, at)
            if self._leaving is None and self._hub.follow(self, at):
                return


def _channels(said: dict[str, Any]) -> list[str]:
    channels = said.get("channels")
    if not isinstance(channels, list) or not channels or not all(isinstance(name, str) for name in channels):
        raise Refused("bad_channels", "channels is a list of names")
    if len(channels) > len(CHANNELS):
        raise Refused("too_many_channels", f"there are {len(CHANNELS)} channels")
    if unknown := sorted(set(channels) - set(CHANNELS)):
        raise Refused("unknown_channel", f"no channel {unknown[0][:60]!r}; channels are {', '.join(CHANNELS)}")
    return list(dict.fromkeys(channels))
