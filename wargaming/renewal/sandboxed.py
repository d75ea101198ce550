"""Running a resolver in the sandbox: no network but the gateway, no install scripts, its answer taken as untrusted text."""

from __future__ import annotations

import base64
import functools
import json
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from immune.formats import limits
from immune.renewal import CannotRenew
from wargaming.errors import SandboxRefused, SandboxUnavailable
from wargaming.renewal import gateway
from wargaming.sandbox.base import (
    REPOSITORY_DIR,
    SCENARIO_DIR,
    STORED_BYTES,
    Driver,
    Ending,
    Limits,
    Need,
    RunSpec,
    Runtime,
    Trust,
)
from wargaming.sandbox.runtimes import node_runtime, python_runtime

LIMITS = Limits(wall_s=240, cpu_s=360, memory_mb=1536, processes=256, open_files=2048, disk_mb=512, files=100_000)
MAX_ANSWER = 64 * 1024 * 1024
MAX_REASON = 600


@dataclass(frozen=True, slots=True)
class Tool:
    """A resolver: the runtime its script runs on, the folder shown inside as the layer, the script, and what lies beside it."""

    name: str
    runtime: Runtime
    folder: Path
    script: bytes
    beside: Mapping[str, bytes] = field(default_factory=dict)


def index_tool(name: str, folder: Path) -> Tool:
    """A Python resolver whose script (``NAME_inside.py``) asks the index beside it (``index_inside.py``)."""
    script = Path(__file__).with_name(f"{name}_inside.py").read_bytes()
    return Tool(name, python_runtime(), folder, script, beside_index())


@functools.cache
def beside_index() -> dict[str, bytes]:
    """The module that is the index inside, under the name by which scripts import it."""
    return {"index_inside.py": Path(__file__).with_name("index_inside.py").read_bytes()}


def registry_tool(name: str, folder: Path) -> Tool:
    """A resolver of npm's files whose script (``NAME_inside.js``) asks the registry beside it (``registry_inside.js``)."""
    here = Path(__file__).parent
    beside = {"registry_inside.js": (here / "registry_inside.js").read_bytes()}
    return Tool(name, node_runtime(), folder, (here / f"{name}_inside.js").read_bytes(), beside)


def run(
    tool: Tool,
    order: dict[str, Any],
    answer: gateway.Answer,
    *,
    driver: Driver,
    work: Path,
    taken: gateway.Taken | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> dict[str, Any]:
    """What the script answered to ``order``, and in ``taken`` the file it handed out. Raises CannotRenew with the resolver's own
    reason, RegistryUnreachable."""
    with gateway.opened(answer, work / "gateways", taken) as (way, folder):
        place = driver.layer_place(tool.runtime, tool.folder)
        spec = RunSpec(
            tool.runtime,
            (f"{SCENARIO_DIR}/renew", place, f"{REPOSITORY_DIR}/{gateway.SOCKET}"),
            tool.folder,
            files={**tool.beside, "renew": tool.script},
            trust=Trust.REPOSITORY,
            needs=frozenset({Need.LOOPBACK}),
            limits=LIMITS,
            stdin=json.dumps(order).encode(),
            repository=folder,
        )
        try:
            result = driver.run(spec, cancelled)
        except (SandboxRefused, SandboxUnavailable) as error:
            raise CannotRenew(f"{tool.name} runs in a sandbox only, and there is none here: {error}") from error
        if way.trouble is not None:
            raise way.trouble
    if result.ending is not Ending.EXITED or result.exit_code != 0:
        said = reason(result.stderr_tail) or result.detail
        raise CannotRenew(f"{tool.name} did not come to an end ({result.ending.value}): {said}")
    found = _unpacked(tool.name, result.stdout_zlib)
    if "error" in found:
        because = f" ({way.refused})" if way.refused is not None else ""
        raise CannotRenew(reason(str(found["error"])) + limits.shown(because, MAX_REASON))
    return found


def reason(said: str) -> str:
    """What a resolver said, in one bounded printable line."""
    return limits.shown(" ".join(said.split()), MAX_REASON)


def _unpacked(name: str, stdout: bytes) -> dict[str, Any]:
    try:
        text = zlib.decompressobj().decompress(stdout, STORED_BYTES)
        inner = zlib.decompressobj()
        raw = inner.decompress(base64.b64decode(text.strip(), validate=True), MAX_ANSWER)
        found = json.loads(raw)
        if not inner.eof or not isinstance(found, dict):
            raise ValueError("cut short")
    except (ValueError, zlib.error, RecursionError) as error:
        raise CannotRenew(f"{name} gave no answer that can be read, or one that is too large") from error
    return found
