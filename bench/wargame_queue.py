"""Many wargames of several repositories in one queue: none lost, every repository served in its turn, memory flat.

    python -m bench.wargame_queue [--wargames N] [--repositories N] [--workers N] [--format json]

One repository has half of all and asked first; the others share the rest. Everything is real but the size: repositories in git, rows
in SQLite, scripts in the sandbox. Fairness is told as the share of the large repository in the
first two rounds of turns: 1 / repositories is fair, 1 is what oldest first gives.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

RECORD = {
    "schema_version": "1.6.0",
    "id": "GHSA-jfmj-5v4g-7637",
    "aliases": ["CVE-2024-5569"],
    "modified": "2024-07-09T00:00:00Z",
    "summary": "An endless loop",
    "affected": [
        {
            "package": {"ecosystem": "PyPI", "name": "zipp"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "3.19.1"}]}],
        }
    ],
}
CASE = (
    "id: game-{}\necosystem: PyPI\npackage: zipp\ncve: CVE-2024-5569\n"
    "vulnerable_version: '3.19.0'\nfixed_version: '3.19.1'\nrepeats: 1\n"
)
REPRODUCE = """import importlib.metadata, sys
old = importlib.metadata.version("zipp") == "3.19.0"
print("REPRODUCED: old" if old else "NOT PRESENT: new")
sys.exit(1 if old else 0)
"""


def lay_out(folder: Path, sizes: list[int]) -> None:
    """The repositories, read as far as their queued wargames; the large one first."""
    from immune import work  # noqa: PLC0415 - needs Django set up
    from immune.advisories.services import sync_advisories  # noqa: PLC0415 - needs Django set up
    from immune.events.actors import COMMAND  # noqa: PLC0415 - needs Django set up
    from immune.services import register_local, request_scan  # noqa: PLC0415 - needs Django set up
    from tests.reviews import journeys  # noqa: PLC0415 - needs Django set up

    (folder / "advisories.json").write_text(json.dumps(RECORD))
    sync_advisories(actor=COMMAND, paths=[folder / "advisories.json"])
    for number, size in enumerate(sizes):
        app = journeys.checkout(folder / f"app{number}", requirements__txt="zipp==3.19.0\n")
        for game in range(size):
            place = app / ".immune" / "scenarios" / f"game-{game}"
            place.mkdir(parents=True)
            (place / "case.yaml").write_text(CASE.format(game))
            (place / "reproduce.py").write_text(REPRODUCE)
            (place / "control.py").write_text("print('CONTROL OK: fine')\n")
        journeys.commit(app)
        request_scan(actor=COMMAND, repository=register_local(actor=COMMAND, path=app), cause="asked")
        while any([work.run_one(kind.name) for kind in work.kinds() if kind.name != "wargame"]):  # noqa: C419
            pass


def drained(workers: int) -> tuple[list[int], float]:
    """Works the queue; gives this process's peak memory in MiB as each tenth of it was done, and seconds."""
    from django.db import connection  # noqa: PLC0415 - needs Django set up

    from immune import work  # noqa: PLC0415 - needs Django set up

    memory: list[int] = []
    began = time.perf_counter()

    def worker() -> None:
        try:
            while any(kind == "wargame" for kind, _ in work.due_now()):
                if work.run_one("wargame"):
                    memory.append(resident_mb())
                else:
                    time.sleep(0.1)  # its slot is held elsewhere on this machine
        finally:
            connection.close()

    with ThreadPoolExecutor(workers) as pool:
        for each in [pool.submit(worker) for _ in range(workers)]:
            each.result()
    return memory, time.perf_counter() - began


def resident_mb() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() >> 20


def measured(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    from wargaming.models import Wargame, WargameState  # noqa: PLC0415 - needs Django set up

    half = options.wargames // 2
    others = options.repositories - 1
    sizes = [options.wargames - half, *(half // others + (n < half % others) for n in range(others))]
    lay_out(folder, sizes)
    Wargame.objects.exclude(scenario__startswith="game-").delete()
    queued = Wargame.objects.count()
    memory, seconds = drained(options.workers)
    games = list(Wargame.objects.order_by("started_at").select_related("remedy__repository"))
    first = [game.remedy.repository.name for game in games][: 2 * options.repositories]
    tenth = max(1, len(memory) // 10)
    return {
        "queued": queued,
        "finished": sum(game.state == WargameState.FINISHED for game in games),
        "verdicts": dict(Counter(game.verdict for game in games)),
        "tried_more_than_once": sum(game.attempts > 1 for game in games),
        "share_of_the_large_one_in_the_first_two_rounds": first.count("app0") / len(first),
        "fair_share": 1 / options.repositories,
        "memory_after_a_tenth_mb": memory[tenth - 1] if memory else 0,
        "memory_at_the_end_mb": memory[-1] if memory else 0,
        "seconds": round(seconds, 1),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wargames", type=int, default=100)
    parser.add_argument("--repositories", type=int, default=5)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--format", choices=["text", "json"], default="text")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-queue-", ignore_cleanup_errors=True) as name:
        os.environ |= {"DJANGO_SETTINGS_MODULE": "config.settings", "WORK_DIR": f"{name}/work", "LOG_LEVEL": "ERROR"}
        os.environ |= {"DATABASE_URL": "", "RABBITMQ_URL": "", "REDIS_URL": "", "IMMUNE_DOTENV": "0"}
        import django  # noqa: PLC0415 - needs Django set up
        from django.core.management import call_command  # noqa: PLC0415 - needs Django set up

        django.setup()
        call_command("migrate", verbosity=0)
        from wargaming.environments.layers import remove_tree  # noqa: PLC0415 - needs Django set up

        table = measured(options, Path(name))
        remove_tree(Path(name) / "work" / "layers")
    if options.format == "json":
        print(json.dumps(table))
    else:
        for key, value in table.items():
            print(f"{key:46} {value:.2f}" if isinstance(value, float) else f"{key:46} {value}")
    return int(table["finished"] != table["queued"])


if __name__ == "__main__":
    sys.exit(main())
