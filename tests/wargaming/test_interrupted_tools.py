"""An installer that nobody waits for any more is stopped at once, with everything it started."""

import fcntl
import os
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from wargaming.environments.layers import LayerStore
from wargaming.environments.spec import Lock
from wargaming.environments.tools import run_tool
from wargaming.errors import EnvironmentFailed
from wargaming.sandbox.runtimes import python_runtime

# It starts another, as npm does; both hold the pipe open, so that its end tells when the last of them is gone.
SLOW = ["sh", "-c", "exec 3>told; sleep 600 & echo begun >&3; wait"]


@pytest.fixture
def told(tmp_path):
    os.mkfifo(tmp_path / "told")
    return tmp_path / "told"


def test_a_cancelled_tool_is_killed_with_everything_it_started(told):
    lost = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(run_tool, SLOW, cwd=told.parent, timeout_s=500, cancelled=lost.is_set)
        with told.open() as pipe:
            assert pipe.readline() == "begun\n"
            lost.set()
            assert pipe.read() == ""
        with pytest.raises(EnvironmentFailed) as failure:
            running.result()
    assert failure.value.reason == "cancelled"


def test_a_tool_at_its_time_out_leaves_nothing_running(told):
    pipe = os.open(told, os.O_RDONLY | os.O_NONBLOCK)
    try:
        with pytest.raises(EnvironmentFailed) as failure:
            run_tool(SLOW, cwd=told.parent, timeout_s=0.2)
        os.set_blocking(pipe, True)
        while os.read(pipe, 64):
            pass
    finally:
        os.close(pipe)
    assert failure.value.reason == "tool_timeout"


def test_what_is_cancelled_before_it_begins_is_never_started(tmp_path):
    with pytest.raises(EnvironmentFailed) as failure:
        run_tool(["touch", "begun"], cwd=tmp_path, timeout_s=5, cancelled=lambda: True)
    assert failure.value.reason == "cancelled"
    assert not (tmp_path / "begun").exists()


def test_who_waits_for_anothers_installation_gives_up_when_cancelled(tmp_path):
    store, lost = LayerStore(tmp_path), threading.Event()
    lock = Lock("PyPI", (("zipp", "3.19.1"),), "")
    asked = []

    def cancelled():
        asked.append(lost.is_set())
        lost.set()
        return asked[-1]

    key = store.key_of(lock, python_runtime())
    with (tmp_path / f"{key}.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(EnvironmentFailed) as failure:
            store.layer(lock, python_runtime(), cancelled=cancelled)
    assert failure.value.reason == "cancelled"
    assert asked == [False, True]


def test_what_a_tool_said_before_anybody_looked_is_kept(tmp_path):
    command = ["sh", "-c", "echo early; exec sleep 0.1"]
    assert run_tool(command, cwd=tmp_path, timeout_s=5, cancelled=lambda: False).stdout == "early\n"
