"""A repository's own tests, run before and after in the sandbox. What fails on both sides is known and left out.

The command is the one in ``.immune/config.yaml``, else pytest where tests for it are found, else ``npm test``. No tests found is
``none``, which is not the same as passing; a side that could not be run to its end is ``unclear``. The tests are the
repository's, so they are as untrusted as everything else in it: they can make themselves look good, which is why they can
only ever lower a verdict (see ``verdict.decide``).
"""

from __future__ import annotations

import json
import re
import shlex
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from wargaming.environments.layers import Layer
from wargaming.environments.spec import EnvironmentSpec, same_name, split_pin
from wargaming.environments.workshop import Workshop
from wargaming.errors import SandboxRefused, SandboxUnavailable, WargameError
from wargaming.sandbox.base import (
    REPOSITORY_DIR,
    SCENARIO_DIR,
    STORED_BYTES,
    Driver,
    Ending,
    Limits,
    Need,
    RunResult,
    RunSpec,
    Trust,
)
from wargaming.verdict import OwnTests

CONFIG_FILE = ".immune/config.yaml"
LIMITS = Limits(wall_s=600, cpu_s=1200, memory_mb=1024, processes=256, open_files=1024, disk_mb=256, files=100_000)
_TEST_FILE = re.compile(r"(?:^|/)(?:test_[^/]+|[^/]+_test)\.py$")
_NO_TESTS = 5  # pytest's exit code when it collected nothing
# pytest -rfEp: one line per test at the end.
_RESULT_LINE = re.compile(r"^(PASSED|FAILED|ERROR) ([^\s].*?)(?: - .*)?$")


@dataclass(frozen=True, slots=True)
class TestCommand:
    """``kind`` is ``pytest`` (results per test), ``npm`` or ``command`` (only the exit code counts)."""

    kind: str
    words: tuple[str, ...]

    __test__ = False  # not a test itself, whatever pytest thinks of the name


@dataclass(frozen=True, slots=True)
class TestRun:
    """One side. ``passed``/``failed`` are test ids, empty where only the exit code is known."""

    outcome: OwnTests
    passed: frozenset[str]
    failed: frozenset[str]
    result: RunResult | None
    why: str = ""

    __test__ = False


@dataclass(frozen=True, slots=True)
class OwnTestsResult:
    """What both sides together say; ``broken`` are the tests that passed before and fail after."""

    status: OwnTests
    command: TestCommand | None
    before: TestRun | None
    after: TestRun | None
    broken: tuple[str, ...] = ()
    why: str = ""


class ConfigRefused(WargameError):
    """``.immune/config.yaml`` cannot be read; that is not the same as having none."""


def find_command(files: Mapping[str, bytes | None]) -> TestCommand | None:
    """The test command of a repository from its file names; the content is needed only of :data:`CONFIG_FILE` and
    package.json. ``None`` when there are no tests. Raises :class:`ConfigRefused`."""
    configured = _configured(files.get(CONFIG_FILE))
    if configured is not None:
        return configured
    if any(_TEST_FILE.search(name) for name in files):
        return TestCommand("pytest", ("python", "-m", "pytest"))
    script = _npm_script(files.get("package.json"))
    return TestCommand("npm", ("sh", "-c", script)) if script else None


def _configured(content: bytes | None) -> TestCommand | None:
    if content is None:
        return None
    try:
        raw = yaml.safe_load(content.decode("utf-8"))
    except (UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
        raise ConfigRefused("config_refused", f"{CONFIG_FILE}: {' '.join(str(error).split())[:200]}") from error
    if raw is None or (isinstance(raw, dict) and "test_command" not in raw):
        return None
    command = raw.get("test_command") if isinstance(raw, dict) else None
    try:
        words = shlex.split(command) if isinstance(command, str) else command
    except ValueError as error:
        raise ConfigRefused("config_refused", f"{CONFIG_FILE}: test_command: {error}") from error
    if not isinstance(words, list) or not words or not all(isinstance(word, str) for word in words):
        raise ConfigRefused("config_refused", f"{CONFIG_FILE}: test_command must be a command line")
    is_pytest = words[0] == "pytest" or words[:3] in (["python", "-m", "pytest"], ["python3", "-m", "pytest"])
    return TestCommand("pytest" if is_pytest else "command", tuple(words))


def _npm_script(content: bytes | None) -> str:
    if content is None:
        return ""
    try:
        script = json.loads(content)["scripts"]["test"]
    except (ValueError, KeyError, TypeError):
        return ""
    # What `npm init` writes is no test.
    return script if isinstance(script, str) and "no test specified" not in script else ""


# Runs inside: copies the read-only checkout into scratch, since tests write beside themselves, and becomes the command.
_START = """
import os, shutil, sys
repository = os.path.join(os.getcwd(), "repository")
shutil.copytree('REPOSITORY', repository, symlinks=True, ignore=shutil.ignore_patterns(".git", "node_modules"))
os.chdir(repository)
sys.path[0] = repository
words = sys.argv[1:]
if words[:2] == ["-m", "pytest"]:
    import runpy
    sys.argv = ["pytest", *words[2:]]
    runpy.run_module("pytest", run_name="__main__")
else:
    if words[0] in ("python", "python3"):
        words[0] = sys.executable
    os.execvp(words[0], words)
""".replace("REPOSITORY", REPOSITORY_DIR)

_START_NODE = """
const fs = require('fs'), child = require('child_process');
fs.cpSync('REPOSITORY', 'repository', { recursive: true, filter: (name) => !/(^|\\/)(\\.git|node_modules)$/.test(name) });
fs.symlinkSync(process.env.NODE_PATH, 'repository/node_modules');
const ran = child.spawnSync(process.argv[2], process.argv.slice(3), { cwd: 'repository', stdio: 'inherit' });
process.exit(ran.status === null ? 1 : ran.status);
""".replace("REPOSITORY", REPOSITORY_DIR)


def test_environment(spec: EnvironmentSpec, command: TestCommand) -> EnvironmentSpec:
    """The environment own tests run in: the repository's, and pytest where it does not pin one itself."""
    names = {same_name(spec.ecosystem, split_pin(spec.ecosystem, text)[0]) for text in spec.requirements}
    if spec.ecosystem != "PyPI" or command.kind != "pytest" or "pytest" in names:
        return spec
    return replace(spec, requirements=(*spec.requirements, "pytest"))


test_environment.__test__ = False  # type: ignore[attr-defined]  # not a test itself


def run_own_tests(
    command: TestCommand | None,
    checkouts: tuple[Path, Path],
    layers: tuple[Layer, Layer],
    *,
    ecosystem: str,
    driver: Driver,
    workshop: Workshop,
    limits: Limits = LIMITS,
    cancelled: Callable[[], bool] | None = None,
) -> OwnTestsResult:
    """Run ``command`` in the checkout before and the one after, each on its layer, and compare."""
    if command is None:
        return OwnTestsResult(OwnTests.NONE, None, None, None, why="no tests found")
    with workshop.layers.in_use(*layers):
        runs = []
        for checkout, layer in zip(checkouts, layers, strict=True):
            spec = _spec(command, checkout, layer, workshop, ecosystem, limits)
            try:
                result = driver.run(spec, cancelled)
            except (SandboxRefused, SandboxUnavailable) as error:
                return OwnTestsResult(OwnTests.NOT_RUN, command, None, None, why=f"{error.reason}: {error}")
            runs.append(read_test_run(command, result))
    return compare(command, runs[0], runs[1])


def _spec(
    command: TestCommand, checkout: Path, layer: Layer, workshop: Workshop, ecosystem: str, limits: Limits
) -> RunSpec:
    words = command.words
    if command.kind == "pytest":
        given = words[1:] if words[0] == "pytest" else words[3:]
        words = ("-m", "pytest", "-rfEp", "--color=no", *given)
    environment: dict[str, str] = {}
    name = "start.py"
    program = _START
    if ecosystem == "npm":
        name, program = "start.js", _START_NODE
        environment["PATH"] = "/layer/node_modules/.bin:/usr/bin:/bin"
    return RunSpec(
        runtime=workshop.runtime(ecosystem),
        arguments=(f"{SCENARIO_DIR}/{name}", *words),
        layer=layer.path,
        files={name: program.encode()},
        trust=Trust.REPOSITORY,
        needs=frozenset({Need.LOOPBACK, Need.SHELL, Need.GIT}),
        limits=limits,
        repository=checkout,
        environment=environment,
    )


def read_test_run(command: TestCommand, result: RunResult) -> TestRun:
    """What one side's run says. Cut short by a limit, or ended without saying anything, is ``UNCLEAR``."""
    nothing: frozenset[str] = frozenset()
    if result.ending is not Ending.EXITED:
        return TestRun(OwnTests.UNCLEAR, nothing, nothing, result, f"ended by {result.ending}")
    if command.kind != "pytest":
        status = OwnTests.PASSED if result.exit_code == 0 else OwnTests.BROKEN
        return TestRun(status, nothing, nothing, result)
    if result.exit_code == _NO_TESTS:
        return TestRun(OwnTests.NONE, nothing, nothing, result, "pytest collected no tests")
    passed, failed = _pytest_lines(_whole_output(result))
    if result.exit_code not in {0, 1} or not passed | failed or (result.exit_code == 1 and not failed):
        why = f"pytest ended with {result.exit_code}: {result.last_line[:200] or result.stderr_tail[-200:]}"
        # An error while collecting has lines of its own, and is as good as a failure to compare.
        return TestRun(OwnTests.BROKEN if failed else OwnTests.UNCLEAR, passed, failed, result, why)
    return TestRun(OwnTests.BROKEN if failed else OwnTests.PASSED, passed, failed, result)


def _whole_output(result: RunResult) -> str:
    """All that was stored; the kept tail where there was more, since the summary stands at the end."""
    whole = zlib.decompress(result.stdout_zlib)
    return whole.decode("utf-8", "replace") if len(whole) < STORED_BYTES else result.stdout_tail


def _pytest_lines(tail: str) -> tuple[frozenset[str], frozenset[str]]:
    passed: set[str] = set()
    failed: set[str] = set()
    for line in tail.splitlines():
        found = _RESULT_LINE.match(line)
        if found is not None:
            (passed if found[1] == "PASSED" else failed).add(found[2])
    return frozenset(passed), frozenset(failed)


def compare(command: TestCommand, before: TestRun, after: TestRun) -> OwnTestsResult:
    """``BROKEN`` needs a test that did not fail before; a side that is unclear makes the whole unclear, unless the other
    shows nothing to compare."""

    def answer(status: OwnTests, why: str, broken: tuple[str, ...] = ()) -> OwnTestsResult:
        return OwnTestsResult(status, command, before, after, broken, why)

    if before.outcome is OwnTests.NONE and after.outcome is OwnTests.NONE:
        return answer(OwnTests.NONE, "no tests were collected")
    if OwnTests.UNCLEAR in {before.outcome, after.outcome}:
        return answer(OwnTests.UNCLEAR, after.why or before.why)
    if OwnTests.NONE in {before.outcome, after.outcome}:
        return answer(OwnTests.UNCLEAR, "tests were collected on one side only")
    if command.kind != "pytest":
        if after.outcome is OwnTests.PASSED:
            return answer(OwnTests.PASSED, "")
        if before.outcome is OwnTests.PASSED:
            return answer(
                OwnTests.BROKEN, "the test command passes before and fails after", (shlex.join(command.words),)
            )
        return answer(OwnTests.UNCLEAR, "the test command fails before already, and says no more than that")
    broken = tuple(sorted(after.failed - before.failed))
    if broken:
        return answer(OwnTests.BROKEN, f"{len(broken)} test(s) fail after that did not before", broken)
    missing = before.passed - after.passed - after.failed
    if missing:
        return answer(OwnTests.UNCLEAR, f"{len(missing)} test(s) passed before and did not report after")
    return answer(OwnTests.PASSED, f"{len(before.failed)} known failure(s) left out" if before.failed else "")


def own_tests_record(result: OwnTestsResult) -> dict[str, Any]:
    """The part of a wargame's record about own tests, as plain values."""
    return {
        "status": str(result.status),
        "command": shlex.join(result.command.words) if result.command else "",
        "broken": list(result.broken),
        "why": result.why,
        "seconds": [
            round(run.result.seconds, 3) if run and run.result else None for run in (result.before, result.after)
        ],
    }
