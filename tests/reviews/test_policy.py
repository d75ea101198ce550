"""The decision engine alone: which policy speaks, that not knowing never makes things laxer, and what no policy may lift."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reviews.policy import Conditions, Facts, Outcome, Policy, advise
from reviews.policy.approvals import Approver, may_follow, standing
from reviews.policy.conditions import CHOICES, holds
from reviews.policy.content import BadContent, checked, digest, policy_of
from reviews.policy.facts import Proof, read_facts, weakest_proof, worst_of
from reviews.policy.reflex import Reflex, Threat, checked_rule, fires, reflex_of

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
PROVED = Facts(
    verdicts=(("PATCH_EFFECTIVE", 0.9),),
    severity="HIGH",
    priority="P2",
    bump="minor",
    has_remedy=True,
    known_exploited=False,
    proof="shipped",
    counts=True,
    uses=frozenset({"direct"}),
    labels=frozenset({"web"}),
    release_age=10.0,
    reachability="potential",
)
TEAM = ("5b2a3f0e-6c0e-4a55-8f3e-0d8a7d1f2b11", "Security")
# Each fact with the condition that holds of PROVED, the one that does not, and the fact as it is when nothing is known of it.
TABLE = {
    "severities": ({"HIGH"}, {"LOW"}, {"severity": "UNKNOWN"}),
    "priorities": ({"P1", "P2"}, {"P3"}, None),
    "known_exploited": (False, True, {"known_exploited": None}),
    "verdicts": ({"PATCH_EFFECTIVE"}, {"REGRESSION"}, {"verdicts": ()}),
    "minimum_confidence": (0.9, 0.91, {"verdicts": ()}),
    "proofs": ({"shipped", "accepted"}, {"accepted"}, {"proof": ""}),
    "bumps": ({"minor"}, {"patch"}, {"bump": ""}),
    "uses": ({"direct"}, {"dev"}, {"uses": frozenset()}),
    "labels": ({"web", "board"}, {"board"}, None),
    "without_labels": ({"board"}, {"web"}, None),
    "minimum_release_age": (10, 10.5, {"release_age": None}),
    "reachabilities": ({"potential"}, {"unreachable"}, {"reachability": "unknown"}),
}


def asked(name, value):
    return Conditions(**{name: frozenset(value) if isinstance(value, set) else value})


def test_every_condition_stands_in_the_table():
    assert set(TABLE) == set(Conditions.__dataclass_fields__)


@pytest.mark.parametrize("name", TABLE)
def test_a_condition_holds_does_not_or_cannot_be_told(name):
    yes, no, unknown = TABLE[name]
    assert holds(asked(name, yes), PROVED).holds is True
    assert holds(asked(name, no), PROVED).holds is False
    if unknown is not None:
        for value in (yes, no):
            assert holds(asked(name, value), replace(PROVED, **unknown)).holds is None


def test_one_condition_that_does_not_hold_settles_it_whatever_is_not_known():
    both = Conditions(severities=frozenset({"LOW"}), bumps=frozenset({"minor"}))
    assert holds(both, replace(PROVED, bump="")).holds is False
    assert holds(both, replace(PROVED, severity="UNKNOWN")).holds is None


def test_a_package_needed_in_two_ways_holds_for_neither_alone():
    both = replace(PROVED, uses=frozenset({"direct", "dev"}))
    assert holds(asked("uses", {"dev"}), both).holds is None
    assert holds(asked("uses", {"dev", "direct"}), both).holds is True


def policy(name="one", version=1, *, recommendation="", approvals=1, groups=(), automatic=False, **more):
    return Policy(
        name,
        version,
        f"{name}:{version}",
        more.pop("conditions", Conditions()),
        Outcome(recommendation, approvals, frozenset(groups), automatic),
        **more,
    )


def test_the_first_policy_whose_conditions_hold_speaks_and_the_default_lies_underneath():
    low = policy("low", recommendation="ask", conditions=asked("severities", {"LOW"}))
    high = policy("high", recommendation="escalate", conditions=asked("severities", {"HIGH"}))
    later = policy("later", recommendation="reject")
    assert [str(one) for one in advise(PROVED, (low, high, later)).spoke] == ["high (version 1)"]
    assert advise(PROVED, (low, high, later)).recommendation == "escalate"
    assert advise(PROVED, (low,)).policy.name == "default"
    assert advise(PROVED, (low,)).recommendation == "approve"


@pytest.mark.parametrize(
    ("start", "end", "speaks"),
    [(None, None, True), (0, 1, True), (1, None, False), (None, 0, False), (-2, -1, False), (-1, None, True)],
)
def test_a_policy_speaks_inside_its_window_only(start, end, speaks):
    def at(days):
        return None if days is None else NOW + timedelta(days=days)

    limited = policy(recommendation="escalate", valid_from=at(start), valid_until=at(end))
    assert (advise(PROVED, (limited,), now=NOW).recommendation == "escalate") is speaks


def test_of_what_cannot_be_told_the_stricter_holds():
    lax = policy("lax", automatic=True, conditions=asked("minimum_release_age", 7))
    strict = policy("strict", approvals=2, groups=[TEAM])
    told = advise(PROVED, (lax, strict))
    assert told.automatic
    assert not advise(replace(PROVED, release_age=None), (lax,)).automatic, (
        "the built-in one, which follows, does not allow it"
    )
    untold = advise(replace(PROVED, release_age=None), (lax, strict))
    assert not untold.automatic
    assert (untold.required_approvals, untold.groups) == (2, frozenset({TEAM}))
    assert [one.name for one in untold.spoke] == ["lax", "strict"]
    assert advise(replace(PROVED, release_age=None), (lax, policy(approvals=3))).required_approvals == 3
    assert any("cannot be told whether policy lax" in reason for reason in untold.reasons)


def test_two_recommendations_of_which_one_holds_are_put_to_a_person():
    rejecting = policy("rejecting", recommendation="reject", conditions=asked("bumps", {"major"}))
    escalating = policy("escalating", recommendation="escalate", conditions=asked("bumps", {"major"}))
    assert advise(replace(PROVED, bump=""), (rejecting,)).recommendation == "ask"
    assert advise(replace(PROVED, bump=""), (rejecting, escalating)).recommendation == "escalate"


@pytest.mark.parametrize(
    ("change", "recommendation"),
    [
        ({}, "approve"),
        ({"bump": "major"}, "ask"),
        ({"bump": ""}, "ask"),
        ({"vouched": False}, "ask"),
        ({"verdicts": ()}, "ask"),
        ({"verdicts": (("PATCH_EFFECTIVE", 0.59),)}, "ask"),
        ({"verdicts": (("PATCH_EFFECTIVE", 0.9), ("NOT_REPRODUCED", 0.9))}, "ask"),
        ({"verdicts": (("PATCH_EFFECTIVE", 0.9), ("INCONCLUSIVE", 0.0))}, "ask"),
        ({"verdicts": (("PATCH_EFFECTIVE", 0.9), ("PATCH_INSUFFICIENT", 0.9))}, "reject"),
        ({"verdicts": (("PATCH_INSUFFICIENT", 0.9), ("REGRESSION", 0.9))}, "reject"),
        ({"has_remedy": False}, "escalate"),
    ],
)
def test_without_policies_the_verdict_speaks_and_nothing_is_approved_without_people(change, recommendation):
    advice = advise(replace(PROVED, **change))
    assert advice.recommendation == recommendation
    assert advice.reasons
    assert advice.required_approvals == 1
    assert not advice.automatic


@pytest.mark.parametrize("weakest", ["REGRESSION", "PATCH_INSUFFICIENT", "INCONCLUSIVE", "NOT_REPRODUCED"])
def test_no_policy_recommends_what_is_not_proved(weakest):
    eager = policy(recommendation="approve", automatic=True)
    advice = advise(replace(PROVED, verdicts=(("PATCH_EFFECTIVE", 1.0), (weakest, 1.0))), (eager,))
    assert (advice.recommendation, advice.automatic) == ("ask", False)


@pytest.mark.parametrize(
    "change",
    [
        {"vouched": False},
        {"counts": False},
        {"proof": "at_actions"},
        {"proof": "unvouched"},
        {"proof": "without_scenario"},
        {"proof": ""},
        {"verdicts": ()},
        {"has_remedy": False},
        {"bump": "major"},  # as the verdict says, that is for a person to read
        {"verdicts": (("PATCH_EFFECTIVE", 0.3),)},
    ],
)
def test_what_no_policy_may_have_approved_without_people(change):
    eager = policy(automatic=True)
    assert advise(PROVED, (eager,)).automatic
    assert not advise(replace(PROVED, **change), (eager,)).automatic


@pytest.mark.parametrize("more", [{"approvals": 2}, {"groups": [TEAM]}, {"recommendation": "ask"}])
def test_who_asks_for_more_than_one_word_allows_nothing_without_people(more):
    assert not advise(PROVED, (policy(automatic=True, **more),)).automatic


# -- not knowing never makes things laxer ---------------------------------------------------------------------------------

FORGET = {
    "severity": "UNKNOWN",
    "bump": "",
    "known_exploited": None,
    "proof": "",
    "uses": frozenset(),
    "release_age": None,
    "reachability": "unknown",
    "counts": False,
}
facts = st.builds(
    Facts,
    verdicts=st.lists(
        st.tuples(st.sampled_from(CHOICES["verdicts"]), st.sampled_from([0.2, 0.7, 1.0])), min_size=1, max_size=2
    ).map(tuple),
    severity=st.sampled_from(CHOICES["severities"]),
    priority=st.sampled_from(CHOICES["priorities"]),
    bump=st.sampled_from(CHOICES["bumps"]),
    has_remedy=st.just(True),
    vouched=st.booleans(),
    known_exploited=st.booleans(),
    proof=st.sampled_from(CHOICES["proofs"]),
    counts=st.booleans(),
    uses=st.frozensets(st.sampled_from(CHOICES["uses"]), min_size=1),
    labels=st.frozensets(st.sampled_from(["a", "b"])),
    release_age=st.sampled_from([0.0, 5.0, 30.0]),
    reachability=st.sampled_from(CHOICES["reachabilities"]),
)
some = {name: st.frozensets(st.sampled_from(values), max_size=2) for name, values in CHOICES.items()}
conditions = st.builds(
    Conditions,
    **some,
    known_exploited=st.sampled_from([None, True, False]),
    minimum_confidence=st.sampled_from([None, 0.5]),
    labels=st.frozensets(st.sampled_from(["a", "b"]), max_size=1),
    without_labels=st.frozensets(st.sampled_from(["a", "b"]), max_size=1),
    minimum_release_age=st.sampled_from([None, 7.0]),
)
outcomes = st.builds(
    Outcome,
    st.sampled_from(["", "approve", "reject", "escalate", "ask"]),
    st.integers(1, 3),
    st.sampled_from([frozenset(), frozenset({TEAM})]),
    st.booleans(),
)
policies = st.lists(st.builds(Policy, st.just("p"), st.just(1), st.just("p"), conditions, outcomes), max_size=4).map(
    tuple
)


@settings(max_examples=150, deadline=None)
@given(facts, policies, st.sets(st.sampled_from(sorted(FORGET))))
def test_forgetting_a_fact_never_makes_an_advice_laxer(known, rules, forgotten):
    before, after = advise(known, rules), advise(replace(known, **{name: FORGET[name] for name in forgotten}), rules)
    assert after.automatic <= before.automatic
    assert after.required_approvals >= before.required_approvals
    assert after.groups >= before.groups
    if after.recommendation != before.recommendation:
        assert after.recommendation in ("ask", "escalate")
    if before.recommendation == "escalate":
        assert after.recommendation == "escalate"


@settings(max_examples=100, deadline=None)
@given(facts, policies)
def test_whatever_is_approved_without_people_is_proved_vouched_for_and_counts(known, rules):
    advice = advise(known, rules)
    if advice.automatic:
        assert {verdict for verdict, _ in known.verdicts} == {"PATCH_EFFECTIVE"}
        assert known.vouched
        assert known.counts
        assert known.proof in ("shipped", "accepted")
        assert (advice.recommendation, advice.required_approvals) == ("approve", 1)
        assert advice.policy.outcome.automatic
    if advice.recommendation == "approve":
        assert {verdict for verdict, _ in known.verdicts} == {"PATCH_EFFECTIVE"}


@given(facts)
@settings(max_examples=50, deadline=None)
def test_facts_are_read_back_as_they_were_kept(known):
    assert read_facts(known.record()) == known
    assert read_facts({}) is None


def test_the_worst_of_several_is_not_told_while_a_worse_one_may_hide():
    order = ("CRITICAL", "HIGH", "LOW")
    assert worst_of(order, ["LOW", "HIGH"], unknown="?") == "HIGH"
    assert worst_of(order, ["LOW", "UNKNOWN"], unknown="?") == "?"
    assert worst_of(order, ["CRITICAL", "UNKNOWN"], unknown="?") == "CRITICAL"
    assert worst_of(order, [], unknown="?") == "?"
    assert weakest_proof([Proof.SHIPPED, Proof.UNVOUCHED, Proof.ACCEPTED]) == "unvouched"


# -- whose word is missing ------------------------------------------------------------------------------------------------

ANA, BEA, GIL, HUGO = (
    Approver(1, frozenset()),
    Approver(2, frozenset()),
    Approver(3, frozenset("g")),
    Approver(4, frozenset("gh")),
)


def test_one_person_is_one_approval_however_often_given():
    assert standing([ANA, ANA, ANA], 2, ()).missing == 1
    assert not may_follow([ANA], ANA, ())
    assert may_follow([ANA], BEA, ())
    assert standing([ANA, BEA], 2, ()).is_complete


def test_after_the_first_it_takes_somebody_of_the_named_group():
    assert may_follow([], ANA, {"g"})
    assert not may_follow([ANA], BEA, {"g"})
    assert may_follow([ANA], GIL, {"g"})
    assert standing([ANA, GIL], 2, {"g"}).is_complete
    assert not standing([ANA, BEA], 2, {"g"}).is_complete
    assert not standing([GIL, ANA], 2, {"g"}).is_complete, "the first one's own group does not count for the second"


def test_every_named_group_gives_its_word():
    assert not standing([ANA, GIL], 2, {"g", "h"}).is_complete
    assert may_follow([ANA, GIL], HUGO, {"g", "h"})
    assert standing([ANA, GIL, HUGO], 3, {"g", "h"}).is_complete
    ida, ivo = Approver(5, frozenset("h")), Approver(6, frozenset("h"))
    assert standing([GIL, ida, ivo], 3, {"g", "h"}).groups == {"g"}, "the first spoke for nobody but themselves"
    for order in permutations([ANA, BEA, GIL]):
        assert not standing(order, 3, {"g"}).is_complete


# -- how it is written down -----------------------------------------------------------------------------------------------


def test_a_policy_is_written_in_one_form_and_read_back():
    given = {
        "conditions": {"severities": ["LOW", "HIGH"], "labels": ["web", "a", "web"], "minimum_release_age": 7},
        "required_approvals": 2,
        "team": TEAM[0],
        "valid_from": "2026-01-01T01:00:00+01:00",
    }
    content = checked(given)
    assert content["conditions"] == {
        "severities": ["HIGH", "LOW"],
        "labels": ["a", "web"],
        "minimum_release_age": 7.0,
    }
    assert content["valid_from"] == "2026-01-01T00:00:00.000000+00:00"
    assert checked(content) == content
    assert digest(content) == digest(checked({**given, "automatic": False}))
    read = policy_of(content, name="x", version=3, key="k", team_name=TEAM[1])
    assert read.outcome == Outcome("", 2, frozenset({TEAM}), False)
    assert read.conditions.labels == {"a", "web"}


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"nonsense": 1}, "nonsense"),
        ({"conditions": []}, "conditions"),
        ({"conditions": {"nonsense": 1}}, "conditions.nonsense"),
        ({"conditions": {"severities": ["UNKNOWN"]}}, "conditions.severities"),
        ({"conditions": {"severities": "LOW"}}, "conditions.severities"),
        ({"conditions": {"minimum_confidence": 2}}, "conditions.minimum_confidence"),
        ({"conditions": {"minimum_confidence": True}}, "conditions.minimum_confidence"),
        ({"conditions": {"minimum_release_age": float("nan")}}, "conditions.minimum_release_age"),
        ({"conditions": {"known_exploited": "no"}}, "conditions.known_exploited"),
        ({"conditions": {"labels": ["a\x00"]}}, "conditions.labels"),
        ({"recommendation": "merge"}, "recommendation"),
        ({"required_approvals": 0}, "required_approvals"),
        ({"required_approvals": True}, "required_approvals"),
        ({"team": "x", "required_approvals": 2}, "team"),
        ({"team": TEAM[0]}, "required_approvals"),
        ({"automatic": "yes"}, "automatic"),
        ({"automatic": True, "required_approvals": 2}, "automatic"),
        ({"automatic": True, "recommendation": "ask"}, "automatic"),
        ({"valid_from": "2026-01-01"}, "valid_from"),
        ({"valid_from": "2026-01-02T00:00Z", "valid_until": "2026-01-01T00:00Z"}, "valid_until"),
    ],
)
def test_what_is_no_policy_is_refused_by_the_name_of_the_field(given, field):
    with pytest.raises(BadContent) as refused:
        checked(given)
    assert field in refused.value.fields


# -- reflex rules ---------------------------------------------------------------------------------------------------------


def test_a_reflex_answers_to_what_is_known_and_to_nothing_else():
    rule = Reflex(known_exploited=True, minimum_epss=0.5, severities=frozenset({"HIGH"}), notify=True)
    assert fires(rule, Threat("HIGH", True, 0.5, frozenset()))
    assert not fires(rule, Threat("HIGH", None, 0.9, frozenset()))
    assert not fires(rule, Threat("HIGH", True, None, frozenset()))
    assert not fires(rule, Threat("UNKNOWN", True, 0.9, frozenset()))
    assert not fires(replace(rule, labels=frozenset({"web"})), Threat("HIGH", True, 0.9, frozenset({"board"})))


def test_a_rule_needs_a_cause_and_an_action_and_cannot_approve():
    content = checked_rule({"known_exploited": True, "raise_to": "P1"})
    assert reflex_of(content) == Reflex(known_exploited=True, raise_to="P1")
    for wrong in (
        {"notify": True},
        {"known_exploited": True},
        {"known_exploited": True, "notify": True, "approve": True},
        {"known_exploited": True, "raise_to": "P4"},
        {"minimum_epss": 7, "notify": True},
        {"severities": ["UNKNOWN"], "notify": True},
    ):
        with pytest.raises(BadContent):
            checked_rule(wrong)
