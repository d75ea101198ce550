"""Watching one started program until it and everything it left behind are gone: output, clocks, memory, disk.

Shared by the drivers; each brings a started process and a :class:`Watch` that knows how to look at its tree and end it.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from wargaming.sandbox.base import Ending, Limits, RunResult, Usage
from wargaming.sandbox.capture import Capture
from wargaming.sandbox.tree import Sample

FIRST_LOOK_S = 0.01
LOOK_EVERY_S = 0.025
# After a kill the pipes of a pid namespace close at once; a plain process group may leave a writer behind for ever.
DRAIN_S = 2.0
_CHUNK = 1 << 16
NEAR = 0.98  # a use this close to a limit that only refuses (disk, processes) is read as having reached it


class Watch(Protocol):
    """How a driver looks at and ends what it started."""

    def look(self, limits: Limits) -> Sample | None: ...

    def disk(self) -> tuple[float, int] | None: ...

    def kill(self) -> None: ...

    def exit_status(self, returncode: int) -> tuple[int | None, int | None] | None:
        """(exit code, signal) of the program itself, or ``None`` when it was never started."""
        ...


@dataclass(slots=True)
class _Peaks:
    memory: float | None = None
    cpu: float | None = None
    processes: int | None = None
    disk: float | None = None
    files: int | None = None

    def raise_to(self, sample: Sample | None, disk: tuple[float, int] | None) -> None:
        if sample is not None and sample.processes:
            self.memory = max(self.memory or 0.0, sample.memory_mb, sample.peak_one_mb)
            self.cpu = max(self.cpu or 0.0, sample.cpu_s)
            self.processes = max(self.processes or 0, sample.processes)
        if disk is not None:
            self.disk = max(self.disk or 0.0, disk[0])
            self.files = max(self.files or 0, disk[1])


def _broken_limit(sample: Sample | None, disk: tuple[float, int] | None, limits: Limits) -> Ending | None:
    if sample is not None:
        if sample.memory_mb > limits.memory_mb:
            return Ending.MEMORY
        if sample.cpu_s > limits.cpu_s:
            return Ending.CPU_TIME
    if disk is not None and disk[1] > limits.files:
        return Ending.DISK
    return None


def supervise(
    process: subprocess.Popen[bytes],
    watch: Watch,
    *,
    limits: Limits,
    stdin: bytes,
    driver: str,
    cancelled: Callable[[], bool] | None,
    started: float,
) -> RunResult:
    """Follow ``process`` to its end, ending it at the first limit it breaks, and tell what was seen.

    ``started`` is ``time.monotonic()`` before the start. Returns only when the process is reaped and both pipes are
    closed (or, after :data:`DRAIN_S`, given up).
    """
    watching = _Watching(process, watch, limits, cancelled, started)
    _give(process, stdin)
    try:
        watching.follow()
    finally:
        watching.close()
    return watching.result(driver)


class _Watching:
    """One loop over both pipes, the process's end and the clock."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        watch: Watch,
        limits: Limits,
        cancelled: Callable[[], bool] | None,
        started: float,
    ) -> None:
        self.process, self.watch, self.limits, self.cancelled, self.started = process, watch, limits, cancelled, started
        self.stdout, self.stderr = Capture(), Capture()
        self.peaks = _Peaks()
        self.ending: Ending | None = None
        self.running = True
        self.give_up: float | None = None  # when to stop waiting for pipes that a survivor may hold open
        self.next_look = started + FIRST_LOOK_S
        self.pidfd = os.pidfd_open(process.pid)
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.pidfd, selectors.EVENT_READ, None)
        self.open_pipes = 0
        for pipe, capture in ((process.stdout, self.stdout), (process.stderr, self.stderr)):
            if pipe is not None:
                os.set_blocking(pipe.fileno(), False)
                self.selector.register(pipe.fileno(), selectors.EVENT_READ, capture)
                self.open_pipes += 1

    def follow(self) -> None:
        while self.running or self.open_pipes:
            if self.running and self.ending is None:
                self._look_at_the_clock()
            if self.give_up is not None and time.monotonic() >= self.give_up:
                break
            self._take_what_came()
            if self.ending is None and self.stdout.total + self.stderr.total > self.limits.output_bytes:
                self._end(Ending.OUTPUT)
        self.process.wait()

    def _look_at_the_clock(self) -> None:
        now = time.monotonic()
        if now >= self.started + self.limits.wall_s:
            self._end(Ending.WALL_TIME)
        elif now >= self.next_look:
            sample, disk = self.watch.look(self.limits), self.watch.disk()
            self.peaks.raise_to(sample, disk)
            broken = _broken_limit(sample, disk, self.limits)
            if broken is None and self.cancelled is not None and self.cancelled():
                broken = Ending.CANCELLED
            if broken is not None:
                self._end(broken)
            self.next_look = time.monotonic() + LOOK_EVERY_S

    def _end(self, ending: Ending) -> None:
        self.ending = ending
        self.watch.kill()
        self.give_up = time.monotonic() + DRAIN_S

    def _take_what_came(self) -> None:
        for key, _ in self.selector.select(self._pause()):
            if key.data is None:
                self.selector.unregister(self.pidfd)
                self.running = False
                self.watch.kill()  # what outlived the program goes now, not when it pleases
                self.give_up = self.give_up or time.monotonic() + DRAIN_S
            elif not _read(key.fd, key.data):
                self.selector.unregister(key.fd)
                self.open_pipes -= 1

    def _pause(self) -> float:
        times = [self.give_up] if self.give_up is not None else []
        if self.running and self.ending is None:
            times += [self.next_look, self.started + self.limits.wall_s]
        return max(0.0, min(times) - time.monotonic()) if times else LOOK_EVERY_S

    def close(self) -> None:
        self.selector.close()
        os.close(self.pidfd)
        if self.process.returncode is None:
            self.watch.kill()
            self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            if pipe is not None:
                pipe.close()

    def result(self, driver: str) -> RunResult:
        seconds = time.monotonic() - self.started
        status = self.watch.exit_status(self.process.returncode)
        ending, peaks, limits, detail = self.ending, self.peaks, self.limits, ""
        if ending is None and status is None:
            ending, detail = Ending.NOT_STARTED, self.stderr.tail()[-2000:]
        exit_code, signal_number = status if ending is None and status is not None else (None, None)
        cpu_cut = signal_number == signal.SIGXCPU or (
            signal_number == signal.SIGKILL and peaks.cpu is not None and peaks.cpu >= NEAR * limits.cpu_s
        )
        if ending is None and cpu_cut:
            ending = Ending.CPU_TIME
        if ending is None:
            ending = Ending.EXITED if signal_number is None else Ending.SIGNALLED
        return RunResult(
            ending=ending,
            exit_code=exit_code,
            signal=signal_number,
            last_line=self.stdout.last_line(),
            stdout_head=self.stdout.head(),
            stdout_tail=self.stdout.tail(),
            stderr_tail=self.stderr.tail(),
            stdout_zlib=self.stdout.packed(),
            stderr_zlib=self.stderr.packed(),
            output_bytes=self.stdout.total + self.stderr.total,
            seconds=seconds,
            usage=Usage(peaks.memory, peaks.cpu, peaks.processes, peaks.disk, peaks.files),
            limits=limits,
            limit_hits=_hits(ending, peaks, limits),
            driver=driver,
            detail=detail,
        )


def _give(process: subprocess.Popen[bytes], stdin: bytes) -> None:
    """Hand over standard input. It is a nonce or nothing: far below a pipe's size, so this cannot block."""
    if process.stdin is None:
        return
    # It may have ended, or not wait for its nonce: its own loss.
    with contextlib.suppress(BrokenPipeError):
        process.stdin.write(stdin)
    with contextlib.suppress(BrokenPipeError):
        process.stdin.close()


def _read(fd: int, capture: Capture) -> bool:
    """One chunk into ``capture``; False at the end of the stream."""
    try:
        data = os.read(fd, _CHUNK)
    except BlockingIOError:
        return True
    if data:
        capture.feed(data)
    return bool(data)


def _hits(ending: Ending, peaks: _Peaks, limits: Limits) -> tuple[str, ...]:
    hits = {ending.value} & {"wall_time", "cpu_time", "memory", "output", "disk"}
    if peaks.memory is not None and peaks.memory >= limits.memory_mb:
        hits.add("memory")
    if peaks.disk is not None and peaks.disk >= NEAR * limits.disk_mb:
        hits.add("disk")
    if peaks.files is not None and peaks.files >= limits.files:
        hits.add("files")
    if peaks.processes is not None and peaks.processes >= NEAR * limits.processes:
        hits.add("processes")
    return tuple(sorted(hits))
