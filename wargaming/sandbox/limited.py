"""A plain child process with limits and nothing else: for shipped scenarios only, where no sandbox is to be had.

It keeps honest code from running away. It hides no files and no network, so it refuses whatever was not shipped with
the product, and the evidence names it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from wargaming.errors import SandboxRefused, SandboxUnavailable
from wargaming.sandbox import tree
from wargaming.sandbox.base import SCENARIO_DIR, Limits, RunResult, RunSpec, Runtime, Trust
from wargaming.sandbox.bubblewrap import environment, resource_limits
from wargaming.sandbox.supervise import supervise
from wargaming.sandbox.tree import Sample


class LimitedDriver:
    """Runs trusted programs in a fresh folder under ``work`` with resource limits."""

    name = "limited"
    strength = 0.2

    def __init__(self, work: Path) -> None:
        self._work = work
        prlimit = shutil.which("prlimit", path="/usr/bin:/bin")
        if prlimit is None:
            raise SandboxUnavailable("not_installed", "prlimit (util-linux) is not installed")
        self._prlimit = prlimit

    def layer_place(self, runtime: Runtime, layer: Path) -> str:
        return str(layer)

    def run(self, spec: RunSpec, cancelled: Callable[[], bool] | None = None) -> RunResult:
        if spec.trust is not Trust.SHIPPED or spec.repository is not None:
            raise SandboxRefused("untrusted_without_sandbox", "the limited process runs shipped scenarios only")
        self._work.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self._work, prefix="run-") as folder:
            scratch, scenario = Path(folder, "scratch"), Path(folder, "scenario")
            for name in ("work", "home", "tmp"):
                (scratch / name).mkdir(parents=True)
            scenario.mkdir()
            for name, content in spec.files.items():
                target = scenario / name
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(content)
            arguments = [word.replace(SCENARIO_DIR, str(scenario), 1) for word in spec.arguments]
            variables = environment(spec, scratch=str(scratch), layer=str(spec.layer))
            flags: list[str] = []
            if spec.runtime.kind == "python":
                flags = ["-S"]  # the interpreter's own packages must not stand in for the layer's
                variables["PYTHONPATH"] = str(spec.layer or "")
            started = time.monotonic()
            process = subprocess.Popen(  # noqa: S603
                [
                    self._prlimit,
                    *resource_limits(spec.limits, processes=False),
                    "--",
                    spec.runtime.executable,
                    *flags,
                    *arguments,
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=variables,
                cwd=scratch / "work",
                start_new_session=True,
            )
            return supervise(
                process,
                _GroupWatch(process),
                limits=spec.limits,
                stdin=spec.stdin,
                driver=self.name,
                cancelled=cancelled,
                started=started,
            )


class _GroupWatch:
    """Looks at the descendants it can still find; kills the process group."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def look(self, limits: Limits) -> Sample | None:
        pids = tree.descendants(self._process.pid)
        return tree.sample(Path("/proc"), pids, refine_above_mb=0.8 * limits.memory_mb)

    def disk(self) -> tuple[float, int] | None:
        return None

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def exit_status(self, returncode: int) -> tuple[int | None, int | None] | None:
        return (None, -returncode) if returncode < 0 else (returncode, None)
