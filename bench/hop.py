"""What one hop costs: commit → broker → claimed, beside a no-op Celery task of the same run, broker and worker.

``python -m bench.hop [--single N] [--burst N] [--format json]``. *single*: one after another, each waited for, alternating with its peer;
from before the unit of work (or the sending) until the work begins. *burst*: all sent at once, until the last one began. The hop is
an event written with its delivery, committed, rung for, and the delivery claimed; the peer only travels. Quorum queue and publisher
confirms for both.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests import environment
from tests.servers import lease, leases, vhost
from tests.servers.private import kill_family
from tests.worlds import worlds

PATIENCE = 120.0


def notes() -> dict[tuple[str, int], float]:
    path = Path(os.environ["HOP_NOTES"])
    found: dict[tuple[str, int], float] = {}
    for line in path.read_text().splitlines() if path.exists() else []:
        what, number, at = line.split()
        found[what, int(number)] = float(at)
    return found


def begun(wanted: set[tuple[str, int]]) -> dict[tuple[str, int], float]:
    """Waits until all of these began; says when each did."""
    deadline = time.monotonic() + PATIENCE
    while not wanted <= (seen := notes()).keys():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{len(wanted - seen.keys())} never began")
        time.sleep(0.002)
    return seen


def measure(single: int, burst: int) -> dict[str, dict[str, float]]:
    """Sends from a process of its own, as a web process would. Milliseconds."""
    from bench.hop_worker import KIND, noop  # noqa: PLC0415 - needs Django set up
    from immune.events.actors import SYSTEM  # noqa: PLC0415
    from immune.events.log import act  # noqa: PLC0415

    def hop(number: int) -> None:
        with act(SYSTEM) as log:
            log.record(KIND, subject="bench:1", data={"number": number})

    def peer(number: int) -> None:
        noop.apply_async(args=[number], queue="events", retry=False)

    ways = {"hop": hop, "noop": peer}
    for what, send in ways.items():  # connections are made, the worker is warm
        for number in range(3):
            send(number)
            begun({(what, number)})
    took: dict[str, list[float]] = {"hop": [], "noop": []}
    for number in range(100, 100 + single):
        for what, send in ways.items():
            began = time.time()
            send(number)
            took[what].append((begun({(what, number)})[what, number] - began) * 1000)
    result = {
        what: {"single_p50": statistics.median(values), "single_max": max(values)} for what, values in took.items()
    }
    for what, send in ways.items():
        numbers = range(100_000, 100_000 + burst)
        began = time.time()
        for number in numbers:
            send(number)
        sent = time.time()
        seen = begun({(what, number) for number in numbers})
        result[what]["burst_sent_each"] = (sent - began) * 1000 / burst
        result[what]["burst_each"] = (max(seen[what, number] for number in numbers) - began) * 1000 / burst
    result["commit"] = {"single_p50": bare_commit(single)}
    return result


def bare_commit(count: int) -> float:
    """Milliseconds of one small UPDATE and its commit on the same database: a hop has three of these on its way, at least."""
    from immune.models import Lease  # noqa: PLC0415 - needs Django set up

    Lease.objects.create(name="bench")
    took: list[float] = []
    for number in range(count):
        began = time.perf_counter()
        Lease.objects.filter(name="bench").update(token=number)
        took.append((time.perf_counter() - began) * 1000)
    return statistics.median(took)


def run(single: int, burst: int) -> dict[str, dict[str, float]]:
    environment.prepare()
    with contextlib.ExitStack() as rooms:
        folder = Path(rooms.enter_context(tempfile.TemporaryDirectory(prefix="immune-hop-")))
        broker = rooms.enter_context(vhost(lease("rabbitmq"), "hop"))
        make = rooms.enter_context(worlds(folder))
        world = make("postgresql", RABBITMQ_URL=broker, HOP_NOTES=str(folder / "notes"))
        if (done := world.manage("setup_queues")).returncode:
            raise RuntimeError(done.stderr)
        celery = [str(Path(sys.executable).with_name("celery")), "-A", "bench.hop_worker", "worker", "-Q", "events"]
        with (folder / "worker.log").open("wb") as log:
            worker = subprocess.Popen(
                [*celery, "--concurrency", "2", "--without-gossip", "--without-mingle"],
                cwd=environment.ROOT,
                env=world.environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        rooms.callback(kill_family, worker)
        found: dict[str, dict[str, float]] = world.start("bench.hop:measure", single, burst).result(PATIENCE * 4)
        return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--single", type=int, default=100)
    parser.add_argument("--burst", type=int, default=500)
    parser.add_argument("--format", choices=("text", "json"), default="text")
    options = parser.parse_args()
    try:
        found = run(options.single, options.burst)
    finally:
        leases.end_run()
    ratios = {name: found["hop"][name] / found["noop"][name] for name in found["hop"]}
    if options.format == "json":
        print(json.dumps({**found, "ratio": ratios}, indent=2))
        return 0
    print(f"{'ms':<18}{'hop':>10}{'no-op task':>12}{'ratio':>8}")
    for name, ratio in ratios.items():
        print(f"{name:<18}{found['hop'][name]:>10.1f}{found['noop'][name]:>12.1f}{ratio:>8.2f}")
    print(f"one bare commit on the same database: {found['commit']['single_p50']:.1f} ms")
    return 0


if __name__ == "__main__":
    sys.exit(main())
