"""What a look at running processes says of them, whatever they call themselves."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from wargaming.sandbox.tree import descendants, sample

MB = 1024 * 1024
HOLDS = 64


@contextmanager
def holding(megabytes: int, name: str = "") -> Iterator[int]:
    """A process that calls itself ``name`` and holds so much memory; gives its pid."""
    script = (
        f"import sys; name = {name!r}\n"
        "if name: open('/proc/self/comm', 'w').write(name)\n"
        f"held = bytearray({megabytes * MB}); held[::4096] = b'x' * len(held[::4096])\n"
        "print('ready', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        yield process.pid


@pytest.mark.parametrize("name", ["", "\nRssAnon: 0 kB", "\nVmHWM: 1 kB", ") R 0 0 0 0"])
@pytest.mark.parametrize("refine_above_mb", [0, 10_000])
def test_a_process_cannot_name_itself_smaller(name: str, refine_above_mb: float) -> None:
    with holding(HOLDS, name) as pid:
        seen = sample("/proc", [pid], refine_above_mb=refine_above_mb)
    assert seen.processes == 1
    assert HOLDS <= seen.memory_mb < HOLDS + 60
    assert seen.peak_one_mb >= HOLDS
    assert seen.cpu_s < 60


def test_processes_that_ended_count_as_nothing() -> None:
    with holding(1) as pid:
        assert pid in descendants(pid)
    assert sample("/proc", [pid], refine_above_mb=0) == sample("/proc", [], refine_above_mb=0)
