"""Gunicorn's set-up: the figures of several processes add up, and what is left of former ones goes."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.environment import ROOT
from tests.servers.private import free_port, listening, wait_until

APPLICATION = """
import os
from prometheus_client import Counter, Gauge
from immune.metrics import page

ASKED = Counter("asked", "requests")
ALIVE = Gauge("alive", "one per process", multiprocess_mode="livesum")
ALIVE.set(1)

def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    if environ["PATH_INFO"] == "/metrics":
        return [page()]
    ASKED.inc()
    return [str(os.getpid()).encode()]
"""


@contextmanager
def gunicorn(folder: Path, **variables: str) -> Iterator[tuple[subprocess.Popen[bytes], str, Path]]:
    (folder / "counting.py").write_text(APPLICATION)
    port, log = free_port(), folder / "log"
    environment = {**os.environ, "WEB_PORT": str(port), "WEB_WORKERS": "3", "PYTHONPATH": str(folder), **variables}
    command = [sys.executable, "-m", "gunicorn", "--config", "deploy/gunicorn.conf.py", "counting:application"]
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=output)
    try:
        wait_until(lambda: listening(port), process, "gunicorn", log)
        yield process, f"http://127.0.0.1:{port}", log
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return answer.read().decode()


def figure(name: str, url: str) -> float:
    found = re.search(rf"^{name} (\S+)$", get(f"{url}/metrics"), re.MULTILINE)
    return float(found[1]) if found else 0.0


def test_scrapes_see_the_requests_of_all_workers_and_never_less_than_before(tmp_path: Path) -> None:
    with gunicorn(tmp_path, PROMETHEUS_MULTIPROC_DIR=str(tmp_path / "metrics")) as (_, url, _log):
        answered_by = set()
        # The kernel chooses who answers; on a busy machine one worker may take many in a row.
        for asked in range(1, 2001):
            answered_by.add(get(url))
            if asked % 10 == 0:
                assert figure("asked_total", url) == asked
            if asked >= 60 and len(answered_by) > 1:
                break
        assert len(answered_by) > 1, "only one worker answered, so nothing was shown"


def test_a_process_that_just_starts_does_not_break_the_scrape_of_the_others(tmp_path: Path) -> None:
    """Its file exists a moment before it has a length."""
    with gunicorn(tmp_path, PROMETHEUS_MULTIPROC_DIR=str(tmp_path / "metrics")) as (_, url, _log):
        get(url)
        (tmp_path / "metrics" / "counter_999999999.db").touch()
        assert figure("asked_total", url) == 1


def test_a_killed_worker_leaves_the_living_and_its_requests_stay_counted(tmp_path: Path) -> None:
    with gunicorn(tmp_path, PROMETHEUS_MULTIPROC_DIR=str(tmp_path / "metrics")) as (process, url, log):
        victim = int(get(url))
        files = tmp_path / "metrics"
        assert (files / f"gauge_livesum_{victim}.db").exists()
        os.kill(victim, signal.SIGKILL)
        wait_until(lambda: not (files / f"gauge_livesum_{victim}.db").exists(), process, "the replacement", log)
        assert figure("asked_total", url) == 1


def test_figures_of_dead_processes_are_removed_at_the_start_and_those_of_living_ones_kept(tmp_path: Path) -> None:
    metrics = tmp_path / "metrics"
    metrics.mkdir()
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    former, living = metrics / f"counter_{ended.pid}.db", metrics / f"histogram_{os.getpid()}.db"
    former.touch()
    living.touch()
    with gunicorn(tmp_path, PROMETHEUS_MULTIPROC_DIR=str(metrics)) as (_, url, _log):
        get(url)
        assert not former.exists()
        assert living.exists()


@pytest.mark.parametrize("metrics", ["", "metrics"])
def test_it_ends_cleanly_with_and_without_a_folder_for_figures(tmp_path: Path, metrics: str) -> None:
    variables = {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path / metrics)} if metrics else {}
    with gunicorn(tmp_path, **variables) as (process, url, log):
        get(url)
    assert process.returncode == 0
    assert "Traceback" not in log.read_text()
