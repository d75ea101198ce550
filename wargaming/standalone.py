"""The commands ``wargame``, ``check_scenario``, ``sandbox_report`` and ``replay_evidence`` without any edge around them.

Each takes plain values and gives the JSON document its command prints. No Django, no database, no repository.
"""

from __future__ import annotations

import functools
import hashlib
import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wargaming.concluding import WargameResult
from wargaming.engine import Progress, run_wargame, specs_of
from wargaming.environments.locks import checked_lock
from wargaming.environments.tools import uv_program
from wargaming.environments.workshop import MakesBuilder, Workshop
from wargaming.errors import ScenarioRefused, WargameError
from wargaming.evidence import Bundle, evidence_bundle, read_bundle, run_record
from wargaming.sandbox import drivers
from wargaming.sandbox.base import Driver, Trust
from wargaming.scenarios import Scenario, scenario_from_files, scenario_from_folder
from wargaming.verdict import Verdict

LIBRARY = Path(__file__).parent / "library"
DONE, FOUND, BAD_INPUT = 0, 1, 2  # exit codes of every command


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command prints and how it ends."""

    document: dict[str, Any]
    exit_code: int
    evidence: bytes = b""


def library_scenarios() -> dict[str, Path]:
    """The shipped scenarios by name."""
    return {folder.name: folder for folder in sorted(LIBRARY.iterdir()) if (folder / "case.yaml").is_file()}


def trust_of(folder: Path) -> Trust:
    """``SHIPPED`` for a folder of the product's own library, ``ATTACHED`` for any other place on disk."""
    return Trust.SHIPPED if folder.resolve().parent == LIBRARY.resolve() else Trust.ATTACHED


def check_scenario(folder: Path) -> Answer:
    """``{scenario, ok, problems: [{where, what}]}``."""
    try:
        scenario = scenario_from_folder(folder, trust_of(folder))
    except (ScenarioRefused, OSError) as error:
        problems = error.problems if isinstance(error, ScenarioRefused) else ((folder.name, str(error)),)
        listed = [{"where": where, "what": what} for where, what in problems]
        return Answer({"scenario": folder.name, "ok": False, "problems": listed}, BAD_INPUT)
    return Answer({"scenario": scenario.id, "ok": True, "problems": []}, DONE)


def wargame(
    folder: Path,
    *,
    work: Path,
    driver: str = "",
    on_progress: Callable[[Progress], None] | None = None,
    builds: MakesBuilder | None = None,
) -> Answer:
    """Run the scenario in ``folder`` without any repository; ``driver`` "" takes the strongest there is; ``builds`` is given where what
    has no wheel may be built."""
    try:
        scenario = scenario_from_folder(folder, trust_of(folder))
    except (ScenarioRefused, OSError) as error:
        return Answer({"case": folder.name, "error": str(error), "reason": "scenario_refused"}, BAD_INPUT)
    try:
        with drivers.opened(driver, work) as opened:
            workshop = Workshop(work, builds=builds)
            result = run_wargame(scenario, *specs_of(scenario), opened, workshop, on_progress=on_progress)
    except WargameError as error:
        return Answer({"case": scenario.id, "error": str(error), "reason": error.reason}, BAD_INPUT)
    evidence = evidence_bundle(result, scenario, tools=tool_versions())
    exit_code = DONE if result.verdict is Verdict.PATCH_EFFECTIVE else FOUND
    return Answer(wargame_document(result, hashlib.sha256(evidence).hexdigest()), exit_code, evidence)


def wargame_document(result: WargameResult, evidence_sha256: str) -> dict[str, Any]:
    """The document of the command ``wargame``."""
    return {
        "case": result.scenario_id,
        "verdict": str(result.verdict),
        "confidence": result.confidence,
        "reason": result.reason,
        "detail": result.detail,
        "outcomes": {name: str(outcome) for name, outcome in result.outcomes.items()},
        "factors": [
            {"name": factor.name, "weight": factor.weight, "value": round(factor.value, 3), "why": factor.why}
            for factor in result.factors
        ],
        "runs": [_run_line(run_record(run)) for run in result.runs],
        "driver": result.driver,
        "evidence_sha256": evidence_sha256,
    }


def _run_line(record: dict[str, Any]) -> dict[str, Any]:
    names = ("step", "phase", "variant", "round", "outcome", "exit_code", "seconds", "last_line", "why")
    return {name: str(record[name]) if name == "outcome" else record.get(name) for name in names}


def replay_evidence(archive: bytes, *, work: Path, driver: str = "", builds: MakesBuilder | None = None) -> Answer:
    """Run again what an archive holds, on the very locks it holds: ``{same, verdict_then, verdict_now, differences}``."""
    try:
        bundle = read_bundle(archive)
        # Whoever wrote the archive also wrote its claim of trust.
        scenario = scenario_from_files(bundle.scenario_files(), Trust.ATTACHED)
        with drivers.opened(driver, work) as opened:
            result = _replayed(bundle, scenario, opened, Workshop(work, builds=builds))
    except WargameError as error:
        return Answer({"error": str(error), "reason": error.reason}, BAD_INPUT)
    then, now = bundle.manifest, result
    differences = [
        {"what": name, "then": str(then["outcomes"].get(name)), "now": str(outcome)}
        for name, outcome in now.outcomes.items()
        if then["outcomes"].get(name) != outcome
    ]
    for phase, side in (("before", now.before), ("after", now.after)):
        recorded = [tuple(pair) for pair in then["environments"][phase]["observed"]]
        if recorded != list(side.observed):
            differences.append({"what": f"observed_{phase}", "then": str(recorded), "now": str(list(side.observed))})
    if then["runtime"] != now.runtime:
        differences.append({"what": "runtime", "then": str(then["runtime"]), "now": now.runtime})
    same = then["verdict"] == now.verdict and then["outcomes"] == now.outcomes
    document = {
        "same": same,
        "verdict_then": str(then["verdict"]),
        "verdict_now": str(now.verdict),
        "differences": differences,
    }
    return Answer(document, DONE if same else FOUND)


def _replayed(bundle: Bundle, scenario: Scenario, driver: Driver, workshop: Workshop) -> WargameResult:
    base, head = specs_of(scenario)
    try:
        asked = {
            phase: tuple(map(str, bundle.manifest["environments"][phase]["asked"])) for phase in ("before", "after")
        }
        texts = [bundle.entries[f"locks/{phase}"].decode() for phase in ("before", "after")]
    except (KeyError, TypeError, UnicodeDecodeError) as error:
        raise WargameError("evidence_refused", f"the manifest lacks {error}") from error
    locks = None
    if all(texts):
        locks = (checked_lock(scenario.ecosystem, texts[0]), checked_lock(scenario.ecosystem, texts[1]))
    base, head = (
        type(spec)(spec.ecosystem, asked[phase], spec.preferences)
        for spec, phase in ((base, "before"), (head, "after"))
    )
    return run_wargame(scenario, base, head, driver, workshop, locks=locks)


@functools.cache
def tool_versions() -> dict[str, str]:
    """The programs that evidence rests on, with what they call their version."""
    found: dict[str, str] = {"kernel": os.uname().release}
    for name, command in (("uv", [uv_program(), "--version"]), ("bwrap", ["bwrap", "--version"])):
        try:
            said = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)  # noqa: S603
            found[name] = said.stdout.strip()
        except (OSError, subprocess.SubprocessError):
            found[name] = ""
    return found
