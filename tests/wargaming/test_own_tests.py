"""A repository's own tests before and after: known failures left out, "none" is not "passed"."""

import pytest

from wargaming.environments.spec import EnvironmentSpec
from wargaming.own_tests import ConfigRefused, TestCommand, TestRun, compare, find_command, run_own_tests
from wargaming.own_tests import test_environment as environment_for_tests
from wargaming.sandbox.limited import LimitedDriver
from wargaming.verdict import OwnTests

PYTEST = TestCommand("pytest", ("python", "-m", "pytest"))
MAKE = TestCommand("command", ("make", "test"))


def run(outcome, passed=(), failed=()):
    return TestRun(outcome, frozenset(passed), frozenset(failed), None)


def test_the_configured_command_wins_over_what_is_found():
    files = {"tests/test_a.py": b"", ".immune/config.yaml": b"test_command: make test\n"}
    assert find_command(files) == MAKE
    assert find_command({"tests/test_a.py": None}) == PYTEST
    assert find_command({"package.json": b'{"scripts": {"test": "node t.js"}}'}).kind == "npm"


def test_no_tests_are_none_and_an_unreadable_configuration_is_refused():
    assert find_command({"app.py": None}) is None
    assert (
        find_command({"package.json": b'{"scripts": {"test": "echo \\"Error: no test specified\\" && exit 1"}}'})
        is None
    )
    for content in (b"test_command: [", b"test_command: pytest 'unclosed", b"test_command: {a: 1}", b"\xff", b"- list"):
        with pytest.raises(ConfigRefused):
            find_command({".immune/config.yaml": content})


@pytest.mark.parametrize(
    ("before", "after", "status", "broken"),
    [
        (run(OwnTests.PASSED, "ab"), run(OwnTests.PASSED, "ab"), OwnTests.PASSED, ()),
        (run(OwnTests.BROKEN, "a", "b"), run(OwnTests.BROKEN, "a", "b"), OwnTests.PASSED, ()),
        (run(OwnTests.BROKEN, "a", "b"), run(OwnTests.BROKEN, "", "ab"), OwnTests.BROKEN, ("a",)),
        (run(OwnTests.BROKEN, "a", "b"), run(OwnTests.PASSED, "ab"), OwnTests.PASSED, ()),
        (run(OwnTests.PASSED, "ab"), run(OwnTests.PASSED, "a"), OwnTests.UNCLEAR, ()),
        (run(OwnTests.PASSED, "a"), run(OwnTests.UNCLEAR), OwnTests.UNCLEAR, ()),
        (run(OwnTests.NONE), run(OwnTests.NONE), OwnTests.NONE, ()),
        (run(OwnTests.PASSED, "a"), run(OwnTests.NONE), OwnTests.UNCLEAR, ()),
    ],
)
def test_only_what_newly_fails_is_broken(before, after, status, broken):
    result = compare(PYTEST, before, after)
    assert (result.status, result.broken) == (status, broken)


def test_a_command_that_failed_before_already_says_nothing_when_it_fails_after():
    passed, failed = run(OwnTests.PASSED), run(OwnTests.BROKEN)
    assert compare(MAKE, failed, failed).status is OwnTests.UNCLEAR
    assert compare(MAKE, passed, failed).status is OwnTests.BROKEN
    assert compare(MAKE, failed, passed).status is OwnTests.PASSED


def test_they_run_on_a_copy_in_the_sandbox_and_show_what_an_upgrade_broke(tmp_path, bubblewrap, workshop, work_folder):
    checkout = work_folder / "checkouts" / "one"
    (checkout / "tests").mkdir(parents=True)
    (checkout / "tests" / "test_app.py").write_text(
        "import importlib.metadata\n"
        "def test_writes(): open('scribble', 'w').write('x')\n"
        "def test_known_failure(): assert False\n"
        "def test_breaks(): assert importlib.metadata.version('zipp') == '3.19.0'\n"
    )
    specs = [environment_for_tests(EnvironmentSpec("PyPI", (f"zipp=={v}",)), PYTEST) for v in ("3.19.0", "3.19.1")]
    before, after = workshop.build(*specs)
    arguments = {"ecosystem": "PyPI", "workshop": workshop}
    layers = (before.layer, after.layer)
    result = run_own_tests(PYTEST, (checkout, checkout), layers, driver=bubblewrap, **arguments)
    assert (result.status, result.broken) == (OwnTests.BROKEN, ("tests/test_app.py::test_breaks",))
    assert result.before.failed == {"tests/test_app.py::test_known_failure"}
    assert not (checkout / "scribble").exists()
    limited = LimitedDriver(tmp_path)
    assert run_own_tests(PYTEST, (checkout, checkout), layers, driver=limited, **arguments).status is OwnTests.NOT_RUN
