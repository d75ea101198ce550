"""The benchmark's two sides answer alike: ours and a plain loop over univers, on every shared manifest."""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType

import pytest

from immune.inventory import Dependency
from immune.matching import AdvisoryIndex, Match
from immune.planning import plan_for
from immune.versions import Unparsable, order_for
from tests.immune.shared_data import ROOT, SHARED, needs_shared_data


@pytest.fixture(scope="module")
def bench() -> ModuleType:
    spec = importlib.util.spec_from_file_location("bench_matching", ROOT / "bench" / "matching.py")
    module = importlib.util.module_from_spec(spec)
    path = list(sys.path)
    spec.loader.exec_module(module)
    sys.path[:] = path
    return module


@pytest.fixture(scope="module")
def records(bench):
    found = bench.read_advisories(SHARED / "advisories" / name for name in bench.ADVISORIES)
    return [record for record in found if not isinstance(record, bench.Refusal)]


@needs_shared_data
def test_a_loop_with_univers_finds_the_same_matches(bench, records):
    rows = [row for manifest in bench.inventories() for row in manifest]
    matched, doubtful = bench.ours(records, rows)
    their_matched, refused = bench.the_loop(records, rows)
    assert len(rows) > 28_000
    assert matched == their_matched
    # What only we call undecided: a withdrawn record that gives no versions at all.
    assert {found[3] for found in doubtful - refused} == {"PYSEC-2022-43183"}


def rivals(bench, records, known, package, current):
    """The target by trying every version the advisories write down against a plain loop over univers, or None."""
    ecosystem, name = package
    order = order_for(ecosystem)
    here = order.key(current)
    above = {}
    for version in sorted(known.mentioned_versions(ecosystem, name), key=lambda text: (len(text), text)):
        try:
            key = order.key(version)
        except Unparsable:
            continue
        if here < key and (order.is_prerelease(current) or not order.is_prerelease(version)):
            above.setdefault(key, version)
    tried = [current, *(above[key] for key in sorted(above))]
    # What the loop cannot read of the version it stands at, it cannot read of any other.
    asked = [Dependency(ecosystem, name, version, "m") for version in tried]
    matched, refused = bench.the_loop(records, asked)
    live = {record.id for record in records if record.withdrawn is None}
    has = {v: {i for _, _, w, i in matched if w == v and i in live} for v in tried}
    doubt = {v: {i for _, _, w, i in refused if w == v and i in live} for v in tried}
    wanted = has[current]
    steps = [
        (-len(wanted - has[v]), place, v)
        for place, v in enumerate(tried[1:])
        if has[v] <= wanted and wanted - has[v] and doubt[v] <= doubt[current]
    ]
    return min(steps)[2] if steps else None


@needs_shared_data
def test_no_target_is_better_than_one_found_by_trying_every_version(bench, records):
    """On every tenth distinct vulnerable package version of the shared manifests, of all ecosystems."""
    rows = {row: None for manifest in bench.inventories() for row in manifest}
    known = AdvisoryIndex(records)
    hit = sorted(
        {
            (row.ecosystem, row.name, row.version)
            for row, found in known.match(rows)
            if any(isinstance(one.answer, Match) and not one.withdrawn for one in found)
        }
    )
    by_package = {package: known.records(*package) for package in {one[:2] for one in hit}}
    targets = []
    for *package, current in hit[::10]:
        about = by_package[tuple(package)]
        planned = plan_for(known, *package, current)
        assert planned.target == rivals(bench, about, known, tuple(package), current), (package, current)
        targets.append(planned.target)
    assert len(targets) >= 15
    assert sum(target is not None for target in targets) > len(targets) // 2
