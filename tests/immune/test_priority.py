"""How facts become P1 to P4."""

from __future__ import annotations

from dataclasses import replace

import pytest

from immune.priority import Criticality, Facts, Pace, Priority, Reachability, assess
from immune.severity import Severity

ORDINARY = Facts(severity=Severity.HIGH, cvss_score=7.5, epss=0.002, direct=True, fix_available=True)


def test_every_factor_is_shown_with_its_weight_and_the_score_is_their_sum():
    result = assess(ORDINARY)
    assert [f.name for f in result.factors] == [
        "severity", "known_exploited", "epss", "direct", "fix_available", "reachability", "criticality",
    ]  # fmt: skip
    assert result.score == sum(f.weight for f in result.factors)
    assert (result.priority, result.due_days, result.floor) == (Priority.P2, 7, "")


@pytest.mark.parametrize("severity", [Severity.CRITICAL, Severity.HIGH, Severity.UNKNOWN])
def test_known_exploitation_of_a_grave_or_unrated_flaw_is_p1_whatever_else_holds(severity):
    mildest = Facts(
        severity=severity, epss=0.0, known_exploited=True, direct=False, fix_available=False,
        reachability=Reachability.UNREACHABLE, criticality=Criticality.LOW,
    )  # fmt: skip
    assert assess(mildest).priority is Priority.P1
    assert assess(mildest).floor == "known_exploited"


def test_unknown_severity_is_never_low():
    mildest = Facts(
        epss=0.0, direct=False, fix_available=False, reachability=Reachability.UNREACHABLE, criticality=Criticality.LOW
    )
    assert assess(mildest).priority is Priority.P3
    assert assess(mildest).floor == "unknown_severity"


@pytest.mark.parametrize(
    ("worse", "better"),
    [
        ({"severity": Severity.CRITICAL}, {}),
        ({}, {"severity": Severity.MEDIUM}),
        ({"severity": Severity.UNKNOWN}, {"severity": Severity.LOW}),
        ({"epss": 0.6}, {"epss": 0.2}),
        ({"epss": None}, {"epss": 0.001}),
        ({"known_exploited": True}, {}),
        ({}, {"direct": False}),
        ({}, {"reachability": Reachability.UNREACHABLE}),
        ({"reachability": Reachability.STATIC}, {"reachability": Reachability.UNKNOWN}),
        ({"criticality": Criticality.CRITICAL}, {}),
        ({}, {"criticality": Criticality.LOW}),
    ],
)
def test_a_worse_fact_never_scores_less(worse, better):
    assert assess(replace(ORDINARY, **worse)).score > assess(replace(ORDINARY, **better)).score


def test_due_days_come_from_the_settings():
    pace = Pace({Priority.P1: 1, Priority.P2: 3, Priority.P3: 9, Priority.P4: 27})
    assert assess(ORDINARY, pace).due_days == 3
    assert assess(Facts(severity=Severity.NONE, fix_available=False, direct=False), pace).due_days == 27
