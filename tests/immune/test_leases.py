"""Periodic duties across processes: done once each time, taken over when the holder is killed, refused to who was outdated."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from itertools import pairwise

import pytest
from django.utils import timezone
from django.utils.module_loading import import_string

from immune import leases
from immune.duties import Duty, schedule
from immune.events.actors import SYSTEM
from immune.events.log import act
from immune.models import Event, Lease
from immune.queues import NAMES
from tests.worlds import Child, World

DUTIFUL = "tests.immune.dutiful"
DUTY = Duty("test", 60, "tests.immune.dutiful.act_once", "events")


@pytest.fixture
def duty(settings: object, transactional_db: None) -> Duty:
    settings.DUTIES = (DUTY,)  # type: ignore[attr-defined]
    return DUTY


def lease_runs_out() -> None:
    Lease.objects.update(until=timezone.now() - timedelta(seconds=1))


def is_due() -> None:
    Lease.objects.update(due_at=timezone.now() - timedelta(seconds=1))


@pytest.mark.both_databases
class TestOneDuty:
    def test_it_is_done_and_then_rests_until_it_is_due_again(self, duty: Duty) -> None:
        assert leases.perform("test")
        assert not leases.perform("test")
        row = Lease.objects.get()
        assert (row.token, row.until, row.holder, row.last_error) == (1, None, "", "")
        assert 55 < (row.due_at - row.began_at).total_seconds() < 60
        is_due()
        assert leases.perform("test")
        assert Event.objects.count() == 2

    def test_a_held_duty_is_taken_by_nobody_else_until_its_lease_runs_out(self, duty: Duty) -> None:
        first = leases.take(duty)
        assert first is not None
        assert leases.take(duty) is None
        lease_runs_out()
        second = leases.take(duty)
        assert second is not None
        assert second.token == first.token + 1

    def test_who_lost_the_lease_cannot_write_any_more(self, duty: Duty, monkeypatch: pytest.MonkeyPatch) -> None:
        def sleeps_too_long() -> None:
            lease_runs_out()
            assert leases.take(duty)
            with act(SYSTEM) as log:
                leases.fence()
                log.record("x.y", subject="x:1", data={})

        monkeypatch.setattr(leases, "import_string", lambda _: sleeps_too_long)
        assert not leases.perform("test")
        assert Event.objects.count() == 0
        row = Lease.objects.get()
        assert row.token == 2
        assert row.until is not None, "the new holder's lease is untouched"

    def test_one_that_fails_is_tried_again_soon_and_says_why(self, duty: Duty, monkeypatch: pytest.MonkeyPatch) -> None:
        def fails() -> None:
            raise OSError("no disk")

        monkeypatch.setattr(leases, "import_string", lambda _: fails)
        assert not leases.perform("test")
        row = Lease.objects.get()
        assert row.last_error == "OSError: no disk"
        assert row.until is None
        assert row.due_at > timezone.now()

    def test_one_that_is_not_done_at_once_waits_its_first_time_out(self, settings: object, duty: Duty) -> None:
        settings.DUTIES = (Duty("later", 3600, DUTY.run, "events", at_once=False),)  # type: ignore[attr-defined]
        assert not leases.perform("later")
        assert 3500 < (Lease.objects.get().due_at - timezone.now()).total_seconds() <= 3600


def test_every_duty_names_a_function_and_a_queue_that_are_there(settings: object) -> None:
    for known in settings.DUTIES:  # type: ignore[attr-defined]
        assert callable(import_string(known.run)), known
        assert known.queue in NAMES
        assert known.look_seconds + leases.LEASE.total_seconds() < 30, "a killed holder is missed for too long"
    assert set(settings.CELERY_BEAT_SCHEDULE) == {known.name for known in settings.DUTIES}  # type: ignore[attr-defined]


def test_beat_looks_often_even_for_what_is_done_daily() -> None:
    entry = schedule([Duty("daily", 86_400, "x.y", "ingest")])["daily"]
    assert entry["schedule"] == 10
    assert entry["options"] == {"queue": "ingest", "expires": 30}


def until_said(child: Child, words: str) -> None:
    deadline = time.monotonic() + 60
    while words not in child.output():
        assert child.running, child.output()
        assert time.monotonic() < deadline, child.output()
        time.sleep(0.05)


class TestProcesses:
    @pytest.mark.parametrize("database", ["postgresql", "sqlite"])
    def test_many_processes_that_look_act_once_each_time(self, new_world: Callable[..., World], database: str) -> None:
        world = new_world(database)
        world.call(f"{DUTIFUL}:done")
        end = time.time() + 9
        lookers = [world.start(f"{DUTIFUL}:look_until", end) for _ in range(3)]
        acted = sum(looker.result(90) for looker in lookers)
        done = world.call(f"{DUTIFUL}:done")
        assert [token for token, _ in done] == list(range(1, len(done) + 1)), "a token twice, or one without its act"
        assert len(done) == acted
        assert acted >= 2
        for (_, before), (_, after) in pairwise(done):
            assert after - before > 1.4, "done again before it was due"

    def test_when_the_holder_is_killed_another_takes_over_in_time(self, new_world: Callable[..., World]) -> None:
        world = new_world("postgresql")
        holder = world.start(f"{DUTIFUL}:hold")
        until_said(holder, "holding")
        holder.kill()
        assert world.start(f"{DUTIFUL}:take_over", 60).result(90) < 30
        assert [token for token, _ in world.call(f"{DUTIFUL}:done")] == [2]

    def test_a_round_that_was_cut_short_is_finished_by_another_without_doing_any_of_it_twice(
        self, new_world: Callable[..., World]
    ) -> None:
        world = new_world("postgresql")
        world.call(f"{DUTIFUL}:make_repositories", 8)
        first = world.start(f"{DUTIFUL}:rescan", 3)
        until_said(first, "holding")
        first.kill()
        assert world.call(f"{DUTIFUL}:daily_scans") == ["r0", "r1", "r2"]
        assert world.start(f"{DUTIFUL}:rescan").result(90) == 5
        assert world.call(f"{DUTIFUL}:daily_scans") == [f"r{number}" for number in range(8)]
