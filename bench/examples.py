"""Every example beside the repository, played some times and held against the verdict and outcomes its author verified.

    python -m bench.examples [--times N] [--only WORD] [--format json]

The examples lie in ``wargames`` of IMMUNE_DATA (default ``../shared``). Each is run as code of a stranger, in the strongest sandbox there
is. Exit 0 when every time of every example was as expected, 1 when not, 2 when there are no examples.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from wargaming.concluding import WargameResult
from wargaming.engine import run_wargame, specs_of
from wargaming.environments.layers import remove_tree
from wargaming.environments.workshop import Workshop
from wargaming.sandbox import drivers
from wargaming.sandbox.base import Trust
from wargaming.scenarios import Scenario, scenario_from_folder


def folders() -> list[Path]:
    root = Path(os.environ.get("IMMUNE_DATA") or Path(__file__).parents[2] / "shared") / "wargames"
    return sorted(folder for folder in root.iterdir() if (folder / "case.yaml").is_file()) if root.is_dir() else []


def as_expected(scenario: Scenario, result: WargameResult) -> bool:
    """Verdict and each of the four outcomes; the reason of an inconclusive one is not part of what authors verify."""
    wanted = scenario.expected
    if str(result.verdict) not in {wanted["verdict"], *wanted.get("also_accepted", [])}:
        return False
    return all(
        str(result.outcomes[f"{step}_{phase}"]) == wanted[step][side]
        for step in ("reproduce", "control")
        for side, phase in (("vulnerable", "before"), ("fixed", "after"))
    )


def played(folder: Path, times: int, driver: Any, workshop: Workshop) -> dict[str, Any]:
    scenario = scenario_from_folder(folder, Trust.ATTACHED)
    verdicts: Counter[str] = Counter()
    reasons: set[str] = set()
    right, began = 0, time.perf_counter()
    for number in range(times):
        print(f"{folder.name} {number + 1}/{times}", file=sys.stderr, flush=True)
        result = run_wargame(scenario, *specs_of(scenario), driver, workshop)
        verdicts[str(result.verdict)] += 1
        reasons.add(result.reason)
        right += as_expected(scenario, result)
    return {
        "example": folder.name,
        "expected": str(scenario.expected["verdict"]),
        "verdicts": dict(verdicts),
        "reasons": sorted(reasons - {""}),
        "as_expected": right,
        "times": times,
        "seconds_each": (time.perf_counter() - began) / times,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--only", default="", help="part of an example's name")
    parser.add_argument("--format", choices=["text", "json"], default="text")
    options = parser.parse_args()
    found = [folder for folder in folders() if options.only in folder.name]
    if not found:
        print("bench.examples: there are no examples; IMMUNE_DATA names the folder they lie in", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="bench-examples-") as name:
        work = Path(name)
        try:
            with drivers.opened("", work) as driver:
                rows = [played(folder, options.times, driver, Workshop(work)) for folder in found]
                sandbox = driver.name
        finally:
            remove_tree(work / "layers")
    good = sum(row["as_expected"] == row["times"] for row in rows)
    if options.format == "json":
        print(json.dumps({"sandbox": sandbox, "as_expected": good, "examples": rows}))
        return int(good != len(rows))
    for row in rows:
        verdicts = ", ".join(f"{verdict} ×{count}" for verdict, count in row["verdicts"].items())
        mark = "ok " if row["as_expected"] == row["times"] else "NOT"
        print(
            f"{mark} {row['example']:34} expected {row['expected']:18} got {verdicts:24} "
            f"{row['seconds_each']:6.1f} s  {', '.join(row['reasons'])}"
        )
    print(f"{good} of {len(rows)} examples as expected, every time of {options.times}, in {sandbox}")
    return int(good != len(rows))


if __name__ == "__main__":
    sys.exit(main())
