"""Running the installers (uv, npm): a bounded child process with the few variables that configure it, and no others."""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import uv

from wargaming.errors import EnvironmentFailed

# What tells an installer where its index, certificates, proxies and caches are. Secrets of the application are not
# here.
_CONFIGURATION = ("UV_", "PIP_", "NPM_CONFIG_", "npm_config_", "SSL_CERT_", "XDG_")
_PLAIN = ("PATH", "HOME", "LANG", "TMPDIR", "NODE_EXTRA_CA_CERTS", "NETRC")


_HOST_AUTHORITIES = Path("/etc/ssl/certs")
LOOK_EVERY_S = 0.05  # how often a running tool is asked whether anybody still waits for it

Cancelled = Callable[[], bool]


@functools.cache
def uv_program() -> str:
    """uv as pinned in requirements.txt."""
    return str(uv.find_uv_bin())


def installer_environment() -> dict[str, str]:
    """The engine's environment reduced to the installers' own configuration; uv also heeds pip's index and
    certificate."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name in _PLAIN or name.startswith(_CONFIGURATION) or name.lower().endswith("_proxy")
    }
    if "PIP_INDEX_URL" in kept and not {"UV_DEFAULT_INDEX", "UV_INDEX_URL"} & kept.keys():
        kept["UV_DEFAULT_INDEX"] = kept["PIP_INDEX_URL"]
    if "PIP_CERT" in kept:
        kept.setdefault("SSL_CERT_FILE", kept["PIP_CERT"])
    if "SSL_CERT_FILE" not in kept and _HOST_AUTHORITIES.exists():
        # The index may be a mirror whose certificate this machine trusts and uv's own list does not know.
        kept.setdefault("UV_SYSTEM_CERTS", "1")
    # uv must not take up whatever environment the engine itself runs in.
    for name in ("UV_PROJECT_ENVIRONMENT", "UV_SYSTEM_PYTHON", "UV_TARGET", "UV_PREFIX"):
        kept.pop(name, None)
    return kept


def run_tool(
    command: list[str],
    *,
    cwd: Path,
    timeout_s: float,
    extra: dict[str, str] | None = None,
    cancelled: Cancelled | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run to the end and give back what it said. Its whole process group is killed at the time-out, and as soon as ``cancelled`` says so.

    Raises ``EnvironmentFailed`` (``tool_missing``, ``tool_timeout``, ``cancelled``).
    """
    name = Path(command[0]).name
    refuse_cancelled(name, cancelled)
    try:
        process = subprocess.Popen(  # noqa: S603
            command,
            cwd=cwd,
            env=installer_environment() | (extra or {}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,
        )
    except FileNotFoundError as error:
        raise EnvironmentFailed("tool_missing", f"{command[0]} is not installed") from error
    with process:
        try:
            said, complained = _heard(process, name, timeout_s, cancelled)
        except BaseException:
            # Not only the tool: npm starts others, which would go on writing into a folder that is about to go.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            raise
    return subprocess.CompletedProcess(command, process.returncode, said, complained)


def refuse_cancelled(what: str, cancelled: Cancelled | None) -> None:
    """Raises ``EnvironmentFailed`` (``cancelled``) when nobody waits for it any more."""
    if cancelled is not None and cancelled():
        raise EnvironmentFailed("cancelled", f"{what} was stopped: the wargame was cancelled or lost")


def _heard(process: subprocess.Popen[str], name: str, timeout_s: float, cancelled: Cancelled | None) -> tuple[str, str]:
    end = time.monotonic() + timeout_s
    while True:
        left = end - time.monotonic()
        try:
            return process.communicate(timeout=max(0.0, left if cancelled is None else min(left, LOOK_EVERY_S)))
        except subprocess.TimeoutExpired as error:
            refuse_cancelled(name, cancelled)
            if time.monotonic() >= end:
                raise EnvironmentFailed("tool_timeout", f"{name} did not end in {timeout_s:.0f} s") from error
