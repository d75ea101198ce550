"""Running the installers (uv, npm): a bounded child process with the few variables that configure it, and no others."""

from __future__ import annotations

import functools
import os
import subprocess
from pathlib import Path

import uv

from wargaming.errors import EnvironmentFailed

# What tells an installer where its index, certificates, proxies and caches are. Secrets of the application are not
# here.
_CONFIGURATION = ("UV_", "PIP_", "NPM_CONFIG_", "npm_config_", "SSL_CERT_", "XDG_")
_PLAIN = ("PATH", "HOME", "LANG", "TMPDIR", "NODE_EXTRA_CA_CERTS", "NETRC")


_HOST_AUTHORITIES = Path("/etc/ssl/certs")


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
    command: list[str], *, cwd: Path, timeout_s: float, extra: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run to the end and give back what it said. Raises ``EnvironmentFailed`` (``tool_missing``, ``tool_timeout``)."""
    try:
        return subprocess.run(  # noqa: S603
            command,
            cwd=cwd,
            env=installer_environment() | (extra or {}),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s,
            check=False,
        )
    except FileNotFoundError as error:
        raise EnvironmentFailed("tool_missing", f"{command[0]} is not installed") from error
    except subprocess.TimeoutExpired as error:
        raise EnvironmentFailed("tool_timeout", f"{Path(command[0]).name} did not end in {timeout_s:.0f} s") from error
