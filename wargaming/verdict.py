"""From what the runs gave to a verdict, with the reason. Pure; the table is the one in docs/scenarios.md and nowhere
else.

``decide`` takes the four combined outcomes and what the repository's own tests did. Only one family of inputs gives
``PATCH_EFFECTIVE``: control passes before and after, present before, absent after, own tests not newly broken. Whatever
could not be run, timed out, was cut by a limit, contradicted itself or said nothing is ``INCONCLUSIVE``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """The five answers; their order of weakness is :data:`WEAKEST_FIRST`."""

    PATCH_EFFECTIVE = "PATCH_EFFECTIVE"
    PATCH_INSUFFICIENT = "PATCH_INSUFFICIENT"
    REGRESSION = "REGRESSION"
    NOT_REPRODUCED = "NOT_REPRODUCED"
    INCONCLUSIVE = "INCONCLUSIVE"


# Weakest first: what policy uses when one remedy has several wargames.
WEAKEST_FIRST = (
    Verdict.REGRESSION,
    Verdict.PATCH_INSUFFICIENT,
    Verdict.INCONCLUSIVE,
    Verdict.NOT_REPRODUCED,
    Verdict.PATCH_EFFECTIVE,
)


class Outcome(StrEnum):
    """What a script gave, over its repeats. ``PRESENT``/``ABSENT`` of reproduce, ``PASS``/``FAIL`` of control."""

    PRESENT = "present"
    ABSENT = "absent"
    PASS = "pass"  # noqa: S105
    FAIL = "fail"
    ERROR = "error"
    TIMEOUT = "timeout"
    FLAKY = "flaky"
    NOT_RUN = "not_run"


REPRODUCE_OUTCOMES = (
    Outcome.PRESENT,
    Outcome.ABSENT,
    Outcome.ERROR,
    Outcome.TIMEOUT,
    Outcome.FLAKY,
    Outcome.NOT_RUN,
)
CONTROL_OUTCOMES = (Outcome.PASS, Outcome.FAIL, Outcome.ERROR, Outcome.TIMEOUT, Outcome.FLAKY, Outcome.NOT_RUN)


class OwnTests(StrEnum):
    """The repository's own tests: what they say of the change once failures known before are left out."""

    NONE = "none"  # no tests found, which is not the same as passing
    NOT_RUN = "not_run"
    PASSED = "passed"
    BROKEN = "broken"  # something that passed before fails after
    UNCLEAR = "unclear"  # they could not be run to their end on one side


@dataclass(frozen=True, slots=True)
class Judgement:
    """``reason`` is a stable word, "" only for PATCH_EFFECTIVE."""

    verdict: Verdict
    reason: str


def read_reproduce(exit_code: int | None, last_line: str, *, nonce: str = "") -> Outcome:
    """What one reproduction run says. Exit code and last line have to agree; anything else is no answer.

    With a ``nonce`` (protocol level 2) it must be the first word behind the colon.
    """
    said = {1: ("REPRODUCED: ", Outcome.PRESENT), 0: ("NOT PRESENT: ", Outcome.ABSENT)}.get(
        exit_code if exit_code is not None else -1
    )
    if said is None or not _says(last_line, said[0], nonce):
        return Outcome.ERROR
    return said[1]


def read_control(exit_code: int | None, last_line: str, *, nonce: str = "") -> Outcome:
    """What one control run says: ``PASS`` for exit 0 with its line, else ``FAIL``."""
    return Outcome.PASS if exit_code == 0 and _says(last_line, "CONTROL OK: ", nonce) else Outcome.FAIL


def _says(line: str, prefix: str, nonce: str) -> bool:
    if not line.startswith(prefix):
        return False
    return not nonce or line[len(prefix) :].split(" ", 1)[0] == nonce


def combine_repeats(outcomes: Sequence[Outcome]) -> Outcome:
    """Equal runs must give equal answers; none at all is ``NOT_RUN``."""
    if not outcomes:
        return Outcome.NOT_RUN
    return outcomes[0] if len(set(outcomes)) == 1 else Outcome.FLAKY


def combine_variants_before(outcomes: Sequence[Outcome]) -> Outcome:
    """Several reproductions of one flaw, before the patch: each must be present, for one that never showed cannot be
    seen to stop. Mixed present and absent is ``ERROR`` (a variant that proves nothing)."""
    return _same_or_worst(outcomes, mixed=Outcome.ERROR)


def combine_variants_after(outcomes: Sequence[Outcome]) -> Outcome:
    """After the patch one that still works is enough for ``PRESENT``, provided that every one gave an answer."""
    return _same_or_worst(outcomes, mixed=Outcome.PRESENT)


def _same_or_worst(outcomes: Sequence[Outcome], *, mixed: Outcome) -> Outcome:
    if not outcomes:
        return Outcome.NOT_RUN
    for worst in (Outcome.NOT_RUN, Outcome.ERROR, Outcome.TIMEOUT, Outcome.FLAKY):
        if worst in outcomes:
            return worst
    return outcomes[0] if len(set(outcomes)) == 1 else mixed


def decide(
    control_before: Outcome,
    reproduce_before: Outcome,
    control_after: Outcome,
    reproduce_after: Outcome,
    own_tests: OwnTests = OwnTests.NONE,
) -> Judgement:
    """The truth table. Total: every combination has an answer, and every answer but PATCH_EFFECTIVE a reason."""
    for phase, outcome, good in (
        ("control_before", control_before, {Outcome.PASS}),
        ("reproduce_before", reproduce_before, {Outcome.PRESENT, Outcome.ABSENT}),
        ("control_after", control_after, {Outcome.PASS, Outcome.FAIL}),
        ("reproduce_after", reproduce_after, {Outcome.PRESENT, Outcome.ABSENT}),
    ):
        if outcome not in good:
            return Judgement(Verdict.INCONCLUSIVE, f"{phase}_{outcome}")
    if reproduce_before is Outcome.ABSENT:
        if reproduce_after is Outcome.PRESENT:
            return Judgement(Verdict.INCONCLUSIVE, "absent_then_present")
        if control_after is Outcome.FAIL:
            return Judgement(Verdict.INCONCLUSIVE, "absent_and_control_after_fail")
        return Judgement(Verdict.NOT_REPRODUCED, "never_present")
    if control_after is Outcome.FAIL:
        return Judgement(Verdict.REGRESSION, "control_after_fail")
    if own_tests is OwnTests.BROKEN:
        return Judgement(Verdict.REGRESSION, "own_tests_broken")
    if reproduce_after is Outcome.PRESENT:
        return Judgement(Verdict.PATCH_INSUFFICIENT, "still_present")
    return Judgement(Verdict.PATCH_EFFECTIVE, "")
