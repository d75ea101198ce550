"""A forge that goes wrong on demand: around the local one in tests of whole journeys, where no socket can fail.

What goes wrong is real work done or not done, and an answer that says less than happened: it failed before acting, it
acted and no answer came, or it was carried out twice.
"""

import random
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from immune.forges.base import Failed, Failure, Forge

ACTIONS = frozenset(
    {
        "ensure_branch", "ensure_pull_request", "merge_pull_request", "close_pull_request", "request_changes",
        "escalate", "comment", "report_verdict", "delete_branch",
    }
)  # fmt: skip


class Fault(StrEnum):
    """What goes wrong with one action."""

    FAIL_BEFORE = "fail_before"
    SILENT_AFTER = "silent_after"
    TWICE = "twice"


class FaultPlan:
    """Which actions go wrong: those queued by name first, then any at random with ``rate``. Safe between threads."""

    def __init__(self, rate: float = 0.0, seed: int = 1, grace: timedelta = timedelta(seconds=1)) -> None:
        self.rate = rate
        self.grace = grace
        self.happened: list[tuple[str, Fault]] = []
        self._queued: list[tuple[str, Fault]] = []
        self._random = random.Random(seed)
        self._lock = threading.Lock()

    def add(self, action: str, fault: Fault | str, times: int = 1) -> None:
        """The next ``times`` calls of this action go wrong."""
        self._queued += [(action, Fault(fault))] * times

    def next(self, action: str) -> Fault | None:
        """What goes wrong with this call, used up."""
        with self._lock:
            fault = next((fault for name, fault in self._queued if name == action), None)
            if fault is not None:
                self._queued.remove((action, fault))
            elif self._random.random() < self.rate:
                fault = self._random.choice(list(Fault))
            if fault is not None:
                self.happened.append((action, fault))
            return fault


class FaultyForge:
    """Behaves as the forge it wraps, but for the plan. Reading never goes wrong here."""

    def __init__(self, forge: Forge, plan: FaultPlan) -> None:
        self.forge = forge
        self.plan = plan

    def __getattr__(self, name: str) -> Any:
        real = getattr(self.forge, name)
        return self._acting(name, real) if name in ACTIONS else real

    def _acting(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def act(*arguments: Any, **named: Any) -> Any:
            fault = self.plan.next(name)
            if fault is Fault.FAIL_BEFORE:
                return Failed(Failure.UNREACHABLE, "the forge could not be reached")
            answer = real(*arguments, **named)
            if fault is Fault.SILENT_AFTER:
                later = datetime.now(UTC) + self.plan.grace
                return Failed(Failure.TIMED_OUT, "the forge did not answer in time", later, may_have_acted=True)
            return real(*arguments, **named) if fault is Fault.TWICE else answer

        return act
