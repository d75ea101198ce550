"""The embedded profile as a person starts it: one process that says where it is, what is wrong, and stops when told to."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from tests.environment import ROOT

pytestmark = pytest.mark.xdist_group("embedded")


@pytest.fixture
def place(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # Wargames off: what they do is tested elsewhere, and here they would only take time.
    return {
        "WORK_DIR": str(tmp_path / "work"), "PORT": str(port), "PATH": os.environ["PATH"], "IMMUNE_DOTENV": "0",
        "WARGAMING_ENABLED": "false", "HOME": str(tmp_path),
    }  # fmt: skip


def manage(place, *words):
    return subprocess.run(
        [sys.executable, "manage.py", *words],
        cwd=ROOT,
        env=place,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def rows(place, question):
    """Read beside the running process, which a second one with Django in it would only hold up."""
    with contextlib.closing(sqlite3.connect(f"file:{place['WORK_DIR']}/immune.sqlite3?mode=ro", uri=True)) as kept:
        return kept.execute(question).fetchall()


def start(place):
    return subprocess.Popen(
        [sys.executable, "-m", "config.embedded"], cwd=ROOT, env=place, stderr=subprocess.PIPE, text=True
    )


def answers(place, path):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{place['PORT']}{path}", timeout=5) as answer:
            return answer.status, answer.read()
    except OSError:
        return None, b""


def wait_for(what, seconds=90):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := what():
            return found
        time.sleep(0.1)
    raise AssertionError("it did not happen in time")


def test_the_first_start_makes_account_and_demo_runs_the_journey_and_a_second_start_makes_nothing_twice(place):
    assert manage(place, "migrate", "-v0").returncode == 0
    server = start(place)
    try:
        wait_for(lambda: answers(place, "/hitl/health/ready")[0] == 200)
        # The journey runs by itself: the workers of this one process take it as far as reviews.
        assert wait_for(lambda: ("in_review",) in rows(place, "SELECT status FROM apv_reviews"))
        other = start({**place, "WORK_DIR": place["WORK_DIR"]})
        _, said = other.communicate(timeout=60)
        assert other.returncode == 2
        assert f"Port {place['PORT']}" in said
    finally:
        server.send_signal(signal.SIGINT)
        _, first = server.communicate(timeout=30)
    assert server.returncode == 0
    assert "Account admin made. Password: " in first
    assert f"http://127.0.0.1:{place['PORT']}/" in first
    counts = rows(place, COUNTS)
    assert all(counts[0])

    again = start(place)
    wait_for(lambda: answers(place, "/hitl/health/live")[0] == 200)
    again.send_signal(signal.SIGTERM)
    _, second = again.communicate(timeout=30)

    assert again.returncode == 0
    assert "Account" not in second
    assert rows(place, COUNTS) == counts
    audit = manage(place, "verify_audit", "--format", "json")
    assert (audit.returncode, json.loads(audit.stdout)["ok"]) == (0, True)


COUNTS = "SELECT " + ", ".join(
    f"(SELECT count(*) FROM {table})" for table in ("accounts", "repositories", "advisories", "apv_reviews")
)


def test_what_is_kept_beside_the_program_is_its_owners_alone(place):
    # One app's tables are enough for the file to be there.
    assert manage(place, "migrate", "contenttypes", "-v0").returncode == 0
    kept = Path(place["WORK_DIR"]) / "immune.sqlite3"
    assert kept.stat().st_mode & 0o077 == 0


def test_a_work_folder_that_cannot_be_made_is_said_in_one_line(place):
    done = manage(place | {"WORK_DIR": "/proc/nope"}, "check")
    assert done.returncode == 2
    assert done.stderr.startswith("settings: WORK_DIR: ")
    assert len(done.stderr.splitlines()) == 1
