"""What a wargame costs beside the bare runs of the same scripts, cached and cold, and what a second worker brings.

    python -m bench.wargame [--cases N] [--rounds N] [--cold N] [--format json]

Every ratio is measured against its peer in the same run, the two alternating case by case, so that a busy machine touches both:

- cached: a wargame with its layers ready, against the same number of runs of the same scripts by a plain interpreter in ready
  virtual environments (bytecode compiled), each in a fresh folder;
- cold: a wargame with nothing ready, against ``uv venv`` and ``uv pip install`` of both versions plus the same bare runs, each
  with an empty installer cache;
- workers: the same queue of wargames by one worker and by two.

The queue of many repositories is measured by ``bench.wargame_queue``, the examples are proved by ``bench.examples``.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from wargaming.concluding import PHASES, WargameResult
from wargaming.engine import run_wargame, specs_of
from wargaming.environments.layers import remove_tree
from wargaming.environments.tools import installer_environment, uv_program
from wargaming.environments.workshop import Workshop
from wargaming.sandbox.base import Need, Trust
from wargaming.sandbox.bubblewrap import BubblewrapDriver
from wargaming.scenarios import Scenario, scenario_from_folder
from wargaming.standalone import library_scenarios
from wargaming.verdict import Outcome

# Cases about processor time burn their whole budget on purpose; they would hide the engine's share. Processor seconds.
QUICK_S = 1.5

Ready = tuple[Scenario, WargameResult, dict[str, Path]]


def library() -> list[Scenario]:
    """The shipped PyPI scenarios without special needs."""
    found = [scenario_from_folder(folder, Trust.SHIPPED) for folder in library_scenarios().values()]
    return [each for each in found if each.ecosystem == "PyPI" and not each.needs & {Need.GIT, Need.SHELL}]


def virtual_environment(folder: Path, requirements: str, *, cache: Path | None = None) -> Path:
    """A ready environment as a person would make it with uv; gives its interpreter."""
    variables = installer_environment() | ({"UV_CACHE_DIR": str(cache)} if cache else {})
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "requirements.txt").write_text(requirements)
    python = folder / "venv" / "bin" / "python"
    for command in (
        ["venv", "--quiet", "--python", sys.executable, str(folder / "venv")],
        ["pip", "install", "--quiet", "--python", str(python), "--compile-bytecode", "-r", "requirements.txt"],
    ):
        subprocess.run([uv_program(), *command], env=variables, cwd=folder, check=True)
    return python


def bare_run(python: Path, scenario_folder: Path, script: str, scratch: Path, exit_code: int | None) -> float:
    """One run of a script in a fresh folder, with nothing around it; seconds. It must end as it did in the wargame, or the
    two did not do the same work."""
    with tempfile.TemporaryDirectory(dir=scratch) as cwd:
        started = time.perf_counter()
        done = subprocess.run(
            [python, scenario_folder / script], cwd=cwd, capture_output=True, stdin=subprocess.DEVNULL, check=False,
            env={"HOME": cwd, "TMPDIR": cwd, "LANG": "C.UTF-8", "PATH": "/usr/bin:/bin", "PYTHONUTF8": "1"},
        )  # fmt: skip
        took = time.perf_counter() - started
        assert done.returncode == exit_code, (
            f"{scenario_folder / script}: {done.returncode}, in the wargame {exit_code}"
        )
        return took


def bare_runs(result: WargameResult, scenario: Scenario, pythons: dict[str, Path], folder: Path) -> float:
    """The very runs a wargame made, in its order, by the plain interpreters; seconds."""
    scripts = {variant.id: variant.script for variant in scenario.variants}
    place = folder / "scenarios" / scenario.id
    if not place.is_dir():
        for name, data in scenario.files.items():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            (place / name).write_bytes(data)
    return sum(
        bare_run(
            pythons[run.phase],
            place,
            scenario.control if run.step == "control" else scripts[run.variant],
            folder,
            run.result.exit_code if run.result else None,
        )
        for run in result.runs
    )


@contextmanager
def timed(into: list[float]) -> Iterator[None]:
    started = time.perf_counter()
    yield
    into.append(time.perf_counter() - started)


def tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def quick_ready(work: Path, driver: BubblewrapDriver, count: int) -> list[Ready]:
    """The first ``count`` scenarios (0: all) that ran quickly, with layers and virtual environments ready."""
    workshop = Workshop(work)
    ready: list[Ready] = []
    for scenario in library():
        if count and len(ready) == count:
            break
        tell(f"makes ready {scenario.id}")
        result = run_wargame(scenario, *specs_of(scenario), driver, workshop)
        slow = any(run.result is None or (run.result.usage.cpu_s or 0.0) > QUICK_S for run in result.runs)
        if slow or Outcome.NOT_RUN in result.outcomes.values():
            continue
        pythons = {
            phase: virtual_environment(work / "bare" / scenario.id / phase, side.lock)
            for phase, side in zip(PHASES, (result.before, result.after), strict=True)
        }
        ready.append((scenario, result, pythons))
    return ready


def measure_cached(work: Path, driver: BubblewrapDriver, cases: list[Ready], rounds: int) -> dict[str, object]:
    workshop = Workshop(work)
    ratios: list[float] = []
    best: dict[str, dict[str, float]] = {}
    for number in range(rounds):
        tell(f"cached, round {number + 1} of {rounds}")
        for scenario, known, pythons in cases:
            took: dict[str, float] = {}
            # Alternate who goes first: the second finds the page cache warmer.
            for who in ("engine", "bare") if number % 2 else ("bare", "engine"):
                started = time.perf_counter()
                if who == "engine":
                    run_wargame(scenario, *specs_of(scenario), driver, workshop)
                    took[who] = time.perf_counter() - started
                else:
                    took[who] = bare_runs(known, scenario, pythons, work / "bare")
            ratios.append(took["engine"] / took["bare"])
            kept = best.setdefault(scenario.id, took)
            best[scenario.id] = {who: min(kept[who], took[who]) for who in took}
    engine, bare = (sum(took[who] for took in best.values()) for who in ("engine", "bare"))
    return {
        "cases": len(cases),
        "runs_each": sum(len(known.runs) for _, known, _ in cases) / max(1, len(cases)),
        "wargame_s": engine / len(cases),
        "bare_s": bare / len(cases),
        # The best of the rounds on both sides: what other work on the machine adds falls out.
        "ratio": engine / bare,
        "median_ratio": statistics.median(ratios),
        "limit": 1.2,
    }


def measure_cold(work: Path, driver: BubblewrapDriver, count: int) -> dict[str, object]:
    ratios, mine, theirs = [], [], []
    kept = os.environ.get("UV_CACHE_DIR")
    try:
        for number, scenario in enumerate(library()[:count]):
            tell(f"cold, {scenario.id}")
            folder = work / "cold" / str(number)
            os.environ["UV_CACHE_DIR"] = str(folder / "engine-cache")
            started = time.perf_counter()
            result = run_wargame(scenario, *specs_of(scenario), driver, Workshop(folder))
            engine = time.perf_counter() - started
            started = time.perf_counter()
            cache = folder / "bare-cache"
            pythons = {
                phase: virtual_environment(
                    folder / phase, "".join(f"{name}=={version}\n" for name, version in side.pins), cache=cache
                )
                for phase, side in zip(PHASES, (result.before, result.after), strict=True)
            }
            bare = time.perf_counter() - started + bare_runs(result, scenario, pythons, folder)
            remove_tree(folder)
            ratios.append(engine / bare)
            mine.append(engine)
            theirs.append(bare)
    finally:
        os.environ.pop("UV_CACHE_DIR")
        if kept is not None:
            os.environ["UV_CACHE_DIR"] = kept
    return {
        "cases": len(ratios),
        "wargame_s": statistics.median(mine),
        "uv_and_bare_s": statistics.median(theirs),
        "ratio": statistics.median(ratios),
        "limit": 1.2,
    }


def measure_workers(work: Path, driver: BubblewrapDriver, cases: list[Ready], rounds: int) -> dict[str, object]:
    workshop = Workshop(work)
    queue = [scenario for scenario, _, _ in cases] * 2
    took: dict[int, list[float]] = {1: [], 2: []}
    for number in range(rounds):
        tell(f"workers, round {number + 1} of {rounds}")
        for workers in (1, 2) if number % 2 else (2, 1):
            with timed(took[workers]), ThreadPoolExecutor(workers) as pool:
                list(pool.map(lambda scenario: run_wargame(scenario, *specs_of(scenario), driver, workshop), queue))
    one, two = statistics.median(took[1]), statistics.median(took[2])
    return {"wargames": len(queue), "one_worker_s": one, "two_workers_s": two, "ratio": one / two, "limit": 1.6}


def measure_start() -> dict[str, object]:
    """Command start-up, shown apart: an interpreter that imports the engine and ends."""
    took: list[float] = []
    for _ in range(5):
        with timed(took):
            subprocess.run([sys.executable, "-c", "import wargaming.standalone"], check=True)
    return {"start_s": statistics.median(took)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=12, help="how many cases to run cached; 0: all")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cold", type=int, default=4, help="how many cases to run cold")
    parser.add_argument("--format", choices=["text", "json"], default="text")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-wargame-") as name:
        work = Path(name)
        driver = BubblewrapDriver(work)
        try:
            cases = quick_ready(work, driver, options.cases)
            table = {
                "start": measure_start(),
                "cached": measure_cached(work, driver, cases, options.rounds),
                "workers": measure_workers(work, driver, cases, options.rounds),
                "cold": measure_cold(work, driver, options.cold),
            }
        finally:
            driver.close()
            remove_tree(work / "layers")
    if options.format == "json":
        print(json.dumps(table))
        return
    for name, values in table.items():
        shown = "  ".join(
            f"{key} {value:.3f}" if isinstance(value, float) else f"{key} {value}" for key, value in values.items()
        )
        print(f"{name:8} {shown}")


if __name__ == "__main__":
    main()
