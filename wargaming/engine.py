"""Running one scenario on two environments here, in a sandbox. No Django: values in, a frozen result out.

Order: control-before, reproduce-before, control-after, reproduce-after; then the cheap ones again. Everything that
happened is in the result, whatever the verdict: a wargame that could not tell says why, and what it did see.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from wargaming.concluding import PHASES, Context, Run, Seen, Side, WargameResult, concluded, read_run, steps_of
from wargaming.environments.layers import Layer
from wargaming.environments.spec import EnvironmentSpec, Lock, pin
from wargaming.environments.workshop import Built, Workshop
from wargaming.errors import EnvironmentFailed, SandboxRefused, SandboxUnavailable
from wargaming.sandbox.base import SCENARIO_DIR, Driver, Limits, RunResult, RunSpec, Runtime, Trust
from wargaming.scenarios import Scenario
from wargaming.verdict import Outcome

# A run below both is repeated. Processor time rules, so that a busy machine does not change what is repeated.
CHEAP_CPU_S, CHEAP_S = 1.0, 3.0

OBSERVE_PYTHON = """
import json, sys
sys.path[:] = [path for path in sys.path if not path.endswith("-packages")] + [sys.argv[1]]
from importlib.metadata import distributions
print(json.dumps(sorted({(d.metadata["Name"], d.version) for d in distributions(path=[sys.argv[1]])})))
"""

OBSERVE_NODE = """
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
class Progress:
    """Something to show while a wargame runs: ``what`` is ``building``, ``running`` or ``ran``."""

    what: str
    step: str = ""
    phase: str = ""
    variant: str = ""
    round: int = 0
    outcome: Outcome | None = None


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

    def _rounds(self, runtime: Runtime, built: tuple[Built, Built]) -> None:
        again = steps_of(self.scenario)
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
            files = {"observe.js": OBSERVE_NODE.encode()}
        else:
            arguments = ("-I", "-S", f"{SCENARIO_DIR}/observe.py", place)
            files = {"observe.py": OBSERVE_PYTHON.encode()}
        result = self.driver.run(RunSpec(runtime, arguments, layer.path, files, trust=Trust.SHIPPED))
        if result.exit_code != 0:
            return None
        try:
            return json.loads(result.last_line)
        except ValueError:
            return None

    def _result(
        self,
        runtime: Runtime | None,
        built: tuple[Built, Built],
        observed: tuple[tuple[tuple[str, str], ...], tuple[tuple[str, str], ...]],
    ) -> WargameResult:
        return concluded(
            Seen(
                scenario=self.scenario,
                before=_side(self.specs[0], built[0], observed[0]),
                after=_side(self.specs[1], built[1], observed[1]),
                runs=tuple(self.runs),
                driver=self.driver.name,
                driver_strength=self.driver.strength,
                runtime=runtime.describe if runtime else "",
                context=self.context,
                refusal=self.refusal,
                stopped=self.cancelled is not None and self.cancelled(),
            )
        )


def _cheap(result: RunResult) -> bool:
    cpu_s = result.usage.cpu_s if result.usage.cpu_s is not None else result.seconds
    return not result.cut_short and result.seconds < CHEAP_S and cpu_s < CHEAP_CPU_S


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
