"""Limits are counted once for all processes: what one of them counted the others know, through Redis."""

from __future__ import annotations

from collections.abc import Callable

from tests.worlds import World, new_world

__all__ = ["new_world"]

HERE = "tests.reviews.api.pacing"


def test_processes_share_what_they_count(new_world: Callable[..., World], redis_url: str, redis_prefix: str) -> None:
    limits = {"API_ANONYMOUS_RATE_PER_MINUTE": "3", "LOGIN_FAILURES": "3", "ALLOWED_HOSTS": "testserver"}
    world = new_world("sqlite", REDIS_URL=redis_url, REDIS_PREFIX=redis_prefix, **limits)
    assert world.call(f"{HERE}:guess_tokens", 2) == [401, 401]
    assert world.call(f"{HERE}:guess_tokens", 2) == [401, 429], "another process goes on counting"
    assert world.call(f"{HERE}:guess_passwords", 2) == [200, 200]
    assert world.call(f"{HERE}:guess_passwords", 2) == [200, 429]
