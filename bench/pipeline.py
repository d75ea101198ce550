"""Remedies a minute from opened to in review, with two wargame workers, beside the bare runs of the same scripts.

    python -m bench.pipeline [--each N] [--rounds N] [--format json]

The production profile with the processes of ``deploy/Procfile``: PostgreSQL, RabbitMQ and Redis. Repositories with one vulnerable
pin each, of every package the shipped library can prove; layers are ready. While no wargame worker runs, all pull requests are
opened; then it starts. The clock runs from the first wargame's start to the last review's opening, so the start of the worker's
processes is not in it. The peer is the same scripts, as the evidence names them, by plain interpreters in ready virtual
environments, two at a time; ideal is the sum of these runs divided by two. Product and peer take turns, so that a machine whose
speed drifts touches both.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any

from bench.wargame import bare_run, tell, virtual_environment
from tests import environment

# What processes of the product are asked by: this module is __main__ where it is run.
NAME = "bench.pipeline"
WORKERS = 2
LIMIT = 0.7
PATIENCE = 900.0


# ── inside the product ───────────────────────────────────────────────────────────────────────────────────────────────


def set_up() -> list[str]:
    """Queues, and the advisories the library can prove something about; gives one vulnerable pin for each package."""
    from immune import broker  # noqa: PLC0415 - needs Django set up
    from immune.advisories.services import sync_advisories  # noqa: PLC0415
    from immune.demo import bootstrap  # noqa: PLC0415
    from immune.events.actors import COMMAND  # noqa: PLC0415
    from wargaming.catalogue import shipped  # noqa: PLC0415

    broker.set_up()
    scenarios = {name: s for s in shipped() if s.ecosystem == "PyPI" for name in (s.cve, s.ghsa) if name}
    kept, pins = [], {}
    for line in (Path(bootstrap.__file__).parent / "advisories.jsonl").read_text().splitlines():
        record = json.loads(line)
        for name in {record["id"], *record.get("aliases", ())} & scenarios.keys():
            kept.append(line)
            pins.setdefault(scenarios[name].package, f"{scenarios[name].package}=={scenarios[name].vulnerable_version}")
    folder = Path(tempfile.mkdtemp())
    (folder / "records.jsonl").write_text("\n".join(dict.fromkeys(kept)) + "\n")
    sync_advisories(actor=COMMAND, paths=[folder / "records.jsonl"])
    return sorted(pins.values())


def hand_in(places: list[str]) -> list[str]:
    from immune.events.actors import COMMAND  # noqa: PLC0415 - needs Django set up
    from immune.services import register_local, request_scan  # noqa: PLC0415

    rows = [register_local(actor=COMMAND, path=Path(place)) for place in places]
    for row in rows:
        request_scan(actor=COMMAND, repository=row, cause="asked")
    return [str(row.pk) for row in rows]


def left() -> dict[str, int]:
    from immune import work  # noqa: PLC0415 - needs Django set up

    return {kind.name: kind.rows().filter(state__in=("pending", "running")).count() for kind in work.kinds()}


def played(repositories: list[str], folder: str) -> dict[str, Any]:
    """When the measured wargames began, when the last review opened, and their evidence, written to ``folder``."""
    from django.db.models import Max, Min  # noqa: PLC0415 - needs Django set up

    from reviews.models import Review  # noqa: PLC0415
    from wargaming.models import Wargame  # noqa: PLC0415

    games = Wargame.objects.filter(remedy__repository__in=repositories).select_related("evidence")
    files = []
    for number, game in enumerate(games.filter(evidence__isnull=False)):
        path = Path(folder) / f"{number}.zip"
        path.write_bytes(bytes(game.evidence.archive))
        files.append(str(path))
    reviews = Review.objects.filter(remedy__repository__in=repositories)
    return {
        "remedies": reviews.count(),
        "wargames": games.count(),
        "verdicts": sorted(set(games.values_list("verdict", flat=True))),
        "began": games.aggregate(at=Min("started_at"))["at"].isoformat(),
        "ended": reviews.aggregate(at=Max("opened_at"))["at"].isoformat(),
        "evidence": files,
    }


# ── outside ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def bare_seconds(archives: list[Path], folder: Path) -> float:
    """The sum of the bare runs of all these wargames, in seconds; two wargames' runs beside each other at any time."""
    from wargaming.evidence import read_bundle  # noqa: PLC0415 - after the environment was prepared

    prepared = []
    pythons: dict[bytes, Path] = {}
    for number, archive in enumerate(archives):
        bundle = read_bundle(archive.read_bytes())
        place = folder / f"scenario-{number}"
        for name, data in bundle.scenario_files().items():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            (place / name).write_bytes(data)
        sides = {}
        for phase in ("before", "after"):
            lock = bundle.entries[f"locks/{phase}"]
            if lock not in pythons:
                pythons[lock] = virtual_environment(folder / f"environment-{len(pythons)}", lock.decode())
            sides[phase] = pythons[lock]
        prepared.append((bundle.manifest["runs"], place, sides))

    def runs(one: tuple[list[dict[str, Any]], Path, dict[str, Path]]) -> float:
        from wargaming.sandbox.base import Trust  # noqa: PLC0415
        from wargaming.scenarios import scenario_from_folder  # noqa: PLC0415

        records, place, sides = one
        scenario = scenario_from_folder(place, Trust.SHIPPED)
        scripts = {variant.id: variant.script for variant in scenario.variants}
        return sum(
            bare_run(
                sides[run["phase"]],
                place,
                scenario.control if run["step"] == "control" else scripts[run["variant"]],
                folder,
                run["exit_code"],
            )
            for run in records
            if "exit_code" in run
        )

    with ThreadPoolExecutor(WORKERS) as pool:
        return sum(pool.map(runs, prepared))


def measure(each: int, rounds: int) -> dict[str, Any]:
    environment.prepare()
    from deploy.stack import read_procfile  # noqa: PLC0415 - after the environment was prepared
    from tests.chaos.processes import Process, environment_of  # noqa: PLC0415
    from tests.immune.repositories import checkout  # noqa: PLC0415
    from tests.servers import lease, redis_database, vhost  # noqa: PLC0415
    from tests.worlds import worlds  # noqa: PLC0415

    with contextlib.ExitStack() as rooms:
        folder = Path(rooms.enter_context(tempfile.TemporaryDirectory(prefix="immune-pipeline-")))
        world = rooms.enter_context(worlds(folder))(
            "postgresql",
            RABBITMQ_URL=rooms.enter_context(vhost(lease("rabbitmq"), "pipeline")),
            REDIS_URL=rooms.enter_context(redis_database(lease("redis"))),
            WARGAME_CONCURRENCY=str(WORKERS),
        )
        lines = {line.name: line for line in read_procfile((environment.ROOT / "deploy/Procfile").read_text())}
        variables = environment_of(world.environment, Path(sys.executable).parent)

        def started(name: str) -> Process:
            process = Process(name, lines[name].command, variables, folder)
            process.start()
            rooms.callback(process.kill_tree)
            return process

        def until(*kinds: str) -> None:
            deadline = time.monotonic() + PATIENCE
            quiet = 0
            while quiet < 2:
                if time.monotonic() > deadline:
                    raise TimeoutError(f"still to do: {world.call(f'{NAME}:left')}")
                busy = {name: n for name, n in world.call(f"{NAME}:left").items() if n and name in kinds}
                quiet = 0 if busy else quiet + 1
                # Between two looks at the tables. Each is a process of its own and takes from what is measured; the clock is the rows'.
                time.sleep(1.0)

        def handed_in(names: list[str], round_: str) -> list[str]:
            places = [
                checkout(folder / "origin" / f"{round_}-{i}", {"requirements.txt": f"{pin}\n"})
                for i, pin in enumerate(names)
            ]
            return world.start(f"{NAME}:hand_in", [str(place) for place in places]).result(300)

        pins = world.start(f"{NAME}:set_up").result(300)
        everything = ("scan", "delivery", "forge", "wargame")
        started("worker-default")
        started("worker-forge")
        worker = started("worker-wargame")
        tell(f"makes layers ready for {len(pins)} packages")
        handed_in(pins, "warm")
        until(*everything)
        turns = []
        for number in range(1, rounds + 1):
            worker.kill_tree()
            rows = handed_in(pins * each, f"round-{number}")
            until("scan", "delivery", "forge")
            tell(f"round {number} of {rounds}: all pull requests are open; the wargames begin")
            worker = started("worker-wargame")
            until(*everything)
            place = folder / f"evidence-{number}"
            place.mkdir()
            found = world.start(f"{NAME}:played", rows, str(place)).result(300)
            began, ended = (datetime.fromisoformat(found[name]) for name in ("began", "ended"))
            tell("the same scripts, bare")
            bare = bare_seconds([Path(name) for name in found["evidence"]], place)
            turns.append({**found, "seconds": (ended - began).total_seconds(), "bare_s": bare})
    return in_all(turns)


def in_all(turns: list[dict[str, Any]]) -> dict[str, Any]:
    remedies = sum(turn["remedies"] for turn in turns)
    took, bare = (sum(turn[name] for turn in turns) for name in ("seconds", "bare_s"))
    ideal = bare / WORKERS
    return {
        "remedies": remedies,
        "wargames": sum(turn["wargames"] for turn in turns),
        "verdicts": sorted({verdict for turn in turns for verdict in turn["verdicts"]}),
        "seconds": took,
        "a_minute": remedies * 60 / took,
        "bare_s": bare,
        "ideal_a_minute": remedies * 60 / ideal,
        "ratios": [turn["bare_s"] / WORKERS / turn["seconds"] for turn in turns],
        "ratio": ideal / took,
        "limit": LIMIT,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--each", type=int, default=3, help="repositories of each package")
    parser.add_argument("--rounds", type=int, default=2, help="how often product and peer take their turns")
    parser.add_argument("--format", choices=("text", "json"), default="text")
    options = parser.parse_args()
    from tests.servers import leases  # noqa: PLC0415

    try:
        found = measure(options.each, options.rounds)
    finally:
        leases.end_run()
    if options.format == "json":
        print(json.dumps(found))
        return 0
    print(
        f"{found['remedies']} remedies ({found['wargames']} wargames: {', '.join(found['verdicts'])}) in {found['seconds']:.1f} s: "
        f"{found['a_minute']:.1f} a minute"
    )
    print(
        f"bare runs {found['bare_s']:.1f} s, by two at once ideally {found['ideal_a_minute']:.1f} a minute: "
        f"ratio {found['ratio']:.2f} (at least {found['limit']}; {', '.join(f'{one:.2f}' for one in found['ratios'])})"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
