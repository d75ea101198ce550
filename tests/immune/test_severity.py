"""From vectors and words to a rating; what is unknown stays unknown."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from immune.severity import UNRATED, Rating, Severity, SeverityVector, rate, rate_vector, severity_of_word

V2 = "AV:N/AC:L/Au:N/C:C/I:C/A:C"
V3 = "CVSS:3.1/AV:N/AC:L/PR:N/UI:R/S:C/C:L/I:L/A:N"
V30 = "CVSS:3.0/AV:L/AC:H/PR:L/UI:R/S:U/C:L/I:N/A:N"
V4 = "CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N"
NOTHING = "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:N"


@pytest.mark.parametrize(
    ("kind", "vector", "severity", "score"),
    [
        ("CVSS_V2", V2, Severity.HIGH, 10.0),  # version 2 has no critical
        ("CVSS_V3", V3, Severity.MEDIUM, 6.1),
        ("CVSS_V3", V30, Severity.LOW, 2.2),
        ("CVSS_V3", NOTHING, Severity.NONE, 0.0),
        ("CVSS_V4", V4, Severity.CRITICAL, 9.3),
        ("CVSS_V3", V4, Severity.CRITICAL, 9.3),  # the vector says what it is
    ],
)
def test_a_vector_is_scored_by_its_own_version(kind, vector, severity, score):
    assert rate_vector(kind, vector) == Rating(severity, score, vector)


@pytest.mark.parametrize(
    "vector", ["", "9.8", "CVSS:3.1/AV:N", "CVSS:9.9/AV:N", "CVSS:4.0/" + "A" * 5000, "CVSS:3.1/" + V2]
)
def test_an_unreadable_vector_is_unrated(vector):
    assert rate_vector("CVSS_V3", vector) is UNRATED


def test_a_vendor_word_is_no_vector():
    assert rate_vector("Ubuntu", "medium") is UNRATED


def test_the_highest_vector_wins_and_a_word_only_where_no_vector_can_be_read():
    vectors = [SeverityVector("CVSS_V3", V3), SeverityVector("CVSS_V4", V4), SeverityVector("CVSS_V2", V2)]
    assert rate(vectors, "LOW").score == 9.3
    assert rate([SeverityVector("CVSS_V3", "broken")], "MODERATE") == Rating(Severity.MEDIUM)
    assert rate([], "") == Rating(Severity.UNKNOWN)
    assert rate([], "spicy").severity is Severity.UNKNOWN


def test_words_are_read_in_any_case():
    assert [severity_of_word(w) for w in ("Critical", "IMPORTANT", " moderate ", "low", "unimportant")] == [
        Severity.CRITICAL, Severity.HIGH, Severity.MEDIUM, Severity.LOW, Severity.UNKNOWN,
    ]  # fmt: skip


@given(st.text(max_size=60), st.sampled_from(["CVSS:3.1/", "CVSS:4.0/", "", "CVSS:3.0/AV:N/AC:L/"]))
def test_no_vector_breaks_the_reader(text, start):
    assert rate_vector("CVSS_V3", start + text).severity in Severity
