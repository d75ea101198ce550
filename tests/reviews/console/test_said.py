"""What the system keeps in English is read in the reader's language: all that policy can say, and every sentence with a form."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest
from django.test import Client
from django.utils import translation
from hypothesis import given, settings
from hypothesis import strategies as st

from immune.homeostasis.loops import MERGED, Before, loop_in
from immune.models import Account
from reviews.console.said import FINDINGS, SENTENCES, WORDS, translated, word
from reviews.models import Review
from reviews.policy import Conditions, Facts, Outcome, Policy, advise
from reviews.policy.conditions import CHOICES
from reviews.policy.facts import BUMPS, REACHABILITIES, SEVERITIES, WEAKEST_FIRST
from tests.reviews import cast as builders
from tests.reviews.cast import Cast
from wargaming.concluding import read_run
from wargaming.confidence import Grounds, Reachability, factors
from wargaming.models import Wargame
from wargaming.sandbox.base import Ending, Limits, RunResult, Usage
from wargaming.verdict import Outcome as Verdicts
from wargaming.verdict import OwnTests


@pytest.fixture(autouse=True)
def portuguese() -> Iterator[None]:
    with translation.override("pt-br"):
        yield


def some(*values: str) -> st.SearchStrategy[frozenset[str]]:
    return st.frozensets(st.sampled_from(values), max_size=2)


FACTS = st.builds(
    Facts,
    verdicts=st.lists(st.tuples(st.sampled_from(WEAKEST_FIRST), st.floats(0, 1)), max_size=2).map(tuple),
    severity=st.sampled_from((*SEVERITIES, "UNKNOWN")),
    priority=st.sampled_from(("P1", "P4")),
    bump=st.sampled_from((*BUMPS, "")),
    has_remedy=st.booleans(),
    vouched=st.booleans(),
    known_exploited=st.sampled_from((True, False, None)),
    proof=st.sampled_from((*CHOICES["proofs"], "")),
    counts=st.booleans(),
    uses=some(*CHOICES["uses"]),
    labels=some("web", "pci"),
    release_age=st.one_of(st.none(), st.floats(0, 400)),
    reachability=st.sampled_from((*REACHABILITIES, "unknown")),
)
CONDITIONS = st.builds(
    Conditions,
    **{name: some(*values) for name, values in CHOICES.items()},
    known_exploited=st.sampled_from((True, False, None)),
    minimum_confidence=st.sampled_from((None, 0.5)),
    labels=some("web", "pci"),
    without_labels=some("web", "pci"),
    minimum_release_age=st.sampled_from((None, 7.0)),
)
OUTCOMES = st.builds(
    Outcome,
    recommendation=st.sampled_from(("", "approve", "ask")),
    required_approvals=st.integers(1, 3),
    groups=st.sampled_from((frozenset(), frozenset({("1", "Security, and more.")}))),
    automatic=st.booleans(),
)
POLICIES = st.lists(st.builds(Policy, st.just("first"), st.just(2), st.just("k"), CONDITIONS, OUTCOMES), max_size=2)


@settings(max_examples=60, deadline=None)
@given(FACTS, POLICIES)
def test_nothing_that_policy_says_is_left_in_english(facts: Facts, policies: list[Policy]) -> None:
    with translation.override("pt-br"):
        for reason in advise(facts, policies).reasons:
            said = translated(reason)
            assert said != reason
            assert not re.search(r"\b(not known|known|weakest|label|proof|speaks|severity|cannot)\b", said), said


@pytest.mark.parametrize("form", [*SENTENCES, *FINDINGS])
def test_each_form_is_said_otherwise_and_keeps_what_stands_in_its_places(form: str) -> None:
    places = {name: f"«{name} 1.2.3»" for name in re.findall(r"%\((\w+)\)s", form)}
    kept = form % places
    said = translated(kept if form in SENTENCES else f"Policy x speaks: {kept}.")
    assert said != kept
    assert all(value in said for value in places.values())
    with translation.override("en"):
        assert translated(kept) == kept


@pytest.mark.parametrize(
    ("kept", "said"),
    [
        (
            "The forge did not carry it out: the pull request was closed",
            "A forja não executou: o pull request foi fechado",
        ),
        ("The wargames have ended.\nby hand", "Os wargames terminaram.\nby hand"),
        ("a sentence of somebody else's", "a sentence of somebody else's"),
        ("", ""),
        ("Policy x speaks: " + "a, " * 5000, "Policy x speaks: " + "a, " * 5000),
    ],
)
def test_sentences_within_sentences_and_what_is_not_ours(kept: str, said: str) -> None:
    assert translated(kept) == said


GROUNDS = st.builds(
    Grounds,
    protocol=st.sampled_from((1, 2)),
    observed_from_outside=st.booleans(),
    shipped=st.booleans(),
    accepted=st.booleans(),
    variants=st.integers(0, 3),
    fewest_repeats=st.integers(0, 3),
    controls_pass=st.booleans(),
    own_tests=st.sampled_from(OwnTests),
    versions_observed=st.booleans(),
    highest_share_of_a_limit=st.floats(0, 1),
    driver=st.just("bubblewrap"),
    driver_strength=st.just(1.0),
    reachability=st.sampled_from(Reachability),
    reachability_source=st.sampled_from(("", "app/web.py")),
)


@settings(max_examples=60, deadline=None)
@given(GROUNDS)
def test_no_ground_of_a_confidence_is_left_in_english(grounds: Grounds) -> None:
    with translation.override("pt-br"):
        for factor in factors(grounds):
            assert word(factor.name) != factor.name
            assert factor.name == "driver" or word(factor.why) != factor.why, factor
            assert "app/web.py" not in factor.why or "(app/web.py)" in word(factor.why)


RUNS = st.builds(
    RunResult,
    ending=st.sampled_from(Ending),
    exit_code=st.sampled_from((0, 1, 70)),
    signal=st.sampled_from((6, 9)),
    last_line=st.sampled_from(("", "REPRODUCED", "it's 'odd'")),
    stdout_head=st.just(""),
    stdout_tail=st.just(""),
    stderr_tail=st.just(""),
    stdout_zlib=st.just(b""),
    stderr_zlib=st.just(b""),
    output_bytes=st.just(0),
    seconds=st.just(1.0),
    usage=st.just(Usage()),
    limits=st.just(Limits()),
    limit_hits=st.sampled_from(((), ("memory", "disk"))),
    driver=st.just("bubblewrap"),
    detail=st.just("bwrap: no such file"),
)


@settings(max_examples=60, deadline=None)
@given(RUNS, st.sampled_from(("control", "reproduce")), st.sampled_from(("before", "after")))
def test_why_a_run_could_not_tell_is_not_left_in_english(run: RunResult, step: str, phase: str) -> None:
    _, why = read_run(step, run)
    with translation.override("pt-br"):
        assert not why or translated(why) != why
        assert not why or translated(f"{step} {phase}: {why}").endswith(translated(why))


def test_each_outcome_has_a_word_and_what_is_none_stays() -> None:
    assert {*map(str, Verdicts), *map(str, OwnTests)} <= {*WORDS}
    assert [word(text) for text in ("present", "<b>", "", "bubblewrap (x)")] == [
        "presente",
        "<b>",
        "",
        "bubblewrap (x)",
    ]
    with translation.override("en"):
        assert word("scenario_source") == "source of the scenario"


def test_circles_are_told_in_the_readers_language() -> None:
    for history in ([Before("2", "1", "closed")], [Before("1", "2", MERGED)], [Before("1", "3", "closed")]):
        why = loop_in(history, from_version="1", to_version="2", most_closed=1)
        assert translated(f"Not proposed again, since it goes round in circles: {why}. Ask for it again to go on all the same.")\
            .startswith("Não é proposto de novo")  # fmt: skip
        assert translated(why) != why


@pytest.mark.django_db
def test_the_review_page_is_read_in_portuguese_and_shows_what_it_cannot_translate(
    cast: Cast, signed_in: Callable[[Account], Client]
) -> None:
    review = builders.proved_review(cast)
    Review.objects.filter(pk=review.pk).update(
        recommendation_reasons=["It is a major upgrade; read the release notes.", "<b>Something of another time"]
    )
    Wargame.objects.update(explanation="reproduce before: ended at its limit: wall_time")
    client = signed_in(cast.rita)
    client.post("/i18n/setlang/", {"language": "pt-br", "next": "/admin/"})
    page = client.get(f"/admin/reviews/review/{review.pk}/change/").content.decode()
    assert "É uma atualização maior; leia as notas da versão." in page
    assert "Os wargames terminaram." in page
    assert "reprodução antes: terminado no seu limite: wall_time" in page
    assert "&lt;b&gt;Something of another time" in page
