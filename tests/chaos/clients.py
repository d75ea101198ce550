"""Who uses the product while it is being killed: people who decide over HTTP, and pages that follow the live feed."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import threading
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.reviews.live.serving import Resuming

# A line for each of thousands of requests would hide what a failed game says.
logging.getLogger("httpx").setLevel(logging.WARNING)

CHANNELS = ("apvs", "wargames", "decisions")
BECAUSE = "Read the evidence and the release notes."
SECONDS_BETWEEN_LOOKS = 0.3  # as a person's page asks again; the live feed has clients of its own


class People(threading.Thread):
    """Decides every review that opens, as a client of the API does: one key a decision, and the same request again whenever
    there was no answer. Whether a change is merged, rejected or escalated first depends on the seed and the package alone."""

    def __init__(self, port: int, tokens: dict[str, str], seed: int) -> None:
        super().__init__(name="people", daemon=True)
        self.address = f"http://127.0.0.1:{port}/hitl"
        self.tokens = tokens
        self.seed = seed
        self.enough = threading.Event()
        self.acknowledged: dict[str, str] = {}
        self.answers: Counter[str] = Counter()
        self.failure: BaseException | None = None

    def run(self) -> None:
        try:
            with httpx.Client(timeout=10, headers={"Authorization": f"Bearer {self.tokens['ana']}"}) as client:
                while not self.enough.is_set():
                    with contextlib.suppress(httpx.HTTPError):
                        for apv in self._waiting(client):
                            self._decide(client, apv)
                    self.enough.wait(SECONDS_BETWEEN_LOOKS)
        except BaseException as error:  # noqa: BLE001 - told to whoever plays
            self.failure = error

    def finish(self) -> None:
        self.enough.set()
        self.join(30)
        if self.failure is not None:
            raise self.failure

    def _waiting(self, client: httpx.Client) -> list[dict[str, Any]]:
        """One APV of each round that waits."""
        rounds: dict[str, dict[str, Any]] = {}
        query = {"status": "in_review", "limit": "100"}
        answer = client.get(f"{self.address}/reviews/", params=query)
        if answer.status_code != 200:
            self._note(answer)
            return []
        for item in answer.json()["items"]:
            if item["review_state"] in ("pending", "claimed"):
                rounds.setdefault(item["review_id"], item)
        return list(rounds.values())

    def _decide(self, client: httpx.Client, apv: dict[str, Any]) -> None:
        detail = client.get(f"{self.address}/reviews/{apv['apv_code']}")
        if detail.status_code != 200:
            self._note(detail)
            return
        review = detail.json()["review"]
        if review["state"] == "decided":
            return
        for choice in self._choices(apv):
            self._say(client, apv, review, choice)

    def _choices(self, apv: dict[str, Any]) -> list[str]:
        drawn = random.Random(f"{self.seed}:{apv['repository']}:{apv['package_name']}").random()
        if drawn < 0.15:
            return ["reject"]
        return ["escalate", "approve"] if drawn < 0.35 else ["approve"]

    def _say(self, client: httpx.Client, apv: dict[str, Any], review: dict[str, Any], choice: str) -> None:
        """Asks until there is an answer. A lost one is asked for again with the same key, and a kept one once more: both must
        name the same decision."""
        key = f"{review['id']}:{choice}"
        body = {
            "apv_code": apv["apv_code"],
            "decision": choice,
            "justification": BECAUSE,
            "head_commit": review["head_commit"],
            "patch_digest": review["patch_digest"],
        }
        for _ in range(200):
            try:
                answer = client.post(f"{self.address}/decisions/", json=body, headers={"Idempotency-Key": key})
            except httpx.HTTPError as error:
                self.answers[f"no answer: {type(error).__name__}"] += 1
                self.enough.wait(0.2)
                continue
            self._note(answer)
            if answer.status_code >= 500:
                self.enough.wait(0.2)
                continue
            if answer.status_code == 201:
                decision = answer.json()["id"]
                if self.acknowledged.setdefault(key, decision) != decision:
                    raise AssertionError(f"{key} became two decisions: {self.acknowledged[key]} and {decision}")
            return

    def _note(self, answer: httpx.Response) -> None:
        name = str(answer.status_code)
        if answer.status_code >= 400:
            with contextlib.suppress(ValueError, AttributeError):
                name += f" {answer.json().get('reason') or ''}".rstrip()
        self.answers[name] += 1


@dataclass
class Page(Resuming):
    """A live page that follows every channel and keeps the positions of what it is shown."""

    owner: str = ""
    channels: tuple[str, ...] = CHANNELS
    positions: list[int] = field(default_factory=list)
    met: asyncio.Event = field(default_factory=asyncio.Event)

    async def _take(self, client: Any, frame: dict[str, Any]) -> None:
        self.met.set()
        if "data" in frame:
            self.positions.append(frame["position"])
        await super()._take(client, frame)


class Pages(threading.Thread):
    """All pages, on an event loop of their own."""

    def __init__(self, port: int, tokens: dict[str, str], count: int) -> None:
        super().__init__(name="pages", daemon=True)
        url = f"ws://127.0.0.1:{port}/hitl/ws"
        owners = [name for name, _ in zip(_around(tokens), range(count), strict=False)]
        self.pages = [Page(url, tokens[owner], owner=owner) for owner in owners]
        self._loop = asyncio.new_event_loop()
        self._tasks: list[asyncio.Task[None]] = []

    def run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._follow())
        self._loop.close()

    async def _follow(self) -> None:
        self._tasks = [asyncio.ensure_future(page.run()) for page in self.pages]
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def all_connected(self, seconds: float) -> bool:
        """Whether the live feed has spoken to every page within so many seconds."""
        return self._all(seconds, lambda page: page.met.wait())

    def all_reached(self, position: int, seconds: float) -> bool:
        """Whether every page has been shown everything up to a position within so many seconds."""
        return self._all(seconds, lambda page: page.reached(position))

    def _all(self, seconds: float, happened: Callable[[Page], Awaitable[Any]]) -> bool:
        async def wait() -> bool:
            try:
                async with asyncio.timeout(seconds):
                    await asyncio.gather(*(happened(page) for page in self.pages))
            except TimeoutError:
                return False
            return True

        return asyncio.run_coroutine_threadsafe(wait(), self._loop).result(seconds + 10)

    def finish(self) -> None:
        if self.is_alive():
            for task in self._tasks:
                self._loop.call_soon_threadsafe(task.cancel)
            self.join(20)


def _around(tokens: dict[str, str]) -> Any:
    while True:
        yield from tokens
