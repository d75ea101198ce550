"""Rings after commit. What hears it (live hubs, workers) registers here; a lost ring only delays, so a failing bell is logged.

A bell takes the new event positions and the (work, id) pairs to wake.
"""

from __future__ import annotations

from collections.abc import Callable

import structlog

Bell = Callable[[list[int], list[tuple[str, str]]], None]

log = structlog.get_logger(__name__)
_bells: list[Bell] = []


def hear(bell: Bell) -> Bell:
    """Registers a bell; used by the apps that listen."""
    if bell not in _bells:
        _bells.append(bell)
    return bell


def unhear(bell: Bell) -> None:
    if bell in _bells:
        _bells.remove(bell)


def ring(positions: list[int], wakes: list[tuple[str, str]]) -> None:
    for bell in list(_bells):
        try:
            bell(positions, wakes)
        except Exception:
            log.warning("doorbell_failed", bell=getattr(bell, "__qualname__", repr(bell)), exc_info=True)
