"""From what was seen of the runs to a result: outcomes combined, versions compared, verdict and confidence drawn. Pure.

The same for every way a scenario is run: in a sandbox here (``engine``), or elsewhere and read back (``actions``).
"""

from __future__ import annotations

import signal
from collections.abc import Sequence
from dataclasses import dataclass

from packaging.version import InvalidVersion, Version

from immune.reachability.judging import NOT_KNOWN, Reach
from wargaming import confidence as scoring
from wargaming.confidence import Factor, Grounds
from wargaming.environments.spec import same_name, split_pin
from wargaming.environments.wheels import BuiltWheel
from wargaming.sandbox.base import Ending, RunResult, Trust
from wargaming.scenarios import Scenario
from wargaming.verdict import (
    Judgement,
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

PHASES = ("before", "after")


@dataclass(frozen=True, slots=True)
class Run:
    """One recorded run; ``why`` explains an outcome that is not simply what the script said."""

    step: str  # "control" or "reproduce"
    phase: str  # "before" or "after"
    variant: str
    round: int
    outcome: Outcome
    why: str
    result: RunResult | None


@dataclass(frozen=True, slots=True)
class Side:
    """One environment as it was: asked, locked, and seen from inside."""

    asked: tuple[str, ...]
    lock: str
    pins: tuple[tuple[str, str], ...]
    layer: str
    observed: tuple[tuple[str, str], ...]
    reason: str = ""
    detail: str = ""
    from_source: tuple[BuiltWheel, ...] = ()


@dataclass(frozen=True, slots=True)
class WargameResult:
    """Everything a wargame found. ``outcomes`` maps ``control_before`` and so on to the combined outcome."""

    scenario_id: str
    scenario_digest: str
    verdict: Verdict
    reason: str
    detail: str
    confidence: float
    factors: tuple[Factor, ...]
    outcomes: dict[str, Outcome]
    runs: tuple[Run, ...]
    before: Side
    after: Side
    driver: str
    runtime: str
    own_tests: OwnTests


@dataclass(frozen=True, slots=True)
class Context:
    """What is known of the repository around a wargame, for the verdict (own tests) and for confidence."""

    own_tests: OwnTests = OwnTests.NONE
    reachability: Reach = NOT_KNOWN
    scenario_accepted: bool = False


@dataclass(frozen=True, slots=True)
class Seen:
    """A scenario's runs and both sides as they were, and what ran them. ``refusal``: (reason, words) of what would not run it;
    ``stopped``: nobody waited for the end."""

    scenario: Scenario
    before: Side
    after: Side
    runs: tuple[Run, ...]
    driver: str
    driver_strength: float
    runtime: str
    context: Context
    refusal: tuple[str, str] | None = None
    stopped: bool = False


def steps_of(scenario: Scenario) -> list[tuple[str, str, str, str]]:
    """(phase, step, variant, script) in the order they run."""
    steps = []
    for phase in PHASES:
        steps.append((phase, "control", "main", scenario.control))
        steps += [(phase, "reproduce", variant.id, variant.script) for variant in scenario.variants]
    return steps


def concluded(seen: Seen) -> WargameResult:
    """The result. Never raises for what was seen: what could not be run or told ends as INCONCLUSIVE with its reason."""
    scenario, context = seen.scenario, seen.context
    outcomes = _combined(seen)
    versions = (_version(seen, seen.before), _version(seen, seen.after))
    judgement, detail = _judge(seen, outcomes, versions)
    grounds = Grounds(
        protocol=scenario.protocol,
        observed_from_outside=scenario.observed_from_outside,
        shipped=scenario.trust is Trust.SHIPPED,
        accepted=context.scenario_accepted,
        variants=len(scenario.variants),
        fewest_repeats=_fewest_repeats(seen.runs),
        controls_pass=outcomes["control_before"] is Outcome.PASS and outcomes["control_after"] is Outcome.PASS,
        own_tests=context.own_tests,
        versions_observed=None not in versions,
        highest_share_of_a_limit=max(
            (share for run in seen.runs if run.result for share in run.result.shares().values()), default=1.0
        ),
        driver=seen.driver,
        driver_strength=seen.driver_strength,
        reachability=context.reachability.value,
        reachability_source=context.reachability.source,
        built_here=tuple(dict.fromkeys(w.said for side in (seen.before, seen.after) for w in side.from_source)),
    )
    listed = scoring.factors(grounds)
    return WargameResult(
        scenario_id=scenario.id,
        scenario_digest=scenario.digest,
        verdict=judgement.verdict,
        reason=judgement.reason,
        detail=detail,
        confidence=scoring.confidence(judgement.verdict, listed),
        factors=listed,
        outcomes=outcomes,
        runs=seen.runs,
        before=seen.before,
        after=seen.after,
        driver=seen.driver,
        runtime=seen.runtime,
        own_tests=context.own_tests,
    )


def _combined(seen: Seen) -> dict[str, Outcome]:
    outcomes: dict[str, Outcome] = {}
    for phase in PHASES:
        controls = [run.outcome for run in seen.runs if (run.step, run.phase) == ("control", phase)]
        outcomes[f"control_{phase}"] = combine_repeats(controls)
        each = [
            combine_repeats(
                [r.outcome for r in seen.runs if (r.step, r.phase, r.variant) == ("reproduce", phase, variant.id)]
            )
            for variant in seen.scenario.variants
        ]
        combine = combine_variants_before if phase == "before" else combine_variants_after
        outcomes[f"reproduce_{phase}"] = combine(each)
    return outcomes


def _judge(seen: Seen, outcomes: dict[str, Outcome], versions: tuple[str | None, str | None]) -> tuple[Judgement, str]:
    def inconclusive(reason: str, detail: str) -> tuple[Judgement, str]:
        return Judgement(Verdict.INCONCLUSIVE, reason), detail

    sides = (seen.before, seen.after)
    for phase, side in zip(PHASES, sides, strict=True):
        if side.reason:
            return inconclusive(side.reason, f"environment {phase}: {side.detail}")
    if seen.refusal is not None:
        return inconclusive(*seen.refusal)
    if seen.stopped:
        return inconclusive("cancelled", "the wargame was cancelled")
    package, ecosystem = seen.scenario.package, seen.scenario.ecosystem
    for phase, side, version in zip(PHASES, sides, versions, strict=True):
        asked = _asked_version(side, ecosystem, package)
        if version is None:
            return inconclusive("version_not_observed", f"{phase}: {package} was not seen inside")
        if asked and not _equal_versions(asked, version):
            return inconclusive("version_mismatch", f"{phase}: asked for {asked}, seen inside {version}")
    judgement = decide(
        outcomes["control_before"],
        outcomes["reproduce_before"],
        outcomes["control_after"],
        outcomes["reproduce_after"],
        seen.context.own_tests,
    )
    return judgement, _explanation(seen.runs, judgement)


def _explanation(runs: Sequence[Run], judgement: Judgement) -> str:
    for run in runs:
        if (
            judgement.verdict is Verdict.INCONCLUSIVE
            and run.why
            and judgement.reason.startswith(f"{run.step}_{run.phase}")
        ):
            return f"{run.step} {run.phase}: {run.why}"
    return ""


def _version(seen: Seen, side: Side) -> str | None:
    ecosystem = seen.scenario.ecosystem
    wanted = same_name(ecosystem, seen.scenario.package)
    return next((version for name, version in side.observed if same_name(ecosystem, name) == wanted), None)


def _fewest_repeats(runs: Sequence[Run]) -> int:
    counts: dict[tuple[str, str, str], int] = {}
    for run in runs:
        key = (run.step, run.phase, run.variant)
        counts[key] = counts.get(key, 0) + 1
    return min(counts.values(), default=0)


def read_run(step: str, result: RunResult, nonce: str = "") -> tuple[Outcome, str]:
    """The outcome of one run and, where it is not what the script said, why."""
    if result.ending in {Ending.WALL_TIME, Ending.CPU_TIME}:
        return Outcome.TIMEOUT, f"ended at its limit: {result.ending}"
    if result.ending is Ending.NOT_STARTED:
        return Outcome.ERROR, f"the sandbox did not start it: {result.detail[-300:]}"
    if result.cut_short:
        return Outcome.ERROR, f"ended at its limit: {result.ending}"
    if result.ending is Ending.SIGNALLED:
        # Not by us: the kernel's own killer, or a crash. A crashing control is a failing one.
        crashed = step == "control" and result.signal != signal.SIGKILL
        return Outcome.FAIL if crashed else Outcome.ERROR, f"ended by signal {result.signal}"
    read = read_control if step == "control" else read_reproduce
    outcome = read(result.exit_code, result.last_line, nonce=nonce)
    if outcome in {Outcome.ABSENT, Outcome.PASS, Outcome.FAIL} and result.limit_hits:
        return Outcome.ERROR, f"said {outcome}, but reached a limit: {', '.join(result.limit_hits)}"
    if outcome in {Outcome.ERROR, Outcome.FAIL}:
        return outcome, f"exit {result.exit_code}, last line {result.last_line[:200]!r}"
    return outcome, ""


def _asked_version(side: Side, ecosystem: str, package: str) -> str:
    wanted = same_name(ecosystem, package)
    for text in side.asked:
        name, version = split_pin(ecosystem, text)
        if same_name(ecosystem, name.partition("[")[0]) == wanted:
            return version
    return ""


def _equal_versions(one: str, other: str) -> bool:
    try:
        return Version(one) == Version(other)
    except InvalidVersion:
        return one == other
