"""Many writers, some lingering before commit, some undoing their work: the log's positions are gap-free and follow commit order."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable

import pytest

from tests.worlds import World

WRITERS = 8
WRITER = "tests.immune.events.writer"


@pytest.mark.parametrize("database", ["postgresql", "sqlite"])
def test_eight_writers_leave_no_gap_and_a_follower_misses_nothing(
    database: str, new_world: Callable[..., World]
) -> None:
    world = new_world(database)
    rooms = world.call(f"{WRITER}:repositories", 3)
    followers = [world.start(f"{WRITER}:follow") for _ in range(2)]
    writers = {f"w{n}": world.start(f"{WRITER}:write", f"w{n}", 40, rooms) for n in range(WRITERS)}
    # A deadlock would have ended its victim with an error, and ``result`` refuses one.
    by_writer = {name: [mark for mark, _room in process.result(120)] for name, process in writers.items()}
    written = [mark for marks in by_writer.values() for mark in marks]
    for follower in followers:
        follower.signal(signal.SIGTERM)
        seen = follower.result()
        # A later position that can be seen before an earlier one would have shown as a gap.
        assert seen["gaps"] == []
        assert seen["positions"] == list(range(1, len(written) + 1))
        assert sorted(seen["marks"]) == sorted(written)
        for name, marks in by_writer.items():
            assert [mark for mark in seen["marks"] if mark.startswith(f"{name}-")] == marks
    # What was undone, whole or in part, left nothing.
    assert not any(mark.endswith("undone") for mark in seen["marks"])
    audit = json.loads(world.manage("verify_audit", "--format", "json").stdout)
    assert audit == {"events": len(written), "ok": True, "first_bad": None, "checkpoint": None}
