"""What a running process tree uses, read from /proc: memory summed over all of it, processor time, process count.

Sampling, not accounting: cgroup v2 may lack its memory controller and a service may not write to it, while /proc is
always there. A process's own high-water mark (VmHWM) is read with every sample, so that a short peak between two
samples of one process is still seen.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_MB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Sample:
    """One look: ``memory_mb`` anonymous and shared memory of all processes, ``peak_one_mb`` the largest high-water
    mark."""

    memory_mb: float
    peak_one_mb: float
    cpu_s: float
    processes: int


def _cpu_s(stat: str) -> float:
    # Fields 14 to 17 after the command in brackets, which may itself hold blanks and brackets.
    fields = stat[stat.rindex(")") + 2 :].split()
    return sum(int(value) for value in fields[11:15]) / _TICKS


def _read(path: str) -> str:
    """A file of /proc, in one read: there are forty looks a second at each process of a run, and pathlib costs more than they do.
    Raises OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(fd, 65_536).decode("utf-8", "replace")
    finally:
        os.close(fd)


def _kb(text: str, name: str) -> int:
    """The figure of this name; 0 where there is none. Raises ValueError."""
    # At the beginning of a line: a process may call itself what it likes, but not with a line break (proc(5) escapes it).
    at = text.find(f"\n{name}:")
    return 0 if at < 0 else int(text[at + len(name) + 2 : text.index("kB", at)])


def _status_kb(status: str) -> tuple[int, int]:
    """(private and shared memory now, anonymous high-water mark) in kB from /proc/PID/status."""
    now = _kb(status, "RssAnon") + _kb(status, "RssShmem")
    return now, max(now, _kb(status, "VmHWM") - _kb(status, "RssFile"))


def _exact_kb(folder: str) -> int | None:
    """The same without counting pages twice that forked processes still share; dearer to read, so only near the
    limit."""
    try:
        text = _read(f"{folder}/smaps_rollup")
    except OSError:
        return None
    return _kb(text, "Pss_Anon") + _kb(text, "Pss_Shmem")


def sample(proc: str | Path, pids: list[int], *, refine_above_mb: float) -> Sample:
    """Look once at ``pids`` as shown in ``proc``. Processes that ended meanwhile count as nothing."""
    total = peak = 0
    cpu = 0.0
    seen: list[str] = []
    for pid in pids:
        folder = f"{proc}/{pid}"
        try:
            now, high = _status_kb(_read(f"{folder}/status"))
            cpu += _cpu_s(_read(f"{folder}/stat"))
        except (OSError, ValueError):
            continue
        seen.append(folder)
        total += now
        peak = max(peak, high)
    if total / 1024 > refine_above_mb:
        exact = [_exact_kb(folder) for folder in seen]
        if all(value is not None for value in exact):
            total = sum(value or 0 for value in exact)
    return Sample(total / 1024, peak / 1024, cpu, len(seen))


def pids_in(proc: str | Path) -> list[int]:
    """Every process a /proc shows."""
    try:
        return [int(name) for name in os.listdir(proc) if name.isdigit()]
    except OSError:
        return []


def descendants(root: int) -> list[int]:
    """``root`` and its descendants by walking every process's parent; misses those that were re-parented away."""
    parents: dict[int, int] = {}
    for pid in pids_in(Path("/proc")):
        try:
            stat = Path(f"/proc/{pid}/stat").read_text()
        except OSError:
            continue
        parents[pid] = int(stat[stat.rindex(")") + 2 :].split()[1])
    family, grew = {root}, True
    while grew:
        grew = False
        for pid, parent in parents.items():
            if parent in family and pid not in family:
                family.add(pid)
                grew = True
    return sorted(family & (parents.keys() | {root}))


def filesystem_use(folder: str) -> tuple[float, int] | None:
    """(MB, inodes) in use on the filesystem that holds ``folder``, or ``None`` when it cannot be seen."""
    try:
        status = os.statvfs(folder)
    except OSError:
        return None
    return (status.f_blocks - status.f_bfree) * status.f_frsize / _MB, status.f_files - status.f_ffree
