"""Webhooks out of the test GitHub: signed, checked against the description, and lost or repeated when asked.

A delivery goes out after the answer that caused it, from a thread of its own, as at GitHub: the receiver can be told of
a merge before the caller that merged has its answer, later, or twice.
"""

import json
import queue
import threading
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from immune.forges.webhooks import signature
from tests.github_server import description
from tests.github_server.git_routes import repository_shape, user_shape
from tests.github_server.routes import Call
from tests.github_server.world import Pull, Repository


@dataclass(frozen=True)
class Delivery:
    """What was sent and how it was answered; status 0: nobody answered."""

    id: str
    event: str
    action: str
    status: int


@dataclass
class Hooks:
    """One receiver. ``times``: how often each delivery is sent; ``lose``: events that never leave."""

    url: str = ""
    secret: bytes = b""
    times: int = 1
    lose: set[str] = field(default_factory=set)
    delivered: list[Delivery] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._queue: queue.Queue[tuple[str, dict[str, Any]]] = queue.Queue()
        threading.Thread(target=self._work, daemon=True).start()

    def announce(self, event: str, body: Mapping[str, Any], *, schema: str) -> None:
        """Send an event soon, completed and judged by GitHub's description of it."""
        if not self.url or event in self.lose:
            return
        whole = description.complete_schema(schema, dict(body))
        self.violations += description.wrong_value(schema, whole)
        self._queue.put((event, whole))

    def settle(self) -> None:
        """Until everything announced was sent."""
        self._queue.join()

    def _work(self) -> None:
        while True:
            event, body = self._queue.get()
            try:
                raw, delivery_id = json.dumps(body).encode(), str(uuid.uuid4())
                for _ in range(self.times):
                    status = self._send(event, raw, delivery_id)
                    self.delivered.append(Delivery(delivery_id, event, body.get("action", ""), status))
            finally:
                self._queue.task_done()

    def _send(self, event: str, raw: bytes, delivery_id: str) -> int:
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "GitHub-Hookshot/test",
            "X-GitHub-Delivery": delivery_id,
            "X-GitHub-Event": event,
            "X-Hub-Signature-256": signature(raw, self.secret),
        }
        try:
            with urlopen(Request(self.url, data=raw, headers=headers, method="POST"), timeout=10) as answer:
                return int(answer.status)
        except HTTPError as refused:
            refused.close()
            return refused.code
        except (URLError, OSError):
            return 0


# --- what happened, as GitHub says it


def pull_event(call: Call, repo: Repository, pull: Pull, action: str, shape: dict[str, Any]) -> None:
    """A pull request changed."""
    body = {
        "action": action,
        "number": pull.number,
        "pull_request": shape,
        "repository": repository_shape(call, repo),
        "sender": user_shape(call.caller),
    }
    if action == "synchronize":
        body |= {"before": pull.told_head, "after": pull.head}
    call.hooks.announce("pull_request", body, schema=f"webhook-pull-request-{action}")


def push_event(call: Call, repo: Repository, ref: str, before: str | None, after: str | None, forced: bool) -> None:
    """A reference moved, appeared or went."""
    nowhere = "0" * 40
    body = {
        "ref": ref,
        "before": before or nowhere,
        "after": after or nowhere,
        "created": before is None,
        "deleted": after is None,
        "forced": forced,
        "base_ref": None,
        "commits": [],
        "head_commit": None,
        "repository": repository_shape(call, repo),
        "pusher": {"name": call.caller.login},
        "sender": user_shape(call.caller),
    }
    call.hooks.announce("push", body, schema="webhook-push")


def review_event(call: Call, repo: Repository, pull_shape: dict[str, Any], review: dict[str, Any]) -> None:
    """A pull request was reviewed."""
    body = {
        "action": "submitted",
        "review": {**review, "state": review["state"].lower(), "submitted_at": "2026-05-01T12:00:00Z"},
        "pull_request": pull_shape,
        "repository": repository_shape(call, repo),
        "sender": user_shape(call.caller),
    }
    call.hooks.announce("pull_request_review", body, schema="webhook-pull-request-review-submitted")


def check_event(call: Call, repo: Repository, run: dict[str, Any]) -> None:
    """A check run ended."""
    body = {
        "action": "completed",
        "check_run": run,
        "repository": repository_shape(call, repo),
        "sender": user_shape(call.caller),
    }
    call.hooks.announce("check_run", body, schema="webhook-check-run-completed")
