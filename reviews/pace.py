"""How often somebody may do something: counters in windows of time, shared by all processes where the cache is shared."""

from __future__ import annotations

import time

import structlog
from django.conf import settings
from django.core.cache import cache
from django.core.cache.backends.locmem import LocMemCache
from django.http import HttpRequest

log = structlog.get_logger(__name__)

# Counts for this process alone while the shared cache does not answer: a limit that is too generous beats none, and beats
# an API that stops because Redis did.
_own = LocMemCache("pace", {})


def count(key: str, seconds: int) -> int:
    """Counts one more in the window that runs now; returns how many there are."""
    name = _name(key, seconds)
    for store in (cache, _own):
        try:
            store.add(name, 0, timeout=seconds + 1)
            return int(store.incr(name))
        except ValueError:
            return 1  # it ran out between the two calls
        except Exception:
            log.warning("pace.cache_away", exc_info=True)
    return 1


def counted(key: str, seconds: int) -> int:
    """How many the window that runs now holds."""
    name = _name(key, seconds)
    for store in (cache, _own):
        try:
            return int(store.get(name, 0))
        except Exception:
            log.warning("pace.cache_away", exc_info=True)
    return 0


def until_next(seconds: int) -> int:
    """Whole seconds until the next window begins, at least one."""
    return seconds - int(time.time()) % seconds


def _name(key: str, seconds: int) -> str:
    return f"pace:{key}:{int(time.time()) // seconds}"


def client_address(request: HttpRequest) -> str:
    """The address that asks: what the outermost of our own proxies saw. Without proxies of ours, headers say nothing."""
    address: str = request.META.get("REMOTE_ADDR") or "unknown"
    if settings.PROXIES_BEFORE:
        passed = [part.strip() for part in request.META.get("HTTP_X_FORWARDED_FOR", "").split(",") if part.strip()]
        if len(passed) >= settings.PROXIES_BEFORE:
            address = passed[-settings.PROXIES_BEFORE]
    return "".join(sign for sign in address[:64] if sign.isalnum() or sign in ".:")
