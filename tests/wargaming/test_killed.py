"""What is left when the engine itself is killed: nothing that runs, nothing half-built that is used."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]

RUNS = """
import sys
from pathlib import Path
from wargaming.sandbox.base import RunSpec
from wargaming.sandbox.bubblewrap import BubblewrapDriver
from wargaming.sandbox.runtimes import python_runtime
program = b"import time; print('up', flush=True); time.sleep(60)"
BubblewrapDriver(Path(sys.argv[1])).run(
    RunSpec(python_runtime(), ("/scenario/wait.py", sys.argv[2]), None, {"wait.py": program})
)
"""
BUILDS = """
import sys
from pathlib import Path
from wargaming.environments.layers import LayerStore
from wargaming.environments.spec import Lock
from wargaming.sandbox.runtimes import python_runtime
LayerStore._install = lambda self, lock, runtime, target, *_: ((target / "half").touch(), print("half", flush=True), input())
LayerStore(Path(sys.argv[1])).layer(Lock("PyPI", (("x", "1"),), "x==1"), python_runtime())
"""


def started(program: str, *words: object, **options: object) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-c", program, *map(str, words)], cwd=ROOT, **options)


def alive(token: str) -> list[int]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if f"/scenario/wait.py\0{token}\0" in (folder / "cmdline").read_text():
                found.append(int(folder.name))
        except OSError:
            continue
    return found


def until(condition, seconds=15.0):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return False


def test_a_killed_engine_takes_its_sandbox_with_it(tmp_path):
    token = f"killed-engine-{os.getpid()}"
    with started(RUNS, tmp_path, token) as engine:
        assert until(lambda: alive(token))
        engine.send_signal(signal.SIGKILL)
    assert until(lambda: not alive(token))


def test_a_killed_sandbox_monitor_ends_the_run(tmp_path):
    token = f"killed-monitor-{os.getpid()}"
    with started(RUNS, tmp_path, token) as engine:
        assert until(lambda: alive(token))
        [monitor] = [pid for pid in alive(token) if parent(pid) == engine.pid]
        os.kill(monitor, signal.SIGKILL)
        assert engine.wait(15) == 0
    assert not alive(token)


def parent(pid: int) -> int:
    stat = Path(f"/proc/{pid}/stat").read_text()
    return int(stat[stat.rindex(")") + 2 :].split()[1])


def test_what_a_killed_builder_left_is_never_used_and_its_lock_is_free(tmp_path):
    with started(BUILDS, tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as builder:
        assert builder.stdout.readline() == b"half\n"
        builder.kill()
    left = [path.name for path in tmp_path.iterdir() if path.is_dir()]
    assert [name for name in left if not name.startswith(".")] == []
    with started(BUILDS.replace("input()", "None"), tmp_path, stdout=subprocess.PIPE) as second:
        assert second.wait(15) == 0
    finished = [path for path in tmp_path.iterdir() if path.is_dir() and not path.name.startswith(".")]
    assert len(finished) == 1
