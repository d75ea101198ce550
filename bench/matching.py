"""Matching against a straightforward loop with ``univers``, in the same run.

    python bench/matching.py [--copies N] [--full]

Both sides start from rows in memory and parse every version themselves. The loop is the one anybody would write: for each
dependency, parse its version, walk the advisories of its package, parse each bound, compare. It is helped by a dictionary
from package to advisories. Its cost is linear in the rows, so by default it runs over one copy of the inventories and its
time is multiplied; ``--full`` runs it over all of them. Reads the shared data (IMMUNE_DATA); needs no database.
Times are of the processor, so that a busy machine does not choose the winner; for one lock file the best of five.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import sys
import time
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from univers.versions import (  # noqa: E402
    GolangVersion,
    InvalidVersion,
    MavenVersion,
    PypiVersion,
    RubygemsVersion,
    SemverVersion,
)

from immune.advisories.osv import AdvisoryRecord  # noqa: E402
from immune.advisories.sources import read_advisories  # noqa: E402
from immune.inventory import Dependency, Refusal  # noqa: E402
from immune.matching import AdvisoryIndex, CouldNotTell, Match  # noqa: E402
from immune.versions import ECOSYSTEMS, normalize_name  # noqa: E402

DATA = Path(os.environ.get("IMMUNE_DATA", ROOT.parent / "shared")) / "data"
ADVISORIES = (
    "pypi/pypa-osv-2026-07-23.jsonl.gz",
    "npm/npm-all.zip",
    "npm/nodejs-security-wg-derived-osv.zip",
    "go/golang-vulndb-osv-2026-08-21.jsonl.gz",
    "crates/crates.io-all.zip",
    "maven/Maven-all.zip",
    "mixed/osv-other-ecosystems.jsonl.gz",
)
THEIRS = {
    "PyPI": PypiVersion,
    "npm": SemverVersion,
    "crates.io": SemverVersion,
    "Go": GolangVersion,
    "Maven": MavenVersion,
    "RubyGems": RubygemsVersion,
}
Found = set[tuple[str, str, str, str]]
REPEATED_AT_LEAST, COLD_AT_LEAST = 20.0, 3.0


def inventories() -> list[list[Dependency]]:
    """The pinned packages of every shared manifest, as the expected inventories list them."""
    found = []
    for path in sorted((DATA / "expected" / "inventory").glob("*.json")):
        document = json.loads(path.read_text())
        ecosystem = document["ecosystem"]
        found.append(
            [
                Dependency(ecosystem, normalize_name(ecosystem, package["name"]), package["version"], document["file"])
                for package in document["packages"]
                if package.get("version")
            ]
        )
    return found


def ours(records: list[AdvisoryRecord], rows: list[Dependency]) -> tuple[Found, Found]:
    """(matches, could not tell); the index is built anew, so that nothing is warm."""
    for order in ECOSYSTEMS.values():
        order.__dict__.pop("_cached", None)
    matched: Found = set()
    doubtful: Found = set()
    named = {(row.ecosystem, row.name) for row in rows}
    for row, findings in AdvisoryIndex(records, named).match(rows):
        for finding in findings:
            kind = matched if isinstance(finding.answer, Match) else doubtful
            assert isinstance(finding.answer, Match | CouldNotTell)
            kind.add((row.ecosystem, row.name, row.version or "", finding.record.id))
    return matched, doubtful


def the_loop(records: list[AdvisoryRecord], rows: Iterable[Dependency]) -> tuple[Found, Found]:
    by_package = defaultdict(list)
    for record in records:
        for entry in record.affected:
            by_package[entry.package].append((record.id, entry))
    matched: Found = set()
    refused: Found = set()
    for row in rows:
        parse = THEIRS[row.ecosystem]
        try:
            version = parse(row.version)
        except InvalidVersion:
            version = None
        for identifier, entry in by_package.get((row.ecosystem, row.name), ()):
            found = (row.ecosystem, row.name, row.version or "", identifier)
            try:
                if row.version in entry.versions or any(within(version, given, parse) for given in entry.ranges):
                    matched.add(found)
            except InvalidVersion:
                refused.add(found)
    return matched, refused


def within(version, given, parse) -> bool:
    if given.type == "GIT":
        return False
    if version is None:
        raise InvalidVersion
    inside = False
    bounds = [(event.kind, None if event.version == "0" else parse(event.version)) for event in given.events]
    for kind, bound in sorted(bounds, key=lambda pair: (pair[1] is not None, pair[1])):
        if kind == "introduced" and (bound is None or version >= bound):
            inside = True
        elif (kind == "fixed" and version >= bound) or (kind == "last_affected" and version > bound):
            inside = False
    return inside


def timed(work, *given) -> tuple[float, tuple[Found, Found]]:
    # What was there before is no work of either side's collector.
    gc.collect()
    gc.freeze()
    started = time.process_time()
    result = work(*given)
    return time.process_time() - started, result


def report(title: str, rows: int, own: float, theirs: float, least: float) -> bool:
    ratio = theirs / own
    verdict = "ok" if ratio >= least else "TOO SLOW"
    bound = f"  (at least {least:.0f}x: {verdict})" if least else ""
    print(f"{title:<46} {rows:>8} rows  ours {own:8.4f} s  loop {theirs:8.3f} s  ratio {ratio:7.1f}x{bound}")
    return ratio >= least


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument(
        "--copies", type=int, default=14, help="how often every manifest occurs (14: some 400,000 rows)"
    )
    arguments.add_argument("--full", action="store_true", help="run the loop over all copies too")
    options = arguments.parse_args()
    if not DATA.is_dir():
        print(f"no shared data at {DATA}: set IMMUNE_DATA", file=sys.stderr)
        return 2

    records = [
        r for r in read_advisories(DATA / "advisories" / name for name in ADVISORIES) if not isinstance(r, Refusal)
    ]
    manifests = inventories()
    once = [row for manifest in manifests for row in manifest]
    repeated = once * options.copies
    print(
        f"{len(records)} advisories, {len(manifests)} manifests, {len(once)} rows, {len(repeated)} rows when repeated"
    )

    good = True
    own, (matched, doubtful) = timed(ours, records, repeated)
    their_rows, scale = (repeated, 1) if options.full else (once, options.copies)
    theirs, (their_matched, refused) = timed(the_loop, records, their_rows)
    note = "" if options.full else f" (loop: one copy x {scale})"
    good &= report("repeated inventories" + note, len(repeated), own, theirs * scale, REPEATED_AT_LEAST)

    # The bound is for the largest lock file there is; the largest of other ecosystems are shown beside it.
    for name, least in (("npm", COLD_AT_LEAST), ("PyPI", 0.0), ("Go", 0.0)):
        manifest = max((m for m in manifests if m and m[0].ecosystem == name), key=len)
        own, _ = min((timed(ours, records, manifest) for _ in range(5)), key=lambda pair: pair[0])
        theirs, _ = min((timed(the_loop, records, manifest) for _ in range(5)), key=lambda pair: pair[0])
        good &= report(f"one lock file, cold, {name} (index built too)", len(manifest), own, theirs, least)

    same = matched == their_matched
    print(f"matches: ours {len(matched)}, loop {len(their_matched)}: {'equal' if same else 'DIFFERENT'}")
    for found in sorted(matched ^ their_matched):
        print("  only", "ours:" if found in matched else "loop:", *found)
    print(f"could not tell: ours {len(doubtful)}, refused by the loop {len(refused)}")
    return 0 if good and same else 1


if __name__ == "__main__":
    sys.exit(main())
