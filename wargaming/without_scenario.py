"""What can be said of an upgrade that no scenario covers: it resolves, installs, imports, and the affected version is gone.

The verdict stays INCONCLUSIVE (``no_scenario``): none of this shows that the weakness is gone. It shows what else would go
wrong, and gives a reviewer the names the repository uses that the new release no longer has, with file and line.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from wargaming.api_difference import Risk, public_api, risks, uses_of
from wargaming.environments.layers import Layer
from wargaming.environments.spec import EnvironmentSpec, same_name
from wargaming.environments.workshop import Built, Workshop
from wargaming.errors import EnvironmentFailed, SandboxRefused, SandboxUnavailable
from wargaming.sandbox.base import SCENARIO_DIR, Driver, RunSpec, Runtime, Trust
from wargaming.verdict import Judgement, Verdict

MAX_SOURCE_BYTES = 2 << 20

_IMPORT_PYTHON = """
import importlib, json, sys
failed = {}
for name in sys.argv[1:]:
    try:
        importlib.import_module(name)
    except BaseException as error:
        failed[name] = "%s: %s" % (type(error).__name__, str(error)[:200])
print()
print(json.dumps(failed))
"""
_IMPORT_NODE = """
const failed = {};
for (const name of process.argv.slice(2)) {
  try { require(name); } catch (error) {
    if (error.code !== 'ERR_REQUIRE_ESM') failed[name] = String(error).slice(0, 200);
  }
}
console.log('\\n' + JSON.stringify(failed));
process.exit(0);
"""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at: ``ok`` is ``None`` where it could not be tried."""

    name: str
    ok: bool | None
    detail: str


@dataclass(frozen=True, slots=True)
class Examination:
    """All that was found; ``judgement`` is always INCONCLUSIVE, its reason ``no_scenario`` or why nothing could be built."""

    judgement: Judgement
    checks: tuple[Check, ...]
    risks: tuple[Risk, ...]
    unreadable: tuple[str, ...]


def examine_upgrade(
    package: str,
    base: EnvironmentSpec,
    head: EnvironmentSpec,
    *,
    is_affected: Callable[[str], bool],
    sources: Mapping[str, str],
    driver: Driver,
    workshop: Workshop,
    cancelled: Callable[[], bool] | None = None,
) -> Examination:
    """Try the upgrade of ``package`` from ``base`` to ``head``.

    ``is_affected`` tells whether a version of the package is affected; ``sources`` are the repository's Python files (path
    to text), for the names it uses.
    """
    built = workshop.build(base, head)
    checks: list[Check] = []
    for phase, side in zip(("before", "after"), built, strict=True):
        checks.append(Check(f"builds_{phase}", side.layer is not None, side.reason and f"{side.reason}: {side.detail}"))
    if built_here := tuple(dict.fromkeys(wheel.said for side in built for wheel in side.from_source)):
        checks.append(Check("built_from_source", None, "; ".join(built_here)))
    runtime = _runtime(workshop, base.ecosystem)
    with workshop.layers.in_use(built[0].layer, built[1].layer):
        for phase, side in zip(("before", "after"), built, strict=True):
            checks.append(_imports(package, phase, side, runtime, driver, cancelled))
    checks.append(_affected_gone(package, built[1], is_affected))
    found, unreadable = _risks(package, built, sources, base.ecosystem)
    reason = next((side.reason for side in built if side.layer is None), "no_scenario")
    return Examination(Judgement(Verdict.INCONCLUSIVE, reason), tuple(checks), found, unreadable)


def _runtime(workshop: Workshop, ecosystem: str) -> Runtime | None:
    try:
        return workshop.runtime(ecosystem)
    except EnvironmentFailed:
        return None


def _imports(
    package: str,
    phase: str,
    side: Built,
    runtime: Runtime | None,
    driver: Driver,
    cancelled: Callable[[], bool] | None,
) -> Check:
    name = f"imports_{phase}"
    if side.layer is None or runtime is None:
        return Check(name, None, "no environment")
    modules = import_names(side.layer, package)
    if not modules:
        return Check(name, None, "the package names no module to import")
    node = runtime.kind == "node"
    script, program = ("import.js", _IMPORT_NODE) if node else ("import.py", _IMPORT_PYTHON)
    spec = RunSpec(
        runtime, (f"{SCENARIO_DIR}/{script}", *modules), side.layer.path, {script: program.encode()}, Trust.REPOSITORY
    )
    try:
        result = driver.run(spec, cancelled)
    except (SandboxRefused, SandboxUnavailable) as error:
        return Check(name, None, f"{error.reason}: {error}")
    try:
        failed = json.loads(result.last_line) if result.exit_code == 0 else None
    except ValueError:
        failed = None
    if failed is None:
        return Check(name, False, f"importing ended with {result.ending}, exit {result.exit_code}")
    return Check(
        name, not failed, "; ".join(f"{module}: {why}" for module, why in failed.items()) or ", ".join(modules)
    )


def import_names(layer: Layer, package: str) -> tuple[str, ...]:
    """The top-level names a distribution brings: from its RECORD (PyPI); an npm package is required by its own name."""
    if layer.lock.ecosystem == "npm":
        return (package,) if (layer.path / "node_modules" / package).is_dir() else ()
    return tuple(sorted({name.partition("/")[0].partition(".")[0] for name in package_files(layer, package)}))


def package_files(layer: Layer, package: str) -> tuple[str, ...]:
    """The importable files of a PyPI distribution, relative to the layer, without its tests and private folders."""
    wanted = same_name("PyPI", package)
    for info in layer.path.glob("*.dist-info"):
        if same_name("PyPI", info.name.removesuffix(".dist-info").rpartition("-")[0]) != wanted:
            continue
        try:
            record = (info / "RECORD").read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            return ()
        names = [line.rpartition(",")[0].rpartition(",")[0].strip('"') for line in record.splitlines()]
        return tuple(name for name in names if _importable(name))
    return ()


def _importable(name: str) -> bool:
    parts = name.split("/")
    suffixes = (".py", ".so", ".pyd")
    return (
        name.endswith(suffixes)
        and ".." not in parts
        and not name.startswith("/")
        and all(part.isidentifier() for part in parts[:-1])
        and parts[-1].partition(".")[0].isidentifier()
        and parts[0] not in {"tests", "test", "bin"}
    )


def _affected_gone(package: str, side: Built, is_affected: Callable[[str], bool]) -> Check:
    """Every copy in the tree counts, not only the top one: npm may keep several."""
    if side.layer is None:
        return Check("affected_version_gone", None, "no environment")
    lock = side.layer.lock
    wanted = same_name(lock.ecosystem, package)
    versions = [version for name, version in lock.pins if same_name(lock.ecosystem, name) == wanted]
    affected = [version for version in versions if is_affected(version)]
    shown = f"{package} {', '.join(versions) or 'is not in the tree'}"
    return Check(
        "affected_version_gone", not affected, f"{shown}; still affected: {', '.join(affected)}" if affected else shown
    )


def _risks(
    package: str, built: tuple[Built, Built], sources: Mapping[str, str], ecosystem: str
) -> tuple[tuple[Risk, ...], tuple[str, ...]]:
    before, after = built[0].layer, built[1].layer
    if ecosystem != "PyPI" or before is None or after is None:
        return (), ()
    names = set(import_names(before, package)) | set(import_names(after, package))
    uses, unreadable = uses_of(names, sources)
    if not uses:
        return (), unreadable
    old, new = (public_api(_sources_of(layer, package)) for layer in (before, after))
    return risks(old, new, uses), unreadable


def _sources_of(layer: Layer, package: str) -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for name in package_files(layer, package):
        found[name] = _read_source(layer.path / name) if name.endswith(".py") else None
    return found


def _read_source(path: Path) -> str | None:
    try:
        if path.is_symlink() or path.stat().st_size > MAX_SOURCE_BYTES:
            return None
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None
