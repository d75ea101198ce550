"""``make bench``: every benchmark, one after the other, each beside a peer or a limit of the same run. Words name some of them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
# What takes minutes or kills servers has a make target of its own; the others are parts, not benchmarks.
APART = {"chaos", "load", "hop_worker", "api_server", "examples", "wargame_queue"}


def names() -> list[str]:
    found = sorted(path.stem for path in HERE.glob("*.py") if not path.stem.startswith("_"))
    return [name for name in found if name not in APART]


def main(words: list[str]) -> int:
    unknown = sorted(set(words) - set(names()))
    if unknown:
        print(f"bench: no benchmark called {', '.join(unknown)}; there are {', '.join(names())}", file=sys.stderr)
        return 2
    worst = 0
    for name in words or names():
        print(f"\n== {name}", flush=True)
        worst = max(
            worst, subprocess.run([sys.executable, "-m", f"bench.{name}"], cwd=HERE.parent, check=False).returncode
        )
    return worst


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
