"""Every advisory sample of the shared data is read or refused, in the numbers docs/samples-advisories.md states."""

from __future__ import annotations

import re

import pytest

from immune.advisories.osv import AdvisoryRecord
from immune.advisories.sources import read_advisories
from tests.immune.shared_data import ROOT, SHARED, needs_shared_data

ROW = re.compile(r"\| (advisories/\S+) \| (\d+) \| (?:(\d+)\b)?")
STATED = [
    (name, int(read), int(refused or 0))
    for name, read, refused in ROW.findall((ROOT / "docs" / "samples-advisories.md").read_text())
]


@needs_shared_data
@pytest.mark.parametrize(("name", "read", "refused"), STATED)
def test_a_sample_is_read_and_refused_in_the_numbers_stated(name, read, refused):
    found = list(read_advisories([SHARED / name]))
    taken = sum(1 for item in found if isinstance(item, AdvisoryRecord))
    assert (taken, len(found) - taken) == (read, refused)


@needs_shared_data
def test_every_sample_is_stated():
    there = {path.relative_to(SHARED).as_posix() for path in (SHARED / "advisories").rglob("*") if path.is_file()}
    assert {name for name, _, _ in STATED} == there - {"advisories/RECORD-ORIGINS.tsv"}
