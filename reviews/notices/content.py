"""What a notice says, and how each kind of channel wants it said. Pure: no database, no I/O.

Everything that comes from advisories, repositories or people is cleaned here: one line, no control or direction marks, a bounded
length. Slack gets plain text blocks, which hold no markup, and an escaped fallback; mail gets plain text and a subject without line breaks.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from immune.events.subscriptions import Happened
from reviews.console.untrusted import plain

# topic → the kinds of events it tells of.
TOPICS: dict[str, frozenset[str]] = {
    "threats": frozenset({"apv.opened"}),
    "reviews": frozenset({"review.opened"}),
    "decisions": frozenset({"decision.made", "decision.withdrawn"}),
    "refusals": frozenset({"forge_job.finished", "remedy.looped", "repository.unreadable"}),
    "alarms": frozenset({"balance.moved", "aftermath.alarmed", "reflex.fired"}),
}
KINDS = frozenset().union(*TOPICS.values())
# Without a repository, and for everybody to know.
EVERYONES = frozenset({"balance.moved"})
MOST_LINES = 50
LONGEST = 300


@dataclass(frozen=True, slots=True)
class Message:
    """``key`` is the same however often it is sent. ``grave``: critical, error, warning or info."""

    key: str
    title: str
    lines: tuple[str, ...]
    grave: str = "info"
    link: str = ""
    events: tuple[Mapping[str, Any], ...] = ()


def tells(event: Happened, topics: Sequence[str]) -> bool:
    """Whether somebody who asked for these topics is told of this event."""
    if not any(event.kind in TOPICS.get(topic, frozenset()) for topic in topics):
        return False
    if event.kind == "reflex.fired":
        return bool(event.data.get("notify"))
    # Only a forge that did not do what was decided is news.
    return event.kind != "forge_job.finished" or event.data.get("state") in ("refused", "failed")


def gravity(event: Happened) -> str:
    if event.kind == "balance.moved":
        return {"emergency": "critical", "inflammation": "error"}.get(str(event.data.get("to")), "info")
    if event.kind == "apv.opened":
        return {"CRITICAL": "critical", "HIGH": "error", "MEDIUM": "warning"}.get(
            str(event.data.get("severity")), "info"
        )
    if event.kind in ("aftermath.alarmed", "reflex.fired"):
        return "error"
    return "warning" if event.kind in TOPICS["refusals"] else "info"


def webhook(message: Message, *, secret: str, at: int) -> tuple[bytes, dict[str, str]]:
    """Body and headers as Standard Webhooks wants them (https://www.standardwebhooks.com): HMAC-SHA256 over id, time and body.

    ``secret`` is "whsec_" and base64; ``at`` seconds since the epoch. The id is the same at every attempt, the time is not.
    """
    body = orjson.dumps(
        {"type": "notice", "id": message.key, "title": message.title, "lines": message.lines, "severity": message.grave,
         "link": message.link or None, "events": message.events}
    )  # fmt: skip
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signature = hmac.new(key, f"{message.key}.{at}.".encode() + body, hashlib.sha256).digest()
    return body, {
        "Content-Type": "application/json",
        "webhook-id": message.key,
        "webhook-timestamp": str(at),
        "webhook-signature": f"v1,{base64.b64encode(signature).decode()}",
    }


def slack(message: Message) -> bytes:
    """An incoming webhook's body (https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks)."""
    text = _lines(message)
    escaped = message.title.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return orjson.dumps(
        {
            "text": escaped,
            "unfurl_links": False,
            "unfurl_media": False,
            "blocks": [
                {"type": "header", "text": {"type": "plain_text", "text": message.title[:150], "emoji": False}},
                {"type": "section", "text": {"type": "plain_text", "text": text[:2900], "emoji": False}},
            ],
        }
    )


def pagerduty(message: Message, *, routing_key: str, source: str) -> bytes:
    """An Events API v2 body (https://developer.pagerduty.com/docs/send-alert-event). The key folds what is sent twice."""
    return orjson.dumps(
        {
            "routing_key": routing_key,
            "event_action": "trigger",
            "dedup_key": message.key,
            "payload": {
                "summary": message.title[:1024],
                "source": source,
                "severity": message.grave,
                "custom_details": {"lines": message.lines},
            },
            **({"links": [{"href": message.link, "text": source}]} if message.link else {}),
        }
    )


def mail(message: Message, *, name: str) -> tuple[str, str]:
    """Subject and body as plain text."""
    return plain(f"[{name}] {message.title}", 180), _lines(message) + "\n"


def _lines(message: Message) -> str:
    return "\n".join([*message.lines, *([message.link] if message.link else [])]) or message.title
