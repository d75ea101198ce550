"""The production processes together, on real servers, through the one address; then Ctrl-C."""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.environment import ROOT
from tests.servers.private import family_of, free_port, wait_until

WEBSOCKET = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


def status(port: int, target: str, headers: dict[str, str] | None = None) -> int:
    """The status code of an answer, 0 when there was none."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET", target, headers=headers or {})
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        connection.close()


@pytest.mark.xdist_group("stack")
def test_the_stack_serves_from_all_its_processes_and_ctrl_c_leaves_none(
    tmp_path: Path,
    new_postgresql_database: Callable[[], str],
    rabbitmq_url: str,
    redis_url: str,
    redis_prefix: str,
) -> None:
    port, log = free_port(), tmp_path / "log"
    environment = {
        **os.environ,
        "DATABASE_URL": new_postgresql_database(),
        "RABBITMQ_URL": rabbitmq_url,
        "REDIS_URL": redis_url,
        "REDIS_PREFIX": redis_prefix,
        "WORK_DIR": str(tmp_path / "work"),
        "PORT": str(port),
        "WEB_PORT": str(free_port()),
        "LIVE_PORT": str(free_port()),
    }
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "deploy/stack.py"], cwd=ROOT, env=environment, stdout=output, stderr=output
        )
    try:
        wait_until(lambda: status(port, "/admin/login/") == 200, process, "web", log, seconds=180)
        # Without a session the live process refuses by itself; web does not know the address at all.
        wait_until(lambda: status(port, "/hitl/ws", WEBSOCKET) in (401, 403), process, "live", log, seconds=180)
        for queue in ("wargame", "forge", "ingest"):
            wait_until(
                lambda queue=queue: f".> {queue} " in log.read_text(),
                process,
                f"the worker of {queue}",
                log,
                seconds=180,
            )
        family = family_of(process.pid)
        assert len(family) > 10
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0, log.read_text()[-3000:]
    finally:
        process.kill()
        process.wait()
    assert not [pid for pid in family if Path(f"/proc/{pid}").exists()]
