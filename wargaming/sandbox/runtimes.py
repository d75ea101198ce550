"""The interpreters a wargame can run on, and which host paths each needs to be seen inside a sandbox."""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from wargaming.errors import EnvironmentFailed
from wargaming.sandbox.base import Runtime

_ASK_PYTHON = """
import json, os, platform, site, sys, sysconfig
print(json.dumps({
    "executable": os.path.realpath(sys.executable),
    "prefix": sys.base_prefix,
    "version": platform.python_version(),
    "tag": sys.implementation.cache_tag,
    "machine": platform.machine(),
    "libc": "-".join(platform.libc_ver()),
    "stdlib": sysconfig.get_path("stdlib"),
    "sites": [path for path in site.getsitepackages() if os.path.isdir(path)],
    "library": os.path.join(sysconfig.get_config_var("LIBDIR") or "", sysconfig.get_config_var("INSTSONAME") or ""),
}))
"""


@functools.cache
def python_runtime(executable: str | None = None) -> Runtime:
    """The Python at ``executable`` (default: the one running this), looked at outside any virtual environment.

    Raises ``EnvironmentFailed`` (``no_interpreter``) when it does not answer.
    """
    given = executable or sys.executable
    base = _outside_virtual_environment(given)
    try:
        answer = subprocess.run(  # noqa: S603
            [base, "-I", "-c", _ASK_PYTHON], capture_output=True, check=True, timeout=30, env={"LANG": "C.UTF-8"}
        )
        facts = json.loads(answer.stdout)
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        raise EnvironmentFailed("no_interpreter", f"{given}: {error}") from error
    sites: list[str] = facts["sites"]
    if not sites:
        raise EnvironmentFailed("no_interpreter", f"{given} has no site-packages folder to mount a layer at")
    mounts = [facts["executable"], facts["stdlib"]]
    library = facts["library"]
    if library.endswith(".so") or ".so." in library:
        mounts.append(library)
    prefix = facts["prefix"]
    mounts = [path for path in mounts if os.path.exists(path)]
    # A distribution mounts its layer over dist-packages beside the standard library, which lies in /usr/lib anyway.
    site = next((path for path in sites if path.startswith(facts["stdlib"])), sites[0])
    if prefix == "/usr":
        site = next((path for path in sites if path.startswith("/usr/lib/")), sites[0])
    return Runtime(
        kind="python",
        executable=facts["executable"],
        version=facts["version"],
        describe=f"cpython-{facts['version']}-{facts['tag']}-{facts['machine']}-{facts['libc']}",
        mounts=tuple(mounts),
        site=site,
        hidden=tuple(path for path in sites if path != site),
    )


def _outside_virtual_environment(executable: str) -> str:
    """The real interpreter behind a virtual environment's link."""
    real = os.path.realpath(executable)
    if not Path(real).exists():
        raise EnvironmentFailed("no_interpreter", f"{executable} does not exist")
    return real


@functools.cache
def node_runtime(executable: str | None = None) -> Runtime:
    """The Node at ``executable`` (default: ``node`` on the PATH)."""
    found = executable or shutil.which("node") or shutil.which("node", path="/usr/local/bin:/usr/bin")
    if found is None:
        raise EnvironmentFailed("no_interpreter", "node is not installed")
    real = os.path.realpath(found)
    try:
        answer = subprocess.run(  # noqa: S603
            [real, "-p", "JSON.stringify([process.version, process.arch, process.versions.modules])"],
            capture_output=True,
            check=True,
            timeout=30,
            env={},
        )
        version, machine, modules = json.loads(answer.stdout)
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        raise EnvironmentFailed("no_interpreter", f"{found}: {error}") from error
    shared = [path for path in ("/usr/share/nodejs",) if os.path.isdir(path)]
    return Runtime(
        kind="node",
        executable=real,
        version=version.removeprefix("v"),
        describe=f"node-{version}-{machine}-abi{modules}",
        mounts=(real, *shared),
    )
