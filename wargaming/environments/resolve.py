"""From exact requirements to a full lock, by the ecosystem's own resolver; wheels only, and no install scripts.

The reasons an environment cannot be had, as words on ``EnvironmentFailed``: ``no_wheel``, ``unknown_package``,
``unknown_version``, ``conflict``, ``network_down``, ``python_too_new``, ``tool_missing``, ``tool_timeout``,
``cancelled``, ``resolve_failed``; ``build_failed`` where a wheel is built here (``wargaming.building``). Network trouble is
never remembered; a lock once resolved is, so a wargame repeated next month runs on the same distributions.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
from pathlib import Path

from wargaming.environments.spec import EnvironmentSpec, Lock, split_pin
from wargaming.environments.tools import Cancelled, run_tool, uv_program
from wargaming.environments.wheels import BuiltWheel
from wargaming.errors import EnvironmentFailed
from wargaming.sandbox.base import Runtime

RESOLVE_TIMEOUT_S = 120
_PINNED = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)==([^\s;\\]+)")

# uv's own words (0.13), most telling first.
_UV_REASONS = (
    (
        "network_down",
        re.compile(
            r"failed to fetch|error sending request|dns error|connect error|timed out|os error 11[01]|network", re.I
        ),
    ),
    (
        "no_wheel",
        re.compile(
            r"no (?:usable|compatible) wheels|has no wheels|no wheels with a matching|building from source is disabled"
            r"|--no-build|only-binary",
            re.I,
        ),
    ),
    (
        "unknown_package",
        re.compile(r"was not found in the (?:package registry|provided package locations|cache)", re.I),
    ),
    ("python_too_new", re.compile(r"does not satisfy python|requires-python|depends on python", re.I)),
    ("unknown_version", re.compile(r"there (?:is|are) no versions? of", re.I)),
    ("conflict", re.compile(r"no solution found|incompatible|unsatisfiable|conflict", re.I)),
)

_NO_WHEEL = re.compile(
    r"[Ww]heels are required for `([A-Za-z0-9._-]+)`|\b([A-Za-z0-9][A-Za-z0-9._-]*)==[^\s,]+ (?:has|have) no (?:usable |compatible )?wheels"
)


class NoWheel(EnvironmentFailed):
    """Not to be had as wheels; ``packages`` are those the resolver named."""

    def __init__(self, message: str, packages: tuple[str, ...]) -> None:
        super().__init__("no_wheel", message)
        self.packages = packages


class Resolver:
    """Resolves once and remembers under ``folder``."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def resolve(
        self,
        spec: EnvironmentSpec,
        runtime: Runtime,
        base: Lock | None = None,
        *,
        wheels: tuple[BuiltWheel, ...] = (),
        cancelled: Cancelled | None = None,
    ) -> Lock:
        """The lock of ``spec``; with ``base`` its pins are kept wherever the requirements allow. ``wheels`` were built here and stand
        beside those of the index. Raises ``EnvironmentFailed``."""
        preferences = _preferences(spec, base)
        known = self._folder / f"{_key(spec, runtime, preferences, wheels)}.json"
        if (lock := _recall(known)) is not None:
            return lock
        if spec.ecosystem == "PyPI":
            lock = self._resolve_pypi(spec, runtime, preferences, wheels, cancelled)
        elif spec.ecosystem == "npm":
            lock = self._resolve_npm(spec, preferences, cancelled)
        else:
            raise EnvironmentFailed("unknown_ecosystem", f"no resolver for {spec.ecosystem}")
        _remember(known, lock)
        return lock

    def _resolve_pypi(
        self,
        spec: EnvironmentSpec,
        runtime: Runtime,
        preferences: str,
        wheels: tuple[BuiltWheel, ...],
        cancelled: Cancelled | None,
    ) -> Lock:
        self._folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self._folder, prefix=".resolve-") as name:
            folder = Path(name)
            (folder / "requirements.in").write_text("".join(f"{text}\n" for text in spec.requirements))
            # An existing output file is what uv calls preferences: kept unless a requirement forces another version.
            (folder / "lock.txt").write_text(preferences)
            command = [uv_program(), "pip", "compile", "--quiet", "--only-binary", ":all:", "--generate-hashes"]
            command += ["--no-header", "--no-annotate", "--no-emit-index-url", "--no-emit-find-links"]
            for wheel in wheels:
                command += ["--find-links", str(wheel.path.parent)]
            command += ["--python", runtime.executable, "--output-file", "lock.txt", "requirements.in"]
            done = run_tool(command, cwd=folder, timeout_s=RESOLVE_TIMEOUT_S, cancelled=cancelled)
            if done.returncode != 0:
                reason = classify_uv(done.stderr)
                if reason == "no_wheel":
                    raise NoWheel(_short(done.stderr), without_wheel(done.stderr))
                raise EnvironmentFailed(reason, _short(done.stderr))
            text = (folder / "lock.txt").read_text()
        pins = tuple((found[1], found[2]) for line in text.splitlines() if (found := _PINNED.match(line)) is not None)
        if not pins:
            raise EnvironmentFailed("resolve_failed", "the resolver gave an empty lock")
        return Lock("PyPI", pins, text)

    def _resolve_npm(self, spec: EnvironmentSpec, preferences: str, cancelled: Cancelled | None) -> Lock:
        self._folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self._folder, prefix=".resolve-") as name:
            folder = Path(name)
            (folder / "package.json").write_text(package_json(spec.requirements))
            if preferences.startswith("{"):  # a base's lock: npm keeps what the new requirements leave alone
                (folder / "package-lock.json").write_text(preferences)
            command = ["npm", "install", "--package-lock-only", *NPM_FLAGS]
            done = run_tool(command, cwd=folder, timeout_s=RESOLVE_TIMEOUT_S, cancelled=cancelled)
            if done.returncode != 0:
                raise EnvironmentFailed(classify_npm(done.stderr), _short(done.stderr))
            text = (folder / "package-lock.json").read_text()
        return Lock("npm", _npm_pins(text), text)


# No install scripts, nothing sent about us; and no registry address in the lock.
NPM_FLAGS: tuple[str, ...] = ("--ignore-scripts", "--no-audit", "--no-fund", "--omit=dev", "--no-update-notifier")
NPM_FLAGS += ("--omit-lockfile-registry-resolved", "--loglevel=error")


def package_json(requirements: tuple[str, ...]) -> str:
    """The package.json that asks for exactly ``requirements``."""
    wanted = dict(split_pin("npm", text) for text in requirements)
    return json.dumps({"name": "environment", "version": "0.0.0", "private": True, "dependencies": wanted})


def _npm_pins(text: str) -> tuple[tuple[str, str], ...]:
    """(name, version) of every package of a package-lock.json (version 2 or 3), those at the top of the tree first."""
    packages = json.loads(text).get("packages", {})
    placed = [(path.count("node_modules/"), path, facts) for path, facts in packages.items() if path]
    pins = tuple(
        (path.rpartition("node_modules/")[2], str(facts["version"]))
        for _, path, facts in sorted(placed, key=lambda entry: entry[:2])
        if "version" in facts and not facts.get("link")
    )
    if not pins:
        raise EnvironmentFailed("resolve_failed", "the resolver gave an empty lock")
    return pins


def classify_npm(said: str) -> str:
    """The reason behind npm's error code."""
    codes = {
        "network_down": r"\b(?:ENOTFOUND|ECONNREFUSED|ECONNRESET|ETIMEDOUT|EAI_AGAIN|ERR_SOCKET_TIMEOUT|EIDLETIMEOUT)\b",
        "unknown_package": r"\bE404\b",
        "unknown_version": r"\bETARGET\b",
        "conflict": r"\bERESOLVE\b",
    }
    return next((reason for reason, pattern in codes.items() if re.search(pattern, said)), "resolve_failed")


def classify_uv(said: str) -> str:
    """The reason behind uv's words; uv wraps long lines, so blanks are folded first."""
    text = " ".join(said.split())
    return next((reason for reason, pattern in _UV_REASONS if pattern.search(text)), "resolve_failed")


def without_wheel(said: str) -> tuple[str, ...]:
    """The packages that uv says have no wheel for this interpreter, as it names them."""
    text = " ".join(said.split())
    return tuple(dict.fromkeys(first or second for first, second in _NO_WHEEL.findall(text)))


def _short(said: str) -> str:
    return " ".join(said.split())[:1000]


def _preferences(spec: EnvironmentSpec, base: Lock | None) -> str:
    if base is not None:
        return base.text
    return "".join(f"{text}\n" for text in spec.preferences)


def _key(spec: EnvironmentSpec, runtime: Runtime, preferences: str, wheels: tuple[BuiltWheel, ...]) -> str:
    facts = ["2", spec.ecosystem, runtime.describe, *sorted(spec.requirements), "", preferences]
    # What was built here is part of the question: with builds forbidden its answer is never found again.
    facts += ["", *sorted(wheel.sha256 for wheel in wheels)] if wheels else []
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()


def _recall(path: Path) -> Lock | None:
    try:
        raw = json.loads(path.read_text())
        return Lock(raw["ecosystem"], tuple((name, version) for name, version in raw["pins"]), raw["text"])
    except (OSError, ValueError, KeyError, TypeError):
        return None  # not there, or not readable: resolved again, never taken as empty


def _remember(path: Path, lock: Lock) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    fd, name = tempfile.mkstemp(dir=path.parent, prefix=".lock-")
    with os.fdopen(fd, "w") as out:
        json.dump({"ecosystem": lock.ecosystem, "pins": lock.pins, "text": lock.text}, out)
    os.replace(name, path)
