"""What every sandbox driver takes and gives: plain frozen data, one method.

A driver runs *one* program once, in a fresh scratch space, and says what it saw. It draws no conclusion: outcomes and
verdicts are ``wargaming.verdict``'s. Nothing here knows about scenarios, packages or Django.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Protocol

HEAD_BYTES = 32 * 1024
TAIL_BYTES = 32 * 1024
STORED_BYTES = 2 * 1024 * 1024

# Where things lie inside every sandbox that has a root of its own.
SCENARIO_DIR = "/scenario"
SCRATCH_DIR = "/scratch"
REPOSITORY_DIR = "/repository"


class Need(StrEnum):
    """What a scenario may ask for beyond its package (``needs`` in case.yaml)."""

    LOOPBACK = "loopback"
    GIT = "git"
    SHELL = "shell"


class Trust(StrEnum):
    """Where code to be run comes from; only ``SHIPPED`` may run without isolation."""

    SHIPPED = "shipped"
    REPOSITORY = "repository"
    ATTACHED = "attached"


class Ending(StrEnum):
    """What ended a run. Everything but ``EXITED`` and ``SIGNALLED`` was the driver's doing."""

    EXITED = "exited"
    SIGNALLED = "signalled"
    WALL_TIME = "wall_time"
    CPU_TIME = "cpu_time"
    MEMORY = "memory"
    OUTPUT = "output"
    DISK = "disk"
    CANCELLED = "cancelled"
    NOT_STARTED = "not_started"


CUT_SHORT = frozenset(
    {Ending.WALL_TIME, Ending.CPU_TIME, Ending.MEMORY, Ending.OUTPUT, Ending.DISK, Ending.CANCELLED, Ending.NOT_STARTED}
)


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one run: seconds, megabytes (2**20 bytes) and counts, each for the whole process tree."""

    wall_s: float = 30.0
    cpu_s: float = 60.0
    memory_mb: int = 512
    processes: int = 128
    open_files: int = 512
    disk_mb: int = 64
    files: int = 20_000
    output_bytes: int = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Runtime:
    """An interpreter as found on this machine; ``describe`` is what evidence and layer names say of it.

    ``mounts`` are the host paths the interpreter itself needs (shown at the same place inside), ``site`` is where a
    Python layer is mounted, ``hidden`` are other package folders that must not show through.
    """

    kind: str  # "python" or "node"
    executable: str
    version: str
    describe: str
    mounts: tuple[str, ...]
    site: str = ""
    hidden: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RunSpec:
    """One run: ``arguments`` go to the interpreter; ``files`` lie read-only in the scenario folder.

    ``layer`` is the folder with the installed distributions (a Python ``--target`` folder, or a folder that holds
    ``node_modules``); ``repository`` a checkout shown read-only at :data:`REPOSITORY_DIR` for a repository's own tests.
    """

    runtime: Runtime
    arguments: tuple[str, ...]
    layer: Path | None
    files: Mapping[str, bytes] = field(default_factory=dict)
    trust: Trust = Trust.ATTACHED
    needs: frozenset[Need] = frozenset()
    limits: Limits = Limits()
    stdin: bytes = b""
    repository: Path | None = None
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Usage:
    """What a run used at its peak; ``None`` where the driver cannot see it. ``memory_mb`` sums the whole tree."""

    memory_mb: float | None = None
    cpu_s: float | None = None
    processes: int | None = None
    disk_mb: float | None = None
    files: int | None = None


@dataclass(frozen=True, slots=True)
class RunResult:
    """What was seen of one run.

    ``exit_code`` is ``None`` when the program did not end by itself; ``last_line`` is the last non-empty line of
    standard output ("" when there is none, or it is longer than the kept tail). ``stdout_zlib``/``stderr_zlib`` hold
    the first :data:`STORED_BYTES` bytes of each stream; ``limit_hits`` names every limit that was reached.
    """

    ending: Ending
    exit_code: int | None
    signal: int | None
    last_line: str
    stdout_head: str
    stdout_tail: str
    stderr_tail: str
    stdout_zlib: bytes
    stderr_zlib: bytes
    output_bytes: int
    seconds: float
    usage: Usage
    limits: Limits
    limit_hits: tuple[str, ...]
    driver: str
    detail: str = ""

    @property
    def cut_short(self) -> bool:
        return self.ending in CUT_SHORT

    def shares(self) -> dict[str, float]:
        """Each measured use as a share of its limit (1.0 is at the limit)."""
        pairs: dict[str, tuple[float | None, float]] = {
            "wall_time": (self.seconds, self.limits.wall_s),
            "memory": (self.usage.memory_mb, self.limits.memory_mb),
            "cpu_time": (self.usage.cpu_s, self.limits.cpu_s),
            "processes": (self.usage.processes, self.limits.processes),
            "disk": (self.usage.disk_mb, self.limits.disk_mb),
            "files": (self.usage.files, self.limits.files),
            "output": (self.output_bytes, self.limits.output_bytes),
        }
        return {name: used / limit for name, (used, limit) in pairs.items() if used is not None and limit > 0}


class Driver(Protocol):
    """One way to run a program apart from everything else."""

    name: str
    strength: float  # 0 to 1: how much of the list in docs/sandbox.md holds; a factor of confidence

    def layer_place(self, runtime: Runtime, layer: Path) -> str:
        """Where a program run by this driver finds the distributions of ``layer``."""
        ...

    def run(self, spec: RunSpec, cancelled: Callable[[], bool] | None = None) -> RunResult:
        """Run once. Raises ``SandboxRefused`` for what this driver must not run, ``SandboxUnavailable`` where it
        cannot work; everything the program does ends in a result, never in an exception."""
        ...
