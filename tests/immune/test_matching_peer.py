"""The benchmark's two sides answer alike: ours and a plain loop over univers, on every shared manifest."""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType

import pytest

from tests.immune.shared_data import ROOT, SHARED, needs_shared_data


@pytest.fixture(scope="module")
def bench() -> ModuleType:
    spec = importlib.util.spec_from_file_location("bench_matching", ROOT / "bench" / "matching.py")
    module = importlib.util.module_from_spec(spec)
    path = list(sys.path)
    spec.loader.exec_module(module)
    sys.path[:] = path
    return module


@needs_shared_data
def test_a_loop_with_univers_finds_the_same_matches(bench):
    records = [
        record
        for record in bench.read_advisories(SHARED / "advisories" / name for name in bench.ADVISORIES)
        if not isinstance(record, bench.Refusal)
    ]
    rows = [row for manifest in bench.inventories() for row in manifest]
    matched, doubtful = bench.ours(records, rows)
    their_matched, refused = bench.the_loop(records, rows)
    assert len(rows) > 28_000
    assert matched == their_matched
    # What only we call undecided: a withdrawn record that gives no versions at all.
    assert {found[3] for found in doubtful - refused} == {"PYSEC-2022-43183"}
