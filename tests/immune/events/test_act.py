"""The unit of work: what it joins, what it undoes, what it refuses, and when it rings."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator

import pytest
from django.db import transaction

from immune.events import audit, doorbell, subscriptions
from immune.events.actors import COMMAND, SYSTEM
from immune.events.canonical import NotCanonical
from immune.events.log import MANY, ForeignTransaction, act
from immune.events.subscriptions import Happened, subscribe
from immune.models import Delivery, Event, Team

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.both_databases]

Rings = list[tuple[list[int], list[tuple[str, str]]]]


@pytest.fixture
def rings() -> Iterator[Rings]:
    heard: Rings = []

    def bell(positions: list[int], wakes: list[tuple[str, str]]) -> None:
        heard.append((positions, wakes))

    doorbell.hear(bell)
    yield heard
    doorbell.unhear(bell)


def kinds() -> list[str]:
    return list(Event.objects.order_by("position").values_list("kind", flat=True))


class Failure(Exception):
    pass


def test_rows_and_events_are_there_together_and_the_bell_rings_once_after(rings: Rings) -> None:
    with act(SYSTEM) as log:
        Team.objects.create(name="a")
        log.record("x.first", subject="x:1", data={})
        log.record("x.second", subject="x:1", data={})
        log.wake("delivery", 7)
        assert kinds() == []
        assert rings == []
    assert kinds() == ["x.first", "x.second"]
    assert Team.objects.count() == 1
    assert rings == [([1, 2], [("delivery", "7")])]


def test_what_was_rolled_back_announces_nothing(rings: Rings) -> None:
    with pytest.raises(Failure), act(SYSTEM) as log:  # noqa: PT012 - the block is the situation
        Team.objects.create(name="a")
        log.record("x.first", subject="x:1", data={})
        raise Failure
    assert (kinds(), Team.objects.count(), rings) == ([], 0, [])


def test_a_unit_without_events_rings_nobody(rings: Rings) -> None:
    with act(SYSTEM):
        Team.objects.create(name="a")
    assert rings == []


def test_a_nested_act_joins_with_an_actor_of_its_own(rings: Rings) -> None:
    with act(SYSTEM) as log:
        log.record("x.outer", subject="x:1", data={})
        with act(COMMAND) as inner:
            inner.record("x.inner", subject="x:1", data={})
        log.record("x.outer", subject="x:1", data={})
    found = list(Event.objects.order_by("position").values_list("kind", "actor"))
    assert found == [("x.outer", str(SYSTEM)), ("x.inner", str(COMMAND)), ("x.outer", str(SYSTEM))]
    assert len(rings) == 1


def test_a_nested_act_that_fails_undoes_only_its_own_part(rings: Rings) -> None:
    with act(SYSTEM) as log:
        log.record("x.outer", subject="x:1", data={})
        with pytest.raises(Failure), act(COMMAND) as inner:  # noqa: PT012 - the block is the situation
            Team.objects.create(name="inner")
            inner.record("x.inner", subject="x:1", data={})
            inner.wake("delivery", 9)
            raise Failure
        Team.objects.create(name="outer")
        log.record("x.after", subject="x:1", data={})
    assert kinds() == ["x.outer", "x.after"]
    assert list(Team.objects.values_list("name", flat=True)) == ["outer"]
    assert rings == [([1, 2], [])]
    assert set(Event.objects.values_list("actor", flat=True)) == {str(SYSTEM)}


def test_the_outer_failure_undoes_the_nested_part_too(rings: Rings) -> None:
    with pytest.raises(Failure), act(SYSTEM):  # noqa: PT012 - the block is the situation
        with act(COMMAND) as inner:
            inner.record("x.inner", subject="x:1", data={})
        raise Failure
    assert (kinds(), rings) == ([], [])


def test_inside_a_foreign_transaction_it_refuses() -> None:
    with transaction.atomic(), pytest.raises(ForeignTransaction), act(SYSTEM):
        pytest.fail("the block must not run")


def test_after_a_failure_the_next_unit_stands_alone() -> None:
    with pytest.raises(Failure), act(SYSTEM) as log:  # noqa: PT012 - the block is the situation
        log.record("x.first", subject="x:1", data={})
        raise Failure
    with act(SYSTEM) as log:
        log.record("x.second", subject="x:1", data={})
    assert list(Event.objects.values_list("position", "kind")) == [(1, "x.second")]


def test_a_failing_bell_fails_neither_the_commit_nor_the_other_bells(
    rings: Rings, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(_positions: list[int], _wakes: list[tuple[str, str]]) -> None:
        raise Failure

    bells = list(doorbell._bells)
    doorbell._bells.insert(0, broken)
    try:
        with act(SYSTEM) as log:
            log.record("x.first", subject="x:1", data={})
    finally:
        doorbell._bells[:] = bells
    assert kinds() == ["x.first"]
    assert len(rings) == 1


@pytest.mark.parametrize("value", [1.5, object(), {1: "a"}, {"deep": [0.1]}, uuid.UUID(int=1), b"bytes"])
def test_what_has_no_single_text_form_is_refused_where_it_is_recorded(value: object) -> None:
    with pytest.raises(NotCanonical), act(SYSTEM) as log:
        log.record("x.first", subject="x:1", data={"value": value})
    assert kinds() == []


def test_an_event_owes_a_delivery_to_each_handler_of_its_kind_in_the_same_commit(
    rings: Rings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subscriptions, "_handlers", {})

    @subscribe("test.hears", "x.first")
    def hears(_event: Happened) -> None:
        return None

    with act(SYSTEM) as log:
        log.record("x.first", subject="x:1", data={})
        log.record("x.other", subject="x:1", data={})
    delivery = Delivery.objects.get()
    assert (delivery.handler, delivery.event_id) == ("test.hears", 1)
    assert rings == [([1, 2], [("delivery", str(delivery.pk))])]


def test_many_events_of_one_unit_are_chained_like_few_whatever_their_text() -> None:
    odd = 'a "quote", a \\ and \\N, a tab\t, a line\nbreak, a \u2028 and a 🙂'
    where = uuid.uuid4()
    with act(SYSTEM) as log:
        for number in range(MANY + 10):
            log.record("thing.happened", subject=f"thing:{number}", repository=where, data={"text": odd, "n": number})
        log.record("thing.happened", subject="thing:nowhere", data={})
    rows = list(Event.objects.order_by("position"))
    assert [row.position for row in rows] == list(range(1, MANY + 12))
    assert {json.loads(row.body)["data"].get("text") for row in rows} == {odd, None}
    assert {row.repository_id for row in rows} == {where, None}
    assert audit.verify().first_bad is None
