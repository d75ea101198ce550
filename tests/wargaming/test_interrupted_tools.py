"""An installer that nobody waits for any more is stopped at once, with everything it started."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from wargaming.environments.tools import run_tool
from wargaming.errors import EnvironmentFailed

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


def test_what_a_tool_said_before_anybody_looked_is_kept(tmp_path):
    command = ["sh", "-c", "echo early; exec sleep 0.1"]
    assert run_tool(command, cwd=tmp_path, timeout_s=5, cancelled=lambda: False).stdout == "early\n"
