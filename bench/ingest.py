"""Taking reports in: findings a minute, first and again unchanged, beside a bare COPY of the same rows; memory; advisories again.

``python -m bench.ingest [--findings N] [--megabytes N]``. On PostgreSQL. The report is Trivy's, of real PyPI records and, beyond
those, of ids nobody holds a record of. COPY writes the sightings that the import wrote into a table without index, from a list
in memory: what the database alone takes. The large report is read and applied with the memory of its process measured.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests import environment
from tests.worlds import worlds

HERE = "bench.ingest"
DATA = Path(os.environ.get("IMMUNE_DATA", Path(__file__).resolve().parents[2] / "shared")) / "data"
RECORDS = DATA / "advisories" / "pypi" / "pypa-osv-2026-07-23.jsonl.gz"
FIRST_AT_LEAST, AGAIN_AT_LEAST, SYNC_AT_LEAST = 60_000, 150_000, 10.0


# ── what runs in the world's process ─────────────────────────────────────────────────────────────────────────────────────


def sync(path: str) -> dict[str, Any]:
    """Seconds of one synchronisation and what it did."""
    from immune.advisories.services import sync_advisories  # noqa: PLC0415 - needs Django set up
    from immune.events.actors import SYSTEM  # noqa: PLC0415

    began = time.perf_counter()
    report = sync_advisories(actor=SYSTEM, paths=[path])
    return {"seconds": time.perf_counter() - began, **{n: getattr(report, n) for n in ("read", "added", "unchanged")}}


def register() -> None:
    from immune.models import Repository  # noqa: PLC0415 - needs Django set up

    Repository.objects.create(name="bench", location="https://git.example/bench.git")


def write_report(path: str, findings: int, padding: int = 0) -> int:
    """A Trivy report of real (record, package, version) triples first. Returns its bytes."""
    from immune.models import AffectedPackage  # noqa: PLC0415 - needs Django set up

    known = list(
        AffectedPackage.objects.filter(ecosystem="PyPI").order_by("pk").values_list("advisory_id", "name")[:findings]
    )
    extra = ((f"CVE-2098-{n:06d}", f"package-{n % 2000}") for n in itertools.count())
    dice = random.Random(1)
    with Path(path).open("w") as out:
        out.write('{"SchemaVersion": 2, "ArtifactName": ".", "Results": [{"Target": "requirements.txt", "Type": "pip",')
        out.write('"Vulnerabilities": [')
        for number, (identifier, package) in enumerate(itertools.islice(itertools.chain(known, extra), findings)):
            row = {
                "VulnerabilityID": identifier,
                "PkgName": package,
                "InstalledVersion": f"{dice.randrange(3)}.{dice.randrange(20)}.{dice.randrange(10)}",
                "FixedVersion": "99.0",
                "Severity": dice.choice(["LOW", "MEDIUM", "HIGH", "CRITICAL", "UNKNOWN"]),
                "Description": "x" * padding,
            }
            out.write(("," if number else "") + json.dumps(row))
        out.write("]}]}")
    return Path(path).stat().st_size


def take(path: str) -> dict[str, Any]:
    """Seconds of one import, what it did, its statements and by how many megabytes the process grew at most."""
    from django.db import connection  # noqa: PLC0415 - needs Django set up

    from immune.events.actors import SYSTEM  # noqa: PLC0415
    from immune.ingest.services import ingest_report  # noqa: PLC0415
    from immune.models import Repository  # noqa: PLC0415

    statements = itertools.count()

    def counted(execute: Any, *given: Any) -> Any:
        next(statements)
        return execute(*given)

    where = Repository.objects.get()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with Path(path).open("rb") as file, connection.execute_wrapper(counted):
        began, busy = time.perf_counter(), time.process_time()
        done = ingest_report(file=file, repository=where, actor=SYSTEM)
        seconds, busy = time.perf_counter() - began, time.process_time() - busy
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    counts = {name: value for name, value in done.as_dict().items() if isinstance(value, int)}
    return {"seconds": seconds, "busy": busy, "sql": next(statements), "grown": grown, **counts}


def bare_copy() -> dict[str, Any]:
    """Seconds of a COPY of the rows that the import wrote, APVs and sightings, into tables without index."""
    from django.db import connection  # noqa: PLC0415 - needs Django set up

    seconds, rows = 0.0, 0
    with connection.cursor() as cursor:
        for table in ("apv_reviews", "sightings"):
            cursor.execute(f"CREATE TABLE bare_{table} (LIKE {table})")
            with cursor.copy(f"COPY {table} TO STDOUT") as out:
                held = [bytes(block) for block in out]
            began = time.perf_counter()
            with cursor.copy(f"COPY bare_{table} FROM STDIN") as into:
                for block in held:
                    into.write(block)
            seconds += time.perf_counter() - began
            rows += len(held)
    return {"seconds": seconds, "rows": rows}


# ── the measurements ─────────────────────────────────────────────────────────────────────────────────────────────────────


def lines(make: Any, folder: Path, findings: int, megabytes: int) -> Iterator[tuple[str, bool]]:
    world = make("postgresql", LOG_LEVEL="ERROR")
    first, again = world.call(f"{HERE}:sync", str(RECORDS)), world.call(f"{HERE}:sync", str(RECORDS))
    ratio = first["seconds"] / again["seconds"]
    yield f"advisories first      {first['read']:>8} records {first['seconds']:8.2f} s", first["added"] > 0
    good = ratio >= SYNC_AT_LEAST and again["unchanged"] == again["read"]
    yield f"advisories unchanged  {again['read']:>8} records {again['seconds']:8.2f} s  {ratio:6.1f}x faster", good
    world.call(f"{HERE}:register")
    path = str(folder / "report.json")
    world.call(f"{HERE}:write_report", path, findings)
    done, repeated = world.start(f"{HERE}:take", path).result(600), world.start(f"{HERE}:take", path).result(600)
    bare = world.call(f"{HERE}:bare_copy")
    for what, one, least in (("first", done, FIRST_AT_LEAST), ("again", repeated, AGAIN_AT_LEAST)):
        rate = one["findings"] / one["seconds"] * 60
        text = f"report {what}          {one['findings']:>8} findings {one['seconds']:7.2f} s  {rate:>9,.0f} a minute"
        yield (
            f"{text}, {one['busy']:.1f} s of our processor, {one['sql']} statements, {one['seconds'] / bare['seconds']:.0f} x COPY",
            rate >= least,
        )
    yield f"bare COPY             {bare['rows']:>8} rows     {bare['seconds']:7.2f} s", True
    nothing_new = not any(repeated[name] for name in ("opened", "updated", "reopened", "closed"))
    yield f"opened {done['opened']}, unchanged {repeated['unchanged']}", nothing_new
    if megabytes:
        large = str(folder / "large.json")
        size = world.call(f"{HERE}:write_report", large, megabytes * 50, 20_000)
        one = world.start(f"{HERE}:take", large).result(600)
        text = f"report of {size / 1e6:.0f} MB  {one['findings']:>10} findings {one['seconds']:7.2f} s, memory grew by"
        yield f"{text} {one['grown']:.0f} MB", one["grown"] < 100


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="bench.ingest", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--findings", type=int, default=10_000)
    parser.add_argument("--megabytes", type=int, default=200, help="of the large report; 0 leaves it out")
    options = parser.parse_args(words)
    if not RECORDS.exists():
        print(f"no shared data at {DATA}: set IMMUNE_DATA", file=sys.stderr)
        return 2
    environment.prepare()
    good = True
    with tempfile.TemporaryDirectory() as folder, worlds(Path(folder)) as make:
        for text, fine in lines(make, Path(folder), options.findings, options.megabytes):
            print(text if fine else f"{text}  TOO LITTLE", flush=True)
            good &= fine
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
