"""Running one scenario on two environments and drawing the verdict. No Django: values in, a frozen result out.

Order: control-before, reproduce-before, control-after, reproduce-after; then the cheap ones again. Everything that
happened is in the result, whatever the verdict: a wargame that could not tell says why, and what it did see.
"""

from __future__ import annotations

import json
import secrets
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from packaging.version import InvalidVersion, Version

from immune.reachability.judging import NOT_KNOWN, Reach
from wargaming import confidence as scoring
from wargaming.confidence import Factor, Grounds
from wargaming.environments.layers import Layer
from wargaming.environments.spec import EnvironmentSpec, Lock, pin, same_name, split_pin
from wargaming.environments.wheels import BuiltWheel
from wargaming.environments.workshop import Built, Workshop
from wargaming.errors import EnvironmentFailed, SandboxRefused, SandboxUnavailable
from wargaming.sandbox.base import SCENARIO_DIR, Driver, Ending, Limits, RunResult, RunSpec, Runtime, Trust
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

# A run below both is repeated. Processor time rules, so that a busy machine does not change what is repeated.
CHEAP_CPU_S, CHEAP_S = 1.0, 3.0
PHASES = ("before", "after")

_OBSERVE_PYTHON = """
import json, sys
sys.path[:] = [path for path in sys.path if not path.endswith("-packages")] + [sys.argv[1]]
from importlib.metadata import distributions
print(json.dumps(sorted({(d.metadata["Name"], d.version) for d in distributions(path=[sys.argv[1]])})))
"""

_OBSERVE_NODE = """
const fs = require('fs'), path = require('path'), found = [];
function look(folder, depth) {
  for (const name of fs.existsSync(folder) ? fs.readdirSync(folder) : []) {
    const inside = path.join(folder, name);
    if (name.startsWith('@')) { look(inside, depth); continue; }
    try {
      const facts = JSON.parse(fs.readFileSync(path.join(inside, 'package.json'), 'utf8'));
      found.push([depth, String(facts.name), String(facts.version)]);
    } catch (error) { continue; }
    look(path.join(inside, 'node_modules'), depth + 1);
  }
}
look(path.join(process.argv[2], 'node_modules'), 0);
found.sort((a, b) => a[0] - b[0]);  // the one a script gets comes first
console.log(JSON.stringify(found.map((entry) => entry.slice(1))));
"""


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
class Progress:
    """Something to show while a wargame runs: ``what`` is ``building``, ``running`` or ``ran``."""

    what: str
    step: str = ""
    phase: str = ""
    variant: str = ""
    round: int = 0
    outcome: Outcome | None = None


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


def specs_of(scenario: Scenario) -> tuple[EnvironmentSpec, EnvironmentSpec]:
    """The two environments of a scenario by itself, without any repository."""
    ecosystem = scenario.ecosystem

    def side(version: str, name: str) -> EnvironmentSpec:
        requirements = (pin(ecosystem, scenario.package, version), *scenario.with_)
        return EnvironmentSpec(ecosystem, requirements, scenario.locks.get(name) or ())

    return side(scenario.vulnerable_version, "vulnerable"), side(scenario.fixed_version, "fixed")


def run_wargame(
    scenario: Scenario,
    base: EnvironmentSpec,
    head: EnvironmentSpec,
    driver: Driver,
    workshop: Workshop,
    *,
    on_progress: Callable[[Progress], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
    context: Context | None = None,
    locks: tuple[Lock, Lock] | None = None,
) -> WargameResult:
    """Run ``scenario`` against ``base`` and ``head``. Never raises for what packages, scripts, index or sandbox do:
    that ends in a result with verdict INCONCLUSIVE and its reason."""
    mine = workshop.during(driver, cancelled)
    return _Wargame(scenario, (base, head), driver, mine, on_progress, cancelled, context or Context(), locks).play()


@dataclass(slots=True)
class _Wargame:
    scenario: Scenario
    specs: tuple[EnvironmentSpec, EnvironmentSpec]
    driver: Driver
    workshop: Workshop
    on_progress: Callable[[Progress], None] | None
    cancelled: Callable[[], bool] | None
    context: Context
    locks: tuple[Lock, Lock] | None = None
    runs: list[Run] = field(default_factory=list)
    refusal: tuple[str, str] | None = None

    def play(self) -> WargameResult:
        self._tell(Progress("building"))
        try:
            runtime = self.workshop.runtime(self.scenario.ecosystem)
        except EnvironmentFailed as error:
            lost = Built(None, error.reason, str(error))
            return self._result(None, (lost, lost), ((), ()))
        with self._held_environments() as built:
            observed = (self._observe(built[0].layer, runtime), self._observe(built[1].layer, runtime))
            self._rounds(runtime, built)
        return self._result(runtime, built, observed)

    @contextmanager
    def _held_environments(self) -> Iterator[tuple[Built, Built]]:
        """Both sides, kept from being evicted. One that went between being built and being held is built again."""
        with ExitStack() as held:
            for last in (False, False, True):
                built = (
                    self.workshop.build(*self.specs) if self.locks is None else self.workshop.from_locks(*self.locks)
                )
                try:
                    held.enter_context(self.workshop.layers.in_use(built[0].layer, built[1].layer))
                except EnvironmentFailed as error:
                    if not last:
                        continue
                    gone = Built(None, error.reason, str(error))
                    built = (gone, gone)
                break
            yield built

    def _tell(self, progress: Progress) -> None:
        if self.on_progress is not None:
            self.on_progress(progress)

    def _stopped(self) -> bool:
        return self.refusal is not None or (self.cancelled is not None and self.cancelled())

    # -- running ------------------------------------------------------------------------------------------------------

    def _steps(self) -> list[tuple[str, str, str, str]]:
        """(phase, step, variant, script) in the order they run."""
        steps = []
        for phase in PHASES:
            steps.append((phase, "control", "main", self.scenario.control))
            steps += [(phase, "reproduce", variant.id, variant.script) for variant in self.scenario.variants]
        return steps

    def _rounds(self, runtime: Runtime, built: tuple[Built, Built]) -> None:
        again = self._steps()
        for number in range(1, self.scenario.repeats + 1):
            cheap = []
            for step in again:
                layer = built[PHASES.index(step[0])].layer
                if layer is None:
                    continue
                if self._stopped():
                    return
                run = self._run(step, number, layer, runtime)
                if run is None:
                    return
                self.runs.append(run)
                if run.result is not None and _cheap(run.result):
                    cheap.append(step)
            again = cheap

    def _run(self, step: tuple[str, str, str, str], number: int, layer: Layer, runtime: Runtime) -> Run | None:
        phase, kind, variant, script = step
        self._tell(Progress("running", kind, phase, variant, number))
        scenario = self.scenario
        nonce = secrets.token_hex(16) if scenario.protocol >= 2 else ""
        spec = RunSpec(
            runtime=runtime,
            arguments=(f"{SCENARIO_DIR}/{script}",),
            layer=layer.path,
            files=scenario.files,
            trust=scenario.trust,
            needs=scenario.needs,
            limits=Limits(wall_s=scenario.time_limit_s, cpu_s=2 * scenario.time_limit_s, memory_mb=scenario.memory_mb),
            stdin=f"{nonce}\n".encode() if nonce else b"",
        )
        try:
            result = self.driver.run(spec, self.cancelled)
        except (SandboxRefused, SandboxUnavailable) as error:
            self.refusal = (error.reason, str(error))
            return None
        outcome, why = read_run(kind, result, nonce)
        self._tell(Progress("ran", kind, phase, variant, number, outcome))
        return Run(kind, phase, variant, number, outcome, why, result)

    def _observe(self, layer: Layer | None, runtime: Runtime) -> tuple[tuple[str, str], ...]:
        """The distributions an interpreter sees inside the sandbox; once per layer, since a layer never changes."""
        if layer is None or self._stopped():
            return ()
        note = f"observed-{self.driver.name}"
        known = self.workshop.layers.noted(layer, note)
        if known is None:
            try:
                known = self._look_inside(layer, runtime)
            except (SandboxRefused, SandboxUnavailable) as error:
                self.refusal = (error.reason, str(error))
                return ()
            if known is None:
                return ()
            self.workshop.layers.note(layer, note, known)
        pairs = known if isinstance(known, list) else []
        return tuple((str(name), str(version)) for name, version in pairs)

    def _look_inside(self, layer: Layer, runtime: Runtime) -> object | None:
        place = self.driver.layer_place(runtime, layer.path)
        # No site, no path from outside, nothing required: nothing of the layer runs while its metadata is read.
        if runtime.kind == "node":
            arguments: tuple[str, ...] = (f"{SCENARIO_DIR}/observe.js", place)
            files = {"observe.js": _OBSERVE_NODE.encode()}
        else:
            arguments = ("-I", "-S", f"{SCENARIO_DIR}/observe.py", place)
            files = {"observe.py": _OBSERVE_PYTHON.encode()}
        result = self.driver.run(RunSpec(runtime, arguments, layer.path, files, trust=Trust.SHIPPED))
        if result.exit_code != 0:
            return None
        try:
            return json.loads(result.last_line)
        except ValueError:
            return None

    # -- concluding ---------------------------------------------------------------------------------------------------

    def _combined(self) -> dict[str, Outcome]:
        outcomes: dict[str, Outcome] = {}
        for phase in PHASES:
            controls = [run.outcome for run in self.runs if (run.step, run.phase) == ("control", phase)]
            outcomes[f"control_{phase}"] = combine_repeats(controls)
            each = [
                combine_repeats(
                    [r.outcome for r in self.runs if (r.step, r.phase, r.variant) == ("reproduce", phase, variant.id)]
                )
                for variant in self.scenario.variants
            ]
            combine = combine_variants_before if phase == "before" else combine_variants_after
            outcomes[f"reproduce_{phase}"] = combine(each)
        return outcomes

    def _judge(
        self, outcomes: dict[str, Outcome], built: tuple[Built, Built], seen: tuple[str | None, str | None]
    ) -> tuple[Judgement, str]:
        def inconclusive(reason: str, detail: str) -> tuple[Judgement, str]:
            return Judgement(Verdict.INCONCLUSIVE, reason), detail

        for phase, side in zip(PHASES, built, strict=True):
            if side.layer is None:
                return inconclusive(side.reason, f"environment {phase}: {side.detail}")
        if self.refusal is not None:
            return inconclusive(*self.refusal)
        if self.cancelled is not None and self.cancelled():
            return inconclusive("cancelled", "the wargame was cancelled")
        for phase, spec, version in zip(PHASES, self.specs, seen, strict=True):
            asked = _asked_version(spec, self.scenario.package)
            if version is None:
                return inconclusive("version_not_observed", f"{phase}: {self.scenario.package} was not seen inside")
            if asked and not _equal_versions(asked, version):
                return inconclusive("version_mismatch", f"{phase}: asked for {asked}, seen inside {version}")
        judgement = decide(
            outcomes["control_before"],
            outcomes["reproduce_before"],
            outcomes["control_after"],
            outcomes["reproduce_after"],
            self.context.own_tests,
        )
        return judgement, self._explanation(judgement)

    def _explanation(self, judgement: Judgement) -> str:
        for run in self.runs:
            if (
                judgement.verdict is Verdict.INCONCLUSIVE
                and run.why
                and judgement.reason.startswith(f"{run.step}_{run.phase}")
            ):
                return f"{run.step} {run.phase}: {run.why}"
        return ""

    def _result(
        self,
        runtime: Runtime | None,
        built: tuple[Built, Built],
        observed: tuple[tuple[tuple[str, str], ...], tuple[tuple[str, str], ...]],
    ) -> WargameResult:
        outcomes = self._combined()
        seen = (self._seen(observed[0]), self._seen(observed[1]))
        judgement, detail = self._judge(outcomes, built, seen)
        grounds = Grounds(
            protocol=self.scenario.protocol,
            observed_from_outside=self.scenario.observed_from_outside,
            shipped=self.scenario.trust is Trust.SHIPPED,
            accepted=self.context.scenario_accepted,
            variants=len(self.scenario.variants),
            fewest_repeats=self._fewest_repeats(),
            controls_pass=outcomes["control_before"] is Outcome.PASS and outcomes["control_after"] is Outcome.PASS,
            own_tests=self.context.own_tests,
            versions_observed=None not in seen,
            highest_share_of_a_limit=max(
                (share for run in self.runs if run.result for share in run.result.shares().values()), default=1.0
            ),
            driver=self.driver.name,
            driver_strength=self.driver.strength,
            reachability=self.context.reachability.value,
            reachability_source=self.context.reachability.source,
            built_here=tuple(dict.fromkeys(wheel.said for side in built for wheel in side.from_source)),
        )
        listed = scoring.factors(grounds)
        return WargameResult(
            scenario_id=self.scenario.id,
            scenario_digest=self.scenario.digest,
            verdict=judgement.verdict,
            reason=judgement.reason,
            detail=detail,
            confidence=scoring.confidence(judgement.verdict, listed),
            factors=listed,
            outcomes=outcomes,
            runs=tuple(self.runs),
            before=_side(self.specs[0], built[0], observed[0]),
            after=_side(self.specs[1], built[1], observed[1]),
            driver=self.driver.name,
            runtime=runtime.describe if runtime else "",
            own_tests=self.context.own_tests,
        )

    def _seen(self, observed: tuple[tuple[str, str], ...]) -> str | None:
        wanted = same_name(self.scenario.ecosystem, self.scenario.package)
        return next((v for name, v in observed if same_name(self.scenario.ecosystem, name) == wanted), None)

    def _fewest_repeats(self) -> int:
        counts: dict[tuple[str, str, str], int] = {}
        for run in self.runs:
            key = (run.step, run.phase, run.variant)
            counts[key] = counts.get(key, 0) + 1
        return min(counts.values(), default=0)


def _cheap(result: RunResult) -> bool:
    cpu_s = result.usage.cpu_s if result.usage.cpu_s is not None else result.seconds
    return not result.cut_short and result.seconds < CHEAP_S and cpu_s < CHEAP_CPU_S


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


def _side(spec: EnvironmentSpec, built: Built, observed: tuple[tuple[str, str], ...]) -> Side:
    layer = built.layer
    return Side(
        asked=spec.requirements,
        lock=layer.lock.text if layer else "",
        pins=layer.lock.pins if layer else (),
        layer=layer.key if layer else "",
        observed=observed,
        reason=built.reason,
        detail=built.detail,
        from_source=built.from_source,
    )


def _asked_version(spec: EnvironmentSpec, package: str) -> str:
    wanted = same_name(spec.ecosystem, package)
    for text in spec.requirements:
        name, version = split_pin(spec.ecosystem, text)
        if same_name(spec.ecosystem, name.partition("[")[0]) == wanted:
            return version
    return ""


def _equal_versions(one: str, other: str) -> bool:
    try:
        return Version(one) == Version(other)
    except InvalidVersion:
        return one == other
