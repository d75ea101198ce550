"""Who is told of which event. Handlers register by name when their app starts; each gets each event at least once.

A handler takes one ``Happened`` and must be idempotent. Names are kept in delivery rows, so they do not change.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Happened:
    """One event as handlers see it."""

    position: int
    kind: str
    subject: str
    repository: UUID | None
    actor: str
    data: dict[str, Any]


Handler = Callable[[Happened], None]
_handlers: dict[str, tuple[frozenset[str], Handler]] = {}


class UnknownHandler(LookupError):
    """A delivery names a handler that no running app registers."""


def subscribe(name: str, *kinds: str) -> Callable[[Handler], Handler]:
    """Registers a handler for the event kinds named. Raises ValueError when the name is taken by another function."""

    def register(handler: Handler) -> Handler:
        known = _handlers.get(name)
        if known is not None and known[1] is not handler:
            raise ValueError(f"handler {name} is registered twice")
        _handlers[name] = (frozenset(kinds), handler)
        return handler

    return register


def handlers_for(kind: str) -> list[str]:
    return [name for name, (kinds, _handler) in _handlers.items() if kind in kinds]


def handler_named(name: str) -> Handler:
    try:
        return _handlers[name][1]
    except KeyError:
        raise UnknownHandler(name) from None
