"""Claiming work: one winner, leases that run out, owners that lost walk away, and an honest end after enough attempts."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from django.utils import timezone

from immune import claims, work
from immune.events.actors import SYSTEM
from immune.events.log import act
from immune.models import Delivery, Event
from tests.worlds import World

MINUTE = timedelta(minutes=1)
CLAIMERS = "tests.immune.claimers"


@pytest.fixture
def delivery(transactional_db: None) -> Delivery:
    with act(SYSTEM) as log:
        log.record("x.y", subject="x:1", data={})
    return Delivery.objects.create(event=Event.objects.get(), handler="h")


def claimed(owner: str = "me", lease: timedelta = MINUTE) -> Delivery | None:
    return claims.claim(Delivery.objects.all(), lease=lease, owner=owner)


def lease_runs_out(row: Delivery) -> None:
    Delivery.objects.filter(pk=row.pk).update(lease_until=timezone.now() - timedelta(seconds=1))


@pytest.mark.both_databases
class TestOneRow:
    def test_a_claim_takes_the_row_with_a_lease_and_counts_the_attempt(self, delivery: Delivery) -> None:
        row = claimed("me")
        assert row is not None
        assert (row.pk, row.state, row.owner, row.attempts) == (delivery.pk, "running", "me", 1)
        assert row.lease_until > timezone.now()

    def test_a_claimed_row_is_not_claimed_again(self, delivery: Delivery) -> None:
        assert claimed("me")
        assert claimed("you") is None

    def test_a_row_that_is_not_due_is_left(self, delivery: Delivery) -> None:
        Delivery.objects.update(due_at=timezone.now() + MINUTE)
        assert claimed() is None

    @pytest.mark.parametrize("state", ["done", "parked"])
    def test_a_finished_row_is_left_whatever_its_lease_says(self, delivery: Delivery, state: str) -> None:
        Delivery.objects.update(state=state, lease_until=timezone.now() - MINUTE)
        assert claimed() is None

    def test_when_the_lease_ran_out_another_takes_over_and_the_former_owner_walks_away(
        self, delivery: Delivery
    ) -> None:
        mine = claimed("me")
        assert mine is not None
        lease_runs_out(mine)
        yours = claimed("you")
        assert yours is not None
        assert yours.attempts == 2
        with pytest.raises(claims.LostClaim):
            claims.finish(mine, to="done")
        with pytest.raises(claims.LostClaim):
            claims.release(mine, wait=MINUTE, error="late")
        assert claims.extend(mine, lease=MINUTE) is False
        delivery.refresh_from_db()
        assert (delivery.state, delivery.owner, delivery.last_error) == ("running", "you", "")
        claims.finish(yours, to="done")
        delivery.refresh_from_db()
        assert (delivery.state, delivery.owner, delivery.lease_until) == ("done", "", None)

    def test_a_released_row_waits_and_keeps_what_went_wrong(self, delivery: Delivery) -> None:
        row = claimed()
        assert row is not None
        claims.release(row, wait=MINUTE, error="x" * 5000)
        delivery.refresh_from_db()
        assert (delivery.state, delivery.owner, len(delivery.last_error)) == ("pending", "", 2000)
        assert claimed() is None

    def test_the_most_overdue_row_comes_first(self, delivery: Delivery) -> None:
        early = Delivery.objects.create(event=delivery.event, handler="early", due_at=timezone.now() - MINUTE)
        row = claimed()
        assert row is not None
        assert row.pk == early.pk


def test_backoff_doubles_with_jitter_up_to_a_ceiling() -> None:
    for attempts in range(1, 40):
        longest = min(300.0, 2.0**attempts)
        assert longest / 2 <= claims.backoff(attempts).total_seconds() <= longest


class TestHeartbeat:
    def test_it_extends_the_lease_while_the_work_goes_on(self, delivery: Delivery) -> None:
        row = claimed(lease=timedelta(seconds=0.6))
        assert row is not None
        first = row.lease_until
        extended = threading.Event()
        with claims.heartbeat(row, lease=timedelta(seconds=0.6)) as lost:
            deadline = time.monotonic() + 20
            while not extended.wait(0.05) and time.monotonic() < deadline:
                row.refresh_from_db()
                if row.lease_until > first:
                    extended.set()
            assert extended.is_set()
            assert not lost.is_set()

    def test_it_tells_when_the_claim_is_lost(self, delivery: Delivery) -> None:
        row = claimed(lease=timedelta(seconds=0.3))
        assert row is not None
        with claims.heartbeat(row, lease=timedelta(seconds=0.3)) as lost:
            Delivery.objects.filter(pk=row.pk).update(owner="somebody else")
            assert lost.wait(20)


class Accident(Exception):
    pass


@pytest.fixture
def kind(monkeypatch: pytest.MonkeyPatch) -> Callable[..., work.Kind]:
    """Registers a kind of work over deliveries for the length of a test."""
    ended: list[str] = []

    def give_up(row: Delivery, error: str) -> None:
        ended.append(error)
        claims.finish(row, to="parked", last_error=error)

    def register(run: Callable[[Delivery, threading.Event], None]) -> work.Kind:
        known = work.kind_named("delivery")
        made = replace(known, name="test", run=run, give_up=give_up, attempts=3)
        monkeypatch.setattr(work, "_kinds", {"test": made})
        return made

    return register


@pytest.mark.both_databases
class TestWork:
    def test_work_that_ends_well_is_done_once(self, delivery: Delivery, kind: Callable[..., work.Kind]) -> None:
        ran: list[int] = []

        def run(row: Delivery, _lost: threading.Event) -> None:
            ran.append(row.pk)
            claims.finish(row, to="done")

        kind(run)
        assert work.run_one("test") is True
        assert work.run_one("test") is False
        assert ran == [delivery.pk]

    def test_an_accident_is_tried_again_later_and_given_up_after_enough_attempts(
        self, delivery: Delivery, kind: Callable[..., work.Kind]
    ) -> None:
        def run(_row: Delivery, _lost: threading.Event) -> None:
            raise Accident("broken")

        kind(run)
        for attempt in (1, 2):
            assert work.run_one("test") is True
            delivery.refresh_from_db()
            assert (delivery.state, delivery.attempts) == ("pending", attempt)
            assert delivery.due_at > timezone.now()
            assert work.run_one("test") is False
            Delivery.objects.update(due_at=timezone.now())
        assert work.run_one("test") is True
        delivery.refresh_from_db()
        assert (delivery.state, delivery.last_error) == ("parked", "Accident: broken")

    def test_work_that_kills_its_worker_is_given_up_without_being_run_again(
        self, delivery: Delivery, kind: Callable[..., work.Kind]
    ) -> None:
        Delivery.objects.update(state="running", owner="killed", attempts=3, lease_until=timezone.now() - MINUTE)
        ran: list[int] = []
        kind(lambda row, _lost: ran.append(row.pk))
        assert work.run_one("test") is True
        delivery.refresh_from_db()
        assert (delivery.state, ran) == ("parked", [])

    def test_who_lost_the_claim_changes_nothing(self, delivery: Delivery, kind: Callable[..., work.Kind]) -> None:
        def run(row: Delivery, _lost: threading.Event) -> None:
            Delivery.objects.update(owner="another", attempts=2)
            raise Accident("after the loss")

        kind(run)
        assert work.run_one("test") is True
        delivery.refresh_from_db()
        assert (delivery.state, delivery.owner, delivery.last_error) == ("running", "another", "")

    def test_what_is_due_is_found_by_the_sweep_until_it_is_done(
        self, delivery: Delivery, kind: Callable[..., work.Kind]
    ) -> None:
        kind(lambda row, _lost: claims.finish(row, to="done"))
        assert work.due_now() == [("test", str(delivery.pk))]
        work.run_one("test", pk=str(delivery.pk))
        assert work.due_now() == []


@pytest.mark.parametrize("database", ["postgresql", "sqlite"])
class TestRace:
    def test_eight_claimers_of_one_row_have_one_winner(self, database: str, new_world: Callable[..., World]) -> None:
        world = new_world(database)
        world.call(f"{CLAIMERS}:make_deliveries", 1)
        begin = time.time() + 2
        claimers = [world.start(f"{CLAIMERS}:claim_one", begin, 1.0) for _ in range(8)]
        owners = [owner for claimer in claimers if (owner := claimer.result(60))]
        assert len(owners) == 1
        assert world.call(f"{CLAIMERS}:states") == [["running", 1]]

    def test_many_claimers_share_the_rows_and_none_is_worked_twice(
        self, database: str, new_world: Callable[..., World]
    ) -> None:
        world = new_world(database)
        world.call(f"{CLAIMERS}:make_deliveries", 60)
        begin = time.time() + 2
        claimers = [world.start(f"{CLAIMERS}:claim_all", begin) for _ in range(8)]
        claimed_by = [claimer.result(120) for claimer in claimers]
        assert Counter(name for names in claimed_by for name in names) == Counter(f"h{n}" for n in range(60))
        assert world.call(f"{CLAIMERS}:states") == [["done", 1]] * 60

    def test_a_killed_claimer_is_succeeded_when_its_lease_has_run_out(
        self, database: str, new_world: Callable[..., World]
    ) -> None:
        world = new_world(database)
        world.call(f"{CLAIMERS}:make_deliveries", 1)
        first = world.start(f"{CLAIMERS}:claim_and_never_finish")
        while "claimed" not in first.output():
            assert first.running, first.output()
            time.sleep(0.02)
        first.kill()
        assert world.call(f"{CLAIMERS}:states") == [["running", 1]]
        assert world.call(f"{CLAIMERS}:claim_all", 0) == ["h0"]
        assert world.call(f"{CLAIMERS}:states") == [["done", 2]]
