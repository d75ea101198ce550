"""Reading a lock that comes from outside (an evidence bundle) as if it were hostile. Pure.

A requirements file can point an installer anywhere (``--index-url``, ``-e``, a path), and so can a package-lock.json
(``resolved``, ``link``). What passes here is rebuilt from exact versions and hashes alone.
"""

from __future__ import annotations

import json
import re

from wargaming.environments.spec import Lock
from wargaming.errors import EnvironmentFailed

_PIN = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]{0,99})==([A-Za-z0-9][A-Za-z0-9.!+_-]{0,60})((?: ?;[^\\\n]{0,300})?)")
_HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}")
_NPM_PATH = re.compile(r"(?:node_modules/(?:@[a-z0-9~-][a-z0-9._~-]*/)?[a-z0-9~-][a-z0-9._~-]*/?)+", re.IGNORECASE)
_NPM_VERSION = re.compile(r"[0-9A-Za-z.+-]{1,80}")
_MAX_BYTES = 4 << 20


def checked_lock(ecosystem: str, text: str) -> Lock:
    """The lock in ``text``. Raises ``EnvironmentFailed`` (``lock_refused``) for anything beyond pins and hashes."""
    if len(text) > _MAX_BYTES:
        raise EnvironmentFailed("lock_refused", "the lock is too large")
    if ecosystem == "PyPI":
        return _checked_requirements(text)
    if ecosystem == "npm":
        return _checked_package_lock(text)
    raise EnvironmentFailed("lock_refused", f"no locks are known for {ecosystem}")


def _checked_requirements(text: str) -> Lock:
    pins: list[tuple[str, str]] = []
    hashes = 0
    for raw in text.splitlines():
        line = raw.strip().removesuffix("\\").strip()
        if not line:
            continue
        if _HASH.fullmatch(line) and pins:
            hashes += 1
        elif (found := _PIN.fullmatch(line)) is not None:
            if pins and not hashes:
                raise EnvironmentFailed("lock_refused", f"{pins[-1][0]} has no hash")
            pins.append((found[1], found[2]))
            hashes = 0
        else:
            raise EnvironmentFailed("lock_refused", f"not a pin or hash: {line[:100]!r}")
    if not pins or not hashes:
        raise EnvironmentFailed("lock_refused", "no pin, or no hash for the last one")
    return Lock("PyPI", tuple(pins), text)


def _checked_package_lock(text: str) -> Lock:
    try:
        raw = json.loads(text)
        packages = raw["packages"]
        root = packages[""]["dependencies"]
    except (ValueError, KeyError, TypeError) as error:
        raise EnvironmentFailed("lock_refused", "not a package-lock.json") from error
    if not isinstance(packages, dict) or not isinstance(root, dict):
        raise EnvironmentFailed("lock_refused", "not a package-lock.json")
    pins: list[tuple[int, str, str, str]] = []
    for path, facts in packages.items():
        if path == "":
            continue
        if not isinstance(facts, dict) or not _NPM_PATH.fullmatch(path):
            raise EnvironmentFailed("lock_refused", f"not a package: {path[:100]!r}")
        if facts.get("link") or "resolved" in facts or "integrity" not in facts:
            raise EnvironmentFailed("lock_refused", f"{path[:100]} is not an unlinked registry package with its hash")
        version = str(facts.get("version", ""))
        if not _NPM_VERSION.fullmatch(version):
            raise EnvironmentFailed("lock_refused", f"{path[:100]} has no exact version")
        pins.append((path.count("node_modules/"), path, path.rpartition("node_modules/")[2], version))
    for name, version in root.items():
        if not _NPM_VERSION.fullmatch(str(version)):
            raise EnvironmentFailed("lock_refused", f"{str(name)[:100]} is not asked for by exact version")
    return Lock("npm", tuple((name, version) for _, _, name, version in sorted(pins)), text)
