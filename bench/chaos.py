"""`make chaos`: the long game of `tests.chaos`, with a table of what was killed and what held.

    python -m bench.chaos [--remedies 200] [--seed 1 --seed 2 …] [--rounds 6] [--minutes 30] [--wargames] [--forge github] [--write]

Exit code 0 when every promise held in every game, 1 otherwise. ``--write`` puts the table into docs/reliability.md.
"""

from __future__ import annotations

import argparse
import platform
import sys
import tempfile
import time
from pathlib import Path

from tests import environment

MARK_BEGIN, MARK_END = "<!-- games: begin -->", "<!-- games: end -->"
PAGE = Path(__file__).resolve().parent.parent / "docs" / "reliability.md"


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="bench.chaos", description=__doc__.splitlines()[0])
    parser.add_argument("--remedies", type=int, default=200)
    parser.add_argument("--seed", type=int, action="append", help="one game each; may be given again")
    parser.add_argument("--rounds", type=int, default=6, help="how often every kind of blow falls")
    parser.add_argument(
        "--minutes", type=float, default=20, help="how long everything may take to end after the last blow"
    )
    parser.add_argument("--wargames", action="store_true", help="with real wargames, which takes far longer")
    parser.add_argument(
        "--forge", choices=("local", "github"), default="local", help="whose pull requests are decided on"
    )
    parser.add_argument("--write", action="store_true", help="add the rows to docs/reliability.md")
    parser.add_argument("--keep-logs", type=Path, help="a folder for the processes' output")
    asked = parser.parse_args(words)
    environment.prepare()
    # After the environment was prepared: what follows reads it.
    from tests.chaos.run import Options, keep_logs, play  # noqa: PLC0415
    from tests.servers import leases  # noqa: PLC0415

    outcomes = []
    try:
        for seed in asked.seed or [1]:
            options = Options(
                remedies=asked.remedies,
                seed=seed,
                rounds=asked.rounds,
                settle_seconds=asked.minutes * 60,
                wargames=asked.wargames,
                forge=asked.forge,
            )
            with tempfile.TemporaryDirectory(prefix="immune-chaos-") as name:
                outcome = play(options, Path(name) / "game", _tell(time.monotonic()))
                if asked.keep_logs:
                    keep_logs(Path(name) / "game", asked.keep_logs / str(seed))
            outcomes.append(outcome)
            _print(outcome)
    finally:
        leases.end_run()
    rows = [{"at (UTC)": o.at, **o.row(), "wargames": "real" if o.options.wargames else "off"} for o in outcomes]
    print("\n".join(table(rows)))
    if asked.write:
        _write(rows)
    return 1 if any(outcome.problems for outcome in outcomes) else 0


def _tell(began: float):
    return lambda text: print(f"{time.monotonic() - began:7.1f} s  {text}", file=sys.stderr, flush=True)


def _print(outcome) -> None:
    print(f"seed {outcome.options.seed}: {outcome.seconds:.0f} s on {platform.machine()}")
    for name in ("kills", "ended_by_themselves", "faults", "answers"):
        print(f"  {name.replace('_', ' ')}: {dict(sorted(getattr(outcome, name).items()))}")
    print(
        f"  APVs: {outcome.found.get('apvs')}; wargames {outcome.found.get('wargames')}, events {outcome.found.get('events')}"
    )
    print(f"  reruns: {outcome.found.get('reruns')}; pages came back {outcome.resumed} times")
    for problem in outcome.problems:
        print(f"  PROBLEM {problem}")


def table(rows: list[dict[str, object]]) -> list[str]:
    """The rows as a Markdown table."""
    names = list(rows[0])
    lines = ["| " + " | ".join(names) + " |", "|" + "---|" * len(names)]
    return [*lines, *("| " + " | ".join(str(row[name]) for name in names) + " |" for row in rows)]


def _write(rows: list[dict[str, object]]) -> None:
    text = PAGE.read_text(encoding="utf-8")
    before, _, rest = text.partition(MARK_BEGIN)
    old, _, after = rest.partition(MARK_END)
    known = [line for line in old.strip().splitlines()[2:] if line.startswith("|")]
    lines = table(rows)
    body = "\n".join([*lines[:2], *known, *lines[2:]])
    PAGE.write_text(f"{before}{MARK_BEGIN}\n{body}\n{MARK_END}{after}", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
