"""A sandbox in a container, by docker or podman: for machines where bubblewrap may not make namespaces.

The host's interpreter and layer are shown read-only in an otherwise empty image, so both drivers run the very same bytes.
The image is named by the operator (``image``; any small glibc base), never pulled during a wargame. Limits that the container
runtime can hold (memory with swap, processes, files) are its; wall time, output and the rest are watched from outside.
"""

from __future__ import annotations

import contextlib
import math
import os
import secrets
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from wargaming.errors import SandboxUnavailable
from wargaming.sandbox.base import REPOSITORY_DIR, SCENARIO_DIR, SCRATCH_DIR, Limits, RunResult, RunSpec, Runtime
from wargaming.sandbox.bubblewrap import LAYER_DIR, environment
from wargaming.sandbox.supervise import supervise
from wargaming.sandbox.tree import Sample

DEFAULT_IMAGE = "debian:12-slim"
_NOBODY = "65534:65534"


class ContainerDriver:
    """Runs programs with ``docker`` or ``podman`` (``name``)."""

    strength = 0.9

    def __init__(self, name: str, *, image: str = DEFAULT_IMAGE, program: str | None = None) -> None:
        self.name = name
        self.image = image
        found = program or shutil.which(name)
        if found is None:
            raise SandboxUnavailable("not_installed", f"{name} is not installed")
        if program is None:
            _answering(found)
        self._program = found

    def layer_place(self, runtime: Runtime, layer: Path) -> str:
        return runtime.site if runtime.kind == "python" else LAYER_DIR

    def command(self, spec: RunSpec, scenario: Path, name: str) -> list[str]:
        """The whole command line; ``scenario`` is the host folder that holds the files of ``spec``."""
        limits = spec.limits
        command = [self._program, "run", "--rm", "--interactive", "--pull=never", f"--name={name}"]
        command += ["--network=none", "--read-only", f"--user={_NOBODY}", "--cap-drop=ALL", "--ipc=private"]
        command += ["--security-opt=no-new-privileges", f"--pids-limit={limits.processes}"]
        # Swap equal to memory: otherwise the container gets as much again in swap.
        command += [f"--memory={limits.memory_mb}m", f"--memory-swap={limits.memory_mb}m"]
        command += [
            f"--ulimit=nofile={limits.open_files}",
            f"--ulimit=cpu={math.ceil(limits.cpu_s)}",
            "--ulimit=core=0",
        ]
        command += [f"--ulimit=fsize={limits.disk_mb << 20}", "--hostname=sandbox", "--log-driver=none"]
        size, inodes = f"size={limits.disk_mb}m", f"nr_inodes={limits.files}"
        for folder in ("work", "home", "tmp"):
            command.append(f"--tmpfs={SCRATCH_DIR}/{folder}:rw,nosuid,nodev,{size},{inodes},mode=1777")
        command += [f"--tmpfs=/tmp:rw,nosuid,nodev,{size},{inodes},mode=1777", f"--workdir={SCRATCH_DIR}/work"]
        mounts = [(path, path) for path in spec.runtime.mounts]
        if spec.layer is not None:
            mounts.append((str(spec.layer), self.layer_place(spec.runtime, spec.layer)))
        if spec.repository is not None:
            mounts.append((str(spec.repository), REPOSITORY_DIR))
        mounts.append((str(scenario), SCENARIO_DIR))
        for source, target in mounts:
            command.append(f"--mount=type=bind,source={source},target={target},readonly")
        for variable, value in environment(spec).items():
            command.append(f"--env={variable}={value}")
        return [*command, "--entrypoint=", self.image, spec.runtime.executable, *spec.arguments]

    def run(self, spec: RunSpec, cancelled: Callable[[], bool] | None = None) -> RunResult:
        name = f"immune-wargame-{secrets.token_hex(8)}"
        with tempfile.TemporaryDirectory(prefix="immune-scenario-") as folder:
            scenario = Path(folder)
            for path, content in spec.files.items():
                target = scenario / path
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(content)
            for place, _, files in os.walk(scenario):
                os.chmod(place, 0o755)  # noqa: S103
                for file in files:
                    os.chmod(os.path.join(place, file), 0o444)
            started = time.monotonic()
            process = subprocess.Popen(  # noqa: S603
                self.command(spec, scenario, name),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
            watch = _ContainerWatch(self._program, name, process)
            return supervise(
                process,
                watch,
                limits=spec.limits,
                stdin=spec.stdin,
                driver=self.name,
                cancelled=cancelled,
                started=started,
            )


def _answering(program: str) -> None:
    try:
        subprocess.run([program, "info"], capture_output=True, timeout=20, check=True)  # noqa: S603
    except (OSError, subprocess.SubprocessError) as error:
        raise SandboxUnavailable("not_answering", f"{program} does not answer: {error}") from error


class _ContainerWatch:
    """The container's processes are the runtime's children, not ours: its own limits hold memory and processes."""

    def __init__(self, program: str, name: str, process: subprocess.Popen[bytes]) -> None:
        self._program, self._name, self._process = program, name, process

    def look(self, limits: Limits) -> Sample | None:
        return None

    def disk(self) -> tuple[float, int] | None:
        return None

    def kill(self) -> None:
        if self._process.poll() is None:
            with contextlib.suppress(OSError, subprocess.SubprocessError):
                subprocess.run(  # noqa: S603
                    [self._program, "rm", "--force", self._name], capture_output=True, timeout=20, check=False
                )
            self._process.kill()

    def exit_status(self, returncode: int) -> tuple[int | None, int | None] | None:
        if returncode in {125, 126, 127} or returncode < 0:
            return None  # the runtime's own failure codes: the program was not started
        return (None, returncode - 128) if returncode > 128 else (returncode, None)
