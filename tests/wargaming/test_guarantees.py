"""Every guarantee of docs/sandbox.md attacked on this machine; and each attack shown to work where nothing guards."""

import contextlib
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from wargaming.errors import SandboxRefused, SandboxUnavailable
from wargaming.sandbox.base import Ending, RunSpec, Trust
from wargaming.sandbox.guarantees import GUARANTEES, sandbox_report, try_guarantees
from wargaming.sandbox.limited import LimitedDriver
from wargaming.sandbox.runtimes import python_runtime

# What a plain process holds too: its clocks, its memory, its output, a scratch folder of its own.
HELD_BY_LIMITS_ALONE = {
    "memory_limit",
    "memory_limit_over_the_tree",
    "output_limit",
    "fresh_scratch",
    "wall_time_limit",
    "cpu_time_limit",
}


@pytest.mark.parametrize("name", GUARANTEES)
def test_bubblewrap_holds(name, bubblewrap, work_folder):
    [finding] = try_guarantees(bubblewrap, work_folder, (name,))
    assert finding.holds is True, finding.how_tried


@pytest.mark.parametrize("name", [name for name in GUARANTEES if name not in HELD_BY_LIMITS_ALONE])
def test_the_attack_works_on_a_plain_process(name, work_folder):
    [finding] = try_guarantees(LimitedDriver(work_folder / "limited"), work_folder, (name,))
    assert finding.holds is False, finding.how_tried


def test_the_engines_own_environment_does_not_reach_pid_1_of_the_sandbox(bubblewrap, monkeypatch):
    monkeypatch.setenv("GITHUB_TOKEN", "canary-7f3a")
    program = b"""
import glob
seen = b"".join(open(p, "rb").read() for p in glob.glob("/proc/[0-9]*/environ"))
print("leaked" if b"canary-7f3a" in seen else "clean", len(seen) > 0)
"""
    result = bubblewrap.run(RunSpec(python_runtime(), ("/scenario/look.py",), None, {"look.py": program}))
    assert result.last_line == "clean True"


def test_no_descriptor_of_the_engine_is_open_inside(bubblewrap):
    program = b"import os; print(sorted(os.listdir('/proc/self/fd'))[:-1])"
    result = bubblewrap.run(RunSpec(python_runtime(), ("/scenario/look.py",), None, {"look.py": program}))
    assert result.last_line == "['0', '1', '2']"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root hands out user ids")
def test_concurrent_runs_have_user_ids_of_their_own(bubblewrap):
    token = "run-of-a-uid-test"
    spec = RunSpec(python_runtime(), ("/scenario/wait.py", token), None, {"wait.py": b"import time; time.sleep(20)"})
    seen: set[int] = set()

    def enough() -> bool:
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                # The interpreter itself: what leads up to it is still being stripped of its rights.
                if (folder / "cmdline").read_text().split("\0")[1:3] == ["/scenario/wait.py", token]:
                    seen.add((folder / "cmdline").stat().st_uid)
        return len(seen) >= 3

    with ThreadPoolExecutor(3) as pool:
        results = list(pool.map(lambda _: bubblewrap.run(spec, enough), range(3)))
    assert {result.ending for result in results} == {Ending.CANCELLED}
    assert 0 not in seen


def test_a_plain_process_refuses_what_was_not_shipped(work_folder):
    for trust in (Trust.REPOSITORY, Trust.ATTACHED):
        with pytest.raises(SandboxRefused) as refusal:
            LimitedDriver(work_folder).run(RunSpec(python_runtime(), ("-c", "1"), None, trust=trust))
        assert refusal.value.reason == "untrusted_without_sandbox"


def test_an_absent_driver_reads_not_tried_instead_of_held(work_folder, monkeypatch):
    monkeypatch.setenv("PATH", str(work_folder))
    report = sandbox_report(work_folder, "docker")
    assert report["driver"] == "docker"
    assert {guarantee["name"] for guarantee in report["guarantees"]} == set(GUARANTEES)
    assert all(each["holds"] is None and each["how_tried"].startswith("not tried") for each in report["guarantees"])


def test_an_unknown_driver_is_bad_input(work_folder):
    with pytest.raises(SandboxUnavailable, match="not one of"):
        sandbox_report(work_folder, "magic")
