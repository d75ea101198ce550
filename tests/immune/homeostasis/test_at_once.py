"""Two processes that give places at the same moment give no more than there are."""

from __future__ import annotations

import time
from collections.abc import Callable

import psycopg

from immune.homeostasis.admission import LOCK
from tests.worlds import World, new_world

__all__ = ["new_world"]

HERE = "tests.immune.homeostasis.settling"
WAITING = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND objid = %s AND database = %s"


def test_two_that_settle_at_once_keep_to_the_cap(new_world: Callable[..., World]) -> None:
    world = new_world("postgresql", OPEN_PULL_REQUESTS_PER_REPOSITORY="3")
    world.call(f"{HERE}:jobs_wait", 6)
    with psycopg.connect(world.database_url, autocommit=True) as ours:
        # Held here until both have come to it: neither has looked what is free before the other waits too.
        ours.execute("SELECT pg_advisory_lock(%s)", [LOCK])
        both = [world.start(f"{HERE}:settle") for _ in range(2)]
        (here,) = ours.execute("SELECT oid FROM pg_database WHERE datname = current_database()").fetchone() or (0,)
        until = time.monotonic() + 60
        while ours.execute(WAITING, [LOCK, here]).fetchone() != (2,):
            assert time.monotonic() < until, "they do not wait for each other"
            assert all(one.running for one in both), "one of them looked without waiting"
            time.sleep(0.02)  # between two looks; a lock tells nobody who waits
        ours.execute("SELECT pg_advisory_unlock(%s)", [LOCK])
    assert sorted(one.result() for one in both) == [0, 3]
    assert world.call(f"{HERE}:admitted") == 3
