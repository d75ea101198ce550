"""The truth table, generated over every combination of outcomes."""

from itertools import product

import pytest

from wargaming.verdict import (
    CONTROL_OUTCOMES,
    REPRODUCE_OUTCOMES,
    Outcome,
    OwnTests,
    Verdict,
    combine_repeats,
    combine_variants_after,
    combine_variants_before,
    decide,
    read_control,
    read_reproduce,
)

EVERYTHING = list(product(CONTROL_OUTCOMES, REPRODUCE_OUTCOMES, CONTROL_OUTCOMES, REPRODUCE_OUTCOMES, OwnTests))


def by_the_page(control_before, reproduce_before, control_after, reproduce_after, own_tests):
    """The published table, written a second time and row by row."""
    row = (str(reproduce_before), str(reproduce_after), str(control_before), str(control_after))
    verdict = {
        ("present", "absent", "pass", "pass"): "PATCH_EFFECTIVE",
        ("present", "present", "pass", "pass"): "PATCH_INSUFFICIENT",
        ("present", "absent", "pass", "fail"): "REGRESSION",
        ("present", "present", "pass", "fail"): "REGRESSION",
        ("absent", "absent", "pass", "pass"): "NOT_REPRODUCED",
    }.get(row, "INCONCLUSIVE")
    if own_tests is OwnTests.BROKEN and verdict in {"PATCH_EFFECTIVE", "PATCH_INSUFFICIENT"}:
        return "REGRESSION"
    return verdict


def test_every_combination_of_outcomes_gets_the_verdict_of_the_table():
    assert len(EVERYTHING) == 6**4 * len(OwnTests)
    wrong = [row for row in EVERYTHING if decide(*row).verdict != by_the_page(*row)]
    assert wrong == []


def test_only_one_family_of_outcomes_is_effective_and_everything_else_has_a_reason():
    effective = {row[:4] for row in EVERYTHING if decide(*row).verdict is Verdict.PATCH_EFFECTIVE}
    assert effective == {(Outcome.PASS, Outcome.PRESENT, Outcome.PASS, Outcome.ABSENT)}
    assert all(decide(*row).reason for row in EVERYTHING if decide(*row).verdict is not Verdict.PATCH_EFFECTIVE)


@pytest.mark.parametrize(
    ("exit_code", "line", "outcome"),
    [
        (1, "REPRODUCED: yes", Outcome.PRESENT),
        (0, "NOT PRESENT: no", Outcome.ABSENT),
        (0, "REPRODUCED: yes", Outcome.ERROR),
        (1, "NOT PRESENT: no", Outcome.ERROR),
        (1, "ValueError: boom", Outcome.ERROR),
        (0, "", Outcome.ERROR),
        (3, "NOT PRESENT: no", Outcome.ERROR),
        (None, "REPRODUCED: yes", Outcome.ERROR),
        (1, " REPRODUCED: yes", Outcome.ERROR),
        (1, "REPRODUCED", Outcome.ERROR),
    ],
)
def test_exit_code_and_last_line_of_a_reproduction_have_to_agree(exit_code, line, outcome):
    assert read_reproduce(exit_code, line) is outcome


def test_a_control_passes_only_with_its_line_and_exit_zero():
    assert read_control(0, "CONTROL OK: fine") is Outcome.PASS
    assert read_control(0, "") is Outcome.FAIL
    assert read_control(1, "CONTROL OK: fine") is Outcome.FAIL


def test_with_a_nonce_a_line_printed_without_it_says_nothing():
    assert read_reproduce(0, "NOT PRESENT: no", nonce="abc") is Outcome.ERROR
    assert read_reproduce(0, "NOT PRESENT: abcd no", nonce="abc") is Outcome.ERROR
    assert read_reproduce(0, "NOT PRESENT: abc no", nonce="abc") is Outcome.ABSENT
    assert read_control(0, "CONTROL OK: abc", nonce="abc") is Outcome.PASS


def test_equal_runs_that_differ_are_flaky_and_no_run_is_not_run():
    assert combine_repeats([Outcome.PRESENT, Outcome.ABSENT, Outcome.PRESENT]) is Outcome.FLAKY
    assert combine_repeats([Outcome.ABSENT] * 3) is Outcome.ABSENT
    assert combine_repeats([]) is Outcome.NOT_RUN


def test_one_variant_that_still_works_is_still_present_but_one_that_never_showed_proves_nothing():
    assert combine_variants_after([Outcome.ABSENT, Outcome.PRESENT]) is Outcome.PRESENT
    assert combine_variants_after([Outcome.ABSENT, Outcome.TIMEOUT]) is Outcome.TIMEOUT
    assert combine_variants_before([Outcome.PRESENT, Outcome.ABSENT]) is Outcome.ERROR
    assert combine_variants_before([Outcome.PRESENT, Outcome.PRESENT]) is Outcome.PRESENT
