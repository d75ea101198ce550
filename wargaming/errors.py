"""The errors of the wargame engine: each carries a machine-readable ``reason`` that also labels metrics and
evidence."""

from __future__ import annotations

from typing import Any


class WargameError(Exception):
    """Something the engine could not or would not do; ``reason`` is a short stable word, the message is for people."""

    def __init__(self, reason: str, message: str = "") -> None:
        super().__init__(message or reason)
        self.reason = reason


class ScenarioRefused(WargameError):
    """A folder or mapping is not a scenario; ``problems`` holds every ``(where, what)`` found."""

    def __init__(self, problems: tuple[tuple[str, str], ...]) -> None:
        super().__init__("scenario_refused", "; ".join(f"{where}: {what}" for where, what in problems))
        self.problems = problems


class EnvironmentFailed(WargameError):
    """An environment could not be resolved or built (reasons: see ``environments.resolve``)."""


class SandboxUnavailable(WargameError):
    """This driver cannot work on this machine."""


class SandboxRefused(WargameError):
    """The driver works, but does not run this (an untrusted scenario without isolation, for example)."""


class OrderRefused(Exception):
    """What a person asked of a wargame or a scenario will not be done; ``reason`` is machine-readable, the text for people."""

    def __init__(self, reason: str, message: str, **details: Any) -> None:
        super().__init__(message)
        self.reason = reason
        self.details = details


class OrderNotAllowed(OrderRefused):
    """The account's role or token does not permit it."""


class OrderTooLate(OrderRefused):
    """It is no longer, or not yet, in the state in which that can be asked."""
