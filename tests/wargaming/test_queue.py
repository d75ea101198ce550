"""The queue of wargames: repositories take turns, and people cancel and ask once more."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from immune import claims, tasks, work
from immune.deliveries import happened
from immune.events.actors import SYSTEM
from immune.events.log import act
from immune.models import APV, Event, Repository, Role
from immune.people.selectors import viewer_of
from immune.transitions import move_apv
from reviews import handlers as reviewing
from reviews import services as deciding
from reviews.decisions import Asked
from reviews.errors import StaleEvidence
from reviews.models import Review, ReviewState
from tests.reviews import cast as made
from tests.reviews.cast import Cast
from wargaming import orders
from wargaming.errors import OrderNotAllowed, OrderRefused, OrderTooLate
from wargaming.models import Wargame, WargameState

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.both_databases]
MINUTE = timedelta(minutes=1)
WHY = "The index was away."


def queued(repository: Repository, count: int, *, age: int) -> list[Wargame]:
    """Wargames of a repository that wait, asked for ``age`` minutes ago and after."""
    threat = made.apv(repository, made.advisory(f"GHSA-of-{repository.name}"))
    change = made.remedy(repository, threat)
    began = timezone.now() - age * MINUTE
    return [
        made.wargame(
            change,
            threat,
            scenario=f"{repository.name} {n}",
            repeats=0,
            state="pending",
            due_at=began + n * timedelta(0, 1),
        )
        for n in range(count)
    ]


def next_claimed(owner: str = "me") -> Wargame | None:
    kind = work.kind_named("wargame")
    return claims.claim_in_turn(Wargame.objects.all(), kind="wargame", repository=kind.turn, lease=MINUTE, owner=owner)


def claimed_in_order() -> list[str]:
    found = []
    while (row := next_claimed()) is not None:
        found.append(row.scenario)
        claims.finish(row, to=WargameState.FINISHED)
    return found


class TestTurns:
    def test_a_repository_with_many_waits_behind_each_other_after_each_of_its_own(self) -> None:
        queued(made.repository("big"), 6, age=60)
        queued(made.repository("small"), 1, age=5)
        queued(made.repository("middle"), 2, age=10)
        assert claimed_in_order() == [
            "big 0", "middle 0", "small 0", "big 1", "middle 1", "big 2", "big 3", "big 4", "big 5",
        ]  # fmt: skip

    def test_turns_are_remembered_where_a_queue_was_empty_for_a_while(self) -> None:
        one, other = made.repository("one"), made.repository("other")
        first = queued(one, 2, age=60)[0]
        assert claimed_in_order() == ["one 0", "one 1"]
        made.wargame(
            first.remedy, first.apv, scenario="one later", state="pending", due_at=timezone.now() - MINUTE, repeats=0
        )
        queued(other, 1, age=0)
        assert claimed_in_order() == ["other 0", "one later"]

    def test_what_is_not_due_or_held_takes_no_turn(self) -> None:
        held, later = made.repository("held"), made.repository("later")
        [row] = queued(held, 1, age=60)
        Wargame.objects.filter(pk=row.pk).update(state="running", lease_until=timezone.now() + MINUTE)
        [row] = queued(later, 1, age=60)
        Wargame.objects.filter(pk=row.pk).update(due_at=timezone.now() + MINUTE)
        assert next_claimed() is None

    def test_a_wake_up_for_one_row_starts_the_one_whose_turn_it_is(self, monkeypatch: pytest.MonkeyPatch) -> None:
        late = queued(made.repository("big"), 3, age=60)[2]
        queued(made.repository("small"), 1, age=5)
        ran: list[str] = []

        def run(row: Wargame, _lost: threading.Event) -> None:
            ran.append(row.scenario)
            claims.finish(row, to=WargameState.FINISHED)

        known = work.kind_named("wargame")
        monkeypatch.setattr(work, "_kinds", {"wargame": replace(known, run=run)})
        tasks.work("wargame", str(late.pk))
        assert ran == ["big 0", "small 0", "big 1", "big 2"]

    def test_many_claimers_at_once_take_each_row_once_and_leave_none(self) -> None:
        queued(made.repository("big"), 12, age=60)
        queued(made.repository("small"), 3, age=5)
        taken: list[str] = []
        barrier = threading.Barrier(4, timeout=60)

        def claimer(number: int) -> None:
            try:
                barrier.wait()
                while (row := next_claimed(f"claimer {number}")) is not None:
                    taken.append(row.scenario)
            finally:
                connection.close()

        threads = [threading.Thread(target=claimer, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert max(Counter(taken).values()) == 1
        assert len(taken) == 15


@pytest.fixture
def cast() -> Cast:
    return Cast()


@pytest.fixture
def round_(cast: Cast) -> Review:
    return made.proved_review(cast)


def asked(cast: Cast, order: Callable[..., Wargame], wargame: Wargame, reason: str = WHY) -> Wargame:
    return order(account=cast.rita, viewer=viewer_of(cast.rita), wargame=wargame, reason=reason)


def ended(round_: Review) -> Wargame:
    game = round_.items.get().wargame
    assert game is not None
    return game


def handled() -> None:
    """Hands every event to its handlers, until nothing is left."""
    while work.run_one("delivery"):
        pass


class TestCancel:
    def test_a_cancelled_wargame_could_not_tell_and_the_reason_stays_beside_it(
        self, cast: Cast, round_: Review
    ) -> None:
        proved = ended(round_)
        waits = made.wargame(proved.remedy, proved.apv, scenario="another", repeats=0, state="pending")
        game = asked(cast, orders.cancel, waits)
        assert (game.state, game.verdict, game.confidence, game.reason) == (
            "cancelled", "INCONCLUSIVE", 0.0, "cancelled",
        )  # fmt: skip
        assert WHY in game.explanation
        [order] = game.orders.all()
        assert (order.kind, order.by, order.reason) == ("cancel", cast.rita, WHY)
        [event] = Event.objects.filter(kind="wargame.cancelled")
        assert (event.subject, event.actor) == (f"wargame:{game.pk}", f"account:{cast.rita.pk}")
        assert WHY not in event.body
        assert APV.objects.get(pk=proved.apv_id).wargame_verdict == "INCONCLUSIVE"

    def test_the_review_that_opens_after_it_does_not_count_its_apv_as_proved(self, cast: Cast) -> None:
        threat = made.apv(cast.repository, made.advisory("GHSA-x"))
        change = made.remedy(cast.repository, threat)
        made.wargame(change, threat)
        asked(cast, orders.cancel, made.wargame(change, threat, scenario="another", repeats=0, state="running"))
        handled()
        review = Review.objects.get(remedy=change)
        assert (review.weakest_verdict, review.recommendation) == ("INCONCLUSIVE", "ask")

    def test_what_has_ended_is_not_cancelled_and_no_order_is_kept(self, cast: Cast, round_: Review) -> None:
        with pytest.raises(OrderTooLate):
            asked(cast, orders.cancel, ended(round_))
        assert not ended(round_).orders.exists()

    def test_nobody_cancels_without_a_reason_a_right_or_sight(self, cast: Cast, round_: Review) -> None:
        waits = made.wargame(ended(round_).remedy, ended(round_).apv, scenario="another", state="pending")
        with pytest.raises(OrderRefused):
            asked(cast, orders.cancel, waits, reason="  ")
        for account in (cast.otto, cast.person(Role.VIEWER)):
            with pytest.raises(OrderNotAllowed):
                orders.cancel(account=account, viewer=viewer_of(account), wargame=waits, reason=WHY)
        waits.refresh_from_db()
        assert waits.state == "pending"

    def test_of_an_end_and_a_cancelling_at_once_one_happens(self, cast: Cast, round_: Review) -> None:
        games = [
            made.wargame(
                ended(round_).remedy, ended(round_).apv, scenario=f"game {n}", repeats=0, state="running", owner="me"
            )
            for n in range(20)
        ]
        barrier = threading.Barrier(2, timeout=60)
        outcomes: dict[str, list[bool]] = {"cancel": [], "finish": []}

        def play(name: str, do: Callable[[Wargame], Any]) -> None:
            try:
                for game in games:
                    barrier.wait()
                    try:
                        do(game)
                        outcomes[name].append(True)
                    except (OrderTooLate, claims.LostClaim):
                        outcomes[name].append(False)
            finally:
                connection.close()

        acts = {
            "cancel": lambda game: asked(cast, orders.cancel, Wargame.objects.get(pk=game.pk)),
            "finish": lambda game: claims.finish(game, to="finished", verdict="PATCH_EFFECTIVE"),
        }
        threads = [threading.Thread(target=play, args=each) for each in acts.items()]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for game, cancelled, finished in zip(games, outcomes["cancel"], outcomes["finish"], strict=True):
            game = Wargame.objects.get(pk=game.pk)  # noqa: PLW2901 - as it is now
            assert cancelled != finished
            assert (game.state, game.verdict) == (
                ("cancelled", "INCONCLUSIVE") if cancelled else ("finished", "PATCH_EFFECTIVE")
            )


class TestRetry:
    def test_it_is_a_new_wargame_and_the_old_one_keeps_what_it_showed(self, cast: Cast, round_: Review) -> None:
        before = ended(round_)
        again = asked(cast, orders.retry, before)
        assert (again.state, again.retry_of, again.scenario_digest) == ("pending", before, before.scenario_digest)
        before.refresh_from_db()
        assert (before.state, before.verdict) == ("finished", "PATCH_EFFECTIVE")
        assert before.evidence_id
        assert [order.kind for order in before.orders.all()] == ["retry"]

    def test_its_review_ends_and_another_opens_when_it_has_ended(self, cast: Cast, round_: Review) -> None:
        again = asked(cast, orders.retry, ended(round_))
        assert APV.objects.get().status == "wargaming"
        with pytest.raises(StaleEvidence):
            deciding.decide(
                account=cast.sol,
                viewer=viewer_of(cast.sol),
                review=round_,
                asked=Asked("reject", "Not while it is run again."),
            )
        handled()
        round_.refresh_from_db()
        assert round_.state == ReviewState.DECIDED
        assert not Review.objects.exclude(state=ReviewState.DECIDED).exists()
        asked(cast, orders.cancel, again)
        handled()
        review = Review.objects.exclude(state=ReviewState.DECIDED).get()
        assert (review.round, review.weakest_verdict) == (round_.round + 1, "INCONCLUSIVE"), (
            "the last of the line counts"
        )
        assert APV.objects.get().status == "in_review"

    def test_a_review_opens_also_where_the_new_end_was_seen_before_the_old_round_was_ended(
        self, cast: Cast, round_: Review
    ) -> None:
        again = asked(cast, orders.retry, ended(round_))
        asked(cast, orders.cancel, again)
        moved = Event.objects.filter(kind="apv.moved").latest("position")
        reviewing.end_when_moot(happened(moved))
        assert Review.objects.exclude(state=ReviewState.DECIDED).get().round == round_.round + 1

    def test_only_the_last_of_a_line_that_ended_is_run_again(self, cast: Cast, round_: Review) -> None:
        again = asked(cast, orders.retry, ended(round_))
        for game in (ended(round_), again):
            with pytest.raises(OrderTooLate):
                asked(cast, orders.retry, game)
        assert Wargame.objects.count() == 2

    def test_nothing_is_run_again_for_what_is_decided(self, cast: Cast, round_: Review) -> None:
        with act(SYSTEM) as log:
            move_apv(APV.objects.get(), to="approved", log=log, why="approved")
        with pytest.raises(OrderTooLate):
            asked(cast, orders.retry, ended(round_))
