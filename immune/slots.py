"""How much of one kind of work runs at a time: in this process, and on this machine over all processes.

A machine's slots are files that are locked while held, so a killed process frees its own at once. They lie under the machine's
boot id: containers of one machine that share the work folder share its slots, machines that share one over the network do not.
"""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_BOOT = Path("/proc/sys/kernel/random/boot_id")
_CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")


def machine_slots(memory_mb_each: int) -> int:
    """How many pieces of work that may each take ``memory_mb_each`` MiB fit this machine's cores and memory; at least one."""
    return max(1, min(len(os.sched_getaffinity(0)), memory_mb() // memory_mb_each))


def memory_mb() -> int:
    """MiB of memory this process may use at the most: the machine's, or its container's where that is less."""
    found = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        limit = _CGROUP_LIMIT.read_text().strip()
    except OSError:
        limit = "max"
    return min(found, int(limit)) >> 20 if limit.isdigit() else found >> 20


class Slots:
    """``process`` at a time here, ``machine()`` at a time in all processes that use the same ``folder()`` on this machine."""

    def __init__(self, folder: Callable[[], Path], *, process: int, machine: Callable[[], int]) -> None:
        self._folder, self._machine = folder, machine
        self._here = threading.BoundedSemaphore(process)

    @contextmanager
    def one(self) -> Iterator[bool]:
        """Holds a slot for the length of the block; yields False, waiting for nothing, when none is free."""
        if not self._here.acquire(blocking=False):
            yield False
            return
        try:
            held = self._locked()
            try:
                yield held is not None
            finally:
                if held is not None:
                    os.close(held)
        finally:
            self._here.release()

    def _locked(self) -> int | None:
        boot = _BOOT.read_text().strip() if _BOOT.exists() else "machine"
        folder = self._folder() / boot
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(self._machine()):
            fd = os.open(folder / str(number), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                os.close(fd)
                continue
            return fd
        return None
