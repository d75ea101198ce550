"""What a wargame tells is recorded in its order, beside it, and before it ends."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from wargaming.engine import Progress
from wargaming.telling import telling


def numbered(number: int) -> Progress:
    return Progress("running", round=number)


def test_everything_told_is_recorded_in_order_when_the_block_has_ended():
    recorded: list[Progress] = []
    with telling(recorded.extend) as tell:
        for number in range(200):
            tell(numbered(number))
    assert recorded == [numbered(number) for number in range(200)]


def test_what_comes_while_it_records_is_recorded_together_and_keeps_nobody_waiting():
    batches: list[int] = []
    recording, all_told = threading.Event(), threading.Event()

    def record(told: list[Progress]) -> None:
        batches.append(len(told))
        recording.set()
        assert all_told.wait(10)

    with telling(record) as tell:
        tell(numbered(0))
        assert recording.wait(10)
        for number in range(5):
            tell(numbered(number))
        all_told.set()
    assert batches == [1, 5]


def broken(told: list[Progress]) -> None:
    raise ConnectionError("the database is gone")


def told_to(record: Callable[[list[Progress]], None], *, then: Callable[[], object] = lambda: None) -> None:
    with telling(record) as tell:
        tell(numbered(0))
        then()


def test_what_could_not_be_recorded_ends_the_wargame():
    with pytest.raises(ConnectionError, match="gone"):
        told_to(broken)


def test_a_failure_of_its_own_is_the_one_that_is_told():
    with pytest.raises(ZeroDivisionError):
        told_to(broken, then=lambda: 1 / 0)
