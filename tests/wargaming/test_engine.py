"""What scripts, packages and environments may try on the engine, in the real sandbox on a small real package."""

from dataclasses import replace

import pytest

from wargaming.concluding import Context
from wargaming.engine import Progress, run_wargame, specs_of
from wargaming.environments.spec import EnvironmentSpec
from wargaming.sandbox.base import Trust
from wargaming.sandbox.limited import LimitedDriver
from wargaming.scenarios import scenario_from_files
from wargaming.verdict import Outcome, OwnTests, Verdict

# zipp is one small file without dependencies; what the scripts look at is only its version.
CASE = """
id: engine-case
ecosystem: PyPI
package: zipp
vulnerable_version: "3.19.0"
fixed_version: "3.19.1"
time_limit_s: 5
memory_mb: 128
"""
HEAD = "import importlib.metadata, sys\nold = importlib.metadata.version('zipp') == '3.19.0'\n"
HONEST = HEAD + "print('REPRODUCED: old' if old else 'NOT PRESENT: new')\nsys.exit(1 if old else 0)\n"
FINE = "print('CONTROL OK: fine')\n"


@pytest.fixture
def play(bubblewrap, workshop):
    def run(reproduce=HONEST, control=FINE, case="", files=None, trust=Trust.ATTACHED, repeats=1, **options):
        case += f"repeats: {repeats}\n"
        given = {
            "case.yaml": (CASE + case).encode(),
            "reproduce.py": reproduce.encode(),
            "control.py": control.encode(),
        }
        scenario = scenario_from_files(given | (files or {}), trust)
        base, head = options.pop("specs", None) or specs_of(scenario)
        return run_wargame(scenario, base, head, options.pop("driver", bubblewrap), workshop, **options)

    return run


def test_the_runs_come_in_order_and_cheap_ones_three_times(play):
    told = []
    result = play(on_progress=told.append, repeats=3)
    assert result.verdict is Verdict.PATCH_EFFECTIVE
    once = [("control", "before"), ("reproduce", "before"), ("control", "after"), ("reproduce", "after")]
    assert [(run.step, run.phase) for run in result.runs] == once * 3
    assert told[0] == Progress("building")
    assert [each.outcome for each in told if each.what == "ran"] == [run.outcome for run in result.runs]


def test_the_version_is_observed_inside_and_kept(play):
    result = play()
    assert ("zipp", "3.19.0") in result.before.observed
    assert ("zipp", "3.19.1") in result.after.observed


def test_an_environment_of_another_version_than_asked_is_inconclusive(play, workshop):
    scenario = scenario_from_files(
        {"case.yaml": CASE.encode(), "reproduce.py": HONEST.encode(), "control.py": FINE.encode()}, Trust.ATTACHED
    )
    runtime = workshop.runtime("PyPI")
    old, new = (workshop.resolver.resolve(spec, runtime) for spec in specs_of(scenario))
    result = play(locks=(old, old))
    assert (result.verdict, result.reason) == (Verdict.INCONCLUSIVE, "version_mismatch")
    assert play(locks=(old, new)).verdict is Verdict.PATCH_EFFECTIVE


@pytest.mark.parametrize(
    ("reproduce", "reason"),
    [
        ("print('NOT PRESENT: said early')\nraise ValueError\n", "reproduce_before_error"),
        ("import os\nprint('NOT PRESENT: x', flush=True)\nos._exit(1)\n", "reproduce_before_error"),
        ("import os\nprint('REPRODUCED: x', flush=True)\nos._exit(0)\n", "reproduce_before_error"),
        ("", "reproduce_before_error"),
        (
            "import os, signal\nprint('REPRODUCED: x', flush=True)\nos.kill(os.getpid(), signal.SIGSEGV)\n",
            "reproduce_before_error",
        ),
        ("import sys\nprint('REPRODUCED: x', file=sys.stderr)\nsys.exit(1)\n", "reproduce_before_error"),
        ("import time\nprint('NOT PRESENT: x', flush=True)\ntime.sleep(60)\n", "reproduce_before_timeout"),
    ],
)
def test_a_crash_an_early_exit_silence_or_a_hang_is_never_a_verdict(play, reproduce, reason):
    result = play(reproduce)
    assert (result.verdict, result.reason, result.confidence) == (Verdict.INCONCLUSIVE, reason, 0.0)


def test_absence_because_memory_ran_out_is_no_absence(play):
    hungry = HEAD + (
        "if old:\n    print('REPRODUCED: old'); sys.exit(1)\n"
        "try:\n    held = [b'x' * (1 << 20) for _ in range(400)]\n"
        "except MemoryError:\n    pass\n"
        "print('NOT PRESENT: new')\n"
    )
    result = play(hungry)
    assert result.outcomes["reproduce_after"] is Outcome.ERROR
    assert result.verdict is Verdict.INCONCLUSIVE
    assert "memory" in result.detail


def test_a_run_near_its_memory_limit_lowers_confidence(play):
    near = "held = b'x' * (110 << 20)\nimport time\ntime.sleep(0.1)\n" + HONEST
    result = play(near)
    assert result.verdict is Verdict.PATCH_EFFECTIVE
    assert result.confidence < play().confidence


class Turns:
    """A driver that tells each run which turn it is: the one thing no real sandbox would let two runs differ in."""

    def __init__(self, driver):
        self.driver, self.name, self.strength, self.turn = driver, driver.name, driver.strength, 0
        self.layer_place = driver.layer_place

    def run(self, spec, cancelled=None):
        self.turn += 1
        return self.driver.run(replace(spec, environment={"TURN": str(self.turn // 4 % 2)}), cancelled)


def test_answers_that_differ_between_equal_runs_are_flaky(play, bubblewrap):
    wavering = "import os, sys\nodd = int(os.environ['TURN'])\nprint('REPRODUCED: x' if odd else 'NOT PRESENT: x')\nsys.exit(odd)\n"
    result = play(wavering, repeats=3, driver=Turns(bubblewrap))
    assert result.outcomes["reproduce_before"] is Outcome.FLAKY
    assert (result.verdict, result.reason) == (Verdict.INCONCLUSIVE, "reproduce_before_flaky")


def test_a_control_that_breaks_after_is_a_regression_and_one_broken_before_proves_nothing(play):
    breaks = HEAD + "assert old\nprint('CONTROL OK: old')\n"
    assert play(control=breaks).verdict is Verdict.REGRESSION
    never = play(control=HEAD + "assert not old\nprint('CONTROL OK: new')\n")
    assert (never.verdict, never.reason) == (Verdict.INCONCLUSIVE, "control_before_fail")


def test_own_tests_that_break_turn_an_effective_patch_into_a_regression(play):
    assert play(context=Context(own_tests=OwnTests.BROKEN)).verdict is Verdict.REGRESSION
    assert play(context=Context(own_tests=OwnTests.UNCLEAR)).verdict is Verdict.PATCH_EFFECTIVE


def test_every_variant_has_to_stop(play):
    case = "variants: [{id: other, reproduce: other.py}]\n"
    still = "import sys\nprint('REPRODUCED: still')\nsys.exit(1)\n"
    assert play(case=case, files={"other.py": still.encode()}).verdict is Verdict.PATCH_INSUFFICIENT
    assert play(case=case, files={"other.py": HONEST.encode()}).verdict is Verdict.PATCH_EFFECTIVE
    never = play(case=case, files={"other.py": b"print('NOT PRESENT: never was')\n"})
    assert (never.verdict, never.reason) == (Verdict.INCONCLUSIVE, "reproduce_before_error")


def test_with_protocol_two_text_without_the_nonce_of_the_run_says_nothing(play):
    nonce = "import sys\nnonce = sys.stdin.readline().strip()\n"
    says = (
        nonce
        + HEAD
        + ("print(f'REPRODUCED: {nonce} old' if old else f'NOT PRESENT: {nonce} new')\nsys.exit(1 if old else 0)\n")
    )
    control = nonce + "print(f'CONTROL OK: {nonce}')\n"
    good = play(says, control, case="protocol: 2\n")
    assert good.verdict is Verdict.PATCH_EFFECTIVE
    assert good.confidence > play().confidence
    printed = play(HONEST, control, case="protocol: 2\n")
    assert (printed.verdict, printed.reason) == (Verdict.INCONCLUSIVE, "reproduce_before_error")


def test_what_one_run_leaves_is_gone_in_the_next(play):
    leaves = "import os\nassert not os.listdir('.')\nopen('left', 'w').close()\nos.symlink('/', 'link')\n" + HONEST
    assert play(leaves).verdict is Verdict.PATCH_EFFECTIVE


def test_needs_give_a_shell_git_and_a_resolving_localhost_and_nothing_unasked(play):
    asks = (
        "import shutil, socket\n"
        "assert shutil.which('sh') and shutil.which('git')\n"
        "server = socket.create_server(('localhost', 0))\n"
        "socket.create_connection(server.getsockname()).close()\n"
    )
    assert play(asks + HONEST, case="needs: [git, shell, loopback]\n").verdict is Verdict.PATCH_EFFECTIVE
    unasked = "import os, shutil\nassert not shutil.which('sh') and not os.path.exists('/bin/sh')\n"
    assert play(unasked + HONEST).verdict is Verdict.PATCH_EFFECTIVE
    assert play(asks + HONEST).reason == "reproduce_before_error"


def test_a_stranger_is_not_run_without_isolation(play, work_folder):
    result = play(driver=LimitedDriver(work_folder / "limited"))
    assert (result.verdict, result.reason) == (Verdict.INCONCLUSIVE, "untrusted_without_sandbox")
    assert result.runs == ()


def test_a_shipped_scenario_runs_as_a_limited_process_and_says_so(play, work_folder):
    result = play(driver=LimitedDriver(work_folder / "limited"), trust=Trust.SHIPPED)
    assert (result.verdict, result.driver) == (Verdict.PATCH_EFFECTIVE, "limited")
    assert result.confidence < play(trust=Trust.SHIPPED).confidence


def test_a_cancelled_wargame_is_inconclusive(play):
    result = play(cancelled=lambda: True)
    assert (result.verdict, result.reason) == (Verdict.INCONCLUSIVE, "cancelled")


def test_a_side_that_cannot_be_built_is_inconclusive_with_its_reason_and_the_other_still_runs(play):
    specs = (EnvironmentSpec("PyPI", ("zipp==3.19.0",)), EnvironmentSpec("PyPI", ("zipp==3.19.99999",)))
    result = play(specs=specs)
    assert (result.verdict, result.reason) == (Verdict.INCONCLUSIVE, "unknown_version")
    assert result.outcomes["reproduce_before"] is Outcome.PRESENT
    assert result.outcomes["reproduce_after"] is Outcome.NOT_RUN


def test_a_package_without_a_wheel_is_inconclusive_with_that_reason(play):
    specs = (EnvironmentSpec("PyPI", ("zipp==3.19.0", "MarkupSafe==2.0.0a1")),) * 2
    assert play(specs=specs).reason == "no_wheel"


def test_network_down_is_inconclusive_with_that_reason(play, monkeypatch):
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    monkeypatch.setenv("UV_NO_CACHE", "1")
    specs = (EnvironmentSpec("PyPI", ("zipp==3.18.0",)), EnvironmentSpec("PyPI", ("zipp==3.18.1",)))
    result = play(specs=specs)
    assert (result.verdict, result.reason) == (Verdict.INCONCLUSIVE, "network_down")


def test_the_result_can_be_replaced_but_not_changed(play):
    result = play()
    with pytest.raises(AttributeError):
        result.verdict = Verdict.PATCH_INSUFFICIENT
    assert replace(result, detail="x").detail == "x"
