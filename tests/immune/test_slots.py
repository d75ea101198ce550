"""Slots: so many at a time in a process, and on a machine over all of its processes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from immune import slots
from immune.slots import Slots, machine_slots
from tests.environment import ROOT

HOLDS = """
import sys
from pathlib import Path
from immune.slots import Slots
with Slots(lambda: Path(sys.argv[1]), process=4, machine=lambda: int(sys.argv[2])).one() as held:
    print(held, flush=True)
    sys.stdin.read()
"""


def made(folder: Path, *, process: int = 4, machine: int = 4) -> Slots:
    return Slots(lambda: folder, process=process, machine=lambda: machine)


def test_a_process_runs_no_more_than_its_own_slots(tmp_path: Path) -> None:
    mine = made(tmp_path, process=1)
    with mine.one() as first, mine.one() as second:
        assert (first, second) == (True, False)
    with mine.one() as again:
        assert again


def test_processes_share_the_machines_slots_and_a_killed_one_frees_its_own(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDS, str(tmp_path), "1"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "True\n"
        with made(tmp_path, machine=1).one() as held:
            assert not held
        with made(tmp_path, machine=2).one() as held:
            assert held
        other.kill()
    with made(tmp_path, machine=1).one() as held:
        assert held


@pytest.mark.parametrize(("cores", "memory", "fits"), [(8, 16384, 8), (8, 5000, 2), (2, 16384, 2), (4, 1000, 1)])
def test_a_machine_takes_what_its_cores_and_its_memory_allow(
    monkeypatch: pytest.MonkeyPatch, cores: int, memory: int, fits: int
) -> None:
    monkeypatch.setattr(slots.os, "sched_getaffinity", lambda _pid: set(range(cores)))
    monkeypatch.setattr(slots, "memory_mb", lambda: memory)
    assert machine_slots(2048) == fits
