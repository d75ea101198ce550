"""The six states, the places and the loops: pure rules, by tables."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from immune.homeostasis.loops import Before, loop_in
from immune.homeostasis.room import Cap, Held, places
from immune.homeostasis.states import ORDER, THRESHOLDS, Figures, State, assess, automatic_approval, new_proposals
from tests.environment import ROOT


@pytest.mark.parametrize(
    ("figures", "state", "reasons"),
    [
        (Figures(), State.REST, ()),
        (Figures(busy=True), State.VIGILANCE, ()),
        (Figures(queue=199), State.VIGILANCE, ()),
        (Figures(queue=200), State.ATTENTION, ("queue",)),
        (Figures(busy=True, oldest_seconds=1800), State.ACTIVATION, ("oldest_seconds",)),
        (Figures(ended=9, failed=9), State.REST, ()),
        (Figures(ended=10, failed=1), State.ATTENTION, ("failures",)),
        (Figures(ended=10, failed=5), State.INFLAMMATION, ("failures",)),
        (Figures(ended=10, failed=8), State.EMERGENCY, ("failures",)),
        (Figures(saturation=5.0), State.ACTIVATION, ("saturation",)),
        (Figures(given_up=1), State.ATTENTION, ("given_up",)),
        (Figures(alarms=1), State.INFLAMMATION, ("alarms",)),
        (Figures(alarms=3), State.EMERGENCY, ("alarms",)),
        (Figures(queue=1000, saturation=1.0, given_up=1), State.ACTIVATION, ("queue", "saturation")),
    ],
)
def test_the_state_is_the_worst_that_any_figure_asks_for(
    figures: Figures, state: State, reasons: tuple[str, ...]
) -> None:
    found = assess(figures)
    assert (found.state, found.reasons) == (state, reasons)


FIGURES = st.builds(
    Figures,
    busy=st.booleans(),
    queue=st.integers(0, 50_000),
    oldest_seconds=st.floats(0, 50_000),
    ended=st.integers(0, 100),
    failed=st.integers(0, 100),
    saturation=st.floats(0, 3),
    given_up=st.integers(0, 500),
    alarms=st.integers(0, 5),
)


@given(FIGURES, st.sampled_from(["queue", "oldest_seconds", "saturation", "given_up", "alarms"]))
def test_a_figure_that_grows_never_calms(figures: Figures, name: str) -> None:
    worse = replace(figures, **{name: getattr(figures, name) * 2 + 1})
    assert ORDER.index(assess(worse).state) >= ORDER.index(assess(figures).state)


def test_what_each_state_takes_away() -> None:
    assert [state for state in State if not automatic_approval(state)] == [State.INFLAMMATION, State.EMERGENCY]
    assert [state for state in State if not new_proposals(state)] == [State.EMERGENCY]


def test_the_page_shows_the_thresholds_of_the_code() -> None:
    page = (ROOT / "docs" / "homeostasis.md").read_text("utf-8")
    block = page.split("<!-- THRESHOLDS -->\n", 1)[1].split("\n\n", 1)[0].splitlines()[2:]
    rows = {cells[0]: cells[2:] for cells in ([c.strip() for c in line.strip("|").split("|")] for line in block)}
    assert {
        name: tuple(float(re.sub(r"\s", "", c)) if c != "–" else None for c in cells) for name, cells in rows.items()
    } == THRESHOLDS


CAP = Cap(2, 3, Held.REPOSITORY_FULL, Held.ALL_FULL)


def test_places_go_to_the_first_within_each_repository_and_over_all() -> None:
    waiting = [(1, "a"), (2, "a"), (3, "b"), (4, "c")]
    assert places(waiting, {"a": 1}, CAP) == {1: None, 2: Held.REPOSITORY_FULL, 3: None, 4: Held.ALL_FULL}


def test_a_full_repository_keeps_no_other_from_going() -> None:
    assert places([(1, "a"), (2, "b")], {"a": 2}, CAP) == {1: Held.REPOSITORY_FULL, 2: None}


def test_nought_is_no_limit() -> None:
    free = Cap(0, 0, Held.REPOSITORY_PACE, Held.ALL_PACE)
    assert set(places([(n, "a") for n in range(50)], {"a": 1000}, free).values()) == {None}


@given(
    st.lists(st.sampled_from("abc"), max_size=12),
    st.dictionaries(st.sampled_from("abc"), st.integers(0, 4)),
    st.integers(1, 4),
    st.integers(1, 6),
)
def test_no_cap_is_ever_passed_and_no_place_is_left_to_one_that_could_take_it(
    places_of: list[str], taken: dict[str, int], each: int, in_all: int
) -> None:
    waiting = list(enumerate(places_of))
    answers = places(waiting, taken, Cap(each, in_all, Held.REPOSITORY_FULL, Held.ALL_FULL))
    let = [place for key, place in waiting if answers[key] is None]
    after = {place: taken.get(place, 0) + let.count(place) for place in "abc"}
    assert all(after[place] <= max(each, taken.get(place, 0)) for place in "abc")
    assert sum(after.values()) <= max(in_all, sum(taken.values()))
    for key, place in waiting:
        if answers[key] is not None:
            assert after[place] >= each or sum(after.values()) >= in_all


@pytest.mark.parametrize(
    ("history", "goes_round"),
    [
        ([], False),
        ([Before("1", "2", "proposed")], False),
        ([Before("1", "2", "superseded"), Before("1", "2", "failed")], False),
        ([Before("2", "1", "closed")], True),
        ([Before("2", "1", "merged")], True),
        ([Before("1", "2", "merged")], True),
        ([Before("0", "1", "merged")], False),
        ([Before("1", "3", "closed")] * 2, False),
        ([Before("1", "3", "closed")] * 3, True),
    ],
)
def test_what_goes_round_in_circles(history: list[Before], goes_round: bool) -> None:
    assert bool(loop_in(history, from_version="1", to_version="2", most_closed=3)) == goes_round
